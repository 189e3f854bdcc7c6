//! A trial as it is ordered and reported: its terms, the rule by which an overlay is adopted, what came of it.
//!
//! Plain values, said by orders and events; `measuring` counts, and asks the rule. It knows no nodes and no messages.

use std::time::Duration;

use serde::Serialize;

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

const fn held(holds: bool) -> &'static str {
    if holds { "held" } else { "not held" }
}

/// Each part of the rule: whether it holds, and in words.
impl TrialRules {
    pub(super) fn reach(&self, candidate: &TrialFigures, present: &TrialFigures) -> (bool, String) {
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

    pub(super) fn latency(
        &self,
        candidate: &TrialFigures,
        present: &TrialFigures,
    ) -> (bool, String) {
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

    pub(super) fn load(&self, candidate: &TrialFigures, present: &TrialFigures) -> (bool, String) {
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
