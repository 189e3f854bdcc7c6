//! Workload `faults`: many small clusters in which everything goes wrong, each run twice.

use std::time::Instant;

use overlane_overlays::sim::faults::{Outcome, Plan};
use serde::Serialize;

use super::output::{Bar, peak_rss_bytes, print_report};
use super::{Arguments, SimError};

/// Figures of all seeds together.
#[derive(Serialize)]
struct Figures {
    seed: u64,
    seeds: u64,
    failed: usize,
    nodes: u32,
    faults: u64,
    /// From the end of the trouble until all was well: mean and worst of those that got well.
    mended_ms_mean: u64,
    mended_ms_max: u64,
    /// The seed that took longest.
    mended_last_seed: u64,
    elapsed_s: f64,
    events_per_s: f64,
    peak_rss_bytes: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let begun = Instant::now();
    let plan = Plan::default();
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.seeds);
    let mut bar = Bar::new();
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    let all = usize::try_from(arguments.seeds).unwrap_or(usize::MAX);
    for (done, seed) in seeds.enumerate() {
        match Outcome::proven(seed, plan) {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) => failures.push(failure),
        }
        bar.show("faults", done + 1, all);
    }
    bar.finish();
    for failure in &failures {
        eprintln!("{failure}");
    }
    let mended = || outcomes.iter().filter_map(|outcome| outcome.mended_ms);
    let count = u64::try_from(outcomes.len()).unwrap_or(u64::MAX).max(1);
    let last = outcomes.iter().max_by_key(|outcome| outcome.mended_ms);
    let elapsed_s = begun.elapsed().as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of events, far below 2^52"
    )]
    let events = outcomes
        .iter()
        .map(|outcome| 2 * outcome.events)
        .sum::<u64>() as f64;
    let figures = Figures {
        seed: arguments.seed,
        seeds: arguments.seeds,
        failed: failures.len(),
        nodes: plan.nodes,
        faults: outcomes
            .iter()
            .map(|outcome| u64::from(outcome.faults))
            .sum(),
        mended_ms_mean: mended().sum::<u64>() / count,
        mended_ms_max: mended().max().unwrap_or(0),
        mended_last_seed: last.map_or(0, |outcome| outcome.seed),
        elapsed_s,
        events_per_s: events / elapsed_s,
        peak_rss_bytes: peak_rss_bytes(),
    };
    print_report(&figures, arguments.json);
    if failures.is_empty() {
        return Ok(());
    }
    Err(SimError::Faults {
        failed: failures.len(),
        seeds: arguments.seeds,
    })
}
