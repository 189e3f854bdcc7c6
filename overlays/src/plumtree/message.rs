//! Messages of Plumtree, in the paper's terms, and their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{PAYLOAD_BYTES_MAX, Peer};
use crate::message::{self, DecodeError};
use crate::payload::Payload;
use crate::store::{Mark, MessageId};

/// Most messages announced or asked for in one message; more go in several.
pub const ANNOUNCEMENTS_MAX: usize = 256;

/// Most hops that a message may have made. No tree is that deep; it ends loops of hostile nodes.
pub const HOPS_MAX: u16 = 1_024;

/// A message that the sender has, offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Which.
    pub id: MessageId,
    /// Hops that it took to the sender.
    pub hops: u16,
    /// Came to the sender by a repair, or long ago: says nothing about how long messages take.
    pub late: bool,
}

/// A message itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gossip<P> {
    /// Who broadcast it.
    pub sender: P,
    /// Which.
    pub id: MessageId,
    /// Hops that it took to the sender.
    pub hops: u16,
    /// Marked if given: links that bring it again may leave the tree.
    pub mark: Option<Mark>,
    /// Was asked for, here or on its way here: says nothing about how long messages take.
    pub late: bool,
    /// What was broadcast.
    pub payload: Payload,
}

/// What nodes of a Plumtree say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Eager push.
    Gossip(Gossip<P>),
    /// Lazy push: messages that the sender has.
    Ihave(Vec<Announcement>),
    /// Make this link eager, and send these messages.
    Graft {
        /// The messages that are missing; none if only the link matters.
        ids: Vec<MessageId>,
    },
    /// Send these messages. The link stays what it is.
    Want {
        /// The messages that are missing.
        ids: Vec<MessageId>,
    },
    /// Make this link lazy.
    Prune,
}

impl<P: Peer> message::Message for Message<P> {
    /// Tag, sender, id, hops, mark, flag and payload, or a full list of announcements, whichever is longer.
    const BYTES_MAX: usize = {
        let gossip = 1
            + P::BYTES_MAX
            + MessageId::BYTES_MAX
            + 3
            + 1
            + 2 * 5
            + 1
            + Payload::HEAD_ENCODED_MAX
            + PAYLOAD_BYTES_MAX;
        let ihave = 1 + 2 + ANNOUNCEMENTS_MAX * (MessageId::BYTES_MAX + 3 + 1);
        if gossip > ihave { gossip } else { ihave }
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
            Self::Gossip(gossip) => {
                gossip.payload.validate()?;
                check_hops(gossip.hops)
            }
            Self::Ihave(announcements) => {
                message::at_most(announcements, ANNOUNCEMENTS_MAX, "announcements")?;
                announcements
                    .iter()
                    .try_for_each(|announcement| check_hops(announcement.hops))
            }
            Self::Graft { ids } | Self::Want { ids } => {
                message::at_most(ids, ANNOUNCEMENTS_MAX, "ids")
            }
            Self::Prune => Ok(()),
        }
    }
}

const fn check_hops(hops: u16) -> Result<(), DecodeError> {
    if hops <= HOPS_MAX {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field: "hops" })
    }
}
