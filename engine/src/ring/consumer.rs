//! The consumer's end: read committed records in the order of their claims, hand the room back.
//! Called by `shard::dispatch` and by an inbox's thread. Never blocks.
//!
//! Freed room is zeroed before `head` tells the producers of it. Records have many lengths, so a
//! later header can stand where a payload stood: were its bytes left, the consumer could take them
//! for a committed state word before the producer that claimed the place has written its own.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::byte_ring::{CLOSED, Shared};
use super::record::{
    DrainPayload, Drained, HEADER_BYTES, Payload, Record, SHARED_RECORD_BYTES, SharedPayload,
    State, Tag, record_bytes,
};
use super::sync::{Arc, Ordering};

/// A drain frees its room in steps of this many bytes, or of a quarter of a small ring: seldom
/// enough to be cheap for small records, early enough for producers to go on meanwhile and for the
/// zeroed lines to be in the nearest cache still. With 4 KiB and more, draining records of 1 KiB
/// took a quarter longer, those of 64 bytes as long (`docs/decisions/0001-byte-ring.md`).
const FREE_STEP_BYTES: usize = 1024;

/// The reading end of a ring. There is one, and it may move between threads.
pub(crate) struct Consumer {
    shared: Arc<Shared>,
    /// The next record to read, or the padding before it.
    position: usize,
    /// What `head` says: room before it is the producers'.
    freed: usize,
    free_step_bytes: usize,
    /// `&Consumer` stays on one thread, so that `&self` methods may rely on the fields above.
    not_sync: PhantomData<Cell<()>>,
}

/// A committed record at the consumer's position.
#[derive(Clone, Copy)]
enum Committed {
    Inline { payload_bytes: usize },
    Shared,
}

