//! Workload `faults`: many small clusters in which everything goes wrong, each run twice.

use std::time::Instant;

use overlane_overlays::sim::faults::{Outcome, Plan};
use serde::Serialize;

use super::output::{peak_rss_bytes, print_report};
use super::seeds::on_seeds;
use super::{Arguments, SimError, span};
use crate::ending::complain;

/// Seeds where none are given.
const SEEDS: u64 = 1_000;
/// Least nodes: with two, there is nobody to disagree.
const NODES_MIN: u32 = 3;

/// Figures of all seeds together.
#[derive(Serialize)]
struct Figures {
    seed: u64,
    seeds: u64,
    failed: usize,
    nodes_min: u32,
    nodes_max: u32,
    faults: u64,
    /// From the end of the trouble until all was well: mean and worst of those that got well.
    repaired_ms_mean: u64,
    repaired_ms_max: u64,
    /// The seed that took longest.
    repaired_last_seed: u64,
    /// From the silent crash of a node until all had told it: mean and worst, with membership.
    down_ms_mean: u64,
    down_ms_max: u64,
    elapsed_s: f64,
    events_per_s: f64,
    peak_rss_bytes: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let begun = Instant::now();
    let plan = Plan {
        nodes: arguments.nodes.map(|nodes| nodes.max(NODES_MIN)),
        network: arguments.network.config()?,
        join_spacing: arguments.join_spacing_ms.map(span),
        ..Plan::default()
    };
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    let seeds = arguments.seeds.unwrap_or(SEEDS);
    let prove = |seed| Outcome::proven(seed, plan);
    for result in on_seeds("faults", arguments.seed, seeds, prove) {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) => failures.push(failure),
        }
    }
    for failure in &failures {
        complain(format_args!("{failure}"));
    }
    let repaired = || outcomes.iter().filter_map(|outcome| outcome.repaired_ms);
    let down = || outcomes.iter().filter_map(|outcome| outcome.down_ms);
    let last = outcomes.iter().max_by_key(|outcome| outcome.repaired_ms);
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
        seeds,
        failed: failures.len(),
        nodes_min: outcomes
            .iter()
            .map(|outcome| outcome.nodes)
            .min()
            .unwrap_or(0),
        nodes_max: outcomes
            .iter()
            .map(|outcome| outcome.nodes)
            .max()
            .unwrap_or(0),
        faults: outcomes
            .iter()
            .map(|outcome| u64::from(outcome.faults))
            .sum(),
        repaired_ms_mean: mean(repaired()),
        repaired_ms_max: repaired().max().unwrap_or(0),
        repaired_last_seed: last.map_or(0, |outcome| outcome.seed),
        down_ms_mean: mean(down()),
        down_ms_max: down().max().unwrap_or(0),
        elapsed_s,
        events_per_s: events / elapsed_s,
        peak_rss_bytes: peak_rss_bytes(),
    };
    print_report(&figures, arguments.json)?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(SimError::Faults {
        failed: failures.len(),
        seeds,
    })
}

fn mean(figures: impl Iterator<Item = u64>) -> u64 {
    let (sum, count) = figures.fold((0, 0), |(sum, count), figure| (sum + figure, count + 1));
    sum / count.max(1)
}
