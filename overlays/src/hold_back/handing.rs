//! Handing over by hand: for a carrier that cannot take a message whenever its turn has come.
//!
//! A mailbox may have no room for a message whose turn it is. So it waits among those that are ready, and counts as
//! delivered, for whatever needs it, once [`HoldBack::hand_over`] says so. Such a carrier keeps a sender's messages in
//! their order: numbers between two of them belong to nothing that will come, and are passed over without a word.

use super::{Count, HoldBack, Key, Life, Limits};
use crate::time::Time;

impl<P: Copy + Ord, M> HoldBack<P, M> {
    /// Nothing held, nothing known, and nothing delivered by itself. What is held is bounded by the caller, before it
    /// is offered.
    pub(crate) const fn by_hand(lives_max: usize) -> Self {
        let mut held = Self::new(Limits {
            messages_max: usize::MAX,
            bytes_max: usize::MAX,
            sender_part: 1,
            lives_max,
        });
        held.pause();
        held
    }

    /// Whether something of a life is held.
    pub(crate) fn holds_any_of(&self, life: &Life<P>) -> bool {
        self.held_of(life).next().is_some()
    }

    /// Whether any of these needs is not met.
    pub(crate) fn lacks(&self, needs: &[Count<P>]) -> bool {
        needs.iter().any(|need| self.have(&need.life) < need.count)
    }

    /// Messages and bytes that are held of a sender.
    pub(crate) fn load_of(&self, peer: &P) -> (usize, usize) {
        let load = self.loads.get(peer);
        load.map_or((0, 0), |load| (load.messages, load.bytes))
    }

    /// The messages whose turn has come, in the order in which it came.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (Key<P>, &M)> {
        let ready = self.ready.iter();
        ready.filter_map(|key| Some((*key, &self.held.get(key)?.item)))
    }

    /// A message that is ready was delivered: what needs it may be ready now.
    pub(crate) fn hand_over(&mut self, now: Time, key: Key<P>) -> Option<M> {
        self.now = now;
        if self.held.get(&key)?.waits_for.is_some() {
            return None;
        }
        let held = self.take(&key)?;
        self.ready.retain(|ready| *ready != key);
        self.pass(
            now,
            Count {
                life: key.0,
                count: key.1,
            },
        );
        Some(held.item)
    }

    /// Up to this number, messages of a life were delivered or will not come; nor do those between them and the first
    /// that is held.
    pub(crate) fn pass(&mut self, now: Time, count: Count<P>) {
        self.begin_at(now, count);
        let first_held = self.held_of(&count.life).next();
        if let Some(first) = first_held {
            self.raise(Count {
                count: first - 1,
                ..count
            });
        }
    }

    /// Forgets what is held of a sender: it comes again, or never.
    pub(crate) fn let_go_of(&mut self, peer: &P) {
        let held = self.held.keys().filter(|(life, _)| life.peer == *peer);
        for key in held.copied().collect::<Vec<Key<P>>>() {
            self.take(&key);
        }
        let held = &self.held;
        self.ready.retain(|key| held.contains_key(key));
    }

    /// When the message came that has waited longest for others.
    pub(crate) fn waiting_since(&self) -> Option<Time> {
        let held = self.arrivals.values().filter_map(|key| self.held.get(key));
        held.filter(|held| held.waits_for.is_some())
            .map(|held| held.came)
            .next()
    }

    /// The nodes whose messages are needed next.
    pub(crate) fn waited_for(&self) -> Vec<P> {
        let mut nodes: Vec<P> = self.waiting.keys().map(|life| life.peer).collect();
        nodes.dedup();
        nodes
    }

    /// Waits no more for what the messages need that came before `since`. What they need may be ready itself and not
    /// handed over: that is waited for still.
    pub(crate) fn give_up_waiting(&mut self, now: Time, since: Time) {
        self.now = now;
        let due = self.arrivals.values().filter(|key| {
            let held = self.held.get(key);
            held.is_some_and(|held| held.came <= since && held.waits_for.is_some())
        });
        for key in due.copied().collect::<Vec<Key<P>>>() {
            while self.unmet(&key).is_some() {
                let before = (self.steps.len(), self.waived);
                self.give_up_one(key);
                if before == (self.steps.len(), self.waived) {
                    break;
                }
            }
        }
    }

    /// Lives of a node before this incarnation have ended: nothing of them comes any more. What somebody waits for is
    /// told as missed.
    pub(crate) fn lives_ended(&mut self, now: Time, peer: P, incarnation: u64) {
        self.now = now;
        let life = |incarnation| Life { peer, incarnation };
        let known = self.known.range(life(0)..life(incarnation));
        let waited = self.waiting.range(life(0)..life(incarnation));
        let mut lives: Vec<Life<P>> = known.map(|(life, _)| *life).collect();
        lives.extend(waited.map(|(life, _)| *life));
        lives.sort_unstable();
        lives.dedup();
        for life in lives {
            let needed = self
                .waiting
                .get(&life)
                .and_then(|of_life| of_life.keys().next_back());
            if let Some(needed) = needed.copied().filter(|needed| *needed > self.have(&life)) {
                self.miss(life, needed);
            }
            self.begin_at(
                now,
                Count {
                    life,
                    count: u64::MAX,
                },
            );
        }
    }
}
