//! Why waiting brought nothing: for a message, for a peer, for a sign of life.

use super::name::NameError;
use crate::config::{Printable, debug_as_message};

debug_as_message!(RecvError, WaitError, NotConnected);

/// Why a wait for a message or an event brought none.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// None came in the time allowed.
    #[error("none came in the time allowed")]
    TimedOut,
    /// The node has stopped and everything received has been read.
    #[error("the node has stopped, and everything that came has been read")]
    Closed,
    /// The wait was on a thread of the engine, in a handler or a task.
    #[error(
        "a blocking wait on a thread of the engine would wait for itself: await `recv` in a task on a shard, or wait on a thread of the application"
    )]
    WouldDeadlock,
}

/// Shards that gave no sign in time that they go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "shards {shards:?} do not go on: a handler or a task keeps each of them busy or waits for something; it must return soon and never block"
)]
pub struct NoPulse {
    /// Which, from 0.
    pub shards: Vec<usize>,
}

/// Why a wait for a peer was given up.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It took longer than allowed.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The name cannot be one, or the call was made where it would wait for itself.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Waiting for a peer took longer than allowed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` was not connected in time, with {lanes_up} of {lanes} lanes up: check its address, that it runs, and that both nodes are of one cluster; events() tells the reason of each refusal",
    Printable(peer)
)]
pub struct NotConnected {
    /// The peer waited for.
    pub peer: String,
    /// Lanes up when the time was over.
    pub lanes_up: u32,
    /// Lanes there are when all are up.
    pub lanes: usize,
}
