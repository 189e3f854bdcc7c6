//! Waiting no more: for what will not come, for what cannot be true, and where there is no room.
//!
//! Each number that is passed over is told before what waited for it is delivered. A message is never
//! delivered before a held one that it needs, but for needs that go round in a circle, which are lies.

use std::collections::BTreeSet;

use super::{Count, Gap, HoldBack, Key, Life, Step};
use crate::time::Time;

/// The most messages of one life that are passed over for the word of another sender. A greater count is
/// taken for a lie, and not waited for. 65,536: as many as a broadcast layer remembers.
const WORD_MAX: u64 = 1 << 16;

impl<P: Copy + Ord, M> HoldBack<P, M> {
    /// Up to this number, messages of a life will not come any more. What is held of them is delivered
    /// as far as its turn has come; the rest is missed.
    pub(crate) fn will_not_come(&mut self, now: Time, count: Count<P>) {
        self.now = now;
        self.hear(count.life);
        while self.have(&count.life) < count.count {
            match self.next_held(count) {
                Some(number) if number == self.next(&count.life) => {
                    self.give_up((count.life, number));
                }
                Some(number) => self.miss(count.life, number - 1),
                None => self.miss(count.life, count.count),
            }
            self.drain();
        }
    }

    /// A sender says that there are no such messages of it: needs that name one of them are not true.
    pub(crate) fn there_are_none(&mut self, now: Time, gap: Gap<P>) {
        self.now = now;
        let Gap { life, first, last } = gap;
        let Some(of_life) = self.waiting.get(&life).filter(|_| first <= last) else {
            return;
        };
        let keys = of_life.range(first..=last).flat_map(|(_, keys)| keys);
        for key in keys.copied().collect::<Vec<Key<P>>>() {
            let need = self.held.get(&key).and_then(|held| held.waits_for);
            // That its own messages follow each other needs nobody's word.
            if let Some(need) = need.filter(|need| need.life != key.0) {
                self.waive(key, need);
            }
        }
        self.drain();
    }

    /// Waits no more for what the messages need that came before `since`: tells what is missed, and
    /// delivers them.
    pub(crate) fn give_up_older(&mut self, now: Time, since: Time) {
        self.now = now;
        while let Some(key) = self.first_arrival() {
            if self.is_paused || self.held.get(&key).is_none_or(|held| held.came > since) {
                return;
            }
            self.give_up(key);
        }
    }

    /// The first message held of a life, of those that a need is about.
    fn next_held(&self, need: Count<P>) -> Option<u64> {
        let from = self.next(&need.life);
        if from > need.count {
            return None;
        }
        let held = self.held.range((need.life, from)..=(need.life, need.count));
        held.map(|(key, _)| key.1).next()
    }

    pub(super) fn miss(&mut self, life: Life<P>, last: u64) {
        let first = self.next(&life);
        self.steps.push(Step::Missed(Gap { life, first, last }));
        self.hear(life);
        self.raise(Count { life, count: last });
    }

    /// Delivers a held message, and passes over what it would wait for.
    pub(super) fn give_up(&mut self, key: Key<P>) {
        self.go_on();
        while self.held.contains_key(&key) {
            self.give_up_one(key);
            self.drain();
        }
    }

    /// Passes over one gap that the message waits for, its own or one of a held message that it needs; or,
    /// before that, closes what the gap may have needed.
    pub(super) fn give_up_one(&mut self, key: Key<P>) {
        let (mut at, mut seen) = (key, BTreeSet::new());
        loop {
            seen.insert(at);
            let (stamp, Some(need)) = (self.stamp(&at), self.unmet(&at)) else {
                return;
            };
            let have = self.have(&need.life);
            let last = match self.next_held(need) {
                Some(next) if next == self.next(&need.life) => {
                    let next = (need.life, next);
                    let is_later = self.stamp(&next) >= stamp.max(1);
                    if seen.contains(&next) || is_later {
                        // Each says that it needs the other, or is the later one: one of them lies.
                        return self.waive(at, need);
                    }
                    at = next;
                    continue;
                }
                Some(next) => next - 1,
                None if need.life != at.0 && need.count - have > WORD_MAX => {
                    return self.waive(at, need);
                }
                None => need.count,
            };
            if stamp > self.open_from {
                return self.close_below(stamp);
            }
            return self.miss(need.life, last);
        }
    }

    fn stamp(&self, key: &Key<P>) -> u64 {
        self.held.get(key).map_or(0, |held| held.stamp)
    }

    fn waive(&mut self, key: Key<P>, need: Count<P>) {
        self.waived += 1;
        let Some(held) = self.held.get_mut(&key) else {
            return;
        };
        held.needs.retain(|other| *other != need);
        let filed = held.waits_for;
        self.unfile(&key, filed);
        self.file(key);
    }

    /// Gives up what was held longest until there is room: first of this sender, then of all.
    pub(super) fn make_room(&mut self, peer: P) {
        let part = self.limits.sender_part.max(1);
        while let Some(load) = self.loads.get(&peer) {
            if load.messages <= self.limits.messages_max / part
                && load.bytes <= self.limits.bytes_max / part
            {
                break;
            }
            let of_peer = self.arrivals.values().find(|key| key.0.peer == peer);
            let Some(key) = of_peer.copied() else { break };
            self.give_up(key);
        }
        while self.total.messages > self.limits.messages_max
            || self.total.bytes > self.limits.bytes_max
        {
            let Some(key) = self.first_arrival() else {
                break;
            };
            self.give_up(key);
        }
    }
}
