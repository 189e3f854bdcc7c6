//! Memory for large payloads, used again: a payload above the inline limit is copied (by a sender) or
//! received (by a shard) into a block of this pool, and the block comes back when the last reference
//! to the payload goes, on whatever thread that is.
//!
//! Fresh memory for each 64 KiB message costs up to 16 page faults, which is more than the copy
//! itself; a block that was just used is also still in the cache. The pool is bounded, and
//! [`PayloadPool::trim`] gives idle blocks back to the allocator. Called by `channel`, and by `shard`
//! for what it sends and receives; it never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

/// The smallest block, as a power of two: 2 KiB. Below the inline limit nothing comes here.
const SMALLEST_SHIFT: u32 = 11;

/// The largest block: 16 MiB, the largest body of a frame.
const LARGEST_SHIFT: u32 = 24;

/// What a block has beyond its power of two, so that a received payload of that size fits with the
/// header of its frame.
const HEADER_ROOM_BYTES: usize = 64;

/// Free bytes kept of each size; one block is kept of a larger size than this. Twice the depth that a
/// bulk channel has between two hops at its default bounds.
const FREE_BYTES_MAX: usize = 1 << 20;

/// Free blocks kept of each size.
const FREE_BLOCKS_MAX: usize = 64;

/// Free blocks of one size.
#[derive(Debug)]
struct Class {
    free: ArrayQueue<Box<[u8]>>,
    /// Somebody took a block of this size since the last [`PayloadPool::trim`].
    taken: AtomicBool,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct PayloadPool {
    classes: Box<[Class]>,
}

impl PayloadPool {
    pub(crate) fn new() -> Arc<Self> {
        let classes = (SMALLEST_SHIFT..=LARGEST_SHIFT)
            .map(|shift| Class {
                free: ArrayQueue::new((FREE_BYTES_MAX >> shift).clamp(1, FREE_BLOCKS_MAX)),
                taken: AtomicBool::new(false),
            })
            .collect();
        Arc::new(Self { classes })
    }

    /// A block for `bytes`, with the contents of its last use (or zeros).
    pub(crate) fn block(self: &Arc<Self>, bytes: usize) -> Block {
        let class = class_of(bytes);
        let memory = match self.classes.get(class) {
            Some(class) => {
                class.taken.store(true, Ordering::Relaxed);
                class.free.pop()
            }
            None => None,
        };
        let memory = memory.unwrap_or_else(|| vec![0; block_bytes(bytes)].into_boxed_slice());
        Block {
            memory,
            bytes,
            class,
            pool: Arc::clone(self),
        }
    }

    /// `bytes` as a payload that can be shared between threads.
    pub(crate) fn copy(self: &Arc<Self>, bytes: &[u8]) -> Bytes {
        let mut block = self.block(bytes.len());
        block.as_mut().copy_from_slice(bytes);
        block.into_payload()
    }

    /// As [`copy`](Self::copy), for what stands in two places.
    pub(crate) fn join(self: &Arc<Self>, first: &[u8], second: &[u8]) -> Bytes {
        let mut block = self.block(first.len() + second.len());
        let (before, after) = block.as_mut().split_at_mut(first.len());
        before.copy_from_slice(first);
        after.copy_from_slice(second);
        block.into_payload()
    }

    /// Frees the blocks of sizes that nobody has asked for since this was called last.
    pub(crate) fn trim(&self) {
        for class in &self.classes {
            if !class.taken.swap(false, Ordering::Relaxed) {
                while class.free.pop().is_some() {}
            }
        }
    }
}

/// Which size of block holds `bytes`; beyond the last for what is not kept.
fn class_of(bytes: usize) -> usize {
    let shift = (block_bytes(bytes) - HEADER_ROOM_BYTES).trailing_zeros();
    usize::try_from(shift.saturating_sub(SMALLEST_SHIFT)).unwrap_or(usize::MAX)
}

/// The size of the block that holds `bytes`.
fn block_bytes(bytes: usize) -> usize {
    let power = bytes.saturating_sub(HEADER_ROOM_BYTES).next_power_of_two();
    power.max(1 << SMALLEST_SHIFT) + HEADER_ROOM_BYTES
}

/// Memory that one owner fills, before it becomes a payload.
#[derive(Debug)]
pub(crate) struct Block {
    memory: Box<[u8]>,
    bytes: usize,
    class: usize,
    pool: Arc<PayloadPool>,
}

impl Block {
    /// The payload, to be shared; its memory returns to the pool with the last reference.
    pub(crate) fn into_payload(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.bytes]
    }
}

impl AsMut<[u8]> for Block {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.bytes]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if let Some(class) = self.pool.classes.get(self.class) {
            // A full class lets the block go to the allocator.
            drop(class.free.push(memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let pool = PayloadPool::new();
        let payload = pool.copy(&vec![7; 65_536]);
        assert_eq!(payload, vec![7; 65_536]);
        let place = payload.as_ptr();
        let part = payload.slice(10..20);
        drop(payload);
        assert_ne!(
            pool.block(65_536).as_ref().as_ptr(),
            place,
            "a part of it is still held"
        );
        drop(part);
        let places: Vec<_> = (0..2)
            .map(|_| pool.block(65_536))
            .map(|block| block.as_ref().as_ptr())
            .collect();
        assert!(places.contains(&place), "the block did not come back");
    }

    #[test]
    fn a_block_has_the_length_asked_for_and_sizes_do_not_mix() {
        let pool = PayloadPool::new();
        for bytes in [
            1,
            1025,
            2048,
            2049,
            65_537,
            1 << 20,
            (1 << 24) - 1,
            (1 << 24) + 1,
        ] {
            assert_eq!(pool.block(bytes).as_ref().len(), bytes);
            assert_eq!(pool.block(bytes).as_mut().len(), bytes);
        }
    }

    #[test]
    fn idle_memory_is_given_back_and_free_memory_is_bounded() {
        let pool = PayloadPool::new();
        let blocks: Vec<_> = (0..200).map(|_| pool.block(65_536)).collect();
        drop(blocks);
        let class = &pool.classes[class_of(65_536)];
        assert_eq!(class.free.len(), FREE_BYTES_MAX / 65_536);
        pool.trim();
        assert!(!class.free.is_empty(), "it was in use since the last time");
        pool.trim();
        assert!(class.free.is_empty());
    }
}
