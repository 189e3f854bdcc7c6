//! The conductor's part in trials: an overlay is built on some nodes, measured beside the one in force, and then goes to all
//! or is given up.
//!
//! A trial is a change like any other, known to all nodes under way; only those of its part build the overlay, and no layer
//! above sees it. Its proposer alone measures and decides. It is given up when a node of the part goes, when the network is
//! split, when it does not come about in time, and when any node orders another change.

use std::time::Duration;

use super::conductor::{Conductor, ConductorTimer, Out, say, tell};
use super::measuring::{Measuring, Which};
use super::message::Words;
use super::part::{self, Members};
use super::trial::{TRIAL_MAX, TRIAL_MIN, TrialTerms};
use crate::epoch::{Epoch, Order, Proposal, Sampling, Step, Trial, WhyBack};
use crate::event::{Command, Event, Output, Peer, Refusal};
use crate::time::Time;

impl<P: Peer> Conductor<P> {
    /// The part and the time of a trial, as they are proposed.
    pub(super) fn plan_trial(
        &self,
        terms: &TrialTerms<P>,
        servers: &[P],
    ) -> Result<Trial<P>, Refusal> {
        let members = Members {
            me: self.me,
            others: self.others(),
            servers,
        };
        let span = terms.span.clamp(TRIAL_MIN, TRIAL_MAX);
        Ok(Trial {
            part: part::choose(&members, &terms.nodes, terms.percent)?,
            span_ms: u32::try_from(span.as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// A trial whose measuring has begun is not held to the time that building may take.
    pub(super) fn is_measuring(&self) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(|change| change.measuring.is_some())
    }

    /// All nodes of the part have answered over the new overlay: it is measured.
    pub(super) fn begin_trial(&mut self, out: &mut Out<P>) {
        let me = self.me;
        let Some(change) = &mut self.change else {
            return;
        };
        let (Some(trial), Some(rules)) = (&change.proposal.trial, change.rules) else {
            return;
        };
        if change.measuring.is_some() {
            return;
        }
        let others = trial.part.iter().copied().filter(|peer| *peer != me);
        let span = Duration::from_millis(trial.span_ms.into());
        change.measuring = Some(Measuring::new(others.collect(), span, rules));
        let number = change.number;
        tell(&change.proposal, Step::Trying, out);
        out.push(Output::SetTimer {
            id: ConductorTimer::Sample { change: number },
            after: Duration::ZERO,
        });
    }

    /// The next sample is due, or the end.
    pub(super) fn sample_due(&mut self, now: Time, id: ConductorTimer, out: &mut Out<P>) {
        let current = self.current.epoch;
        let Some(change) = &mut self.change else {
            return;
        };
        let trial = change.proposal.epoch;
        let Some(measuring) = &mut change.measuring else {
            return;
        };
        let Some(round) = measuring.next(now) else {
            return self.end_trial(out);
        };
        let after = measuring.every();
        out.push(Output::SetTimer { id, after });
        for overlay in [trial, current] {
            let sampling = Sampling {
                overlay,
                trial,
                round,
            };
            out.push(Output::Below(Command::Epoch(Order::Sample(sampling))));
        }
    }

    pub(super) fn sampled(
        &mut self,
        now: Time,
        overlay: Epoch<P>,
        round: u32,
        peer: P,
        figures: (u8, u8),
    ) {
        let Some(change) = &mut self.change else {
            return;
        };
        let is_candidate = overlay == change.proposal.epoch;
        if let Some(measuring) = &mut change.measuring {
            let which = if is_candidate {
                Which::Candidate
            } else {
                Which::Present
            };
            measuring.answered(now, which, round, peer, figures);
        }
    }

    /// It was measured for as long as it was to be.
    fn end_trial(&mut self, out: &mut Out<P>) {
        let Some(change) = &mut self.change else {
            return;
        };
        let Some(measuring) = change.measuring.take() else {
            return;
        };
        let report = Box::new(measuring.report());
        let proposal = change.proposal.clone();
        let epoch = proposal.epoch;
        let adopted = report.adopted;
        out.push(Output::Event(Event::Tried { epoch, report }));
        if adopted {
            let proposal = proposal.for_all();
            say(&Words::Announce(proposal.clone()), out);
            self.adopt(proposal, out);
        } else {
            self.give_up(WhyBack::TrialFailed, out);
        }
    }

    /// Whether this is the overlay of the trial that goes on, now for all nodes.
    pub(super) fn is_adoption(&self, proposal: &Proposal<P>) -> bool {
        let next = self.next();
        proposal.trial.is_none()
            && next.is_some_and(|next| next.epoch == proposal.epoch && next.trial.is_some())
    }

    /// A trial went well: the change goes on with all nodes.
    pub(super) fn adopt(&mut self, proposal: Proposal<P>, out: &mut Out<P>) {
        self.change = None;
        tell(&proposal, Step::Adopted, out);
        self.build(proposal, None, out);
    }

    /// A member came or went while an overlay is tried.
    pub(super) fn member_in_trial(&mut self, peer: P, live: bool, out: &mut Out<P>) {
        let Some(next) = self.next() else {
            return;
        };
        let in_part = next
            .trial
            .as_ref()
            .is_some_and(|trial| trial.part.contains(&peer));
        if next.epoch.proposer == Some(peer) && !live {
            self.roll_back(WhyBack::ProposerGone, out);
        } else if self.is_proposer(next) && in_part {
            // It is gone; or it is back, in another life, without the overlay.
            self.give_up(WhyBack::TrialNodeGone, out);
        }
    }

    /// The cluster is no longer what it was when the trial began, whoever finds out first; its proposer ends it.
    pub(super) fn give_up_trial(&mut self, why: WhyBack, out: &mut Out<P>) {
        let next = self.next().filter(|next| next.trial.is_some());
        if next.is_some_and(|next| self.is_proposer(next)) {
            self.give_up(why, out);
        }
    }
}
