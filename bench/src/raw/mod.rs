//! The limit: what plain TCP sockets do on this machine with the same framing and the same pinning.
//!
//! Every figure of the engine is divided by one of these, taken in the same run. No io_uring, no
//! queues, no channels: one thread writes batches of frames, one thread reads and decodes them.

pub(crate) mod frame;
pub(crate) mod latency;
pub(crate) mod process;
pub(crate) mod throughput;
