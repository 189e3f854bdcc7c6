//! Kernel to bytes and back: the two backends, the receive buffers, the sockets.
//!
//! Owns every system call of the data path. Called only by `shard/`; it knows nothing of frames,
//! channels or peers, and never decides what is sent or in which order.

pub(crate) mod backend;
mod buffer_ring;
pub(crate) mod clock;
pub(crate) mod completion;
mod data_ring;
pub(crate) mod operation;
mod poll;
pub mod preflight;
pub(crate) mod receive_buffers;
pub(crate) mod socket;

/// A receive buffer.
type Memory = Box<[u8]>;
