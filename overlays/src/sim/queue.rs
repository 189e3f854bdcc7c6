//! The simulator's queue: what happens next, in order of time, and in order of insertion within one
//! microsecond. Owned by the world alone.
//!
//! A wheel of short slots holds the near future, so that putting in and taking out cost the same
//! whether ten or ten million things are waiting; a heap holds the far future. Only the slot that is
//! being emptied is kept sorted.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Microseconds per slot: short, so that the sorted slot stays small.
const SLOT_MICROS: u64 = 256;
/// Slots in the wheel: the near future is 4 s long, longer than nearly every delay and timer.
const SLOTS: u64 = 1 << 14;

/// A queue of items that come out at their time.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// The slot that is being emptied, counted from time zero.
    slot: u64,
    current: BinaryHeap<Entry<T>>,
    wheel: Vec<Vec<Entry<T>>>,
    far: BinaryHeap<Entry<T>>,
    in_wheel: usize,
    inserted: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    order: u64,
    item: T,
}

impl<T> Entry<T> {
    const fn slot(&self) -> u64 {
        self.at / SLOT_MICROS
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// Reversed: the heap's greatest entry is the one that comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            slot: 0,
            current: BinaryHeap::new(),
            wheel: (0..SLOTS).map(|_| Vec::new()).collect(),
            far: BinaryHeap::new(),
            in_wheel: 0,
            inserted: 0,
        }
    }

    /// Puts `item` in, to come out at `at` microseconds, or at once if that is past.
    pub(super) fn insert(&mut self, at: u64, item: T) {
        self.inserted += 1;
        let entry = Entry {
            at,
            order: self.inserted,
            item,
        };
        let slot = entry.slot();
        if slot <= self.slot {
            self.current.push(entry);
        } else if slot < self.slot + SLOTS {
            self.in_wheel += 1;
            self.wheel[wheel_index(slot)].push(entry);
        } else {
            self.far.push(entry);
        }
    }

    /// Takes the next item out if its time is at most `until`.
    pub(super) fn take(&mut self, until: u64) -> Option<(u64, T)> {
        while self.current.is_empty() {
            if !self.advance(until) {
                return None;
            }
        }
        if self.current.peek().is_some_and(|entry| entry.at <= until) {
            return self.current.pop().map(|entry| (entry.at, entry.item));
        }
        None
    }

    /// Moves on to the next slot that has something; false if that begins after `until`.
    fn advance(&mut self, until: u64) -> bool {
        if self.in_wheel == 0 {
            let Some(first) = self.far.peek() else {
                return false;
            };
            if first.at > until {
                return false;
            }
            self.slot = first.slot();
        } else {
            if (self.slot + 1) * SLOT_MICROS > until {
                return false;
            }
            self.slot += 1;
        }
        let slot = &mut self.wheel[wheel_index(self.slot)];
        self.in_wheel -= slot.len();
        self.current.extend(slot.drain(..));
        if slot.capacity() > 1 << 12 {
            slot.shrink_to(1 << 8);
        }
        while self
            .far
            .peek()
            .is_some_and(|entry| entry.slot() < self.slot + SLOTS)
        {
            let Some(entry) = self.far.pop() else { break };
            if entry.slot() <= self.slot {
                self.current.push(entry);
            } else {
                self.in_wheel += 1;
                self.wheel[wheel_index(entry.slot())].push(entry);
            }
        }
        true
    }
}

const fn wheel_index(slot: u64) -> usize {
    (slot % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn items_come_out_by_time_then_by_insertion() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut queue = Queue::new();
        let mut now = 0;
        let mut expected = Vec::new();
        let mut taken = Vec::new();
        for number in 0..20_000_u64 {
            let spread = if number % 10 == 0 {
                60_000_000
            } else {
                100_000
            };
            let at = now + random.random_range(0..spread);
            queue.insert(at, number);
            expected.push((at, number));
            if number % 3 == 0 {
                let until = now + 20_000;
                while let Some(item) = queue.take(until) {
                    taken.push(item);
                }
                now = until;
            }
        }
        while let Some(item) = queue.take(u64::MAX / 2) {
            taken.push(item);
        }
        expected.sort_unstable();
        assert_eq!(taken, expected);
    }
}
