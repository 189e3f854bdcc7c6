//! What is measured of an overlay on some nodes beside the one in force.
//!
//! A state machine without I/O, owned by the conductor of the proposer. A fixed number of samples goes over both overlays to
//! the same nodes; it counts who answers, how long that takes, and how often each sample comes. What it owns is
//! bounded by those numbers. It must never decide anything but whether the rule of the trial holds.

use std::collections::BTreeSet;
use std::time::Duration;

use super::trial::{TrialFigures, TrialReport, TrialRules};
use crate::event::Peer;
use crate::time::Time;

/// Samples of each overlay in a trial, however long that is. 30: a guess, one a second in half a minute.
const SAMPLES: u32 = 30;

/// Which of the two overlays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Candidate,
    Present,
}

/// What is counted of one overlay.
#[derive(Debug)]
struct Tally<P> {
    /// Who has answered the last sample.
    answered: BTreeSet<P>,
    /// Round trips in microseconds.
    rtts: Vec<u64>,
    hops_max: u8,
    copies: u64,
    copies_of: u64,
}

impl<P: Peer> Tally<P> {
    const fn new() -> Self {
        Self {
            answered: BTreeSet::new(),
            rtts: Vec::new(),
            hops_max: 0,
            copies: 0,
            copies_of: 0,
        }
    }

    fn figures(&self, expected: u64) -> TrialFigures {
        let mut rtts = self.rtts.clone();
        rtts.sort_unstable();
        // The least that so many of a hundred do not exceed.
        let of_100 = |share: usize| {
            let rank = (rtts.len() * share).div_ceil(100);
            rtts.get(rank.saturating_sub(1)).copied()
        };
        TrialFigures {
            expected,
            answered: self.rtts.len() as u64,
            rtt_p50_us: of_100(50),
            rtt_p99_us: of_100(99),
            hops_max: self.hops_max,
            copies_percent: self.copies * 100 / self.copies_of.max(1),
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Measuring<P> {
    rules: TrialRules,
    /// The nodes that are to answer.
    others: Vec<P>,
    span: Duration,
    /// The last sample, and when it went out.
    round: u32,
    sent: Time,
    candidate: Tally<P>,
    present: Tally<P>,
}

impl<P: Peer> Measuring<P> {
    /// Of these nodes besides the proposer.
    pub(super) const fn new(others: Vec<P>, span: Duration, rules: TrialRules) -> Self {
        Self {
            rules,
            others,
            span,
            round: 0,
            sent: Time::ZERO,
            candidate: Tally::new(),
            present: Tally::new(),
        }
    }

    /// Time from one sample to the next.
    pub(super) fn every(&self) -> Duration {
        self.span / SAMPLES
    }

    /// The next sample goes out now: its number; none once all have had their time.
    pub(super) fn next(&mut self, now: Time) -> Option<u32> {
        if self.round == SAMPLES {
            return None;
        }
        self.round += 1;
        self.sent = now;
        self.candidate.answered.clear();
        self.present.answered.clear();
        Some(self.round)
    }

    /// A node has answered. Answers to samples before the last one, second ones and strangers do not count.
    pub(super) fn answered(
        &mut self,
        now: Time,
        which: Which,
        round: u32,
        peer: P,
        (hops, copies): (u8, u8),
    ) {
        if round != self.round || !self.others.contains(&peer) {
            return;
        }
        let tally = match which {
            Which::Candidate => &mut self.candidate,
            Which::Present => &mut self.present,
        };
        if !tally.answered.insert(peer) {
            return;
        }
        tally.rtts.push(
            now.since(self.sent)
                .as_micros()
                .try_into()
                .unwrap_or(u64::MAX),
        );
        tally.hops_max = tally.hops_max.max(hops);
        if copies > 0 {
            tally.copies += u64::from(copies);
            tally.copies_of += 1;
        }
    }

    /// What came of it.
    pub(super) fn report(&self) -> TrialReport {
        let expected = u64::from(self.round) * self.others.len() as u64;
        let candidate = self.candidate.figures(expected);
        let present = self.present.figures(expected);
        let verdicts = [
            self.rules.reach(&candidate, &present),
            self.rules.latency(&candidate, &present),
            self.rules.load(&candidate, &present),
        ];
        TrialReport {
            adopted: verdicts.iter().all(|(holds, _)| *holds),
            nodes: self.others.len() as u64 + 1,
            candidate,
            present,
            reasons: verdicts.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: TrialRules = TrialRules {
        reach_percent: 99,
        latency_percent: 300,
        latency_free: Duration::from_millis(1),
        load_percent: 400,
    };

    /// A trial in which nodes 2 and 3 answer each sample after that time over each overlay; the candidate's
    /// copies, and samples that are lost over it.
    fn held_with(candidate_ms: u64, copies: u8, lost: u32) -> TrialReport {
        let mut measuring = Measuring::new(vec![2_u32, 3], Duration::from_secs(30), RULES);
        let mut now = Time::ZERO;
        while let Some(round) = measuring.next(now) {
            for peer in [2, 3] {
                let present = now + Duration::from_millis(10);
                measuring.answered(present, Which::Present, round, peer, (1, 1));
                if round > lost {
                    let at = now + Duration::from_millis(candidate_ms);
                    measuring.answered(at, Which::Candidate, round, peer, (2, copies));
                    measuring.answered(at, Which::Candidate, round, peer, (2, copies));
                }
            }
            measuring.answered(now, Which::Candidate, round, 9, (1, 1));
            measuring.answered(now, Which::Candidate, round - 1, 2, (1, 1));
            now = now + measuring.every();
        }
        measuring.report()
    }

    #[test]
    fn each_part_of_the_rule_decides_and_says_so() {
        let good = held_with(30, 4, 0);
        assert!(good.adopted, "{good:?}");
        assert_eq!((good.nodes, good.candidate.expected), (3, 60));
        assert_eq!(good.candidate.answered, 60);
        assert_eq!(good.candidate.rtt_p99_us, Some(30_000));
        assert_eq!(
            (good.present.rtt_p50_us, good.candidate.hops_max),
            (Some(10_000), 2)
        );
        assert_eq!(
            (good.candidate.copies_percent, good.present.copies_percent),
            (400, 100)
        );
        for (which, report) in [
            (0, held_with(30, 4, 1)),
            (1, held_with(31, 4, 0)),
            (2, held_with(30, 5, 0)),
        ] {
            assert!(!report.adopted, "{report:?}");
            for (part, reason) in report.reasons.iter().enumerate() {
                assert_eq!(reason.ends_with("not held"), part == which, "{reason}");
            }
        }
        let nothing = held_with(30, 4, SAMPLES);
        assert!(!nothing.adopted);
        assert_eq!(nothing.candidate.rtt_p99_us, None);
    }
}
