//! Threads to shard: byte ring and doorbell.
