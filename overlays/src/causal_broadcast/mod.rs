//! Causal broadcast: no node delivers a message before those that its sender had delivered or sent.
//!
//! A layer over any broadcast. The rule is that of Birman, Schiper and Stephenson ("Lightweight Causal and
//! Atomic Group Multicast", 1991), but a message does not carry a vector of all senders: it lists, by
//! sender and count, what its sender delivered since its broadcast before, and of that only what nothing
//! else on the list needs already (immediate predecessors, called causal barriers by Prakash, Raynal and
//! Singhal, "An Adaptive Causal Ordering Algorithm Suited to Mobile Computing Environments", 1997). The
//! rest follows. It stands in the head of the payload, so the body is never copied.
//!
//! - What came early is held back, within bounds; where there is no room, the longest wait is ended. A
//!   message that is missing is asked for (`repair`); when [`Config::wait_max`] is over it is given
//!   up: [`Event::Missed`] names it, what waited is delivered, and should it come after all it is dropped.
//!   So a message that nobody alive has blocks nobody for longer.
//! - What a message needed that was given up is unknown, so each carries a stamp as well (Lamport's clock), by
//!   which what may have been needed goes ahead, or is passed over where it comes later
//!   (`hold_back::closing`).
//! - What was delivered is kept for those that miss it until every live member has it (`stability`).
//!   With no membership below, until there is no more room. The list of what a message needs is not
//!   shortened by that: it is short, and a node that has just joined is not in every node's view.
//! - A node that starts asks a neighbor how far it is (`joining`) and delivers what comes after that. Each
//!   life of a node (its incarnation) is a sender of its own.
//!
//! It orders what the broadcast below brings, asks for what it learns of, and promises no more. Partisan's
//! causal delivery, for comparison, sends one entry of its clock and drops what it merges, and keeps every
//! message for ever.

mod config;
mod joining;
mod kept;
mod message;
mod repair;
mod sending;
mod stability;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use rand::Rng;
use serde::Serialize;

use crate::estimate::Estimate;
use crate::event::{Command, Delivery, Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::hash::hash_of;
use crate::hold_back::{Count, HoldBack, Key, Life, Offer, Step};
use crate::store::MessageId;
use crate::time::Time;
use joining::Joining;
use kept::{Broadcast, Kept};
use message::Words;
use repair::Behind;
use stability::Stability;

pub use config::Config;
pub use message::{
    Again, COUNTS_MAX, Counts, GAPS_MAX, HEARD_BYTES_MAX, Message, Round, WORDS_BYTES_MAX,
};

/// Timers of causal broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// A period is over.
    Period,
    /// A held message may have waited long enough to ask, or too long.
    Look,
}

/// What a node has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Broadcasts sent, those that bring nothing but needs included.
    pub sent: u64,
    /// Bytes that this layer put in front of them.
    pub words_bytes: u64,
    /// Of those sent: broadcasts that brought nothing but needs.
    pub needs_only: u64,
    /// Messages passed over, each told by [`Event::Missed`].
    pub missed: u64,
    /// Messages that came when they had been delivered or passed over.
    pub late: u64,
    /// Questions sent for messages that are missing.
    pub asked: u64,
    /// Messages sent in answer to such questions.
    pub answered: u64,
    /// Broadcasts from below that were not understood.
    pub malformed: u64,
}

type Out<P> = Vec<Output<P, Message<P>, Timer>>;

/// The causal broadcast of one node.
#[derive(Debug)]
pub struct CausalBroadcast<P> {
    me: Life<P>,
    config: Config,
    neighbors: Vec<P>,
    hold: HoldBack<P, Broadcast<P>>,
    kept: Kept<P>,
    /// Messages of this node so far.
    number: u64,
    /// Lamport's: no less than the stamp of anything that was sent, or came.
    clock: u64,
    /// What was delivered since the last of them, without what that needs.
    needs: BTreeMap<Life<P>, u64>,
    stability: Stability<P>,
    joining: Option<Joining>,
    /// How long messages waited that did not have to be asked for.
    usual_wait: Estimate,
    behind: BTreeMap<Life<P>, Behind<P>>,
    /// Bytes sent in answer to questions within this period, by who asked.
    answered: BTreeMap<P, usize>,
    is_looking: bool,
    /// A timer for the next period is set.
    is_ticking: bool,
    counters: Counters,
}

