//! What a gate is open for. A set of reasons in one byte; any of them lets messages through, until the gate is closed.
//!
//! Read by [`Gate`](super::Gate), and named by the shards that open and shut it.

/// Whether the lane behind a gate takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateState {
    /// No lane at the moment, and none can be made.
    Down,
    /// Messages are taken.
    Open,
    /// The node is stopping, or the channel was removed: there will be no lane again.
    Closed,
}

/// What keeps a gate open. One of them is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OpenFor {
    /// The lane is up: the shard that owns it says so.
    Lane = 1,
    /// The peer is connected, so that the lane can be made: the shard of its control lane says so.
    Peer = 2,
    /// The peer is away, and what is accepted waits for it, for a while: the shard that owns the lane.
    Absence = 8,
    /// The peer can be reached: what is accepted connects it. The shard of its control lane says so.
    Reach = 16,
    /// The peer was connected and is expected back, for a while: what its channel keeps waits for it. The shard of
    /// its control lane says so.
    Return = 32,
}

/// The node is stopping, or the lane's channel was removed. Stays, until another channel's lane has the gate.
pub(super) const CLOSED: u8 = 4;

pub(super) const fn state_of(bits: u8) -> GateState {
    if bits & CLOSED != 0 {
        GateState::Closed
    } else if bits == 0 {
        GateState::Down
    } else {
        GateState::Open
    }
}
