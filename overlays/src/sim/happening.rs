//! What happens to a node next: the items of the world's queue, and of what waits for a node that is paused.

use super::NodeId;
use crate::event::WhyDown;

/// Something that will happen to a node.
#[derive(Debug)]
pub(super) struct Happening<M, T> {
    pub(super) node: NodeId,
    /// Start of the node that this is for; older ones are gone with their timers and lanes.
    pub(super) starts: u32,
    pub(super) what: What<M, T>,
}

#[derive(Debug)]
pub(super) enum What<M, T> {
    Message {
        from: NodeId,
        message: M,
    },
    Timer(T),
    /// A dial arrives.
    Dial {
        from: NodeId,
        from_starts: u32,
        lane: u64,
    },
    LaneUp {
        peer: NodeId,
        lane: u64,
    },
    /// A lane that was asked for was there already.
    StillUp {
        peer: NodeId,
    },
    /// The other end closed or crashed.
    LaneDown {
        peer: NodeId,
        lane: u64,
        why: WhyDown,
    },
    /// Nothing has come over the lane for the lane timeout, if the peer is still out of reach.
    Silence {
        peer: NodeId,
        lane: u64,
        /// How often cuts had been healed when it began.
        heals: u32,
    },
    /// What is queued for a peer has reached the high watermark.
    Fills {
        peer: NodeId,
    },
    /// It has fallen to the low one, unless more has come.
    Empties {
        peer: NodeId,
    },
    /// A dial, or a message without a lane, got nowhere.
    NoLane {
        peer: NodeId,
        why: WhyDown,
    },
}
