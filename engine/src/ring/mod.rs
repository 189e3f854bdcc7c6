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
mod producer;
mod record;
mod storage;
#[cfg(overlane_loom)]
mod storage_loom;
mod sync;

pub(crate) use byte_ring::byte_ring;
pub(crate) use consumer::Consumer;
pub(crate) use doorbell::Doorbell;
pub(crate) use producer::{Producer, PushError};
pub(crate) use record::{DrainPayload, HEADER_BYTES as RECORD_HEADER_BYTES, Payload, Tag};

#[cfg(all(test, overlane_loom))]
mod loom_models;
#[cfg(all(test, not(overlane_loom)))]
mod tests;
