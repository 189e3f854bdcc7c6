//! How much address space a configuration needs, for the check against `ulimit -v` and `ulimit -d`:
//! where memory runs out in the middle of a start, the process is aborted without a word of why.

use crate::config::Config;
use crate::io::backend::Backend;

/// A thread: its stack with what it guards, and the heap that the C library reserves for it.
const THREAD_BYTES: u64 = (2 << 20) + (64 << 10) + (64 << 20);

/// An executor with its rings, and what a shard allocates while it is set up.
const EXECUTOR_BYTES: u64 = 4 << 20;

/// Entry of a submission queue, and of a completion queue.
const ENTRY_BYTES: (u64, u64) = (64, 16);

/// Address space for `shards` shards, the control shard and the rings between them, in bytes.
pub(super) fn address_space_needed(config: &Config, shards: usize, backend: Backend) -> u64 {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    // With io_uring a shard has an executor, which has a thread of its own for calls that block.
    let threads = match backend {
        Backend::Uring => 2,
        Backend::Poll => 1,
    };
    let (submission, completion) = ENTRY_BYTES;
    let data_ring = u64::from(config.data_ring_entries) * (submission + 4 * completion);
    let rings = config
        .channels
        .iter()
        .map(|channel| count(channel.ring_bytes));
    let mut priorities: Vec<_> = config
        .channels
        .iter()
        .map(|channel| channel.priority)
        .collect();
    priorities.sort_unstable();
    priorities.dedup();
    // The receive buffers of the engine's own channel too. Their number is a power of two.
    let classes = count(priorities.len() + 1);
    let received = classes.saturating_mul(2 * count(config.receive_quantum_bytes));
    let shard = rings
        .fold(data_ring.saturating_add(received), u64::saturating_add)
        .saturating_add(threads * THREAD_BYTES + EXECUTOR_BYTES);
    shard
        .saturating_mul(count(shards))
        .saturating_add(THREAD_BYTES)
}
