//! Finds out which members do not answer: one probe per node and period, whatever the cluster's size,
//! and up to eight while it finds that members do not.
//!
//! A part of [`crate::membership`], which tells it whom to watch and what to do with its accusations;
//! it knows neither versions nor members, and never says that anybody is *down*.
//!
//! A probe is a ping; unanswered, it is repeated, and a few others are asked to ping too (`probing`).
//! What they answer, also that they got no answer, proves that this node itself can hear. A node that
//! hears nobody, or whose timers come late, takes the fault for its own: it accuses nobody and gives
//! everybody more time (`health`; the idea is Lifeguard's). Where pings get lost a probe tries longer
//! (`loss`); where members die, more probes run at once. Why not an existing crate:
//! `docs/decisions/0010-failure-detection.md`.

mod config;
mod health;
mod loss;
mod probing;
mod relay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::event::Peer;
use crate::time::Time;
pub use config::Config;
use health::Health;
use loss::Loss;
use probing::Probe;
use relay::Relays;

/// Most members waiting for a probe out of turn. One is probed per period, more would be stale.
const URGENT_MAX: usize = 16;
/// With nobody to ask for help, this many probes in a row must fail before an accusation.
const LONELY_FAILURES: u8 = 3;

/// Most that the time of one member is stretched: 4 times, not to watch the others too rarely.
const LENIENCY_MAX: u32 = 3;
/// Most members whose time is stretched.
const LENIENT_MAX: usize = 32;

/// What detectors say to one another. Numbers are the asker's own and are given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Answer with [`Message::Ack`].
    Ping(u32),
    /// I am here.
    Ack(u32),
    /// Ping `target`, and tell me what came of it.
    PingFor {
        /// Number of the asker.
        number: u32,
        /// Whom to ping.
        target: P,
    },
    /// The target that you asked about answered me.
    Heard(u32),
    /// The target that you asked about did not answer me in time.
    Silent(u32),
}

/// Timers of the detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Timer {
    /// The next probe is due.
    Period,
    /// The direct answer to probe `.0` is late.
    Direct(u32),
    /// Probe `.0` must have been answered by now.
    Verdict(u32),
    /// The ping made for somebody else under this number is late.
    Relay(u32),
}

/// What the detector wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<P> {
    /// Send this.
    Send {
        /// To whom, neighbor or not.
        to: P,
        /// What.
        message: Message<P>,
    },
    /// Call [`Detector::timer`] with this id after this time.
    SetTimer {
        /// Given back.
        id: Timer,
        /// From now.
        after: Duration,
    },
    /// This member answered neither this node nor those it asked.
    Accuse(P),
}

/// The members that the detector may choose from, as its owner sees them.
pub trait Watched<P> {
    /// Part of the cluster, so that it makes sense to probe it.
    fn is_live(&self, peer: &P) -> bool;
    /// The member that follows this one on the ring. The one that follows this node itself it has to
    /// watch, though it may be no neighbor.
    fn following(&self, peer: P) -> Option<P>;
    /// Some member that nobody suspects, from a random number: asked for help where neighbors are too few.
    fn near(&self, random: u64) -> Option<P>;
}

/// Periods in which nothing is heard of any other detector, until what is not answered is no longer taken for a fault of
/// this node. 5: a guess; in a period each node is pinged by one other, and pings one.
const DEAF_PERIODS: u32 = 5;
/// Probes in vain of this node meanwhile. 2: one may be of the only member that is gone.
const DEAF_PROBES: u32 = 2;

/// The failure detector of one node.
#[derive(Debug)]
pub struct Detector<P> {
    me: P,
    config: Config,
    neighbors: BTreeSet<P>,
    /// Neighbors still to be probed in this round, in random order.
    round: Vec<P>,
    /// Members wrongly accused, and by how much their time is stretched since.
    lenient: BTreeMap<P, u32>,
    urgent: VecDeque<P>,
    /// By number. Each ends after a few waits, and a few begin per period: that bounds them.
    probes: BTreeMap<u32, Probe<P>>,
    /// How many probes run at once.
    width: usize,
    relays: Relays<P>,
    health: Health,
    loss: Loss,
    /// When a message of another detector came last.
    heard: Time,
    /// Probes that have ended since without an answer.
    in_vain: u32,
    last_number: u32,
    periods: u32,
    period_due: Time,
}

impl<P: Peer> Detector<P> {
    /// A detector that watches nobody yet.
    #[must_use]
    pub const fn new(me: P, config: Config) -> Self {
        Self {
            me,
            config,
            neighbors: BTreeSet::new(),
            round: Vec::new(),
            lenient: BTreeMap::new(),
            urgent: VecDeque::new(),
            probes: BTreeMap::new(),
            width: 1,
            relays: Relays::new(),
            health: Health::new(),
            loss: Loss::new(),
            heard: Time::ZERO,
            in_vain: 0,
            last_number: 0,
            periods: 0,
            period_due: Time::ZERO,
        }
    }

    /// The neighbors, as the overlay told them.
    #[must_use]
    pub const fn neighbors(&self) -> &BTreeSet<P> {
        &self.neighbors
    }

    /// How many times longer than usual this node lets others take: 1 when it trusts itself.
    #[must_use]
    pub const fn patience(&self) -> u32 {
        self.health.patience()
    }

