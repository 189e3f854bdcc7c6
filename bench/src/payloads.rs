//! What is sent and how its arrival is checked: the same for the engine and for `raw`.
//!
//! Payloads are made once and rotate, so that neither side pays for making them inside a measured
//! window. The first byte is the place in the rotation; a receiver that sees another than the next
//! one counts a disorder. Both sides read the first and the last byte: equal work per message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Payloads in one rotation; few enough that 64 KiB payloads stay within a second-level cache.
const ROTATION: u8 = 16;

/// Payloads of one size, made once.
#[derive(Debug, Clone)]
pub(crate) struct Payloads {
    made: Vec<Bytes>,
}

/// A sender's place in the rotation; each receiver has one of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place(u8);

impl Payloads {
    /// Payloads of `payload_bytes`, at least 1.
    pub(crate) fn new(payload_bytes: usize) -> Self {
        let made = (0..ROTATION).map(|slot| {
            let mut bytes = vec![0x5a_u8 ^ slot; payload_bytes.max(1)];
            bytes[0] = slot;
            Bytes::from(bytes)
        });
        Self {
            made: made.collect(),
        }
    }

    /// The payload that is due at `place`.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> &Bytes {
        &self.made[usize::from(place.0)]
    }

    /// All of them, in the order of the rotation.
    pub(crate) fn rotation(&self) -> impl Iterator<Item = &Bytes> {
        self.made.iter()
    }

    /// Bytes of each payload.
    pub(crate) fn bytes(&self) -> usize {
        self.made[0].len()
    }

    /// Two rotations, so that any place begins a whole rotation of neighbours: see [`Place::run`].
    pub(crate) fn slices(&self) -> Vec<&[u8]> {
        let twice = self.made.iter().chain(&self.made);
        twice.map(|payload| &payload[..]).collect()
    }
}

impl Place {
    /// The place of a sender that has sent `messages` so far.
    pub(crate) fn after(messages: u64) -> Self {
        let place = messages % u64::from(ROTATION);
        Self(u8::try_from(place).expect("a rotation has fewer places than a byte"))
    }

    /// `messages` were accepted, at most one rotation of them.
    #[inline]
    pub(crate) fn advance(&mut self, messages: usize) {
        debug_assert!(messages <= usize::from(ROTATION));
        let next = usize::from(self.0) + messages;
        let wrapped = next % usize::from(ROTATION);
        // Below ROTATION.
        self.0 = u8::try_from(wrapped).unwrap_or(0);
    }

    /// The next rotation of `slices` from here.
    #[inline]
    pub(crate) fn run<'a, 'p>(self, slices: &'a [&'p [u8]]) -> &'a [&'p [u8]] {
        let begin = usize::from(self.0);
        &slices[begin..begin + usize::from(ROTATION)]
    }
}

/// Counters of one receiver, read by another thread while it runs.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    messages: AtomicU64,
    bytes: AtomicU64,
    disorders: AtomicU64,
}

impl Arrived {
    /// Messages that arrived so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Payload bytes that arrived so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Messages that were not the next one of the rotation, or not what was sent.
    pub(crate) fn disorders(&self) -> u64 {
        self.disorders.load(Ordering::Relaxed)
    }
}

/// What a receiver does with each message; one per connection or lane.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    arrived: Arc<Arrived>,
    expected: u8,
}

impl Arrivals {
    /// Starts a rotation that counts into `arrived`; only one thread may count at a time.
    pub(crate) fn new(arrived: Arc<Arrived>) -> Self {
        Self {
            arrived,
            expected: 0,
        }
    }

    /// Takes one message: reads both ends of it, checks its place, counts it.
    #[inline]
    pub(crate) fn take(&mut self, payload: &[u8]) {
        let (Some(&slot), Some(&last)) = (payload.first(), payload.last()) else {
            count(&self.arrived.disorders, 1);
            return;
        };
        let whole = payload.len() == 1 || last == 0x5a ^ slot;
        if slot != self.expected || !whole {
            count(&self.arrived.disorders, 1);
        }
        self.expected = if slot.wrapping_add(1) >= ROTATION {
            0
        } else {
            slot + 1
        };
        count(&self.arrived.messages, 1);
        count(&self.arrived.bytes, payload.len() as u64);
    }
}

/// One writer, many readers: a load and a store cost less than a locked addition.
#[inline]
fn count(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> (Arc<Arrived>, Arrivals) {
        let arrived = Arc::new(Arrived::default());
        (Arc::clone(&arrived), Arrivals::new(arrived))
    }

    #[test]
    fn a_rotation_that_arrives_in_order_has_no_disorder() {
        let (arrived, mut arrivals) = receiver();
        let payloads = Payloads::new(64);
        let mut place = Place::default();
        for _ in 0..100 {
            arrivals.take(payloads.at(place));
            place.advance(1);
        }
        let counts = (arrived.messages(), arrived.bytes(), arrived.disorders());
        assert_eq!(counts, (100, 6400, 0));
        assert_eq!(place, Place::after(100));
    }

    #[test]
    fn runs_of_neighbours_go_on_where_the_last_one_was_cut() {
        let (arrived, mut arrivals) = receiver();
        let payloads = Payloads::new(3);
        let slices = payloads.slices();
        let mut place = Place::default();
        for accepted in [16, 5, 0, 15, 1] {
            for payload in &place.run(&slices)[..accepted] {
                arrivals.take(payload);
            }
            place.advance(accepted);
        }
        assert_eq!((arrived.messages(), arrived.disorders()), (37, 0));
    }

    #[test]
    fn a_lost_a_doubled_and_a_damaged_message_are_each_seen() {
        let (arrived, mut arrivals) = receiver();
        let payloads = Payloads::new(8);
        let second = Place::after(1);
        arrivals.take(payloads.at(second));
        assert_eq!(arrived.disorders(), 1, "lost");
        arrivals.take(payloads.at(second));
        assert_eq!(arrived.disorders(), 2, "doubled");
        arrivals.take(&[2, 0, 0]);
        assert_eq!(arrived.disorders(), 3, "damaged");
        arrivals.take(&[]);
        assert_eq!(arrived.disorders(), 4, "empty");
    }

    #[test]
    fn one_byte_is_the_smallest_payload() {
        assert_eq!(Payloads::new(0).at(Place::default()).len(), 1);
    }
}
