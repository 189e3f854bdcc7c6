//! How one probe goes: a ping, then waves of help, then a verdict.
//!
//! Owns the choice of whom to probe, whom to ask, and what silence means. Called by [`super::Detector`]
//! for its timers; never says that a member is down.

use std::collections::BTreeSet;

use rand::Rng;
use rand::RngExt;
use rand::seq::{IteratorRandom, SliceRandom};

use super::health::Health;
use super::{Action, Detector, LONELY_FAILURES, Message, Timer, Watched};
use crate::event::Peer;
use crate::time::Time;

/// Most probes under way at once. One while all is well; each accusation doubles it, as a death
/// seldom comes alone, and each answer halves it again. 8: with four of five members dead, a node has
/// four to find on average.
pub(super) const PROBES_MAX: usize = 8;
/// Most waves of help for one probe. 3: with four of five members dead, 18 helpers in three waves
/// (3, 6 and 9) are all dead once in 55 probes; three alone would be every second time.
pub(super) const WAVES_MAX: u32 = 3;

/// One probe that is under way.
#[derive(Debug)]
pub(super) struct Probe<P> {
    pub(super) target: P,
    /// How many times longer than usual this one may take.
    patience: u32,
    sent: Time,
    /// When the timer that runs now is due.
    due: Time,
    /// Answered within the time that everybody has.
    promptly: bool,
    answered: bool,
    /// Waves of help so far.
    waves: u32,
    /// Those asked for help.
    asked: BTreeSet<P>,
    /// Those of them who said something.
    heard: BTreeSet<P>,
}

impl<P: Peer> Probe<P> {
    /// The target itself answered.
    pub(super) fn acknowledged(&mut self, promptly: bool) {
        self.answered = true;
        self.promptly |= promptly;
    }

    /// A helper said what came of its ping. Each counts once, and only if it was asked.
    pub(super) fn helper_said(&mut self, from: P, target_answered: bool) {
        if self.asked.contains(&from) && self.heard.insert(from) {
            self.answered |= target_answered;
        }
    }

    pub(super) const fn sent(&self) -> Time {
        self.sent
    }
}

impl<P: Peer> Detector<P> {
    /// A period is over: as many probes begin as are due and have room.
    pub(super) fn period<R: Rng>(
        &mut self,
        now: Time,
        watched: &impl Watched<P>,
        random: &mut R,
        out: &mut Vec<Action<P>>,
    ) {
        if self.is_stalled(now, self.period_due) {
            self.health.worsen();
        }
        let after = self.config.period * self.patience();
        self.period_due = now + after;
        let id = Timer::Period;
        out.push(Action::SetTimer { id, after });
        // A probe that needs help again and again runs on beside new ones.
        let young = self.probes.values().filter(|probe| probe.waves < 2);
        let mut room = self.width.saturating_sub(young.count());
        if room == 0 {
            return;
        }
        self.periods = self.periods.wrapping_add(1);
        if let Some(target) = self.choose_target(watched, random) {
            self.begin(now, target, out);
            room -= 1;
        }
        let mut along = self.me;
        // Steps are bounded, as those that are under way take one too.
        for _ in 0..2 * PROBES_MAX {
            if room == 0 {
                break;
            }
            let urgent = self.next_urgent(watched);
            let next = urgent.or_else(|| {
                along = watched.following(along).filter(|peer| *peer != self.me)?;
                Some(along)
            });
            let Some(target) = next else { break };
            if !self.is_under_way(&target) {
                self.begin(now, target, out);
                room -= 1;
            }
        }
    }

    fn is_under_way(&self, target: &P) -> bool {
        self.probes.values().any(|probe| probe.target == *target)
    }

    fn begin(&mut self, now: Time, target: P, out: &mut Vec<Action<P>>) {
        let number = self.next_number();
        let patience = self.patience_with(&target);
        let after = self.config.direct_wait * patience;
        let probe = Probe {
            target,
            patience,
            sent: now,
            due: now + after,
            promptly: false,
            answered: false,
            waves: 0,
            asked: BTreeSet::new(),
            heard: BTreeSet::new(),
        };
        self.probes.insert(number, probe);
        out.push(Action::Send {
            to: target,
            message: Message::Ping(number),
        });
        let id = Timer::Direct(number);
        out.push(Action::SetTimer { id, after });
    }

    /// The next member that is to be probed out of turn.
    fn next_urgent(&mut self, watched: &impl Watched<P>) -> Option<P> {
        while let Some(peer) = self.urgent.pop_front() {
            if watched.is_live(&peer) && !self.is_under_way(&peer) {
                return Some(peer);
            }
        }
        None
    }

