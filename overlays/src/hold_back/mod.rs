//! Messages that came before what they depend on, held back until their turn.
//!
//! A message is the n-th of one life of its sender, and needs the first n-1 of that life and the first so
//! many of some others. This is the delivery rule of Birman, Schiper and Stephenson ("Lightweight Causal
//! and Atomic Group Multicast", 1991, section 5), with the needs listed instead of a whole vector. Each
//! held message is filed under the first need that is not met, so what a delivery releases is found
//! without a look at the rest.
//!
//! Called by the causal layers; knows neither time-outs nor who is a member. It delivers each message at
//! most once and in order, and tells of every number that it passes over. What it holds is bounded, all
//! together and for each sender; where there is no room, what was held longest is waited for no more.

mod closing;
mod counts;
mod giving_up;
mod handing;
#[cfg(test)]
mod tests;
mod wanting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::time::Time;

pub(crate) use counts::{COUNT_BYTES_MAX, Key};
pub use counts::{Count, Gap, Life};

/// How much is held back and remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most messages held back. 4,096: a guess, seconds of a busy cluster.
    pub messages_max: usize,
    /// Most bytes of payloads held back. 16 MiB: a guess, as much as a broadcast layer keeps.
    pub bytes_max: usize,
    /// A sender's messages may take the n-th part of each. 4: a guess; one that lies about what its
    /// messages need leaves room for the others.
    pub sender_part: usize,
    /// Most lives of which the count is remembered; beyond it, that of the life which was silent longest
    /// goes. 16,384: about 1.5 MiB, above the senders of the largest cluster that this is built for.
    pub lives_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_max: 4_096,
            bytes_max: 16 << 20,
            sender_part: 4,
            lives_max: 16_384,
        }
    }
}

/// What became of a message that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It was taken.
    Taken,
    /// It is held already.
    Again,
    /// Its number was delivered or passed over before.
    Late,
    /// Its stamp is closed: it was passed over now.
    Closed,
}

/// What the hold-back queue has decided; steps are carried out in the order in which they are given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step<P, M> {
    /// This message's turn has come.
    Deliver {
        key: Key<P>,
        item: M,
        /// When it came.
        came: Time,
        /// How often it was told as wanting.
        asks: u32,
    },
    /// These will never be delivered.
    Missed(Gap<P>),
}

/// What is known of one life.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Messages delivered or passed over: all up to this number.
    have: u64,
    heard: Time,
}

#[derive(Debug)]
struct Held<P, M> {
    item: M,
    bytes: usize,
    /// Greater than those of all that it needs, however far back. None where its layer has no stamps: 0.
    stamp: u64,
    /// What has to be delivered before, the message before it of the same life included.
    needs: Vec<Count<P>>,
    /// The need under which it is filed.
    waits_for: Option<Count<P>>,
    arrival: u64,
    came: Time,
    asks: u32,
    ask_at: Time,
}

/// Messages and bytes held of one sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    messages: usize,
    bytes: usize,
}

/// Messages on hold, and what was delivered before.
#[derive(Debug)]
pub(crate) struct HoldBack<P, M> {
    limits: Limits,
    known: BTreeMap<Life<P>, Known>,
    held: BTreeMap<Key<P>, Held<P, M>>,
    arrivals: BTreeMap<u64, Key<P>>,
    arrived: u64,
    loads: BTreeMap<P, Load>,
    total: Load,
    waiting: BTreeMap<Life<P>, BTreeMap<u64, Vec<Key<P>>>>,
    ready: VecDeque<Key<P>>,
    steps: Vec<Step<P, M>>,
    is_paused: bool,
    /// What has a lesser stamp than this is not delivered any more.
    open_from: u64,
    /// The time of the latest input.
    now: Time,
    /// Most messages ever held at once.
    most_held: usize,
    /// Needs that were not waited for, as they could not be true.
    waived: u64,
}

