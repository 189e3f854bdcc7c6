//! What one record is: its tag, its payload as the consumer sees it, and the state word that tells
//! an empty place from a committed record. Pure values: no memory of the ring is touched here.
//!
//! A record is a 16-byte header (state word, then the three words of the tag) and the payload,
//! rounded up to 16 bytes, and it never wraps around the end of the ring's memory.

use std::ops::Deref;

use bytes::Bytes;

/// Records start at multiples of this, so that a header never wraps and a `Bytes` is aligned.
pub(super) const GRANULE_BYTES: usize = 16;

/// The state word and the three words of the tag.
pub(crate) const HEADER_BYTES: usize = GRANULE_BYTES;

/// What a record that holds a `Bytes` takes up.
pub(super) const SHARED_RECORD_BYTES: usize = record_bytes(size_of::<Bytes>());

/// The room that a record takes whose payload takes `payload_bytes` inside the ring.
pub(super) const fn record_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(GRANULE_BYTES)
}

/// Three words that the ring carries beside the payload and never looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub lane: u32,
    pub mailbox: u32,
    pub extra: u32,
}

/// The oldest committed record of a ring, still in its place.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub tag: Tag,
    pub payload: Payload<'a>,
}

/// The payload of a record that stays in the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'a> {
    /// Bytes that were copied into the ring.
    Inline(&'a [u8]),
    /// A buffer that was handed over whole.
    Shared(&'a Bytes),
}

impl<'a> Payload<'a> {
    /// The payload's bytes, wherever they are.
    pub(crate) fn as_slice(&self) -> &'a [u8] {
        match self {
            Payload::Inline(bytes) => bytes,
            Payload::Shared(bytes) => bytes,
        }
    }
}

/// The payload of a record on its way out of the ring.
#[derive(Debug)]
pub(crate) enum DrainPayload<'a> {
    /// Bytes that were copied into the ring; valid during the call.
    Inline(&'a [u8]),
    /// A buffer that was handed over whole; to be looked at, or taken.
    Shared(SharedPayload<'a>),
}

impl Deref for DrainPayload<'_> {
    type Target = [u8];

    /// The payload's bytes, wherever they are.
    fn deref(&self) -> &[u8] {
        match self {
            DrainPayload::Inline(bytes) => bytes,
            DrainPayload::Shared(bytes) => bytes,
        }
    }
}

/// Records of equal tags on their way out of the ring.
#[derive(Debug)]
pub(crate) enum Drained<'a> {
    /// Payloads that were copied into the ring, one or more; valid during the call.
    Copied(&'a [&'a [u8]]),
    /// A buffer that was handed over whole; to be looked at, or taken.
    Shared(SharedPayload<'a>),
}

/// A `Bytes` that is leaving the ring: read it, or [`take`](Self::take) it.
#[derive(Debug)]
pub(crate) struct SharedPayload<'a> {
    /// `Some` until taken; `drain` learns from the `None` that the record is gone.
    slot: &'a mut Option<Bytes>,
}

impl<'a> SharedPayload<'a> {
    /// `slot` must hold the buffer.
    pub(super) fn new(slot: &'a mut Option<Bytes>) -> Self {
        debug_assert!(slot.is_some());
        Self { slot }
    }

    /// The buffer itself, moved: no reference count is touched. The record counts as consumed from
    /// here on, even if the caller then breaks off the drain.
    pub(crate) fn take(self) -> Bytes {
        self.slot.take().unwrap_or_default()
    }
}

impl Deref for SharedPayload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.slot.as_deref().unwrap_or_default()
    }
}

/// What a state word says about the place it stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing committed here yet.
    Empty,
    /// Unused room up to the end of the memory, header included.
    Padding { bytes: usize },
    /// A record whose payload stands behind the header.
    Inline { payload_bytes: usize },
    /// A record whose `Bytes` value stands behind the header.
    Shared,
}

/// The two high bits of a state word are the kind, the rest is a length. `Empty` is all zeroes
/// because zeroed memory must read as empty; no other kind is zero.
const KIND_SHIFT: u32 = 30;
const LENGTH_MASK: u32 = (1 << KIND_SHIFT) - 1;
const KIND_PADDING: u32 = 1;
const KIND_INLINE: u32 = 2;
const KIND_SHARED: u32 = 3;

impl State {
    /// The word that a producer stores to commit this state.
    #[inline]
    pub(super) fn to_word(self) -> u32 {
        match self {
            State::Empty => 0,
            State::Padding { bytes } => KIND_PADDING << KIND_SHIFT | length(bytes),
            State::Inline { payload_bytes } => KIND_INLINE << KIND_SHIFT | length(payload_bytes),
            State::Shared => KIND_SHARED << KIND_SHIFT,
        }
    }

    /// What a word read by the consumer means.
    #[inline]
    pub(super) fn from_word(word: u32) -> Self {
        let length = (word & LENGTH_MASK) as usize;
        match word >> KIND_SHIFT {
            KIND_PADDING => State::Padding { bytes: length },
            KIND_INLINE => State::Inline {
                payload_bytes: length,
            },
            KIND_SHARED => State::Shared,
            _ => State::Empty,
        }
    }
}

#[inline]
fn length(bytes: usize) -> u32 {
    debug_assert!(bytes <= LENGTH_MASK as usize);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no record is longer than the memory"
    )]
    let length = bytes as u32;
    length
}
