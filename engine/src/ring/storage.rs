//! The memory of a ring: every access to its bytes, and all of its pointer arithmetic, is here.
//!
//! Called by `producer` and `consumer`, which own the protocol: who may touch which span when.
//! This file must never decide that; its unsafe functions say what they rely on.
//!
//! Under loom the bytes stay plain memory; each granule has beside it a loom cell, which reports
//! any two accesses that the protocol does not order, and a loom atomic in place of the state word.

use std::ptr::NonNull;

use bytes::Bytes;

use super::record::{GRANULE_BYTES, HEADER_BYTES, Tag};
#[cfg(overlane_loom)]
use super::storage_loom::Watched;
#[cfg(not(overlane_loom))]
use super::sync::AtomicU32;
use super::sync::Ordering;

/// One granule of the memory: wide and aligned enough for a header.
#[repr(C, align(16))]
struct Granule([u8; GRANULE_BYTES]);

/// A span of zeroed memory of a power of two bytes, addressed by offset.
pub(super) struct Storage {
    memory: NonNull<Granule>,
    capacity_bytes: usize,
    #[cfg(overlane_loom)]
    watched: Watched,
}

// SAFETY: the memory is owned; who may touch which part of it, and when, is the contract of the
// unsafe functions below. What the ring keeps in it (`Bytes`, plain bytes) is itself `Send`.
unsafe impl Send for Storage {}
// SAFETY: as above: shared access goes through the unsafe functions or an atomic.
unsafe impl Sync for Storage {}

impl Storage {
    /// All zeroes, so that every place reads as empty. `capacity_bytes` is a power of two and at
    /// least one granule.
    pub(super) fn new(capacity_bytes: usize) -> Self {
        let count = capacity_bytes / GRANULE_BYTES;
        let zeroed = Box::<[Granule]>::new_zeroed_slice(count);
        // SAFETY: a granule is bytes, for which zero is a value.
        let granules = unsafe { zeroed.assume_init() };
        Self {
            memory: NonNull::from(Box::leak(granules)).cast(),
            capacity_bytes,
            #[cfg(overlane_loom)]
            watched: Watched::new(count),
        }
    }

    /// The size of the memory.
    #[inline]
    pub(super) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// Where `position`, a count of bytes since the ring began, lies in the memory.
    #[inline]
    pub(super) fn offset(&self, position: usize) -> usize {
        position & (self.capacity_bytes - 1)
    }

    /// How far it is from `position` to the end of the memory.
    #[inline]
    pub(super) fn bytes_to_end(&self, position: usize) -> usize {
        self.capacity_bytes - self.offset(position)
    }

