//! What a backend hands back: the completion of an operation, and its counters.
//!
//! Written by `data_ring.rs` and `poll/`, read by the shard that queued the operation.

use std::os::fd::{FromRawFd, OwnedFd};

use super::operation::{Operation, OperationKind};

/// One finished (or, for an operation that goes on, continuing) operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) operation: Operation,
    /// Bytes, a file descriptor, or a negated errno.
    pub(crate) result: i32,
    /// The provided buffer that was filled.
    pub(crate) buffer: Option<u16>,
    /// The operation goes on.
    pub(crate) more: bool,
}

impl Completion {
    /// Lets go of what nobody will look at: a connection accepted too late has a descriptor.
    pub(super) fn discard(self) {
        if self.operation.kind == OperationKind::Accept && self.result >= 0 {
            // SAFETY: the kernel has made this descriptor for this process and told nobody else.
            drop(unsafe { OwnedFd::from_raw_fd(self.result) });
        }
    }
}

/// Counters of one shard's backend, since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IoCounters {
    /// System calls: `io_uring_enter`, or all that `poll` makes.
    pub(crate) calls: u64,
    /// Completions reaped.
    pub(crate) completions: u64,
}
