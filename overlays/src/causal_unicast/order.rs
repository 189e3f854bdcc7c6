//! The rule of causal unicast alone, for a carrier that is itself reliable and in order.
//!
//! The engine's lanes bring each message once and in the order of their sender, and say what was acknowledged, who was
//! started again and what will not come. So of causal unicast they need two things: what a message needs
//! ([`Order::needs`]), and whether what a message needs is there ([`Order::arrive`]). The same `Barrier` and the same
//! `HoldBack` answer as in [`CausalUnicast`](super::CausalUnicast), which has sending again, acknowledging and asking
//! besides.
//!
//! Numbers are those of a sender's life, whoever its messages are for: they ascend at each receiver, and need not follow
//! each other there. Called by the engine for each channel with that order; it bounds nothing that is held:
//! [`Order::load_of`] says what is, before a message is taken.

use std::collections::BTreeMap;
use std::time::Duration;

use super::barrier::Barrier;
use super::message::{Need, RANGES_MAX};
use crate::hold_back::{Count, Gap, HoldBack, Life, Offer, Step};
use crate::time::Time;

/// Lives of senders of which the count is remembered; 16,384 as in [`Limits`](crate::Limits).
const LIVES_MAX: usize = 16_384;

/// What is to become of a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its turn has come.
    Due,
    /// What it needs is not there: it is to be held ([`Order::hold`]).
    Early,
    /// It was delivered before.
    Again,
    /// It was given up before it came: to deliver it now would break the order.
    GivenUp,
}

#[derive(Debug)]
struct Item<P, M> {
    needs: Vec<Need<P>>,
    message: M,
}

/// The order of one channel of one node. See the module's text.
#[derive(Debug)]
pub struct Order<P, M> {
    me: Life<P>,
    barrier: Barrier<P>,
    hold: HoldBack<P, Item<P, M>>,
    /// As which incarnation nodes are known to run: of lives before it nothing comes.
    runs_as: BTreeMap<P, u64>,
    /// Up to which number a life's messages come no more, where some of them are held still.
    settled: BTreeMap<Life<P>, u64>,
    /// Ranges of each life's messages that were given up.
    missed: BTreeMap<Life<P>, Vec<(u64, u64)>>,
}

impl<P: Copy + Ord, M> Order<P, M> {
    /// Nothing sent and nothing delivered by this life. `lasts` is how long after it was told of this node carries on
    /// what a third one may not have got yet: its sender must have ended it one way or the other by then.
    #[must_use]
    pub const fn new(me: Life<P>, lasts: Duration) -> Self {
        Self {
            me,
            barrier: Barrier::new(me, lasts),
            hold: HoldBack::by_hand(LIVES_MAX),
            runs_as: BTreeMap::new(),
            settled: BTreeMap::new(),
            missed: BTreeMap::new(),
        }
    }

    /// What a message that is sent now needs; `None` if that is more than one can carry, until some of it has gone.
    #[must_use]
    pub fn needs(&mut self, now: Time) -> Option<Vec<Need<P>>> {
        self.barrier.needs(now)
    }

    /// A message was sent; numbers ascend.
    pub fn sent(&mut self, now: Time, to: P, number: u64) {
        self.barrier.sent(now, to, number);
    }

    /// A receiver has this node's messages up to that number, or will not get them.
    pub fn settled(&mut self, to: P, number: u64) {
        self.barrier.settled(to, number);
    }

    /// A message of this node with these needs was delivered: so was what it needed there.
    pub fn delivered_at(&mut self, to: P, needs: &[Need<P>]) {
        self.barrier.delivered_at(to, needs);
    }

    /// What is to become of that message of a life, as those before it on its lane have come.
    pub fn arrive(&mut self, now: Time, life: Life<P>, number: u64, needs: &[Need<P>]) -> Arrival {
        if number <= self.hold.have(&life) {
            let missed = self.missed.get(&life).into_iter().flatten();
            let is_missed = |(first, last): &(u64, u64)| (*first..=*last).contains(&number);
            return match missed.copied().any(|range| is_missed(&range)) {
                true => Arrival::GivenUp,
                false => Arrival::Again,
            };
        }
        if self.hold.holds_any_of(&life) {
            return Arrival::Early;
        }
        let count = number - 1;
        self.hold.pass(now, Count { life, count });
        if self.hold.lacks(&self.needs_here(needs)) {
            Arrival::Early
        } else {
            Arrival::Due
        }
    }

    /// A message is about to be given to the application: what is sent from now on follows it.
    pub fn delivering(&mut self, now: Time, life: Life<P>, needs: &[Need<P>]) {
        self.barrier.delivered(now, life, needs);
    }

    /// A message that was [`Arrival::Due`] was given to the application, or refused by it.
    pub fn delivered(&mut self, now: Time, life: Life<P>, number: u64) {
        let count = number;
        self.hold.pass(now, Count { life, count });
    }

    /// Holds a message that was [`Arrival::Early`] until its turn comes. It counts as `bytes`.
    pub fn hold(
        &mut self,
        now: Time,
        (life, number): (Life<P>, u64),
        needs: Vec<Need<P>>,
        bytes: usize,
        message: M,
    ) {
        let here = self.needs_here(&needs);
        let item = Item { needs, message };
        let offered = self.hold.offer(now, (life, number), 0, &here, bytes, item);
        debug_assert!(matches!(offered, Offer::Taken), "it was early: {offered:?}");
    }

