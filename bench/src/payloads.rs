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

/// Payloads of one size, made once, handed out in rotation.
#[derive(Debug, Clone)]
pub(crate) struct Payloads {
    made: Vec<Bytes>,
    next: usize,
}

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
            next: 0,
        }
    }

    /// The payload to send now; the same one again until [`Payloads::advance`].
    #[inline]
    pub(crate) fn current(&self) -> &Bytes {
        &self.made[self.next]
    }

    /// The current payload was accepted: the next one is due.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.next = if self.next + 1 == self.made.len() {
            0
        } else {
            self.next + 1
        };
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

    #[test]
    fn a_rotation_that_arrives_in_order_has_no_disorder() {
        let arrived = Arc::new(Arrived::default());
        let mut arrivals = Arrivals::new(Arc::clone(&arrived));
        let mut payloads = Payloads::new(64);
        for _ in 0..100 {
            arrivals.take(payloads.current());
            payloads.advance();
        }
        assert_eq!(
            (arrived.messages(), arrived.bytes(), arrived.disorders()),
            (100, 6400, 0)
        );
    }

    #[test]
    fn a_lost_a_doubled_and_a_damaged_message_are_each_seen() {
        let arrived = Arc::new(Arrived::default());
        let mut arrivals = Arrivals::new(Arc::clone(&arrived));
        let mut payloads = Payloads::new(8);
        payloads.advance();
        arrivals.take(payloads.current());
        assert_eq!(arrived.disorders(), 1, "lost");
        arrivals.take(payloads.current());
        assert_eq!(arrived.disorders(), 2, "doubled");
        arrivals.take(&[2, 0, 0]);
        assert_eq!(arrived.disorders(), 3, "damaged");
        arrivals.take(&[]);
        assert_eq!(arrived.disorders(), 4, "empty");
    }

    #[test]
    fn one_byte_is_the_smallest_payload() {
        assert_eq!(Payloads::new(0).current().len(), 1);
    }
}
