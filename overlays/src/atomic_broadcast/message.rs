//! Messages of atomic broadcast, and their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::view::{VIEW_MAX, View};
use crate::event::{PAYLOAD_BYTES_MAX, Peer};
use crate::message::{self, DecodeError};
use crate::payload::Payload;
use crate::store::MessageId;

/// Greatest ballot that is taken. A round ends after a few; it ends races of hostile nodes.
pub const BALLOT_MAX: u32 = 1 << 30;

/// A message about one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<P> {
    /// Which round.
    pub id: MessageId,
    /// What is said.
    pub says: Says<P>,
}

/// What members say about a round. A ballot is led by one member (`View::leader`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Says<P> {
    /// From the sender: keep this payload and vote.
    Prepare {
        /// Who takes part, and in which of its lives.
        view: View<P>,
        /// What is to be delivered by all or none.
        payload: Payload,
    },
    /// It is kept, or it will never be.
    Vote {
        /// Kept.
        prepared: bool,
    },
    /// From the leader of a later ballot: what did you accept? Take part in no ballot below this one.
    Ask {
        /// This one.
        ballot: u32,
        /// As in [`Says::Prepare`].
        view: View<P>,
    },
    /// The answer.
    Promise {
        /// The ballot that asked.
        ballot: u32,
        /// What was accepted last: in which ballot, and whether it was to commit.
        accepted: Option<(u32, bool)>,
    },
    /// From the leader: accept this outcome.
    Accept {
        /// Of this ballot.
        ballot: u32,
        /// All deliver, or none.
        commit: bool,
    },
    /// It is accepted.
    Accepted {
        /// In this ballot.
        ballot: u32,
    },
    /// A later ballot was promised.
    Outranked {
        /// That one.
        ballot: u32,
    },
    /// The round has ended.
    Decide {
        /// In this ballot; where it answers somebody, in the ballot of that.
        ballot: u32,
        /// All deliver, or none.
        commit: bool,
    },
    /// The end is known.
    Done,
    /// Knows nothing of the round in this life.
    Stranger {
        /// The life.
        incarnation: u64,
    },
    /// The round has ended, and how was forgotten.
    Forgotten,
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = MessageId::BYTES_MAX
        + 1
        + View::<P>::BYTES_MAX
        + Payload::HEAD_ENCODED_MAX
        + PAYLOAD_BYTES_MAX;

    fn tail(&self) -> Bytes {
        match &self.says {
            Says::Prepare { payload, .. } => payload.body.clone(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match &mut self.says {
            Says::Prepare { payload, .. } => payload.body = tail,
            _ if tail.is_empty() => {}
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        let ballot = match &self.says {
            Says::Prepare { view, payload } => {
                view.validate()?;
                payload.validate()?;
                0
            }
            Says::Ask { ballot, view } => {
                view.validate()?;
                *ballot
            }
            Says::Promise { ballot, .. }
            | Says::Accept { ballot, .. }
            | Says::Accepted { ballot }
            | Says::Outranked { ballot }
            | Says::Decide { ballot, .. } => *ballot,
            Says::Vote { .. } | Says::Done | Says::Stranger { .. } | Says::Forgotten => 0,
        };
        if ballot > BALLOT_MAX {
            return Err(DecodeError::Invalid { field: "ballot" });
        }
        Ok(())
    }
}

const _: () = assert!(VIEW_MAX <= 1 << 14, "the length of a view takes two bytes");
