//! The provided buffers of one class, as `poll` fills them: those free, and those filled and not yet
//! taken by the shard.
//!
//! Shared by the `PollSet` that fills them and the `ReceiveBuffers` that take them and give them back,
//! both on the shard's thread.

use crate::io::Memory;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct PolledBuffers {
    /// The last given back is the first to be filled: the cache has it.
    free: Vec<(u16, Memory)>,
    /// By their number.
    filled: Vec<Option<Memory>>,
}

impl PolledBuffers {
    pub(super) fn new(count: u16) -> Self {
        Self {
            free: Vec::with_capacity(usize::from(count)),
            filled: (0..count).map(|_| None).collect(),
        }
    }

    /// The buffer may be filled from now on.
    pub(crate) fn provide(&mut self, bid: u16, memory: Memory) {
        self.free.push((bid, memory));
    }

    /// The filled buffer of that number.
    pub(crate) fn take(&mut self, bid: u16) -> Option<Memory> {
        self.filled.get_mut(usize::from(bid))?.take()
    }

    /// A buffer to be filled: it comes back by `provide` or by `keep`.
    pub(super) fn lend(&mut self) -> Option<(u16, Memory)> {
        self.free.pop()
    }

    /// The buffer was filled, and waits to be taken.
    pub(super) fn keep(&mut self, bid: u16, memory: Memory) {
        self.filled[usize::from(bid)] = Some(memory);
    }
}
