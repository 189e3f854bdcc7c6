//! Messages that are known to exist and that nobody brought: how many they are.
//!
//! Noted by `repair` when a wait ends in vain, as ranges of the numbers of one sender, since a gap may be
//! wide; one that comes after all is counted no more. Bounded: of ranges long past only the count stays.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::store::MessageId;

/// Ranges that are remembered, in case their messages come. 256: a guess; a switch or the loss of a neighbor gives up
/// what it alone had announced, until another one announces it.
const RANGES_MAX: usize = 256;

/// The messages given up.
#[derive(Debug)]
pub(super) struct GivenUp {
    count: u64,
    /// The sender and the first and last number, the latest range last. No two of them overlap.
    ranges: VecDeque<(u64, u64, u64)>,
}

impl GivenUp {
    pub(super) const fn new() -> Self {
        Self {
            count: 0,
            ranges: VecDeque::new(),
        }
    }

    /// How many they are. Of a sender that skips numbers it can be more than there ever were.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// These messages of `sender` will not come, as far as is known. Those that were noted before count once.
    pub(super) fn note(&mut self, sender: u64, numbers: RangeInclusive<u64>) {
        let (mut first, last) = numbers.into_inner();
        // What is new lies between the ranges that are there.
        while first <= last {
            let known = self.ranges.iter().copied();
            let known = known.filter(|(of, _, end)| *of == sender && *end >= first);
            let Some((_, begin, end)) = known.min_by_key(|(_, begin, _)| *begin) else {
                self.push(sender, first, last);
                return;
            };
            if first < begin {
                self.push(sender, first, last.min(begin - 1));
            }
            let Some(after) = end.checked_add(1) else {
                return;
            };
            first = after;
        }
    }

    /// A message came.
    pub(super) fn came(&mut self, id: MessageId) {
        let holds = |(of, first, last): &(u64, u64, u64)| {
            *of == id.sender && (*first..=*last).contains(&id.number)
        };
        let place = self.ranges.iter().position(holds);
        let range = place.and_then(|place| self.ranges.remove(place));
        let Some((sender, first, last)) = range else {
            return;
        };
        self.count = self.count.saturating_sub(messages(first, last));
        if first < id.number {
            self.push(sender, first, id.number - 1);
        }
        if id.number < last {
            self.push(sender, id.number + 1, last);
        }
    }

    fn push(&mut self, sender: u64, first: u64, last: u64) {
        self.count = self.count.saturating_add(messages(first, last));
        if self.ranges.len() == RANGES_MAX {
            self.ranges.pop_front();
        }
        self.ranges.push_back((sender, first, last));
    }
}

/// How many they are, both ends included.
const fn messages(first: u64, last: u64) -> u64 {
    (last - first).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(sender: u64, number: u64) -> MessageId {
        MessageId { sender, number }
    }

    #[test]
    fn of_ranges_long_past_only_the_count_stays() {
        let mut given_up = GivenUp::new();
        for number in 0..1_000 {
            given_up.note(1, number * 3..=number * 3 + 1);
        }
        assert_eq!(given_up.count(), 2_000);
        assert_eq!(given_up.ranges.len(), RANGES_MAX);
        given_up.came(id(1, 0));
        assert_eq!(given_up.count(), 2_000, "forgotten");
        given_up.came(id(1, 2_997));
        assert_eq!(given_up.count(), 1_999);
    }

    #[test]
    fn the_greatest_numbers_are_counted_without_an_overflow() {
        let mut given_up = GivenUp::new();
        given_up.note(1, 1..=u64::MAX - 1);
        given_up.note(1, 1..=u64::MAX - 1);
        given_up.note(2, 0..=u64::MAX);
        assert_eq!(given_up.count(), u64::MAX);
        given_up.came(id(2, u64::MAX));
        given_up.came(id(1, u64::MAX));
    }

    proptest! {
        /// Against a set of numbers.
        #[test]
        fn each_message_counts_once_until_it_comes(
            steps in prop::collection::vec((any::<bool>(), 0..3_u64, 0..30_u64, 0..6_u64), 0..60)
        ) {
            let mut given_up = GivenUp::new();
            let mut model = BTreeSet::new();
            for (notes, sender, first, more) in steps {
                if notes {
                    given_up.note(sender, first..=first + more);
                    model.extend((first..=first + more).map(|number| (sender, number)));
                } else {
                    given_up.came(id(sender, first));
                    model.remove(&(sender, first));
                }
                prop_assert_eq!(given_up.count(), model.len() as u64);
            }
        }
    }
}
