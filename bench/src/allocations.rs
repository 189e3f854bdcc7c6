//! Counts the heap allocations of this process.
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

#[cfg(test)]
mod tests {
    #[test]
    fn an_allocation_is_counted() {
        let before = super::count();
        let kept = std::hint::black_box(vec![7_u8; 4096]);
        assert!(super::count() > before);
        drop(kept);
    }
}
