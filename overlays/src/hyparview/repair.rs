//! Mending: a free place in the active view is filled from the passive view, one-sided views are
//! straightened, and parts of a split overlay find each other again.

use rand::Rng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::message::Message;
use super::{HyParView, Outputs, Timer, turn_away};
use crate::event::{Output, Peer, WhyDown};
use crate::time::Time;

/// Refusals after which a node with neighbors waits for the next period. In an overlay where most
/// views are full, most refuse; asking all 30 each period would cost more than the shuffles.
const REFUSALS_PER_PERIOD_MAX: usize = 8;

/// Exchanges of a neighbor for another node after a join. 2: one for the node that it joined through,
/// one for a random spare.
pub(super) const MIXES_AFTER_JOIN: u32 = 2;

/// Periods between such exchanges in a small cluster. 6: a guess; one neighbor per minute.
const MIX_PERIODS: u32 = 6;

/// A question that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked<P> {
    pub(super) peer: P,
    pub(super) question: u32,
    /// The answer cannot be no, so room is made for it.
    pub(super) high_priority: bool,
}

/// A neighbor whose lane broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost<P> {
    pub(super) peer: P,
    pub(super) since: Time,
}

impl<P: Peer> HyParView<P> {
    pub(super) fn on_neighbor<R: Rng>(
        &mut self,
        from: P,
        high_priority: bool,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        let room = self.active.len() < self.config.active_max;
        let accept = high_priority || room || self.active.contains(from);
        if accept {
            self.admit(from, random, out);
        }
        let message = if accept {
            Message::Accept
        } else {
            Message::Refuse
        };
        out.push(Output::Send { to: from, message });
    }

    pub(super) fn on_accept<R: Rng>(&mut self, from: P, random: &mut R, out: &mut Outputs<P>) {
        let asked = self.asked.filter(|asked| asked.peer == from);
        let room = self.active.len() < self.config.active_max;
        if self.active.contains(from) {
            return;
        }
        if room || asked.is_some_and(|asked| asked.high_priority) {
            self.admit(from, random, out);
        } else {
            // The answer came too late: the place is taken.
            turn_away(from, out);
            self.end_question(from);
        }
        self.seek(random, out);
    }

    pub(super) fn on_refuse<R: Rng>(&mut self, from: P, random: &mut R, out: &mut Outputs<P>) {
        if self.end_question(from) {
            self.refused.push(from);
            self.seek(random, out);
        }
    }

    pub(super) fn on_disconnect<R: Rng>(
        &mut self,
        from: P,
        leaving: bool,
        instead: Option<P>,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        self.drop_out(from, out);
        self.end_question(from);
        if leaving {
            self.passive.remove(from);
            self.lost.retain(|lost| lost.peer != from);
        } else {
            self.learn(from, &[], random);
            // It has just made its view full; asking it now would be in vain.
            self.refused.push(from);
            self.refused.truncate(self.config.passive_max);
        }
        if self.xbot.expects_to_lose(from) {
            return;
        }
        match instead {
            Some(peer) if self.may_ask(peer) => self.ask(peer, false, out),
            _ => self.seek(random, out),
        }
    }

    /// A neighbor says that it is one. If it is not, make it one or tell it so.
    pub(super) fn on_present<R: Rng>(&mut self, from: P, random: &mut R, out: &mut Outputs<P>) {
        if self.active.contains(from) {
            return;
        }
        if self.active.len() < self.config.active_max {
            self.admit(from, random, out);
        } else {
            turn_away(from, out);
        }
    }

    pub(super) fn on_peer_down<R: Rng>(
        &mut self,
        now: Time,
        peer: P,
        why: WhyDown,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if self.left {
            return;
        }
        if why == WhyDown::Busy {
            // It lives, so it stays a spare; not asked again before the next period.
            self.refused.push(peer);
            self.refused.truncate(self.config.passive_max);
        } else {
            self.passive.remove(peer);
        }
        self.end_question(peer);
        if self.drop_out(peer, out) {
            self.remember_lost(now, peer);
            self.mixes_due = self.mixes_due.max(1);
        }
        self.seek(random, out);
    }

    pub(super) fn on_answer_due<R: Rng>(
        &mut self,
        question: u32,
        random: &mut R,
        out: &mut Outputs<P>,
    ) {
        if let Some(asked) = self.asked.filter(|asked| asked.question == question) {
            self.end_question(asked.peer);
            self.passive.remove(asked.peer);
            self.seek(random, out);
        }
    }

