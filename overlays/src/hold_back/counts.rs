//! What messages are named by: the life of their sender, and how many came before them in it.

use serde::{Deserialize, Serialize};

/// One life of a node, from its start to its end, as a sender of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Life<P> {
    /// The node.
    pub peer: P,
    /// Grows each time the node starts.
    pub incarnation: u64,
}

/// The first so many messages of one life. Messages are counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Count<P> {
    /// Whose messages.
    pub life: Life<P>,
    /// How many.
    pub count: u64,
}

/// Bytes of an encoded count besides the identity in it: two numbers.
pub(crate) const COUNT_BYTES_MAX: usize = 20;

/// A message by its sender's life and its number there.
pub(crate) type Key<P> = (Life<P>, u64);

/// Messages that were not there: from the first to the last number of one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap<P> {
    /// Whose messages.
    pub life: Life<P>,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}