impl Committed {
    #[inline]
    fn record_bytes(self) -> usize {
        match self {
            Committed::Inline { payload_bytes } => record_bytes(payload_bytes),
            Committed::Shared => SHARED_RECORD_BYTES,
        }
    }
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let free_step_bytes = FREE_STEP_BYTES.min(shared.storage.capacity_bytes() / 4);
        Self {
            shared,
            position: 0,
            freed: 0,
            free_step_bytes,
            not_sync: PhantomData,
        }
    }

    /// The oldest committed record, which stays until [`advance`](Self::advance).
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<Record<'_>> {
        let committed = self.next_committed()?;
        let storage = &self.shared.storage;
        // SAFETY: committed at `position`; freeing it takes `&mut self`, which the record borrows.
        let (tag, payload) = unsafe {
            let payload = match committed {
                Committed::Inline { payload_bytes } => {
                    Payload::Inline(storage.payload(self.position, payload_bytes))
                }
                Committed::Shared => Payload::Shared(storage.shared(self.position)),
            };
            (storage.read_tag(self.position), payload)
        };
        Some(Record { tag, payload })
    }

    /// Drops the oldest committed record and frees its room; without one, does nothing.
    #[inline]
    pub(crate) fn advance(&mut self) {
        if let Some(committed) = self.next_committed() {
            let shared = self.take(committed);
            self.free();
            drop(shared);
        }
    }

    /// Passes committed records to `f`, oldest first, until there are none, `f` breaks, or
    /// `bytes_max` have been reached; returns how many were consumed.
    ///
    /// Counted are each record's header (16 bytes) and its payload, wherever that is; the record
    /// that reaches the limit is still passed. A record on which `f` breaks stays in the ring,
    /// unless `f` took its buffer. If `f` panics, the record it had is consumed like those before.
    #[inline]
    pub(crate) fn drain(
        &mut self,
        bytes_max: usize,
        mut f: impl FnMut(Tag, DrainPayload<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.drain_runs::<1>(bytes_max, |tag, drained| match drained {
            Drained::Copied(payloads) => payloads
                .iter()
                .try_for_each(|payload| f(tag, DrainPayload::Inline(payload))),
            Drained::Shared(shared) => f(tag, DrainPayload::Shared(shared)),
        })
    }

    /// As [`drain`](Self::drain), with up to `RUN_MAX` records in one call of `f` whose payloads were copied and whose
    /// tags are equal: all of them stay if it breaks.
    #[inline]
    pub(crate) fn drain_runs<const RUN_MAX: usize>(
        &mut self,
        bytes_max: usize,
        mut f: impl FnMut(Tag, Drained<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut records = 0;
        let mut bytes = 0;
        let draining = FreeOnDrop(self);
        let consumer = &mut *draining.0;
        while bytes < bytes_max {
            let passed = match consumer.next_committed() {
                None => break,
                Some(Committed::Inline { payload_bytes }) => {
                    consumer.pass_run::<RUN_MAX>(payload_bytes, bytes_max - bytes, &mut f)
                }
                Some(Committed::Shared) => consumer.pass_shared(&mut f),
            };
            if passed.stays {
                break;
            }
            records += passed.records;
            bytes += passed.records * HEADER_BYTES + passed.payload_bytes;
            if passed.flow.is_break() {
                break;
            }
            if consumer.position - consumer.freed >= consumer.free_step_bytes {
                consumer.free();
            }
        }
        records
    }

    /// Whether no committed record waits. A push between its claim and its commit does not count.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let state = match self.state_at(self.position) {
            State::Padding { bytes } => self.state_at(self.position + bytes),
            state => state,
        };
        state == State::Empty
    }

    /// Producers get `Closed` from now on. Every push whose claim came first succeeds, and its
    /// record can be read: drain until [`is_finished`](Self::is_finished).
    pub(crate) fn close(&self) {
        self.shared.claims.tail.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Whether the ring is closed, everything ever pushed has been consumed, and no producer is
    /// between its claim and its commit: nothing can come any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.shared.claims.tail.load(Ordering::Acquire) == self.position | CLOSED
    }

    /// The size of the ring: payloads, headers and unused room at its end.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.shared.storage.capacity_bytes()
    }

    /// Skips padding; the position is a record's afterwards, if there is one.
    #[inline]
    fn next_committed(&mut self) -> Option<Committed> {
        let (position, committed) = self.committed_at(self.position);
        self.position = position;
        committed
    }

    /// The record at `position` or behind the padding there, and where that is.
    #[inline]
    fn committed_at(&self, mut position: usize) -> (usize, Option<Committed>) {
        loop {
            let committed = match self.state_at(position) {
                State::Empty => None,
                State::Padding { bytes } => {
                    position += bytes;
                    continue;
                }
                State::Inline { payload_bytes } => Some(Committed::Inline { payload_bytes }),
                State::Shared => Some(Committed::Shared),
            };
            return (position, committed);
        }
    }

    /// `position` must be the consumer's, or the one behind the padding there.
    #[inline]
    fn state_at(&self, position: usize) -> State {
        // The place one lap after `freed` would still hold its old state word. It is never looked
        // at: less than a quarter of the ring (`free_step_bytes`) is consumed and not freed when
        // the next record is looked for, and padding is less than half.
        debug_assert!(position - self.freed < self.capacity_bytes());
        // SAFETY: positions are starts of records, this one not freed, or zeroed when it was.
        State::from_word(unsafe { self.shared.storage.state_word(position) })
    }

    /// Lets `f` have the record at the position, of `payload_bytes`, and those behind it with the same tag whose payloads
    /// were copied, until `bytes_max` are reached: they count as consumed even if `f` panics.
    #[inline]
    fn pass_run<const RUN_MAX: usize>(
        &mut self,
        payload_bytes: usize,
        bytes_max: usize,
        f: &mut impl FnMut(Tag, Drained<'_>) -> ControlFlow<()>,
    ) -> Passed {
        let storage = &self.shared.storage;
        let start = self.position;
        // SAFETY: committed at `start`, and not freed before this function returns; so are those that follow.
        let tag = unsafe { storage.read_tag(start) };
        let mut payloads = [[].as_slice(); RUN_MAX];
        // SAFETY: as for the tag, and of this length.
        payloads[0] = unsafe { storage.payload(start, payload_bytes) };
        let (mut records, mut bytes) = (1, payload_bytes);
        let mut end = start + record_bytes(payload_bytes);
        while records < RUN_MAX
            && end - self.freed < self.free_step_bytes
            && records * HEADER_BYTES + bytes < bytes_max
        {
            let (at, Some(Committed::Inline { payload_bytes })) = self.committed_at(end) else {
                break;
            };
            // SAFETY: committed at `at`.
            if unsafe { storage.read_tag(at) } != tag {
                break;
            }
            // SAFETY: as for the tag, and of this length.
            payloads[records] = unsafe { storage.payload(at, payload_bytes) };
            records += 1;
            bytes += payload_bytes;
            end = at + record_bytes(payload_bytes);
        }
        self.position = end;
        let flow = f(tag, Drained::Copied(&payloads[..records]));
        if flow.is_break() {
            self.position = start;
        }
        Passed {
            records,
            payload_bytes: bytes,
            flow,
            stays: flow.is_break(),
        }
    }

    /// Lets `f` have the shared record at the position, which counts as consumed even if `f` panics.
    #[inline]
    fn pass_shared(&mut self, f: &mut impl FnMut(Tag, Drained<'_>) -> ControlFlow<()>) -> Passed {
        let start = self.position;
        self.position += SHARED_RECORD_BYTES;
        let storage = &self.shared.storage;
        // SAFETY: committed at `start`, and not freed before this function returns.
        let tag = unsafe { storage.read_tag(start) };
        // SAFETY: committed as shared. This one is the owner now, and dropped here if `f`
        // leaves it or panics, unless the record stays and so does the one in the ring.
        let mut slot = Some(unsafe { storage.read_shared(start) });
        let payload_bytes = slot.as_ref().map_or(0, Bytes::len);
        let flow = f(tag, Drained::Shared(SharedPayload::new(&mut slot)));
        let stays = flow.is_break() && slot.is_some();
        if stays {
            mem::forget(slot);
            self.position = start;
        }
        Passed {
            records: 1,
            payload_bytes,
            flow,
            stays,
        }
    }

    /// Moves past the record at the position, whose buffer is the caller's to drop.
    #[inline]
    fn take(&mut self, committed: Committed) -> Option<Bytes> {
        let start = self.position;
        self.position += committed.record_bytes();
        match committed {
            Committed::Inline { .. } => None,
            // SAFETY: committed as shared; the position has moved on, so this is the only owner.
            Committed::Shared => Some(unsafe { self.shared.storage.read_shared(start) }),
        }
    }

    /// Zeroes what was consumed and hands it back to the producers.
    #[inline]
    fn free(&mut self) {
        if self.position == self.freed {
            return;
        }
        // SAFETY: the span was consumed and is not the producers' until the store below.
        unsafe { self.shared.storage.zero(self.freed, self.position) };
        self.shared.head.store(self.position, Ordering::Release);
        self.freed = self.position;
    }
}

/// What became of the records that were passed to a drain's closure.
struct Passed {
    records: usize,
    payload_bytes: usize,
    flow: ControlFlow<()>,
    stays: bool,
}

/// Frees what a drain consumed, also when its closure panics.
struct FreeOnDrop<'a>(&'a mut Consumer);

impl Drop for FreeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.free();
    }
}

impl Drop for Consumer {
    /// Closes the ring and drops what is in it. What a producer commits after this is dropped with
    /// the last producer.
    fn drop(&mut self) {
        self.close();
        self.drain(usize::MAX, |_, _| ControlFlow::Continue(()));
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("capacity_bytes", &self.capacity_bytes())
            .field("is_empty", &self.is_empty())
            .field("is_finished", &self.is_finished())
            .finish()
    }
}
