//! Messages of the direct layer, and their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{PAYLOAD_BYTES_MAX, Peer};
use crate::message::{self, DecodeError};
use crate::payload::Payload;
use crate::store::MessageId;

/// Most senders told of, and most messages asked for, in one message; more go in several.
pub const ENTRIES_MAX: usize = 256;

/// Most hops that a message may have made: one straight from its sender, one more for each repair by
/// somebody who got it by a repair. It ends loops of hostile nodes.
pub const HOPS_MAX: u16 = 1_024;

/// A payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gossip<P> {
    /// Who broadcast it.
    pub sender: P,
    /// Which.
    pub id: MessageId,
    /// How many messages of this sender before it are so young that a newcomer should have them too.
    pub back: u32,
    /// Hops that it took to the sender of this message.
    pub hops: u16,
    /// Was asked for: says nothing about how long messages take.
    pub late: bool,
    /// What was broadcast.
    pub payload: Payload,
}

/// How far somebody is with the messages of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head<P> {
    /// The sender's number, as in [`MessageId`].
    pub stream: u64,
    /// Its identity.
    pub sender: P,
    /// All its messages before this number are there, or are not waited for any more.
    pub next: u64,
    /// As in [`Gossip::back`], of the messages before `next`.
    pub back: u32,
    /// Those before this number are none of its business: they were sent before its time.
    pub floor: u64,
}

/// What nodes of the direct layer say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// A payload, straight from its sender, or from who was asked for it.
    Gossip(Gossip<P>),
    /// How far I am.
    Heads {
        /// With which senders.
        heads: Vec<Head<P>>,
        /// You did not say how far you are: say it.
        again: bool,
    },
    /// Send these messages.
    Want {
        /// Which are missing.
        ids: Vec<MessageId>,
    },
    /// Asked for, and not here.
    Lacks {
        /// Which.
        ids: Vec<MessageId>,
    },
}

impl<P: Peer> message::Message for Message<P> {
    /// Tag, sender, id, back, hops, flag and payload, or a full list of heads, whichever is longer.
    const BYTES_MAX: usize = {
        let gossip = 1
            + P::BYTES_MAX
            + MessageId::BYTES_MAX
            + 5
            + 3
            + 1
            + Payload::HEAD_ENCODED_MAX
            + PAYLOAD_BYTES_MAX;
        let heads = 1 + 2 + ENTRIES_MAX * (10 + P::BYTES_MAX + 10 + 5 + 10) + 1;
        if gossip > heads { gossip } else { heads }
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::Gossip(gossip) => gossip.payload.body.clone(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Gossip(gossip) => gossip.payload.body = tail,
            _ if tail.is_empty() => {}
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Gossip(gossip) if gossip.hops > HOPS_MAX => {
                Err(DecodeError::Invalid { field: "hops" })
            }
            Self::Gossip(gossip) if gossip.id.number == u64::MAX => {
                Err(DecodeError::Invalid { field: "number" })
            }
            Self::Gossip(gossip) => gossip.payload.validate(),
            Self::Heads { heads, .. } => message::at_most(heads, ENTRIES_MAX, "heads"),
            Self::Want { ids } | Self::Lacks { ids } => message::at_most(ids, ENTRIES_MAX, "ids"),
        }
    }
}
