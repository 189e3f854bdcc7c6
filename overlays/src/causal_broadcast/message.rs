//! What causal broadcast writes into the heads of broadcasts, and what it sends to single nodes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{PAYLOAD_BYTES_MAX, Peer};
use crate::hold_back::{COUNT_BYTES_MAX, Count, Gap, Life};
use crate::message::{self, DecodeError, at_most};
use crate::payload::Payload;

/// Most gaps in one question.
pub const GAPS_MAX: usize = 64;
/// Most counts in one answer, and in one round of stability. 256: a guess, some kilobytes.
pub const COUNTS_MAX: usize = 256;
/// Most bytes that say which members took part in a round: 16,384 members.
pub const HEARD_BYTES_MAX: usize = 2_048;
/// Most bytes of the words in front of a broadcast. Half of what all layers share, so that those above
/// and below have room.
pub const WORDS_BYTES_MAX: usize = crate::payload::HEAD_BYTES_MAX / 2;

/// Kind of a broadcast of the layer above.
const KIND_MESSAGE: u8 = 0;
/// Kind of a broadcast that brings nothing but needs, as they found no room in one head.
const KIND_NEEDS: u8 = 1;

/// What stands in front of each broadcast. Its sender's identity is told by the broadcast below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Words<P> {
    pub(super) incarnation: u64,
    pub(super) number: u64,
    /// Lamport's clock of the sender: greater than the stamps of all that the broadcast depends on.
    pub(super) stamp: u64,
    /// What the sender had delivered since its broadcast before, without what that needs itself.
    pub(super) needs: Vec<Count<P>>,
}

impl<P: Peer> Words<P> {
    /// Bytes of the words without needs, at most.
    const FIXED_BYTES_MAX: usize = 10 + 10 + 10 + 2;

    /// Splits needs into lists each of which fits one head. One list at least.
    pub(super) fn split(needs: &[Count<P>]) -> Vec<Vec<Count<P>>> {
        let (mut lists, mut list, mut bytes) = (Vec::new(), Vec::new(), Self::FIXED_BYTES_MAX);
        for need in needs {
            let more = message::encode_part(need).len();
            if bytes + more > WORDS_BYTES_MAX {
                lists.push(std::mem::take(&mut list));
                bytes = Self::FIXED_BYTES_MAX;
            }
            bytes += more;
            list.push(*need);
        }
        lists.push(list);
        lists
    }

    /// Puts the words in front of a payload. `is_message`: it is one of the layer above.
    pub(super) fn mark(&self, is_message: bool, payload: Payload) -> Payload {
        let kind = if is_message { KIND_MESSAGE } else { KIND_NEEDS };
        payload.marked_with(kind, &message::encode_part(self))
    }

    /// Takes them off again. None if the payload does not begin with such words.
    pub(super) fn unmark(payload: Payload) -> Option<(Self, bool, Payload)> {
        let (kind, payload) = payload.unmark()?;
        let is_message = match kind {
            KIND_MESSAGE => true,
            KIND_NEEDS => false,
            _ => return None,
        };
        let all = payload.words();
        let (words, rest) = postcard::take_from_bytes::<Self>(all).ok()?;
        let count = all.len() - rest.len();
        let fits = count <= WORDS_BYTES_MAX && words.number > 0 && words.stamp > 0;
        fits.then(|| (words, is_message, payload.without_words(count)))
    }
}

/// A broadcast that a node missed, as another one kept it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Again<P> {
    /// Who broadcast it, and in which life.
    pub life: Life<P>,
    /// Which of that life's broadcasts.
    pub number: u64,
    /// Greater than those of all that it depends on.
    pub stamp: u64,
    /// What it depends on besides the one before it.
    pub needs: Vec<Count<P>>,
    /// It is one of the layer above, not only needs.
    pub is_message: bool,
    /// Hops that it took to the node that kept it.
    pub hops: u16,
    /// What was broadcast.
    pub payload: Payload,
}

/// Where a node is, for one that is to begin there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts<P> {
    /// What it has delivered, in the order of lives.
    pub counts: Vec<Count<P>>,
    /// There are more lives behind the last of these.
    pub more: bool,
    /// Lamport's clock of the node: no less than the stamps of all that it has.
    pub clock: u64,
    /// What is not among the counts and has a lesser stamp may be needed by what is, and is not to be
    /// delivered any more.
    pub open_from: u64,
}

/// One round of finding out what every live member has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round<P> {
    /// Tells the set of live members from others; rounds of different sets are not compared.
    pub view: u64,
    /// Which round.
    pub number: u64,
    /// Lamport's clock of the node that says this: no less than the stamps of all that it has.
    pub clock: u64,
    /// Which members have taken part, one bit each, in the order of their identities.
    pub heard: Vec<u8>,
    /// What all of those have.
    pub counts: Vec<Count<P>>,
    /// What the node that says this has, of lives of which not all members have as much.
    pub own: Vec<Count<P>>,
    /// What all members have, by the last round that was complete.
    pub stable: Vec<Count<P>>,
}

/// What goes from node to node besides broadcasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// From which counts on should I deliver? Those of the lives after this one.
    AskCounts {
        /// The last life of the answer before.
        after: Option<Life<P>>,
    },
    /// What I have delivered.
    Counts(Counts<P>),
    /// I miss these.
    Ask {
        /// What is missing.
        gaps: Vec<Gap<P>>,
    },
    /// Here is one of them.
    Again(Again<P>),
    /// There are no such messages of mine.
    NoSuch(Gap<P>),
    /// What do all members have?
    Round(Round<P>),
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = {
        let count = P::BYTES_MAX + COUNT_BYTES_MAX;
        // Words with as many needs as fit, each of them longer by what a full number takes.
        let needs = WORDS_BYTES_MAX / 3 * count;
        let again =
            1 + count + 10 + 2 + needs + 1 + 3 + Payload::HEAD_ENCODED_MAX + PAYLOAD_BYTES_MAX;
        let round = 1 + 30 + 2 + HEARD_BYTES_MAX + 3 * (2 + COUNTS_MAX * count);
        if again > round { again } else { round }
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::Again(again) => again.payload.body.clone(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Again(again) => again.payload.body = tail,
            _ if tail.is_empty() => {}
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::AskCounts { .. } | Self::NoSuch(_) => Ok(()),
            Self::Counts(page) => at_most(&page.counts, COUNTS_MAX, "counts"),
            Self::Ask { gaps } => at_most(gaps, GAPS_MAX, "gaps"),
            Self::Again(again) => {
                at_most(&again.needs, WORDS_BYTES_MAX / 3, "needs")?;
                if again.number == 0 {
                    return Err(DecodeError::Invalid { field: "number" });
                }
                if again.stamp == 0 {
                    return Err(DecodeError::Invalid { field: "stamp" });
                }
                again.payload.validate()
            }
            Self::Round(round) => {
                at_most(&round.heard, HEARD_BYTES_MAX, "heard")?;
                at_most(&round.counts, COUNTS_MAX, "counts")?;
                at_most(&round.own, COUNTS_MAX, "own")?;
                at_most(&round.stable, COUNTS_MAX, "stable")
            }
        }
    }
}
