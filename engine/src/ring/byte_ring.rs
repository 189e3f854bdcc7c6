//! The ring as a whole: its size, its three shared words, and what is left when both ends are gone.
//!
//! Positions are counts of bytes since the ring began; they only grow. `tail` is where the next
//! claim starts and is moved by producers; `head` is up to where the consumer has freed the room.
//! Everything between them is claimed; a record in it can be read once its state word is committed.
//! What the two ends may do with that is in `producer` and `consumer`.

use crossbeam_utils::CachePadded;

use super::record::{HEADER_BYTES, SHARED_RECORD_BYTES, State, record_bytes};
use super::storage::Storage;
use super::sync::{AtomicUsize, Ordering};

/// The smallest ring: room for one record of a `Bytes`, wherever it falls.
pub(crate) const CAPACITY_BYTES_MIN: usize = 128;

/// The largest ring: its lengths fit the 30 bits that a state word has for them.
pub(crate) const CAPACITY_BYTES_MAX: usize = 1 << 29;

/// Set in `tail` once the ring is closed. Positions are multiples of 16, so the bit is free; that
/// it shares the word makes every claim either precede the close or fail.
pub(super) const CLOSED: usize = 1;

// Positions never wrap around: at 64 bits and 100 GB/s that takes five years.
const _: () = assert!(usize::BITS == 64, "overlane needs a 64-bit target");
const _: () = assert!(CAPACITY_BYTES_MIN.is_power_of_two() && CAPACITY_BYTES_MAX.is_power_of_two());
const _: () = assert!(SHARED_RECORD_BYTES <= payload_bytes_max(CAPACITY_BYTES_MIN) + HEADER_BYTES);

/// The longest payload that can be copied into a ring of `capacity_bytes`.
///
/// Half the ring less a header: a record may have to leave unused room of up to its own size at
/// the end of the memory, and must fit an empty ring even so.
pub(super) const fn payload_bytes_max(capacity_bytes: usize) -> usize {
    capacity_bytes / 2 - HEADER_BYTES
}

/// What both ends hold.
pub(super) struct Shared {
    pub(super) storage: Storage,
    /// Written by producers.
    pub(super) claims: CachePadded<Claims>,
    /// Written by the consumer: all before it is free again, and zeroed.
    pub(super) head: CachePadded<AtomicUsize>,
}

/// The words that producers write, on a line of their own.
pub(super) struct Claims {
    /// Where the next claim starts, and `CLOSED`.
    pub(super) tail: AtomicUsize,
    /// A value that `head` had: saves producers from reading the consumer's line at each push.
    pub(super) head_seen: AtomicUsize,
}

impl Shared {
    pub(super) fn new(capacity_bytes: usize) -> Self {
        Self {
            storage: Storage::new(capacity_bytes),
            claims: CachePadded::new(Claims {
                tail: AtomicUsize::new(0),
                head_seen: AtomicUsize::new(0),
            }),
            head: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    /// How much unused room a record of `record_bytes` leaves before it when claimed at `position`.
    #[inline]
    pub(super) fn padding_bytes(&self, position: usize, record_bytes: usize) -> usize {
        let to_end = self.storage.bytes_to_end(position);
        if record_bytes > to_end { to_end } else { 0 }
    }
}

impl Drop for Shared {
    /// Both ends are gone: whatever was committed after the consumer left is dropped.
    fn drop(&mut self) {
        let mut position = self.head.load(Ordering::Acquire);
        let end = self.claims.tail.load(Ordering::Acquire) & !CLOSED;
        while position < end {
            // SAFETY: positions from `head` on are starts of records, and nobody else is left.
            match State::from_word(unsafe { self.storage.state_word(position) }) {
                State::Padding { bytes } => position += bytes,
                State::Inline { payload_bytes } => position += record_bytes(payload_bytes),
                State::Shared => {
                    // SAFETY: committed as shared; dropped once, since the position moves on.
                    drop(unsafe { self.storage.read_shared(position) });
                    position += SHARED_RECORD_BYTES;
                }
                // A push never stops between its claim and its commit.
                State::Empty => break,
            }
        }
    }
}