    /// Drops neighbors that have been silent too long; tells the others that this node is there.
    pub(super) fn drop_silent(&mut self, now: Time, out: &mut Outputs<P>) {
        let mut silent = Vec::new();
        for neighbor in self.active.entries_mut() {
            neighbor.silent_periods = if neighbor.heard {
                0
            } else {
                neighbor.silent_periods + 1
            };
            neighbor.heard = false;
            if neighbor.silent_periods >= self.config.silent_periods_max {
                silent.push(neighbor.peer);
            }
        }
        for peer in silent {
            turn_away(peer, out);
            self.drop_out(peer, out);
            self.remember_lost(now, peer);
        }
        for to in self.active.peers() {
            out.push(Output::Send {
                to,
                message: Message::Present,
            });
        }
    }

    /// What a node does about its own loneliness once per period.
    pub(super) fn repair<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Outputs<P>) {
        self.refused.clear();
        // A whole period was not enough to find enough neighbors: two nodes whose spares are all full
        // and refuse would otherwise stay an island of their own.
        self.lonely = self.active.len() <= self.config.active_max / 2;
        self.seek(random, out);
        let lost_for = self.config.lost_for;
        self.lost.retain(|lost| now.since(lost.since) < lost_for);
        if self.asked.is_none()
            && let Some(lost) = self.lost.choose(random)
        {
            self.ask(lost.peer, true, out);
        }
        self.mix(random, out);
        // Nobody is left, or nobody else is known: the way in may lead further.
        let full = self.active.len() >= self.config.active_max;
        let known = self.active.len() > 0 && !self.passive.peers().is_empty();
        if !full && !known {
            let contacts = self
                .contacts
                .iter()
                .filter(|peer| !self.active.contains(**peer));
            out.extend(contacts.choose(random).map(|to| Output::Send {
                to: *to,
                message: Message::Join,
            }));
        }
    }

    /// Exchanges a random neighbor for another node, in the periods after a join or a loss. Nodes that
    /// came in side by side may have only each other, and shuffles never leave such an island. So
    /// first for the node that this one joined through: from wherever an island began, that path
    /// leads out of it.
    fn mix<R: Rng>(&mut self, random: &mut R, out: &mut Outputs<P>) {
        // A node with room among its spares is in a small cluster or on an island, where views can be
        // full and apart for good; in a large cluster chance sees to that, and trees are left alone.
        let few_known = self.passive.peers().len() < self.config.passive_max;
        if few_known && self.periods.is_multiple_of(MIX_PERIODS) {
            self.mixes_due = self.mixes_due.max(1);
        }
        let full = self.active.len() >= self.config.active_max;
        if self.mixes_due == 0 || !full || self.asked.is_some() {
            return;
        }
        let contact = self
            .contacts
            .last()
            .filter(|_| self.mixes_due == MIXES_AFTER_JOIN);
        let peer = contact
            .copied()
            .or_else(|| self.passive.random(random, &[]));
        self.mixes_due -= 1;
        if let Some(peer) = peer.filter(|peer| !self.active.contains(*peer)) {
            self.ask(peer, true, out);
        }
    }

    /// Asks a spare node to fill a free place, one at a time, another one after each refusal.
    pub(super) fn seek<R: Rng>(&mut self, random: &mut R, out: &mut Outputs<P>) {
        let full = self.active.len() >= self.config.active_max;
        let alone = self.active.len() == 0;
        let tired = self.refused.len() >= REFUSALS_PER_PERIOD_MAX && !alone;
        if self.left || full || tired || self.asked.is_some() {
            return;
        }
        if let Some(peer) = self.passive.random(random, &self.refused) {
            let high_priority = alone || self.lonely || self.config.partisan_deviations;
            self.ask(peer, high_priority, out);
        }
    }

    fn may_ask(&self, peer: P) -> bool {
        let full = self.active.len() >= self.config.active_max;
        let known = peer == self.me || self.active.contains(peer);
        !self.left && !full && !known && self.asked.is_none()
    }

    fn ask(&mut self, peer: P, high_priority: bool, out: &mut Outputs<P>) {
        self.questions = self.questions.wrapping_add(1);
        let question = self.questions;
        self.asked = Some(Asked {
            peer,
            question,
            high_priority,
        });
        out.push(Output::Send {
            to: peer,
            message: Message::Neighbor { high_priority },
        });
        let id = Timer::AnswerDue { question };
        out.push(Output::SetTimer {
            id,
            after: self.config.answer_timeout,
        });
    }

    /// Whether this was the node that had been asked.
    pub(super) fn end_question(&mut self, peer: P) -> bool {
        let was_asked = self.asked.is_some_and(|asked| asked.peer == peer);
        if was_asked {
            self.asked = None;
        }
        was_asked
    }

    fn remember_lost(&mut self, now: Time, peer: P) {
        if self.config.lost_max > 0 && !self.lost.iter().any(|lost| lost.peer == peer) {
            if self.lost.len() >= self.config.lost_max {
                self.lost.remove(0);
            }
            self.lost.push(Lost { peer, since: now });
        }
    }
}
