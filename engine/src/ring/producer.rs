//! The producers' end: claim room, copy, commit. Called by `channel` on application threads and
//! by shards that deliver to an inbox. Never blocks, never allocates.
//!
//! A claim moves `tail` by compare-and-swap (an add would overshoot when the ring is full); from
//! then on the span is the producer's alone until it stores the record's state word. Claims are in
//! order, commits need not be: the consumer waits at the first record that is not committed.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::byte_ring::{CLOSED, Shared, payload_bytes_max};
use super::record::{SHARED_RECORD_BYTES, State, Tag, record_bytes};
use super::sync::{Arc, Ordering};

/// Why a push took nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum PushError {
    /// No room now; there may be once the consumer has drained.
    #[error("the ring is full: push again after the consumer has drained some of it")]
    Full,
    /// This payload will never fit this ring by copy.
    #[error("the payload is longer than half of the ring: push it as a shared buffer")]
    TooLarge,
    /// The consumer takes no more.
    #[error("the ring is closed: nothing more can be pushed")]
    Closed,
}

/// The pushing end of a ring; clones push into the same ring, from any thread.
#[derive(Clone)]
pub(crate) struct Producer {
    shared: Arc<Shared>,
}

/// A span of the ring that belongs to one push until committed.
#[derive(Clone, Copy)]
struct Claim {
    position: usize,
    /// How many records it is for.
    records: usize,
}