impl<P: Peer> CausalBroadcast<P> {
    /// A node that has sent and delivered nothing. `incarnation` must be greater than at any earlier
    /// start of a node with this identity, as for [`crate::membership::Membership::new`].
    #[must_use]
    pub fn new(me: P, incarnation: u64, config: Config) -> Self {
        let mut hold = HoldBack::new(config.hold_back);
        hold.pause();
        Self {
            me: Life {
                peer: me,
                incarnation,
            },
            neighbors: Vec::new(),
            hold,
            kept: Kept::new(config.kept_messages_max, config.kept_bytes_max),
            number: 0,
            clock: 0,
            needs: BTreeMap::new(),
            stability: Stability::new(me),
            joining: Some(Joining::new()),
            usual_wait: Estimate::new(),
            behind: BTreeMap::new(),
            answered: BTreeMap::new(),
            is_looking: false,
            is_ticking: false,
            config,
            counters: Counters::default(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether this node knows where to begin; until then it delivers nothing.
    #[must_use]
    pub const fn has_joined(&self) -> bool {
        self.joining.is_none()
    }

    /// Broadcasts of this node so far, those that bring nothing but needs included: the number of its last.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.number
    }

    /// Messages held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.hold.held()
    }

    /// Most messages ever held back at once.
    #[must_use]
    pub const fn most_held(&self) -> usize {
        self.hold.most_held()
    }

    /// Needs that were not waited for, as no honest node has them: two messages that need each other, or
    /// a count far beyond what was heard of.
    #[must_use]
    pub const fn waived(&self) -> u64 {
        self.hold.waived()
    }

    /// Messages kept for nodes that miss them.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        self.hold.check()?;
        self.kept.check()?;
        if self.behind.len() > COUNTS_MAX {
            return Err(format!("behind on {} lives", self.behind.len()));
        }
        if self.needs.len() > self.config.hold_back.lives_max {
            return Err(format!("{} needs", self.needs.len()));
        }
        Ok(())
    }

    fn below<R: Rng>(&mut self, now: Time, event: Event<P>, random: &mut R, out: &mut Out<P>) {
        match event {
            Event::Delivered(delivery) if delivery.topic.is_none() => self.arrived(now, delivery),
            Event::Refused {
                command: Command::Broadcast(payload),
                why,
            } => self.refused(payload, why, out),
            other => {
                out.push(Output::Event(other.clone()));
                match other {
                    Event::NeighborUp(peer) => self.neighbor_up(now, peer, random, out),
                    Event::NeighborDown(peer) => self.neighbors.retain(|known| *known != peer),
                    Event::MemberUp(peer) => self.stability.member_up(peer),
                    Event::MemberDown(peer) | Event::MemberLeft(peer) => {
                        self.stability.member_gone(&peer);
                    }
                    _ => {}
                }
            }
        }
    }

    fn arrived(&mut self, now: Time, delivery: Delivery<P>) {
        let Some((words, is_message, payload)) = Words::unmark(delivery.payload) else {
            self.counters.malformed += 1;
            return;
        };
        let life = Life {
            peer: delivery.sender,
            incarnation: words.incarnation,
        };
        let broadcast = Broadcast {
            stamp: words.stamp,
            needs: words.needs,
            is_message,
            hops: delivery.hops,
            payload,
        };
        self.offer(now, (life, words.number), broadcast);
    }

    /// A broadcast of somebody's came, from below or as an answer.
    fn offer(&mut self, now: Time, key: Key<P>, broadcast: Broadcast<P>) {
        if key.0 == self.me {
            self.counters.late += 1;
            return;
        }
        self.hear_clock(broadcast.stamp);
        let needs: Vec<Count<P>> = broadcast
            .needs
            .iter()
            .filter(|need| need.life != self.me)
            .copied()
            .collect();
        let (stamp, bytes) = (broadcast.stamp, broadcast.payload.len());
        match self.hold.offer(now, key, stamp, &needs, bytes, broadcast) {
            Offer::Taken => {}
            Offer::Again | Offer::Late | Offer::Closed => self.counters.late += 1,
        }
    }

