//! The engine under test: processes that host nodes, and the parent's hold on them.
//!
//! - protocol.rs: what a parent asks and a process answers
//! - settings.rs: a node's configuration from the flags to its process
//! - protection.rs: certificates and secrets of a run
//! - process.rs: the child; producer.rs and round_trip.rs are what its nodes'
//!   shards do, threads.rs what application threads do with them, counters.rs what they count
//! - pair.rs: the parent's end of a sending and a receiving node

pub(crate) mod counters;
pub(crate) mod pair;
pub(crate) mod process;
pub(crate) mod producer;
pub(crate) mod protection;
pub(crate) mod protocol;
pub(crate) mod round_trip;
pub(crate) mod settings;
pub(crate) mod threads;