impl Producer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Copies `payload` into the ring.
    ///
    /// # Errors
    /// [`PushError::Full`], [`PushError::TooLarge`] or [`PushError::Closed`]; nothing was taken.
    #[inline]
    pub(crate) fn try_push(&self, tag: Tag, payload: &[u8]) -> Result<(), PushError> {
        if payload.len() > self.payload_bytes_max() {
            return Err(PushError::TooLarge);
        }
        let position = self.claim_one(record_bytes(payload.len()))?;
        // SAFETY: just claimed for a record of this length.
        unsafe { self.commit_inline(position, tag, payload) };
        Ok(())
    }

    /// Hands `payload` over whole: its buffer is neither copied nor counted against the ring.
    ///
    /// # Errors
    /// [`PushError::Full`] or [`PushError::Closed`], with the payload given back.
    #[inline]
    pub(crate) fn try_push_shared(
        &self,
        tag: Tag,
        payload: Bytes,
    ) -> Result<(), (PushError, Bytes)> {
        match self.claim_one(SHARED_RECORD_BYTES) {
            Err(error) => Err((error, payload)),
            Ok(position) => {
                let storage = &self.shared.storage;
                // SAFETY: just claimed for a record of this length; committed last.
                unsafe {
                    storage.write_tag(position, tag);
                    storage.write_shared(position, payload);
                    storage.commit(position, State::Shared.to_word());
                }
                Ok(())
            }
        }
    }

    /// Copies as many of `payloads` into the ring as fit, from the first on and in order, with one
    /// claim for all; returns how many. Stops before one that is too large for the ring.
    ///
    /// # Errors
    /// As [`try_push`](Self::try_push), when not even the first one could be taken.
    pub(crate) fn try_push_many(&self, tag: Tag, payloads: &[&[u8]]) -> Result<usize, PushError> {
        if payloads.is_empty() {
            return if self.is_closed() {
                Err(PushError::Closed)
            } else {
                Ok(0)
            };
        }
        let claim = self.claim_many(payloads)?;
        let mut position = claim.position;
        for payload in &payloads[..claim.records] {
            let record_bytes = record_bytes(payload.len());
            // SAFETY: `claim_many` laid the same records out the same way and claimed them all.
            unsafe {
                position = self.commit_padding(position, record_bytes);
                self.commit_inline(position, tag, payload);
            }
            position += record_bytes;
        }
        Ok(claim.records)
    }

    /// The position behind the last claim.
    pub(crate) fn position(&self) -> usize {
        self.shared.claims.tail.load(Ordering::Acquire) & !CLOSED
    }

    /// The position up to which the consumer has freed the room.
    pub(crate) fn freed(&self) -> usize {
        self.shared.head.load(Ordering::Acquire)
    }

    /// Whether the consumer takes no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.claims.tail.load(Ordering::Acquire) & CLOSED != 0
    }

    /// The position behind the last record claimed so far.
    pub(crate) fn filled_to(&self) -> usize {
        self.shared.claims.tail.load(Ordering::Acquire) & !CLOSED
    }

    /// The position up to which the consumer has taken and freed everything.
    pub(crate) fn emptied_to(&self) -> usize {
        self.shared.head.load(Ordering::Acquire)
    }

    /// Whether the consumer takes no more and has taken everything: nothing is in the ring any more.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_closed() && self.freed() >= self.position()
    }

    /// The size of the ring: payloads, headers and unused room at its end.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.shared.storage.capacity_bytes()
    }

    /// The longest payload that [`try_push`](Self::try_push) takes.
    #[inline]
    pub(crate) fn payload_bytes_max(&self) -> usize {
        payload_bytes_max(self.shared.storage.capacity_bytes())
    }

    /// Claims a record and returns its position; padding before it is already committed.
    #[inline]
    fn claim_one(&self, record_bytes: usize) -> Result<usize, PushError> {
        let claims = &self.shared.claims;
        let mut tail = claims.tail.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(PushError::Closed);
            }
            let end = tail + self.shared.padding_bytes(tail, record_bytes) + record_bytes;
            if end > self.limit_seen() && end > self.limit() {
                return Err(PushError::Full);
            }
            match self.try_claim(tail, end) {
                // SAFETY: just claimed, with the padding that the record needs.
                Ok(()) => return Ok(unsafe { self.commit_padding(tail, record_bytes) }),
                Err(moved) => tail = moved,
            }
        }
    }

    /// Claims as many records as there is room for, and at least one.
    fn claim_many(&self, payloads: &[&[u8]]) -> Result<Claim, PushError> {
        let mut tail = self.shared.claims.tail.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(PushError::Closed);
            }
            let mut fitting = self.fitting(tail, self.limit_seen(), payloads);
            if fitting.records < payloads.len() {
                fitting = self.fitting(tail, self.limit(), payloads);
            }
            if fitting.records == 0 {
                let too_large = payloads[0].len() > self.payload_bytes_max();
                return Err(if too_large {
                    PushError::TooLarge
                } else {
                    PushError::Full
                });
            }
            match self.try_claim(tail, fitting.position) {
                Ok(()) => {
                    return Ok(Claim {
                        position: tail,
                        records: fitting.records,
                    });
                }
                Err(moved) => tail = moved,
            }
        }
    }

    /// How many records fit between `tail` and `limit`, and where they end.
    fn fitting(&self, tail: usize, limit: usize, payloads: &[&[u8]]) -> Claim {
        let mut fitting = Claim {
            position: tail,
            records: 0,
        };
        for payload in payloads {
            if payload.len() > self.payload_bytes_max() {
                break;
            }
            let bytes = record_bytes(payload.len());
            let end = fitting.position + self.shared.padding_bytes(fitting.position, bytes) + bytes;
            if end > limit {
                break;
            }
            fitting = Claim {
                position: end,
                records: fitting.records + 1,
            };
        }
        fitting
    }

    /// Moves the tail, unless another producer (or a close) did so first: then it says to where.
    #[inline]
    fn try_claim(&self, tail: usize, end: usize) -> Result<(), usize> {
        // Relaxed: the span's earlier contents were ordered before this by the load of `head`
        // behind `limit`, and what will be written into it is published by its commit.
        self.shared
            .claims
            .tail
            .compare_exchange_weak(tail, end, Ordering::Relaxed, Ordering::Relaxed)
            .map(drop)
    }

    /// Up to where room can be claimed, by what some producer last saw of the head.
    ///
    /// The producer that stored it had acquired the consumer's zeroes, and passes that on.
    #[inline]
    fn limit_seen(&self) -> usize {
        self.shared.claims.head_seen.load(Ordering::Acquire) + self.capacity_bytes()
    }

    /// Up to where room can be claimed, from the head itself.
    ///
    /// Producers may store it out of order; an older value costs one more look, nothing else.
    #[cold]
    fn limit(&self) -> usize {
        let head = self.shared.head.load(Ordering::Acquire);
        self.shared.claims.head_seen.store(head, Ordering::Release);
        head + self.capacity_bytes()
    }

    /// Commits the padding, if any, that a record claimed at `position` needs; returns where the
    /// record itself goes.
    ///
    /// # Safety
    /// The caller has claimed the padding and not committed it.
    #[inline]
    unsafe fn commit_padding(&self, position: usize, record_bytes: usize) -> usize {
        let padding_bytes = self.shared.padding_bytes(position, record_bytes);
        if padding_bytes > 0 {
            let word = State::Padding {
                bytes: padding_bytes,
            }
            .to_word();
            // SAFETY: claimed; padding has nothing but its state word.
            unsafe { self.shared.storage.commit(position, word) };
        }
        position + padding_bytes
    }

    /// Writes and commits a record of copied bytes.
    ///
    /// # Safety
    /// The caller has claimed a record for a payload of this length at `position`.
    #[inline]
    unsafe fn commit_inline(&self, position: usize, tag: Tag, payload: &[u8]) {
        let storage = &self.shared.storage;
        let word = State::Inline {
            payload_bytes: payload.len(),
        }
        .to_word();
        // SAFETY: claimed with this length; committed last.
        unsafe {
            storage.write_tag(position, tag);
            storage.write_payload(position, payload);
            storage.commit(position, word);
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("capacity_bytes", &self.capacity_bytes())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}
