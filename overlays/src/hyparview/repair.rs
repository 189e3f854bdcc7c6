//! Mending: a free place in the active view is filled from the passive view, one-sided views are
//! straightened, and lost neighbors are tried again.

use rand::Rng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::message::Message;
use super::part::HAILS_AFTER_CHANGE;
use super::{HyParView, Outputs, Timer, turn_away};
use crate::event::{Output, Peer, WhyDown};
use crate::time::Time;

/// Refusals after which a node with neighbors waits for the next period. In an overlay where most
/// views are full, most refuse; asking all 30 each period would cost more than the shuffles.
const REFUSALS_PER_PERIOD_MAX: usize = 8;

/// Exchanges of a neighbor for a random spare after a join: nodes that came in side by side have each
/// other, and little of the rest.
pub(super) const MIXES_AFTER_JOIN: u32 = 1;

/// Most periods between two attempts to fill a view that nobody has room for. 32: a guess; one place
/// in an odd number of places stays free for ever, and asking for it costs up to eight lanes.
const BACKOFF_PERIODS_MAX: u32 = 32;

/// How long a node waits that has asked for a neighbor in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    /// Periods to wait after the next attempt in vain.
    periods: u32,
    /// Periods still to wait.
    left: u32,
}

impl Backoff {
    /// An attempt was in vain.
    fn in_vain(&mut self) {
        self.left = self.periods;
        self.periods = (2 * self.periods).clamp(1, BACKOFF_PERIODS_MAX);
    }

    /// A period is over. Whether it is time for another attempt.
    const fn is_over(&mut self) -> bool {
        let over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        over
    }
}

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
        let room = !self.is_full() || self.gains_by(from);
        let accept = high_priority || room || self.active.contains(from);
        if accept {
            self.admit(from, random, out);
        }
        let message = if accept {
            let part = self.belonging.part();
            Message::Accept { part }
        } else {
            Message::Refuse
        };
        out.push(Output::Send { to: from, message });
    }

    pub(super) fn on_accept<R: Rng>(&mut self, from: P, random: &mut R, out: &mut Outputs<P>) {
        let asked = self.asked.filter(|asked| asked.peer == from);
        let room = !self.is_full() || self.gains_by(from);
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
        if self.asked.is_some_and(|asked| asked.peer == from) {
            // Its yes was lost, or overtaken.
            self.on_accept(from, random, out);
        } else if !self.is_full() {
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
            self.hails_due = HAILS_AFTER_CHANGE;
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
            neighbor.kept_periods = neighbor.kept_periods.saturating_sub(1);
            if neighbor.silent_periods >= self.config.silent_periods_max {
                silent.push(neighbor.peer);
            }
        }
        for peer in silent {
            turn_away(peer, out);
            self.drop_out(peer, out);
            self.remember_lost(now, peer);
            self.hails_due = HAILS_AFTER_CHANGE;
        }
        // Told already if the root was heard in this period: one sign of life is enough.
        if !std::mem::take(&mut self.told_part) {
            self.tell_part(out);
            self.told_part = false;
        }
    }

    /// What a node does about its own loneliness once per period.
    pub(super) fn repair<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Outputs<P>) {
        // A whole period was not enough to find enough neighbors: two nodes whose spares are all full
        // and refuse would otherwise stay an island of their own.
        self.lonely = self.active.len() <= self.config.active_max / 2;
        if self.lacks() && self.asked.is_none() && !self.refused.is_empty() {
            self.backoff.in_vain();
        }
        if self.backoff.is_over() || self.lonely {
            self.refused.clear();
        }
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
        let known = self.active.len() > 0 && !self.passive.peers().is_empty();
        if !self.is_full() && !known {
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

    /// Exchanges a random neighbor for a random spare, after a join or when two parts have met, so that
    /// the overlay becomes one random graph again. A settled overlay, and its trees, are left alone.
    fn mix<R: Rng>(&mut self, random: &mut R, out: &mut Outputs<P>) {
        if self.mixes_due == 0 || !self.is_full() || self.asked.is_some() {
            return;
        }
        self.mixes_due -= 1;
        if let Some(peer) = self.passive.random(random, &[]) {
            self.ask(peer, true, out);
        }
    }

    /// Asks a spare node to fill a free place, or one that had better be another's, one at a time, another one after each refusal.
    pub(super) fn seek<R: Rng>(&mut self, random: &mut R, out: &mut Outputs<P>) {
        let alone = self.active.len() == 0;
        let tired = self.refused.len() >= REFUSALS_PER_PERIOD_MAX && !alone;
        if self.left || tired || self.asked.is_some() {
            return;
        }
        if let Some(peer) = self.spare(random) {
            let must = alone || self.lonely || self.config.partisan_deviations;
            let high_priority = must && !self.is_full();
            self.ask(peer, high_priority, out);
        }
    }

    fn may_ask(&self, peer: P) -> bool {
        let known = peer == self.me || self.active.contains(peer);
        !self.left && !self.is_full() && !known && self.asked.is_none()
    }

    pub(super) fn ask(&mut self, peer: P, high_priority: bool, out: &mut Outputs<P>) {
        self.questions = self.questions.wrapping_add(1);
        let question = self.questions;
        self.asked = Some(Asked {
            peer,
            question,
            high_priority,
        });
        out.push(Output::Send {
            to: peer,
            message: Message::Neighbor {
                high_priority,
                part: self.belonging.part(),
            },
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
        if self.config.lost_max == 0 {
            return;
        }
        if self.lost.len() >= self.config.lost_max {
            self.lost.remove(0);
        }
        self.lost.push(Lost { peer, since: now });
    }
}