impl<P: Copy + Ord, M> HoldBack<P, M> {
    /// Nothing held, nothing known.
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: BTreeMap::new(),
            held: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            arrived: 0,
            loads: BTreeMap::new(),
            total: Load {
                messages: 0,
                bytes: 0,
            },
            waiting: BTreeMap::new(),
            ready: VecDeque::new(),
            steps: Vec::new(),
            is_paused: false,
            open_from: 0,
            now: Time::ZERO,
            most_held: 0,
            waived: 0,
        }
    }

    /// How many messages of a life were delivered or passed over.
    pub(crate) fn have(&self, life: &Life<P>) -> u64 {
        self.known.get(life).map_or(0, |known| known.have)
    }

    /// Whether anything was heard of a life.
    pub(crate) fn knows(&self, life: &Life<P>) -> bool {
        self.known.contains_key(life)
    }

    /// Whether a held message needs messages of a life next.
    pub(crate) fn is_waited_for(&self, life: &Life<P>) -> bool {
        self.waiting.contains_key(life)
    }

    /// The numbers of a life's messages that are held.
    pub(crate) fn held_of(&self, life: &Life<P>) -> impl Iterator<Item = u64> {
        let held = self.held.range((*life, 0)..=(*life, u64::MAX));
        held.map(|(key, _)| key.1)
    }

    /// All lives known, and how many messages of each were delivered or passed over.
    pub(crate) fn counts(&self) -> impl Iterator<Item = Count<P>> {
        self.known.iter().map(|(life, known)| Count {
            life: *life,
            count: known.have,
        })
    }

    /// The same of the lives that follow one.
    pub(crate) fn counts_after(&self, after: Option<Life<P>>) -> impl Iterator<Item = Count<P>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.known
            .range((from, Unbounded))
            .map(|(life, known)| Count {
                life: *life,
                count: known.have,
            })
    }

    /// Messages held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Most messages ever held at once.
    pub(crate) const fn most_held(&self) -> usize {
        self.most_held
    }

    /// Needs that were not waited for, as they could not be true.
    pub(crate) const fn waived(&self) -> u64 {
        self.waived
    }

    /// Whether a message is held.
    pub(crate) fn holds(&self, key: &Key<P>) -> bool {
        self.held.contains_key(key)
    }

    /// Delivers nothing until [`Self::go_on`], or until there is no more room.
    pub(crate) const fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Delivers again.
    pub(crate) fn go_on(&mut self) {
        self.is_paused = false;
        self.drain();
    }

    /// Takes the steps decided since the last call.
    pub(crate) fn take_steps(&mut self) -> Vec<Step<P, M>> {
        std::mem::take(&mut self.steps)
    }

    /// Takes a message; it is delivered at once if its turn has come, and passed over if its stamp is closed.
    pub(crate) fn offer(
        &mut self,
        now: Time,
        key: Key<P>,
        stamp: u64,
        needs: &[Count<P>],
        bytes: usize,
        item: M,
    ) -> Offer {
        let (life, number) = key;
        self.now = now;
        self.hear(life);
        if number <= self.have(&life) {
            return Offer::Late;
        }
        if self.held.contains_key(&key) {
            return Offer::Again;
        }
        if stamp < self.open_from {
            self.miss(life, number);
            self.drain();
            return Offer::Closed;
        }
        let before = Count {
            life,
            count: number - 1,
        };
        self.arrived += 1;
        self.arrivals.insert(self.arrived, key);
        let held = Held {
            item,
            bytes,
            stamp,
            needs: [&[before], needs].concat(),
            waits_for: None,
            arrival: self.arrived,
            came: now,
            asks: 0,
            ask_at: now,
        };
        self.held.insert(key, held);
        self.add_load(life.peer, bytes);
        self.file(key);
        self.drain();
        self.most_held = self.most_held.max(self.held.len());
        self.make_room(life.peer);
        Offer::Taken
    }

    /// Up to this number, messages of a life are no business of this node: they are neither waited for,
    /// nor delivered, nor told as missed.
    pub(crate) fn begin_at(&mut self, now: Time, count: Count<P>) {
        self.now = now;
        self.hear(count.life);
        self.raise(count);
        self.drain();
    }

    /// When the message that was held longest came.
    pub(crate) fn oldest(&self) -> Option<Time> {
        let held = self.held.get(&self.first_arrival()?)?;
        Some(held.came)
    }

    /// Forgets the lives that were silent since `since`, unless they are to be kept.
    pub(crate) fn forget(&mut self, since: Time, keep: impl Fn(&Life<P>) -> bool) {
        let held: BTreeSet<Life<P>> = self.held.keys().map(|(life, _)| *life).collect();
        self.known
            .retain(|life, known| known.heard > since || held.contains(life) || keep(life));
    }

    /// Says which bound is broken, if any is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let bytes: usize = self.held.values().map(|held| held.bytes).sum();
        let counted = (self.total.messages, self.total.bytes);
        if counted != (self.held.len(), bytes) || self.arrivals.len() != self.held.len() {
            return Err(format!(
                "{} messages with {bytes} bytes are held, {counted:?} are counted",
                self.held.len()
            ));
        }
        if self.held.len() > self.limits.messages_max || bytes > self.limits.bytes_max {
            return Err(format!(
                "{} messages, {bytes} bytes are held",
                self.held.len()
            ));
        }
        if self.known.len() > self.limits.lives_max {
            return Err(format!("{} lives are known", self.known.len()));
        }
        let stale = self.held.keys().find(|key| key.1 <= self.have(&key.0));
        match stale {
            Some(key) => Err(format!("number {} is held, and passed", key.1)),
            None => Ok(()),
        }
    }

    fn first_arrival(&self) -> Option<Key<P>> {
        self.arrivals.values().next().copied()
    }

    /// Notes that something was heard of a life. Makes room for a new one.
    fn hear(&mut self, life: Life<P>) {
        if let Some(known) = self.known.get_mut(&life) {
            known.heard = self.now;
            return;
        }
        if self.known.len() >= self.limits.lives_max.max(1) {
            let idle = self.known.iter().filter(|(life, _)| {
                let held = self.held.range((**life, 0)..=(**life, u64::MAX));
                held.count() == 0
            });
            let silent = idle.min_by_key(|(_, known)| known.heard);
            if let Some(life) = silent.map(|(life, _)| *life) {
                self.known.remove(&life);
            }
        }
        let known = Known {
            have: 0,
            heard: self.now,
        };
        self.known.insert(life, known);
    }

    fn add_load(&mut self, peer: P, bytes: usize) {
        for load in [&mut self.total, self.loads.entry(peer).or_default()] {
            load.messages += 1;
            load.bytes += bytes;
        }
    }

    fn take(&mut self, key: &Key<P>) -> Option<Held<P, M>> {
        let held = self.held.remove(key)?;
        self.arrivals.remove(&held.arrival);
        self.unfile(key, held.waits_for);
        let load = self.loads.entry(key.0.peer).or_default();
        for load in [&mut self.total, load] {
            load.messages -= 1;
            load.bytes -= held.bytes;
        }
        if self.loads.get(&key.0.peer) == Some(&Load::default()) {
            self.loads.remove(&key.0.peer);
        }
        Some(held)
    }

    /// The number that a life's next message has.
    fn next(&self, life: &Life<P>) -> u64 {
        self.have(life).saturating_add(1)
    }

    fn unmet(&self, key: &Key<P>) -> Option<Count<P>> {
        let needs = &self.held.get(key)?.needs;
        let unmet = needs.iter().find(|need| self.have(&need.life) < need.count);
        unmet.copied()
    }

    /// Files a message under the first need that is not met, or among those that are ready.
    fn file(&mut self, key: Key<P>) {
        let need = self.unmet(&key);
        if let Some(held) = self.held.get_mut(&key) {
            held.waits_for = need;
        }
        match need {
            Some(need) => {
                let of_life = self.waiting.entry(need.life).or_default();
                of_life.entry(need.count).or_default().push(key);
            }
            None => self.ready.push_back(key),
        }
    }

    fn unfile(&mut self, key: &Key<P>, need: Option<Count<P>>) {
        let Some(need) = need else { return };
        let Some(of_life) = self.waiting.get_mut(&need.life) else {
            return;
        };
        if let Some(keys) = of_life.get_mut(&need.count) {
            keys.retain(|waiting| waiting != key);
            if keys.is_empty() {
                of_life.remove(&need.count);
            }
        }
        if of_life.is_empty() {
            self.waiting.remove(&need.life);
        }
    }

    /// Delivers what is ready, and what that makes ready.
    fn drain(&mut self) {
        while !self.is_paused {
            let Some(key) = self.ready.pop_front() else {
                return;
            };
            let Some(held) = self.take(&key) else {
                continue;
            };
            self.steps.push(Step::Deliver {
                key,
                item: held.item,
                came: held.came,
                asks: held.asks,
            });
            self.raise(Count {
                life: key.0,
                count: key.1,
            });
        }
    }

    /// Sets the count of a life, drops what is held below it, and files anew what waited for it.
    fn raise(&mut self, count: Count<P>) {
        let Count { life, count } = count;
        let Some(known) = self.known.get_mut(&life) else {
            return;
        };
        let before = known.have;
        known.have = before.max(count);
        let passed = self.held.range((life, before)..=(life, count.max(before)));
        let passed: Vec<Key<P>> = passed.map(|(key, _)| *key).collect();
        for key in passed {
            self.take(&key);
        }
        let have = before.max(count);
        let Some(mut of_life) = self.waiting.remove(&life) else {
            return;
        };
        let later = of_life.split_off(&(have.saturating_add(1)));
        if !later.is_empty() {
            self.waiting.insert(life, later);
        }
        for key in of_life.into_values().flatten() {
            self.file(key);
        }
    }
}
