//! Which connected part of the overlay a node is in, so that parts that have lost each other notice.
//!
//! Shuffles never leave the part they begin in, and full views on both sides are content for ever. So
//! each part has a name: its least node, the *root*, which counts up once a period. The count spreads
//! from neighbor to neighbor with the signs of life, so a root that is gone, or cut off, falls silent
//! and the next one takes its place. A node *hails* others now and then: those that it joined through,
//! those that it lost, and its spares. Who answers with another root stands apart, and is made a
//! neighbor. Where all have one root nothing is exchanged, so an overlay in one piece is at rest.
//!
//! Called by the handlers of the overlay; never trusts a root for longer than it goes on counting.

use std::collections::VecDeque;
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::message::{Message, Part};
use super::{HyParView, Outputs};
use crate::event::{Output, Peer};
use crate::time::Time;

/// Periods without a new count after which a root is given up. 4: counts come over every lane of a
/// node, so that they are hardly lost; a root that pauses for so long is not missed.
const ROOT_PERIODS: u32 = 4;
/// Most times per period that what a neighbor said is passed on at once. An honest cluster needs one,
/// and a few more while it comes together.
const PASSED_ON_MAX: u32 = 8;
/// Periods that a lane to what was another part is not given up for one to another node.
pub(super) const KEPT_PERIODS: u32 = 6;
/// Roots that were given up and are remembered, so that an old count does not revive them.
const GIVEN_UP_MAX: usize = 8;
/// Hails in the periods after a join or a loss, one each. 3: one may be lost, another find nobody.
pub(super) const HAILS_AFTER_CHANGE: u32 = 3;
/// Periods between hails of a node that is at rest. 6: a guess; one per minute.
const HAIL_PERIODS: u32 = 6;

/// The part that this node is in.
#[derive(Debug)]
pub(super) struct Belonging<P> {
    me: P,
    /// How far this node has counted, were it the root.
    count: u64,
    part: Part<P>,
    /// Since when the root is this one.
    since: Time,
    /// When the root was last heard to have counted.
    counted: Time,
    given_up: VecDeque<Part<P>>,
    /// Times that something was passed on in this period.
    passed_on: u32,
}

/// What came of hearing a part's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing new.
    Nothing,
    /// The root has counted.
    Counted,
    /// A lesser root.
    LesserRoot {
        /// The root before it was another one, and alive: two parts have become one.
        merged: bool,
    },
}

impl<P: Peer> Belonging<P> {
    pub(super) const fn new(me: P) -> Self {
        Self {
            me,
            count: 0,
            part: Part { root: me, count: 0 },
            since: Time::ZERO,
            counted: Time::ZERO,
            given_up: VecDeque::new(),
            passed_on: 0,
        }
    }

    pub(super) const fn part(&self) -> Part<P> {
        self.part
    }

    /// Whether the root has been the same for `span`, so that neighbors should agree about it.
    pub(super) fn settled(&self, now: Time, span: Duration) -> bool {
        now.since(self.since) >= span
    }

    /// A neighbor is in this part.
    pub(super) fn hear(&mut self, now: Time, part: Part<P>, settled: Duration) -> Heard {
        if part.root == self.me {
            // Counted in an earlier life of this node: go on from there.
            self.count = self.count.max(part.count);
            return Heard::Nothing;
        }
        if part.root == self.part.root {
            if part.count <= self.part.count {
                return Heard::Nothing;
            }
            self.part.count = part.count;
            self.counted = now;
            return Heard::Counted;
        }
        let given_up = self.given_up.iter().find(|old| old.root == part.root);
        let is_old = given_up.is_some_and(|old| old.count >= part.count);
        if part.root > self.part.root || is_old {
            return Heard::Nothing;
        }
        // No merger: one of several roots that are heard of as nodes meet, or one that is back.
        let merged = self.part.root != self.me && self.settled(now, settled) && given_up.is_none();
        self.part = part;
        self.since = now;
        self.counted = now;
        Heard::LesserRoot { merged }
    }

    /// Whether something new may be passed on at once, and not only when the period is over.
    const fn may_pass_on(&mut self) -> bool {
        self.passed_on += 1;
        self.passed_on <= PASSED_ON_MAX
    }

