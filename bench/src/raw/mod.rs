//! The limit: what plain TCP sockets do on this machine with the same framing and the same pinning.
//!
//! Every figure of the engine is divided by one of these, taken in the same run. No io_uring, no
//! queues, no channels: one thread writes frames, one thread reads and decodes them.
//!
//! - protocol.rs: what a parent asks and a process answers
//! - process.rs: the child; throughput.rs and latency.rs are what its threads do, frame.rs its framing
//! - pair.rs: the parent's end of two of them

pub(crate) mod frame;
pub(crate) mod latency;
pub(crate) mod pair;
pub(crate) mod process;
pub(crate) mod protocol;
pub(crate) mod throughput;