    /// Another node's clock, or a stamp made by it.
    fn hear_clock(&mut self, theirs: u64) {
        self.clock = self.clock.max(theirs);
    }

    /// Tells what became of messages since the last input.
    fn tell(&mut self, now: Time, out: &mut Out<P>) {
        for step in self.hold.take_steps() {
            match step {
                Step::Deliver {
                    key,
                    item,
                    came,
                    asks,
                } => {
                    let waited = now.since(came);
                    if asks == 0 && !waited.is_zero() && self.joining.is_none() {
                        self.usual_wait.add(waited);
                    }
                    self.deliver(key, item, out);
                }
                Step::Missed(gap) => {
                    let missed = (gap.last - gap.first).saturating_add(1);
                    self.counters.missed = self.counters.missed.saturating_add(missed);
                    out.push(Output::Event(Event::Missed {
                        sender: gap.life.peer,
                        incarnation: gap.life.incarnation,
                        first: gap.first,
                        last: gap.last,
                    }));
                }
            }
        }
    }

    fn deliver(&mut self, key: Key<P>, broadcast: Broadcast<P>, out: &mut Out<P>) {
        let (life, number) = key;
        for need in &broadcast.needs {
            if self
                .needs
                .get(&need.life)
                .is_some_and(|count| *count <= need.count)
            {
                self.needs.remove(&need.life);
            }
        }
        self.needs.insert(life, number);
        if broadcast.is_message {
            out.push(Output::Event(Event::Delivered(Delivery {
                sender: life.peer,
                id: MessageId {
                    sender: hash_of(&life),
                    number,
                },
                topic: None,
                payload: broadcast.payload.clone(),
                hops: broadcast.hops,
            })));
        }
        if self.stability.stable(&life) < number {
            self.kept.insert(key, broadcast);
        }
    }

    fn period<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        self.is_ticking = false;
        self.answered.clear();
        self.join_period(now, random, out);
        self.catch_up(now, out);
        self.gossip(random, out);
        let forgotten = self.config.forget_after;
        if now.since(Time::ZERO) > forgotten {
            let since = Time::from_micros(now.as_micros() - micros(forgotten));
            let stability = &self.stability;
            let keep = |life: &Life<P>| stability.is_live(&life.peer);
            self.hold.forget(since, keep);
            let known: Vec<Life<P>> = self.hold.counts().map(|count| count.life).collect();
            let is_known = |life: &Life<P>| known.binary_search(life).is_ok();
            self.stability.forget(is_known);
            self.needs.retain(|life, _| is_known(life));
        }
    }

    /// A node that looks for where to begin has periods, and one that has sent or heard of anything that is not forgotten.
    /// All others cost nothing.
    fn tick_later(&mut self, out: &mut Out<P>) {
        let is_joining = self.joining.is_some_and(Joining::has_begun);
        if !self.is_ticking
            && (is_joining || self.number > 0 || self.hold.counts().next().is_some())
        {
            self.is_ticking = true;
            out.push(Output::SetTimer {
                id: Timer::Period,
                after: self.config.period,
            });
        }
    }

    /// What this node has sent and delivered.
    fn have(&self) -> Vec<Count<P>> {
        let own = Count {
            life: self.me,
            count: self.number,
        };
        let own = Some(own).filter(|own| own.count > 0);
        own.into_iter().chain(self.hold.counts()).collect()
    }

    fn have_of(&self, life: &Life<P>) -> u64 {
        if *life == self.me {
            self.number
        } else {
            self.hold.have(life)
        }
    }
}

impl<P: Peer> Protocol<P> for CausalBroadcast<P> {
    type Message = Message<P>;
    type Timer = Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Start => self.start(random, out),
            Input::Received { from, message } => self.received(now, from, message, out),
            Input::Timer(Timer::Period) => self.period(now, random, out),
            Input::Timer(Timer::Look) => self.look(now, random, out),
            Input::Command(command) => self.command(command, out),
            Input::Below(event) => self.below(now, event, random, out),
            // Lanes are the overlay's; answers that find no room on one are asked for again.
            Input::PeerUp(_) | Input::PeerDown { .. } | Input::Congested(_) | Input::Drained(_) => {
            }
        }
        self.tell(now, out);
        self.look_later(now, out);
        self.tick_later(out);
    }
}

/// Whole microseconds of a span.
fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
