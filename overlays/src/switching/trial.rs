//! A trial: what is measured of an overlay on some nodes beside the one in force, and the rule by which it is adopted.
//!
//! A state machine without I/O, owned by the conductor of the proposer. A fixed number of samples goes over both overlays to
//! the same nodes; it counts who answers, how long that takes, and how often each sample comes. What it owns is
//! bounded by those numbers. It must never decide anything but whether the rule holds.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::event::Peer;
use crate::time::Time;

/// Samples of each overlay in a trial, however long that is. 30: a guess, one a second in half a minute.
pub(super) const SAMPLES: u32 = 30;

/// The shortest trial. 1 s: a sample has 33 ms to come back, then the next one goes out; over slow links that is too little.
pub const TRIAL_MIN: Duration = Duration::from_secs(1);
/// The longest trial. Ten minutes: two overlays side by side cost lanes.
pub const TRIAL_MAX: Duration = Duration::from_secs(600);

/// How a trial is held, as who orders it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialTerms<P> {
    /// The nodes to try it on, the proposer and servers besides; none: chosen among the members.
    pub nodes: Vec<P>,
    /// Share of the members that is chosen where nobody names them, in percent; at least three, at most 64.
    pub percent: u8,
    /// For how long it is measured: from [`TRIAL_MIN`] to [`TRIAL_MAX`], or the nearest of the two.
    pub span: Duration,
    /// What has to hold.
    pub rules: TrialRules,
}

/// When an overlay that was tried is adopted: all of it has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialRules {
    /// Least share of samples that is answered, in percent of the share over the overlay in force.
    pub reach_percent: u32,
    /// Greatest round trip, 99 of 100, in percent of the one over the overlay in force.
    pub latency_percent: u32,
    /// A round trip that is never too long.
    pub latency_free: Duration,
    /// Most copies of a sample that come to a node, in percent of those over the overlay in force.
    pub load_percent: u32,
}

/// What was measured of one overlay in a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrialFigures {
    /// Samples that were to be answered: those sent, for each node of the part but the proposer.
    pub expected: u64,
    /// Those that were, before the next one went out.
    pub answered: u64,
    /// Half of the round trips took at most so long, in microseconds; none if none was measured.
    pub rtt_p50_us: Option<u64>,
    /// 99 of 100 did.
    pub rtt_p99_us: Option<u64>,
    /// Most hops that a sample went.
    pub hops_max: u8,
    /// Copies of a sample that came to a node on average, in percent: 100 is each once.
    pub copies_percent: u64,
}

impl TrialFigures {
    /// Answers in a thousand.
    fn reach_permille(&self) -> u64 {
        self.answered * 1_000 / self.expected.max(1)
    }
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrialReport {
    /// All nodes get the overlay.
    pub adopted: bool,
    /// Nodes on which it was tried.
    pub nodes: u64,
    /// The overlay that was tried.
    pub candidate: TrialFigures,
    /// The one in force, to the same nodes.
    pub present: TrialFigures,
    /// Each part of the rule, with its figures, and whether it held.
    pub reasons: Vec<String>,
}

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

const fn held(holds: bool) -> &'static str {
    if holds { "held" } else { "not held" }
}

/// Each part of the rule: whether it holds, and in words.
impl TrialRules {
    fn reach(&self, candidate: &TrialFigures, present: &TrialFigures) -> (bool, String) {
        let (new, old) = (candidate.reach_permille(), present.reach_permille());
        let holds = new > 0 && new * 100 >= old * u64::from(self.reach_percent);
        let reason = format!(
            "reach {} of {} samples, {} of {} over the overlay in force; at least {} % of that: {}",
            candidate.answered,
            candidate.expected,
            present.answered,
            present.expected,
            self.reach_percent,
            held(holds)
        );
        (holds, reason)
    }

    fn latency(&self, candidate: &TrialFigures, present: &TrialFigures) -> (bool, String) {
        let free = u64::try_from(self.latency_free.as_micros()).unwrap_or(u64::MAX);
        let old = present.rtt_p99_us.unwrap_or(0);
        let most = (old.saturating_mul(self.latency_percent.into()) / 100).max(free);
        let new = candidate.rtt_p99_us;
        let holds = new.is_some_and(|new| new <= most);
        let new = new.map_or_else(|| "unknown".to_owned(), |new| format!("{new} us"));
        let reason = format!(
            "round trip, 99 of 100, {new}, {old} us over the overlay in force; at most {} % of that, or {free} us: {}",
            self.latency_percent,
            held(holds)
        );
        (holds, reason)
    }

    fn load(&self, candidate: &TrialFigures, present: &TrialFigures) -> (bool, String) {
        // Nothing is known of the one in force: each sample came once at least.
        let (new, old) = (candidate.copies_percent, present.copies_percent.max(100));
        let holds = new * 100 <= old * u64::from(self.load_percent);
        let reason = format!(
            "each sample came {new} % times to a node, {old} % over the overlay in force; at most {} % of that: {}",
            self.load_percent,
            held(holds)
        );
        (holds, reason)
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
