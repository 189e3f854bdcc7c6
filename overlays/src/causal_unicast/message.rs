//! What nodes send each other for causal unicast.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{PAYLOAD_BYTES_MAX, Peer};
use crate::hold_back::{COUNT_BYTES_MAX, Count};
use crate::message::{self, DecodeError, at_most};

/// Most needs of one message: 256 messages of anybody to different nodes that are not acknowledged yet.
pub const NEEDS_MAX: usize = 256;
/// Most numbers held, and most ranges missed, in one acknowledgement.
pub const RANGES_MAX: usize = 256;

/// Something that has to be delivered at a node before what depends on it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Need<P> {
    /// At which node.
    pub to: P,
    /// The first so many messages of this life to that node.
    pub of: Count<P>,
}

/// One message of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data<P> {
    /// Life of its sender.
    pub incarnation: u64,
    /// Life of the receiver that it is for.
    pub to_incarnation: u64,
    /// Which of that life's messages to this receiver, counted from one.
    pub number: u64,
    /// The least number that the sender still has: those before are acknowledged or given up.
    pub base: u64,
    /// What was not acknowledged when it was sent, as far as its sender knew.
    pub needs: Vec<Need<P>>,
    /// What the application sent. Not encoded: the tail.
    #[serde(skip)]
    pub payload: Bytes,
}

/// What a receiver has of one life's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Life of their sender.
    pub incarnation: u64,
    /// Life of the receiver.
    pub by_incarnation: u64,
    /// All up to this number are delivered, or missed.
    pub count: u64,
    /// Those that wait for others, in order.
    pub held: Vec<u64>,
    /// From which to which number they are missed: given up before they came.
    pub missed: Vec<(u64, u64)>,
}

/// What goes from node to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Which life of yours is this? Answered by an acknowledgement. Comes before the first message.
    Hello {
        /// My life.
        incarnation: u64,
    },
    /// A message.
    Data(Data<P>),
    /// What came of messages.
    Ack(Ack),
    /// Have you these messages of others? I was told that you may not.
    Have {
        /// At most [`NEEDS_MAX`].
        counts: Vec<Count<P>>,
    },
    /// I have these, or will not get them.
    Settled {
        /// Those that were asked about, as far as it is so.
        counts: Vec<Count<P>>,
    },
    /// Others depend on these messages of yours to me: send them now.
    Ask {
        /// Your life.
        incarnation: u64,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// Messages of mine to you below this number will not come any more.
    Base {
        /// My life that sent them.
        incarnation: u64,
        /// The least number that may still come.
        base: u64,
    },
    /// There are no such messages of mine to you.
    NoSuch {
        /// My life that was asked about.
        incarnation: u64,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = {
        let need = P::BYTES_MAX + P::BYTES_MAX + COUNT_BYTES_MAX;
        let data = 1 + 4 * 10 + 2 + NEEDS_MAX * need + PAYLOAD_BYTES_MAX;
        let ack = 1 + 3 * 10 + 2 + RANGES_MAX * 10 + 2 + RANGES_MAX * 20;
        if data > ack { data } else { ack }
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::Data(data) => data.payload.clone(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Data(data) => data.payload = tail,
            _ if tail.is_empty() => {}
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Data(data) => {
                at_most(&data.needs, NEEDS_MAX, "needs")?;
                at_most(&data.payload, PAYLOAD_BYTES_MAX, "payload")?;
                if data.base == 0 || data.number < data.base {
                    return Err(DecodeError::Invalid { field: "number" });
                }
                Ok(())
            }
            Self::Ack(ack) => {
                at_most(&ack.held, RANGES_MAX, "held")?;
                at_most(&ack.missed, RANGES_MAX, "missed")
            }
            Self::Have { counts } | Self::Settled { counts } => {
                at_most(counts, NEEDS_MAX, "counts")
            }
            Self::Hello { .. } | Self::Ask { .. } | Self::Base { .. } | Self::NoSuch { .. } => {
                Ok(())
            }
        }
    }
}
