//! Kernel to bytes and back: the data ring, the receive buffers, the sockets.
//!
//! Owns every system call of the data path. Called only by `shard/`; it knows nothing of frames,
//! channels or peers, and never decides what is sent or in which order.

mod buffer_ring;
pub(crate) mod data_ring;
pub(crate) mod operation;
pub mod preflight;
pub(crate) mod receive_buffers;
pub(crate) mod socket;