    fn choose_target<R: Rng>(&mut self, watched: &impl Watched<P>, random: &mut R) -> Option<P> {
        if let Some(peer) = self.next_urgent(watched) {
            return Some(peer);
        }
        if self.neighbors.is_empty() || self.periods.is_multiple_of(self.config.ring_every.max(1)) {
            let following = watched.following(self.me);
            return following.filter(|peer| !self.is_under_way(peer));
        }
        for _ in 0..=self.neighbors.len() {
            if self.round.is_empty() {
                self.round.extend(&self.neighbors);
                self.round.shuffle(random);
            }
            let candidate = self.round.pop()?;
            if watched.is_live(&candidate) && !self.is_under_way(&candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// The direct answer is late.
    pub(super) fn direct_is_late<R: Rng>(
        &mut self,
        now: Time,
        number: u32,
        watched: &impl Watched<P>,
        random: &mut R,
        out: &mut Vec<Action<P>>,
    ) {
        let Some(probe) = self.probes.remove(&number) else {
            return;
        };
        if probe.answered {
            self.loss.ping_answered();
            self.answered(&probe);
            return;
        }
        if self.is_stalled(now, probe.due) {
            // Slept: the answer may be waiting in line behind this timer.
            self.health.worsen();
        }
        self.ask_for_help(now, number, probe, watched, random, out);
    }

    /// Pings again, and asks others to: each wave others, and more of them.
    fn ask_for_help<R: Rng>(
        &mut self,
        now: Time,
        number: u32,
        mut probe: Probe<P>,
        watched: &impl Watched<P>,
        random: &mut R,
        out: &mut Vec<Action<P>>,
    ) {
        probe.waves += 1;
        let target = probe.target;
        let helpers = self.choose_helpers(&probe, watched, random);
        out.push(Action::Send {
            to: target,
            message: Message::Ping(number),
        });
        for to in &helpers {
            out.push(Action::Send {
                to: *to,
                message: Message::PingFor { number, target },
            });
        }
        probe.asked.extend(helpers);
        let after = self.config.indirect_wait * probe.patience;
        probe.due = now + after;
        self.probes.insert(number, probe);
        let id = Timer::Verdict(number);
        out.push(Action::SetTimer { id, after });
    }

    /// Neighbors first, then any; nobody whom this probe has asked already.
    fn choose_helpers<R: Rng>(
        &self,
        probe: &Probe<P>,
        watched: &impl Watched<P>,
        random: &mut R,
    ) -> BTreeSet<P> {
        let wanted = self.config.helpers * usize::try_from(probe.waves).unwrap_or(1);
        let may_help = |peer: &P| *peer != probe.target && !probe.asked.contains(peer);
        let near = self.neighbors.iter().copied().filter(may_help);
        let mut helpers: BTreeSet<P> = near.sample(random, wanted).into_iter().collect();
        // Two tries for each that is missing: a small cluster has no more to offer.
        for _ in 0..2 * wanted {
            if helpers.len() >= wanted {
                break;
            }
            if let Some(peer) = watched.near(random.random())
                && may_help(&peer)
                && peer != self.me
            {
                helpers.insert(peer);
            }
        }
        helpers
    }

    /// Everybody had time to answer: help once more, an accusation, or nothing.
    pub(super) fn verdict<R: Rng>(
        &mut self,
        now: Time,
        number: u32,
        watched: &impl Watched<P>,
        random: &mut R,
        out: &mut Vec<Action<P>>,
    ) {
        let Some(probe) = self.probes.remove(&number) else {
            return;
        };
        let stalled = self.is_stalled(now, probe.due);
        if probe.answered {
            if !stalled {
                self.loss.ping_lost();
            }
            self.answered(&probe);
            return;
        }
        let (asked, heard) = (probe.asked.len(), probe.heard.len());
        let doubtful = asked > 0 && heard == 0 || probe.waves <= self.loss.waves();
        if doubtful && !stalled && probe.waves < WAVES_MAX {
            self.ask_for_help(now, number, probe, watched, random, out);
            return;
        }
        self.in_vain = self.in_vain.saturating_add(1);
        let deaf = !stalled && self.is_deaf(now);
        if deaf {
            // There is nobody left to whom it could be slow.
            self.health = Health::new();
        }
        let unheard = !deaf && asked > 0 && heard == 0 && !self.health.is_worst();
        let lonely = !deaf && asked == 0 && self.health.failures() < LONELY_FAILURES;
        // One that was heard is enough: the others may be as dead as the target.
        if stalled || unheard || lonely {
            self.health.worsen();
            self.probe_soon(probe.target);
        } else {
            self.width = (self.width * 2).min(PROBES_MAX);
            out.push(Action::Accuse(probe.target));
        }
    }

    fn answered(&mut self, probe: &Probe<P>) {
        self.health.improve();
        self.width = (self.width / 2).max(1);
        if probe.promptly
            && let Some(leniency) = self.lenient.get_mut(&probe.target)
        {
            *leniency -= 1;
            if *leniency == 0 {
                self.lenient.remove(&probe.target);
            }
        }
    }
}
