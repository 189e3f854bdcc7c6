//! Counts the heap allocations of this process, and what of them is in use.
//!
//! The whole binary runs on a counting allocator, so that the allocations of a shard's thread are
//! seen as well. The counters are process-wide: a process under test must do nothing else.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and reallocations since the process started.
pub(crate) fn count() -> u64 {
    let stats = COUNTING.stats();
    u64::try_from(stats.allocations + stats.reallocations).unwrap_or(u64::MAX)
}

/// Bytes of the heap that are in use, without what the allocator keeps beside them.
pub(crate) fn live_bytes() -> u64 {
    let stats = COUNTING.stats();
    u64::try_from(
        stats
            .bytes_allocated
            .saturating_sub(stats.bytes_deallocated),
    )
    .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_allocation_is_counted() {
        let before = super::count();
        let kept = std::hint::black_box(vec![7_u8; 64 << 20]);
        assert!(super::count() > before);
        assert!(
            super::live_bytes() >= 64 << 20,
            "more than other tests let go of"
        );
        drop(kept);
    }
}
