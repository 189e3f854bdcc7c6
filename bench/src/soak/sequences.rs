//! What a receiver makes of the places of the messages of one sender: new, late, or there already.
//!
//! Without I/O. Memory follows the number of stretches that are missing, not the number of messages.

use std::collections::BTreeMap;

/// The messages of one sender.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    /// The first that came. Those before it were for another process.
    pub(crate) first: u64,
    /// One more than the largest that came.
    pub(crate) next: u64,
    /// Messages that came, duplicates not counted.
    pub(crate) delivered: u64,
    /// Messages that had come before.
    pub(crate) duplicates: u64,
    /// Messages that came after one that was sent later.
    pub(crate) out_of_order: u64,
    /// Stretches between `first` and `next` that have not come: begin and end.
    missing: BTreeMap<u64, u64>,
}

impl Sequences {
    /// One came.
    pub(crate) fn take(&mut self, sequence: u64) {
        if self.delivered == 0 {
            self.first = sequence;
            self.next = sequence;
        }
        if sequence >= self.next {
            if sequence > self.next {
                self.missing.insert(self.next, sequence);
            }
            self.next = sequence + 1;
            self.delivered += 1;
        } else if sequence < self.first || self.take_missing(sequence) {
            self.out_of_order += 1;
            self.delivered += 1;
        } else {
            self.duplicates += 1;
        }
    }

    /// Removes it from a stretch that is missing, if it is in one.
    fn take_missing(&mut self, sequence: u64) -> bool {
        let Some((&begin, &end)) = self.missing.range(..=sequence).next_back() else {
            return false;
        };
        if sequence >= end {
            return false;
        }
        self.missing.remove(&begin);
        if begin < sequence {
            self.missing.insert(begin, sequence);
        }
        if sequence + 1 < end {
            self.missing.insert(sequence + 1, end);
        }
        true
    }

    /// Messages between the first and the last that came that have not come.
    pub(crate) fn missing(&self) -> u64 {
        self.missing.iter().map(|(begin, end)| end - begin).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sequences: &[u64]) -> Sequences {
        let mut all = Sequences::default();
        sequences.iter().for_each(|sequence| all.take(*sequence));
        all
    }

    fn counts(all: &Sequences) -> (u64, u64, u64, u64) {
        let missing = all.missing();
        (all.delivered, all.duplicates, all.out_of_order, missing)
    }

    #[test]
    fn in_order_nothing_is_wrong() {
        assert_eq!(counts(&after(&[0, 1, 2, 3])), (4, 0, 0, 0));
        let late = after(&[7, 8]);
        assert_eq!((late.first, late.next), (7, 9));
    }

    #[test]
    fn a_duplicate_a_gap_and_a_late_one_are_told_apart() {
        assert_eq!(counts(&after(&[0, 1, 1])), (2, 1, 0, 0));
        assert_eq!(counts(&after(&[0, 5])), (2, 0, 0, 4));
        assert_eq!(counts(&after(&[0, 5, 3])), (3, 0, 1, 3));
        assert_eq!(counts(&after(&[0, 5, 3, 3])), (3, 1, 1, 3));
        assert_eq!(counts(&after(&[0, 5, 1, 4, 2, 3])), (6, 0, 4, 0));
        assert_eq!(counts(&after(&[3, 2])), (2, 0, 1, 0));
    }

    #[test]
    fn memory_follows_the_stretches_that_are_missing() {
        let mut all = after(&[0, 1_000_000_000]);
        assert_eq!((all.missing(), all.missing.len()), (999_999_999, 1));
        (1_000_000_001..1_000_100_000).for_each(|sequence| all.take(sequence));
        assert_eq!(all.missing.len(), 1);
    }
}