    /// A pointer to the byte at `offset`, good for the rest of the memory.
    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.capacity_bytes);
        // SAFETY: offsets are masked by `offset()`, so the result lies inside the allocation.
        unsafe { self.memory.as_ptr().cast::<u8>().add(offset) }
    }

    /// Reads the state word of the header at `position`; whatever its producer wrote before
    /// committing is visible afterwards.
    ///
    /// # Safety
    /// `position` is where a record starts or will start, and its span has been zeroed since it
    /// last held anything else.
    #[inline]
    pub(super) unsafe fn state_word(&self, position: usize) -> u32 {
        let offset = self.offset(position);
        #[cfg(overlane_loom)]
        return self.watched.state(offset).load(Ordering::Acquire);
        // SAFETY: aligned and inside the memory; by the contract no one writes it but a producer's
        // `commit`, which is atomic.
        #[cfg(not(overlane_loom))]
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }.load(Ordering::Acquire)
    }

    /// Stores the state word of the header at `position`: from now on the consumer may read the
    /// record.
    ///
    /// # Safety
    /// The caller has claimed the record, written the rest of it, and will not touch it any more.
    #[inline]
    pub(super) unsafe fn commit(&self, position: usize, word: u32) {
        let offset = self.offset(position);
        #[cfg(overlane_loom)]
        return self.watched.state(offset).store(word, Ordering::Release);
        // SAFETY: aligned and inside the memory; only the consumer's atomic load looks at it now.
        #[cfg(not(overlane_loom))]
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }.store(word, Ordering::Release);
    }

    /// Writes the tag of the record at `position`.
    ///
    /// # Safety
    /// The caller has claimed the record and not yet committed it.
    #[inline]
    pub(super) unsafe fn write_tag(&self, position: usize, tag: Tag) {
        let offset = self.offset(position);
        #[cfg(overlane_loom)]
        let _tracked = self.watched.track_writing(offset, HEADER_BYTES);
        let words = self.at(offset).cast::<u32>();
        // SAFETY: the three words behind the state word belong to the same header, which is the
        // caller's alone; they are aligned for `u32`.
        unsafe {
            words.add(1).write(tag.lane);
            words.add(2).write(tag.mailbox);
            words.add(3).write(tag.extra);
        }
    }

    /// Reads the tag of the record at `position`.
    ///
    /// # Safety
    /// The caller is the consumer, and has seen the record committed and not yet freed it.
    #[inline]
    pub(super) unsafe fn read_tag(&self, position: usize) -> Tag {
        let offset = self.offset(position);
        #[cfg(overlane_loom)]
        let _tracked = self.watched.track_reading(offset, HEADER_BYTES);
        let words = self.at(offset).cast::<u32>();
        // SAFETY: the producer wrote these words before it committed, and nobody writes them now.
        unsafe {
            Tag {
                lane: words.add(1).read(),
                mailbox: words.add(2).read(),
                extra: words.add(3).read(),
            }
        }
    }

    /// Copies `payload` behind the header at `position`.
    ///
    /// # Safety
    /// The caller has claimed the record and not yet committed it, and the claim has the room.
    #[inline]
    pub(super) unsafe fn write_payload(&self, position: usize, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let offset = self.offset(position) + HEADER_BYTES;
        #[cfg(overlane_loom)]
        let _tracked = self.watched.track_writing(offset, payload.len());
        #[cfg(overlane_loom)]
        self.watched.overwrite_states(offset, payload.len());
        // SAFETY: the claimed span is the caller's alone, does not wrap, and cannot overlap a
        // slice that the caller may read.
        unsafe {
            self.at(offset)
                .copy_from_nonoverlapping(payload.as_ptr(), payload.len())
        }
    }

    /// The `payload_bytes` behind the header at `position`.
    ///
    /// # Safety
    /// The caller is the consumer, has seen the record committed as that long, and will not free
    /// it while the slice lives.
    #[inline]
    pub(super) unsafe fn payload(&self, position: usize, payload_bytes: usize) -> &[u8] {
        if payload_bytes == 0 {
            return &[];
        }
        let offset = self.offset(position) + HEADER_BYTES;
        #[cfg(overlane_loom)]
        drop(self.watched.track_reading(offset, payload_bytes));
        // SAFETY: the producer wrote that many bytes before it committed; nobody writes them until
        // they are freed.
        unsafe { std::slice::from_raw_parts(self.at(offset), payload_bytes) }
    }

    /// Moves `bytes` behind the header at `position`.
    ///
    /// # Safety
    /// As for [`write_payload`](Self::write_payload).
    #[inline]
    pub(super) unsafe fn write_shared(&self, position: usize, bytes: Bytes) {
        let offset = self.offset(position) + HEADER_BYTES;
        #[cfg(overlane_loom)]
        let _tracked = self.watched.track_writing(offset, size_of::<Bytes>());
        #[cfg(overlane_loom)]
        self.watched.overwrite_states(offset, size_of::<Bytes>());
        // SAFETY: the claimed span is the caller's alone and aligned to 16, which `Bytes` is
        // content with (asserted below).
        unsafe { self.at(offset).cast::<Bytes>().write(bytes) }
    }

    /// The `Bytes` behind the header at `position`, in its place.
    ///
    /// # Safety
    /// The caller is the consumer, has seen the record committed as shared, and will neither move
    /// the `Bytes` out nor free the record while the reference lives.
    #[inline]
    pub(super) unsafe fn shared(&self, position: usize) -> &Bytes {
        let offset = self.offset(position) + HEADER_BYTES;
        #[cfg(overlane_loom)]
        drop(self.watched.track_reading(offset, size_of::<Bytes>()));
        // SAFETY: the producer wrote a `Bytes` here before it committed.
        unsafe { &*self.at(offset).cast::<Bytes>() }
    }

    /// A copy of the bits of the `Bytes` behind the header at `position`: its owner from now on,
    /// unless the caller forgets it and so leaves the one in the ring the owner.
    ///
    /// # Safety
    /// The caller is the consumer, has seen the record committed as shared, and sees to it that
    /// only one of the two is ever used or dropped.
    #[inline]
    pub(super) unsafe fn read_shared(&self, position: usize) -> Bytes {
        let offset = self.offset(position) + HEADER_BYTES;
        #[cfg(overlane_loom)]
        let _tracked = self.watched.track_reading(offset, size_of::<Bytes>());
        // SAFETY: the producer wrote a `Bytes` here before it committed.
        unsafe { self.at(offset).cast::<Bytes>().read() }
    }

    /// Zeroes the span from `from` to `to`, which may wrap.
    ///
    /// # Safety
    /// The caller is the consumer; the span holds only records that it has consumed and has not
    /// yet handed back to the producers, and at most the whole memory.
    #[inline]
    pub(super) unsafe fn zero(&self, from: usize, to: usize) {
        let bytes = to - from;
        debug_assert!(bytes <= self.capacity_bytes);
        let first = bytes.min(self.bytes_to_end(from));
        // SAFETY: both spans lie inside the memory; the contract makes them the caller's alone.
        unsafe {
            self.zero_span(self.offset(from), first);
            if first < bytes {
                self.zero_span(0, bytes - first);
            }
        }
    }

    /// # Safety
    /// As for [`zero`](Self::zero), for a span that does not wrap.
    #[inline]
    unsafe fn zero_span(&self, offset: usize, bytes: usize) {
        #[cfg(overlane_loom)]
        let _tracked = self.watched.track_writing(offset, bytes);
        #[cfg(overlane_loom)]
        self.watched.zero_states(offset, bytes);
        // SAFETY: by the contract.
        unsafe { self.at(offset).write_bytes(0, bytes) }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let count = self.capacity_bytes / GRANULE_BYTES;
        let granules = NonNull::slice_from_raw_parts(self.memory, count);
        // SAFETY: this is the box that `new` leaked, and no one else has it.
        drop(unsafe { Box::from_raw(granules.as_ptr()) });
    }
}

const _: () = assert!(align_of::<Bytes>() <= GRANULE_BYTES);
