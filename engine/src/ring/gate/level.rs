//! How much waits at a gate, and the levels that it is compared with: numbers of messages and of bytes, packed into one
//! word or side by side. Used by [`Gate`](super::Gate) alone, but for the limits, which configurations become.

use crate::ring::sync::{AtomicU64, Ordering};

/// Messages and bytes share one word, so that a reservation is one atomic exchange.
const BYTES_BITS: u32 = 36;
const BYTES_MASK: u64 = (1 << BYTES_BITS) - 1;

/// How much may wait at a gate, and at what levels senders are asked to pause and to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateLimits {
    pub(crate) messages_max: u64,
    pub(crate) bytes_max: u64,
    /// Shares of both bounds.
    pub(crate) high_percent: u64,
    pub(crate) low_percent: u64,
}

impl GateLimits {
    /// That share of both bounds, packed.
    pub(super) fn watermark(self, percent: u64) -> (u64, u64) {
        let share = |bound: u64| (bound * percent).div_ceil(100);
        (share(self.messages_max), share(self.bytes_max))
    }
}

/// Messages and bytes that are compared with what is queued.
#[derive(Debug)]
pub(super) struct Level {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Level {
    pub(super) fn new((messages, bytes): (u64, u64)) -> Self {
        Self {
            messages: AtomicU64::new(messages),
            bytes: AtomicU64::new(bytes),
        }
    }

    pub(super) fn set(&self, (messages, bytes): (u64, u64)) {
        self.messages.store(messages, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

pub(super) const fn packed(messages: u64, bytes: u64) -> u64 {
    messages << BYTES_BITS | bytes
}

pub(super) const fn unpacked(word: u64) -> (u64, u64) {
    (word >> BYTES_BITS, word & BYTES_MASK)
}