    /// The held messages whose turn has come.
    pub fn ready(&self) -> impl Iterator<Item = ((Life<P>, u64), &M)> {
        self.hold.ready().map(|(key, item)| (key, &item.message))
    }

    /// As [`Order::delivering`], of a message that is ready.
    pub fn delivering_ready(&mut self, now: Time, key: (Life<P>, u64)) {
        let item = self.hold.ready().find(|(ready, _)| *ready == key);
        if let Some((_, item)) = item {
            let needs = item.needs.clone();
            self.barrier.delivered(now, key.0, &needs);
        }
    }

    /// As [`Order::delivered`], of a message that is ready, which is held no longer.
    pub fn delivered_ready(&mut self, now: Time, key: (Life<P>, u64)) -> Option<M> {
        let item = self.hold.hand_over(now, key)?;
        if !self.hold.holds_any_of(&key.0)
            && let Some(count) = self.settled.remove(&key.0)
        {
            self.hold.pass(now, Count { life: key.0, count });
        }
        Some(item.message)
    }

    /// A life says that its messages up to that number come no more, but for those that came.
    pub fn settled_by(&mut self, now: Time, life: Life<P>, number: u64) {
        if self.hold.holds_any_of(&life) {
            let settled = self.settled.entry(life).or_default();
            *settled = number.max(*settled);
        } else {
            self.hold.pass(
                now,
                Count {
                    life,
                    count: number,
                },
            );
        }
    }

    /// The nodes whose messages held ones wait for.
    pub fn waited_for(&self) -> Vec<P> {
        self.hold.waited_for()
    }

    /// Messages and bytes that are held of a sender.
    pub fn load_of(&self, peer: &P) -> (usize, usize) {
        self.hold.load_of(peer)
    }

    /// Messages that are held.
    pub fn held(&self) -> usize {
        self.hold.held()
    }

    /// The lane from a sender has ended: what is held of it comes again, or never.
    pub fn let_go_of(&mut self, peer: &P) {
        self.hold.let_go_of(peer);
        self.settled.retain(|life, _| life.peer != *peer);
    }

    /// A node runs as that incarnation: its earlier lives send nothing any more. What is given up for it.
    pub fn lives_as(&mut self, now: Time, life: Life<P>) -> Vec<Gap<P>> {
        let newest = self.runs_as.entry(life.peer).or_default();
        *newest = life.incarnation.max(*newest);
        if self.runs_as.len() > LIVES_MAX {
            self.runs_as.pop_first();
        }
        self.hold.lives_ended(now, life.peer, life.incarnation);
        let newest = |known: &Life<P>| known.peer != life.peer || *known >= life;
        self.missed.retain(|known, _| newest(known));
        self.missed_now()
    }

    /// When the message came that has waited longest for others.
    pub fn waiting_since(&self) -> Option<Time> {
        self.hold.waiting_since()
    }

    /// Waits no more for what the messages need that came before `since`. What is given up for it.
    pub fn give_up_older(&mut self, now: Time, since: Time) -> Vec<Gap<P>> {
        self.hold.give_up_waiting(now, since);
        self.missed_now()
    }

    /// Whether messages carry what this node knows of others only, which is to be asked about now and then.
    pub fn knows_of_others(&self) -> bool {
        self.barrier.has_of_others()
    }

    /// Which nodes are to be asked whether they have which messages of others: each time as long after the last answer
    /// as a hundredth of the time that they are carried for without one.
    pub fn to_ask(&mut self, now: Time) -> BTreeMap<P, Vec<Count<P>>> {
        self.barrier.forget(now);
        self.barrier.to_ask(now)
    }

    /// How many of these messages to this node it has, or will not get.
    pub fn answer(&self, asked: &[Count<P>]) -> Vec<Count<P>> {
        let have = asked.iter().map(|Count { life, .. }| Count {
            life: *life,
            count: match self.has_ended(life) {
                true => u64::MAX,
                false => self.hold.have(life),
            },
        });
        have.collect()
    }

    /// A node has said so of messages to it.
    pub fn answered(&mut self, now: Time, by: P, have: &[Count<P>]) {
        for has in have {
            self.barrier.heard_of(now, by, *has);
        }
    }

    /// Pairs of receiver and sender that the next message would carry.
    pub fn open_needs(&self) -> usize {
        self.barrier.len()
    }

    fn needs_here(&self, needs: &[Need<P>]) -> Vec<Count<P>> {
        let here = needs.iter().filter(|need| need.to == self.me.peer);
        let here = here.filter(|need| !self.has_ended(&need.of.life));
        here.map(|need| need.of).collect()
    }

    fn has_ended(&self, life: &Life<P>) -> bool {
        let newest = self.runs_as.get(&life.peer);
        newest.is_some_and(|newest| life.incarnation < *newest)
    }

    fn missed_now(&mut self) -> Vec<Gap<P>> {
        let steps = self.hold.take_steps().into_iter();
        let missed = steps.filter_map(|step| match step {
            Step::Missed(gap) => Some(gap),
            Step::Deliver { .. } => None,
        });
        let missed: Vec<Gap<P>> = missed.collect();
        for Gap { life, first, last } in missed.iter().copied() {
            let ranges = self.missed.entry(life).or_default();
            ranges.push((first, last));
            if ranges.len() > RANGES_MAX {
                ranges.remove(0);
            }
        }
        missed
    }
}
