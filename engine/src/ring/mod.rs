//! Threads to shard: the byte ring and the doorbell, and what an inbox and a gate add to them.
//!
//! A byte ring carries messages from many threads to one (application to data shard, data shards
//! to an inbox); a doorbell wakes the one when it sleeps. Called by `channel`, `inbox` and `shard`.
//! Nothing here blocks, allocates per record, or knows what a tag means; ring and doorbell are
//! independent of each other, and the caller must ring after it pushed.

mod byte_ring;
mod consumer;
mod doorbell;
pub(crate) mod gate;
pub(crate) mod inbox;
mod payload_pool;
mod producer;
mod record;
mod storage;
#[cfg(overlane_loom)]
mod storage_loom;
mod sync;

pub(crate) use consumer::Consumer;
pub(crate) use doorbell::Doorbell;
pub(crate) use payload_pool::{Block, PayloadPool};
pub(crate) use producer::{Producer, PushError};
pub(crate) use record::{Drained, HEADER_BYTES as RECORD_HEADER_BYTES, Payload, Tag};

use byte_ring::{CAPACITY_BYTES_MAX, CAPACITY_BYTES_MIN, Shared};
use sync::Arc;

/// Makes a ring of at least `capacity_bytes`, headers included, and its two ends.
///
/// The capacity is rounded up to a power of two within `CAPACITY_BYTES_MIN` and
/// `CAPACITY_BYTES_MAX`. The memory is zeroed by the allocator and so, for large rings, only
/// becomes resident as it is used.
pub(crate) fn byte_ring(capacity_bytes: usize) -> (Producer, Consumer) {
    let bounded = capacity_bytes.clamp(CAPACITY_BYTES_MIN, CAPACITY_BYTES_MAX);
    let shared = Arc::new(Shared::new(bounded.next_power_of_two()));
    (Producer::new(Arc::clone(&shared)), Consumer::new(shared))
}

#[cfg(all(test, overlane_loom))]
mod loom_models;
#[cfg(all(test, not(overlane_loom)))]
mod tests;
