//! What others may not have got yet of all that a node has sent or knows of: what its next message needs.
//!
//! Pairs of receiver and count, per sender. A pair goes when it is acknowledged (a node's own), when its
//! sender no longer lists it (its own again, seen by others), when its receiver says so (asked when the pair
//! is not new), when its receiver acknowledges a message of this node that needs it, or when its sender must
//! have ended it one way or the other by now.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::{NEEDS_MAX, Need};
use crate::hold_back::{Count, Life};
use crate::time::Time;

/// Most pairs kept. Four times what one message carries: what is beyond that is not kept, and nothing is
/// sent until it would have gone by itself.
const PAIRS_MAX: usize = 4 * NEEDS_MAX;

/// After this share of their time, pairs of others are asked about.
const ASK_PART: u32 = 100;

#[derive(Clone, Copy, Debug)]
struct Pair {
    count: u64,
    since: Time,
}

/// The pairs of one node.
#[derive(Debug)]
pub(super) struct Barrier<P> {
    me: Life<P>,
    lasts: Duration,
    pairs: BTreeMap<(P, Life<P>), Pair>,
    /// Something was not kept that would have gone by then.
    full_until: Time,
}

impl<P: Copy + Ord> Barrier<P> {
    pub(super) const fn new(me: Life<P>, lasts: Duration) -> Self {
        Self {
            me,
            lasts,
            pairs: BTreeMap::new(),
            full_until: Time::ZERO,
        }
    }

    /// Pairs now.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// What a message that is sent now needs. None if that is more than it can carry.
    pub(super) fn needs(&mut self, now: Time) -> Option<Vec<Need<P>>> {
        self.forget(now);
        if self.pairs.len() > NEEDS_MAX || now < self.full_until {
            return None;
        }
        let needs = self.pairs.iter().map(|((to, life), pair)| Need {
            to: *to,
            of: Count {
                life: *life,
                count: pair.count,
            },
        });
        Some(needs.collect())
    }

    /// A message was sent. It does not stand for what it needs at its receiver: should both it and this
    /// node be lost, nobody could tell the receiver what that was.
    pub(super) fn sent(&mut self, now: Time, to: P, number: u64) {
        let pair = Pair {
            count: number,
            since: now,
        };
        self.pairs.insert((to, self.me), pair);
    }

    /// A receiver has these of this node's messages, or will not get them.
    pub(super) fn settled(&mut self, to: P, count: u64) {
        let key = (to, self.me);
        if self.pairs.get(&key).is_some_and(|pair| pair.count <= count) {
            self.pairs.remove(&key);
        }
    }

    /// A message of this life with these needs was delivered here.
    pub(super) fn delivered(&mut self, now: Time, from: Life<P>, needs: &[Need<P>]) {
        // A sender lists all that is open of its own: what is not on this list is settled. An older list
        // cannot come after a newer one, as it was sent before what brought the newer one here.
        let lists = |to: &P| {
            needs
                .iter()
                .any(|need| need.to == *to && need.of.life == from)
        };
        self.pairs
            .retain(|(to, life), _| *life != from || lists(to));
        let elsewhere = needs.iter().filter(|need| need.to != self.me.peer);
        for need in elsewhere.copied().collect::<Vec<Need<P>>>() {
            self.keep(now, need);
        }
    }

    /// A message of this node with these needs was delivered: so was what it needed there.
    pub(super) fn delivered_at(&mut self, to: P, needs: &[Need<P>]) {
        let there = needs.iter().filter(|need| need.to == to);
        let counts: Vec<Count<P>> = there.map(|need| need.of).collect();
        self.settled_by(to, &counts);
    }

    /// Keeps a pair of somebody else.
    fn keep(&mut self, now: Time, need: Need<P>) {
        let key = (need.to, need.of.life);
        if need.of.life == self.me {
            return;
        }
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&key) {
            self.full_until = now + self.lasts;
            return;
        }
        let pair = self.pairs.entry(key).or_insert(Pair {
            count: 0,
            since: now,
        });
        if need.of.count > pair.count {
            pair.count = need.of.count;
            pair.since = now;
        }
    }

    /// The pairs of others that are not new, by the node that should have the messages.
    pub(super) fn to_ask(&self, now: Time) -> BTreeMap<P, Vec<Count<P>>> {
        let mut all: BTreeMap<P, Vec<Count<P>>> = BTreeMap::new();
        for ((to, life), pair) in &self.pairs {
            if *life == self.me || now.since(pair.since) < self.lasts / ASK_PART {
                continue;
            }
            let of_node = all.entry(*to).or_default();
            if of_node.len() < NEEDS_MAX {
                let count = pair.count;
                of_node.push(Count { life: *life, count });
            }
        }
        all
    }

    /// A node has these messages of others, or will not get them.
    pub(super) fn settled_by(&mut self, by: P, counts: &[Count<P>]) {
        for Count { life, count } in counts.iter().filter(|count| count.life != self.me) {
            let key = (by, *life);
            if self
                .pairs
                .get(&key)
                .is_some_and(|pair| pair.count <= *count)
            {
                self.pairs.remove(&key);
            }
        }
    }

    /// Whether any of them are of others.
    pub(super) fn has_of_others(&self) -> bool {
        self.pairs.keys().any(|(_, life)| *life != self.me)
    }

    /// A node says how many messages of a life it has: it may have what is asked about, and lives if it has not.
    pub(super) fn heard_of(&mut self, now: Time, by: P, has: Count<P>) {
        let key = (by, has.life);
        if has.life == self.me {
            return;
        }
        if let Some(pair) = self.pairs.get_mut(&key) {
            pair.since = now;
            if pair.count <= has.count {
                self.pairs.remove(&key);
            }
        }
    }

    /// Forgets what its senders have ended by now.
    pub(super) fn forget(&mut self, now: Time) {
        let (me, lasts) = (self.me, self.lasts);
        self.pairs
            .retain(|(_, life), pair| *life == me || now.since(pair.since) < lasts);
    }
}
