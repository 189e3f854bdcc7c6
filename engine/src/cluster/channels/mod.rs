//! Changes of channels on all nodes of a cluster: one node orders one, every node makes it.
//!
//! `change` is what nodes say to one another, `agreed` what a node knows to be in force (a state machine without I/O, owned
//! by the driver), `orders` the changes that this node has ordered and who has not answered (the same). `goal` says what a change means for a node that
//! has that channel or not, and `applying` has the control shard make it, one change of a channel after the other. It
//! never waits, and keeps within its bounds whatever members say.

pub(super) mod agreed;
pub(super) mod applying;
pub(super) mod change;
pub(super) mod goal;
pub(super) mod orders;

pub use change::{CHANGE_BYTES_MAX, CHANGED_MAX};
pub use orders::{ChannelChange, ChannelChangeReport};
