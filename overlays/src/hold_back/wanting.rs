//! Saying what held messages wait for, so that somebody asks for it: again after twice the time, each time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Gap, Held, HoldBack, Key};
use crate::time::Time;

/// A message that has waited for some time, and what it waits for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanting<P> {
    pub(crate) key: Key<P>,
    pub(crate) gaps: Vec<Gap<P>>,
    /// How often it was told before.
    pub(crate) asks: u32,
}

impl<P: Copy + Ord, M> HoldBack<P, M> {
    /// When [`Self::wanting`] has something to say.
    pub(crate) fn next_ask(&self, first: Duration) -> Option<Time> {
        let asks = self.held.values().map(|held| held.ask_time(first));
        asks.min()
    }

    /// What is missing for the messages that have waited for `first`, then again after twice that each
    /// time. At most `gaps_max` gaps in all; what finds no place is told the next time.
    pub(crate) fn wanting(
        &mut self,
        now: Time,
        first: Duration,
        gaps_max: usize,
    ) -> Vec<Wanting<P>> {
        let due = self.arrivals.values().filter(|key| {
            let held = self.held.get(key);
            held.is_some_and(|held| held.ask_time(first) <= now)
        });
        let due: Vec<Key<P>> = due.copied().collect();
        let (mut all, mut room) = (Vec::new(), gaps_max);
        let mut told = BTreeSet::new();
        for key in due {
            if room == 0 {
                break;
            }
            let mut gaps = self.gaps_of(&key, room);
            gaps.retain(|gap| told.insert(*gap));
            room -= gaps.len();
            let Some(held) = self.held.get_mut(&key) else {
                continue;
            };
            let asks = held.asks;
            held.asks = asks.saturating_add(1);
            held.ask_at = now + first * 2_u32.saturating_pow(held.asks).saturating_sub(1);
            if !gaps.is_empty() {
                all.push(Wanting { key, gaps, asks });
            }
        }
        all
    }

    /// What is not there of what a message needs, `gaps_max` gaps at most.
    fn gaps_of(&self, key: &Key<P>, gaps_max: usize) -> Vec<Gap<P>> {
        let mut gaps = Vec::new();
        let Some(held) = self.held.get(key) else {
            return gaps;
        };
        for need in &held.needs {
            let life = need.life;
            let mut first = self.next(&life);
            if first > need.count {
                continue;
            }
            let held = self.held.range((life, first)..=(life, need.count));
            for number in held.map(|(key, _)| key.1) {
                if number > first {
                    let last = number - 1;
                    gaps.push(Gap { life, first, last });
                }
                first = number.saturating_add(1);
            }
            if first <= need.count {
                let last = need.count;
                gaps.push(Gap { life, first, last });
            }
        }
        gaps.truncate(gaps_max);
        gaps
    }
}

impl<P, M> Held<P, M> {
    fn ask_time(&self, first: Duration) -> Time {
        self.ask_at + first
    }
}