    /// Once a period: counts, if this node is the root; gives up a root that does not.
    pub(super) fn period_over(&mut self, now: Time, period: Duration) {
        self.passed_on = 0;
        self.count = self.count.saturating_add(1);
        if self.part.root == self.me {
            self.part.count = self.count;
        } else if now.since(self.counted) >= period * ROOT_PERIODS {
            if self.given_up.len() == GIVEN_UP_MAX {
                self.given_up.pop_front();
            }
            self.given_up.push_back(self.part);
            self.part = Part {
                root: self.me,
                count: self.count,
            };
            self.since = now;
        }
    }
}

impl<P: Peer> HyParView<P> {
    /// A neighbor said which part it is in.
    pub(super) fn hear_part(&mut self, now: Time, from: P, part: Part<P>, out: &mut Outputs<P>) {
        if !self.active.contains(from) {
            return;
        }
        if part.root != self.belonging.part().root
            && let Some(neighbor) = self.active.get_mut(from)
        {
            neighbor.kept_periods = KEPT_PERIODS;
        }
        let heard = self.belonging.hear(now, part, self.config.period / 2);
        if heard == (Heard::LesserRoot { merged: true }) {
            // One lane between two parts is few: others come of exchanges at random.
            self.mixes_due = self.mixes_due.max(1);
        }
        // So all hear the root in an instant, however wide the part is.
        if heard != Heard::Nothing && self.belonging.may_pass_on() {
            self.tell_part(out);
        }
    }

    /// Tells all neighbors that this node is there, and which part it is in.
    pub(super) fn tell_part(&mut self, out: &mut Outputs<P>) {
        self.told_part = true;
        let part = self.belonging.part();
        for to in self.active.peers() {
            let message = Message::Present { part };
            out.push(Output::Send { to, message });
        }
    }

    /// Asks a node that is no neighbor which part it is in, if it is time to.
    pub(super) fn hail<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Outputs<P>) {
        let due = self.hails_due > 0 || self.periods.is_multiple_of(HAIL_PERIODS);
        if !due || !self.is_settled(now) || self.active.len() == 0 {
            return;
        }
        self.hails_due = self.hails_due.saturating_sub(1);
        let lost = self.lost.iter().map(|lost| lost.peer);
        let outside = self.contacts.iter().copied().chain(lost);
        let outside: Vec<P> = outside
            .filter(|peer| !self.active.contains(*peer))
            .collect();
        let outside = outside.choose(random).copied();
        let spare = self.passive.random(random, &[]);
        // Spares too: a part may have lost all that it came in through.
        let spare_first = self.hails_due == 0 && random.random_bool(0.5);
        let peer = if spare_first {
            spare.or(outside)
        } else {
            outside.or(spare)
        };
        if let Some(to) = peer {
            self.hailed = Some(to);
            out.push(Output::Send {
                to,
                message: Message::Hail,
            });
        }
    }

    pub(super) fn on_hail<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let part = self.is_settled(now).then(|| self.belonging.part());
        let peers = self.passive.sample(random, self.config.shuffle_passive);
        out.push(Output::Send {
            to: from,
            message: Message::Here { part, peers },
        });
        self.learn(from, &[], random);
    }

    pub(super) fn on_here<R: Rng>(
        &mut self,
        now: Time,
        from: P,
        part: Option<Part<P>>,
        peers: &[P],
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if self.hailed != Some(from) {
            return;
        }
        self.hailed = None;
        for peer in peers {
            self.learn(*peer, &[], random);
        }
        let apart = part.is_some_and(|part| part.root != self.belonging.part().root);
        if apart && self.is_settled(now) && !self.active.contains(from) {
            self.ask(from, true, out);
        } else {
            self.learn(from, &[], random);
        }
    }

    /// Long enough in one part for all others there to know it. Half a period: a lesser root is
    /// passed on at once, so that is the time of some ten lanes and a lost message.
    fn is_settled(&self, now: Time) -> bool {
        self.belonging.settled(now, self.config.period / 2)
    }
}