    /// Starts the periods, at a random phase so that nodes started together do not probe together.
    pub fn start<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Vec<Action<P>>) {
        self.last_number = random.random();
        self.heard = now;
        let after = self.config.period.mul_f64(random.random_range(0.0..=1.0));
        self.period_due = now + after;
        let id = Timer::Period;
        out.push(Action::SetTimer { id, after });
    }

    /// The overlay made a neighbor.
    pub fn neighbor_up<R: Rng>(&mut self, peer: P, random: &mut R) {
        if peer != self.me && self.neighbors.insert(peer) {
            let place = random.random_range(0..=self.round.len());
            self.round.insert(place, peer);
        }
    }

    /// The overlay lost a neighbor: nobody knows yet whether the node is gone too.
    pub fn neighbor_down(&mut self, peer: P) {
        if self.neighbors.remove(&peer) {
            self.round.retain(|other| *other != peer);
            self.probe_soon(peer);
        }
    }

    /// Probes this member before its turn.
    pub fn probe_soon(&mut self, peer: P) {
        if peer != self.me && self.urgent.len() < URGENT_MAX && !self.urgent.contains(&peer) {
            self.urgent.push_back(peer);
        }
    }

    /// A member was accused, or even thought dead, and refuted it: it lives, but it is slow.
    pub fn be_lenient_with(&mut self, peer: P) {
        if self.lenient.len() >= LENIENT_MAX && !self.lenient.contains_key(&peer) {
            // So many are hardly all slow. Those that are will be here again soon.
            self.lenient.clear();
        }
        let leniency = self.lenient.entry(peer).or_default();
        *leniency = (*leniency + 1).min(LENIENCY_MAX);
    }

    /// How many times longer than usual this member has to refute an accusation: as long as this node
    /// waits for its answers, and longer where news gets lost.
    #[must_use]
    pub fn patience_with_suspect(&self, peer: &P) -> u32 {
        self.patience_with(peer) + self.loss.waves().min(probing::WAVES_MAX - 1)
    }

    /// How many times longer than usual this node lets this member take.
    #[must_use]
    pub fn patience_with(&self, peer: &P) -> u32 {
        self.health.patience() + self.lenient.get(peer).copied().unwrap_or(0)
    }

    /// This node did not run for some time: what it waited for proves nothing, and it trusts itself
    /// least until others have answered it.
    pub fn slept(&mut self, now: Time) {
        self.probes.clear();
        self.width = 1;
        self.health.give_up();
        self.heard = now;
        self.in_vain = 0;
        self.period_due = now;
    }

    /// Takes a timer.
    pub fn timer<R: Rng>(
        &mut self,
        now: Time,
        id: Timer,
        watched: &impl Watched<P>,
        random: &mut R,
        out: &mut Vec<Action<P>>,
    ) {
        match id {
            Timer::Period => self.period(now, watched, random, out),
            Timer::Direct(number) => self.direct_is_late(now, number, watched, random, out),
            Timer::Verdict(number) => self.verdict(now, number, watched, random, out),
            Timer::Relay(number) => {
                if let Some((to, number)) = self.relays.give_up(number) {
                    let message = Message::Silent(number);
                    out.push(Action::Send { to, message });
                }
            }
        }
    }

    /// Takes a message.
    pub fn received(&mut self, now: Time, from: P, message: &Message<P>, out: &mut Vec<Action<P>>) {
        self.heard = now;
        self.in_vain = 0;
        match *message {
            Message::Ping(number) => out.push(Action::Send {
                to: from,
                message: Message::Ack(number),
            }),
            Message::Ack(number) => self.acknowledged(now, from, number, out),
            Message::PingFor { number, target } => self.ping_for(from, number, target, out),
            Message::Heard(number) => self.helper_said(from, number, true),
            Message::Silent(number) => self.helper_said(from, number, false),
        }
    }

    fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        self.last_number
    }

    fn acknowledged(&mut self, now: Time, from: P, number: u32, out: &mut Vec<Action<P>>) {
        if let Some(probe) = self.probes.get_mut(&number)
            && probe.target == from
        {
            let promptly = now.since(probe.sent()) <= self.config.direct_wait;
            probe.acknowledged(promptly);
        } else if let Some((to, number)) = self.relays.answered(number, &from) {
            let message = Message::Heard(number);
            out.push(Action::Send { to, message });
        }
    }

    fn helper_said(&mut self, from: P, number: u32, target_answered: bool) {
        if let Some(probe) = self.probes.get_mut(&number) {
            probe.helper_said(from, target_answered);
        }
    }

    fn ping_for(&mut self, from: P, asked: u32, target: P, out: &mut Vec<Action<P>>) {
        if target == self.me {
            let message = Message::Heard(asked);
            out.push(Action::Send { to: from, message });
            return;
        }
        let number = self.next_number();
        if !self.relays.begin(number, from, asked, target) {
            return;
        }
        out.push(Action::Send {
            to: target,
            message: Message::Ping(number),
        });
        out.push(Action::SetTimer {
            id: Timer::Relay(number),
            after: self.config.direct_wait,
        });
    }

    /// Nobody was heard for so long, and over so many probes, that slowness of this node does not explain it: it is cut
    /// off, or the others are gone.
    fn is_deaf(&self, now: Time) -> bool {
        let is_long = now.since(self.heard) >= self.config.period * DEAF_PERIODS;
        is_long && self.in_vain >= DEAF_PROBES
    }

    /// A timer this late means that this node did not run, so silence proves nothing.
    fn is_stalled(&self, now: Time, due: Time) -> bool {
        now.since(due) > self.config.direct_wait
    }
}
