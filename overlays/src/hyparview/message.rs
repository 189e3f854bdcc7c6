//! Messages of HyParView, in the paper's terms, and their bounds.

use serde::{Deserialize, Serialize};

use crate::event::Peer;
use crate::message::{self, DecodeError};

/// Most nodes in one shuffle. The paper sends 8; this leaves room to tune.
pub const SHUFFLE_PEERS_MAX: usize = 64;

/// Most hops that any walk may be asked to make.
pub const WALK_HOPS_MAX: u8 = 32;

/// The name of a part, as one of its nodes knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part<P> {
    /// Its least node.
    pub root: P,
    /// How far the root has counted.
    pub count: u64,
}

/// What nodes of a HyParView overlay say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// The sender is new and wants in.
    Join,
    /// News of a newcomer, on its walk.
    ForwardJoin {
        /// The newcomer.
        newcomer: P,
        /// Hops left.
        hops: u8,
    },
    /// The sender wants the receiver as its neighbor.
    Neighbor {
        /// High: the sender has no other neighbor, or must not be refused for being a newcomer.
        high_priority: bool,
        /// The part that the sender is in.
        part: Part<P>,
    },
    /// Yes: the sender has the receiver in its active view.
    Accept {
        /// The part that the sender is in.
        part: Part<P>,
    },
    /// No: the sender's active view is full.
    Refuse,
    /// The receiver is not, or no longer, the sender's neighbor.
    Disconnect {
        /// The sender leaves for good and should be forgotten.
        leaving: bool,
        /// Who took the receiver's place: likely to have room for it.
        instead: Option<P>,
    },
    /// The sender counts the receiver among its neighbors. Mends views that loss made one-sided.
    Present {
        /// The part that the sender is in.
        part: Part<P>,
    },
    /// Which part is the receiver in?
    Hail,
    /// Answer to a hail.
    Here {
        /// The part that the sender is in; none while it is not sure.
        part: Option<Part<P>>,
        /// A sample of its spares.
        peers: Vec<P>,
    },
    /// A sample of nodes, on its walk.
    Shuffle {
        /// Who began it, and gets the reply.
        origin: P,
        /// The sample, without the origin.
        peers: Vec<P>,
        /// Hops left.
        hops: u8,
    },
    /// A sample in return.
    ShuffleReply {
        /// The sample.
        peers: Vec<P>,
    },
    /// Exchange of neighbors for nearer ones.
    Xbot(XbotMessage<P>),
}

/// Messages of an exchange of neighbors for nearer ones, four nodes at a time. See `xbot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum XbotMessage<P> {
    /// Asks for a `Pong` at once.
    Ping {
        /// Drawn by the sender for this ping.
        nonce: u64,
    },
    /// Answer to a `Ping`.
    Pong {
        /// Copied from the `Ping`.
        nonce: u64,
    },
    /// Initiator to candidate: take me, I would give up `old`.
    Optimize {
        /// The neighbor to be given up.
        old: P,
    },
    /// Candidate to the neighbor that it would give up: take `old` instead of me.
    Replace {
        /// Who takes your place at mine.
        initiator: P,
        /// Who would take mine at yours.
        old: P,
    },
    /// From there to `old`: take me instead of the initiator.
    Switch {
        /// Whom you would give up.
        initiator: P,
        /// Whom I would give up.
        candidate: P,
    },
    /// Answer of `old`.
    SwitchReply {
        /// Copied from the `Switch`.
        initiator: P,
        /// Copied from the `Switch`.
        candidate: P,
        /// Done.
        accepted: bool,
    },
    /// Answer of the node that the candidate would give up.
    ReplaceReply {
        /// Copied from the `Replace`.
        initiator: P,
        /// Copied from the `Replace`.
        old: P,
        /// Done.
        accepted: bool,
    },
    /// Answer of the candidate.
    OptimizeReply {
        /// Copied from the `Optimize`.
        old: P,
        /// Done.
        accepted: bool,
    },
}

impl<P: Peer> message::Message for Message<P> {
    /// The answer to a hail is the longest: tag, part, count of at most two bytes, peers.
    const BYTES_MAX: usize = 1 + 1 + P::BYTES_MAX + 10 + 2 + SHUFFLE_PEERS_MAX * P::BYTES_MAX;

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::ForwardJoin { hops, .. } => check_hops(*hops),
            Self::Shuffle { peers, hops, .. } => {
                message::at_most(peers, SHUFFLE_PEERS_MAX, "peers")?;
                check_hops(*hops)
            }
            Self::ShuffleReply { peers } | Self::Here { peers, .. } => {
                message::at_most(peers, SHUFFLE_PEERS_MAX, "peers")
            }
            _ => Ok(()),
        }
    }
}

const fn check_hops(hops: u8) -> Result<(), DecodeError> {
    if hops <= WALK_HOPS_MAX {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field: "hops" })
    }
}
