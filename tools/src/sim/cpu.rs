//! Workload `cpu`: what an input costs the protocols of a node, one row for each phase.

use std::time::Duration;

use nix::time::ClockId;
use overlane_overlays::sim::cpu::{Cost, Phase};
use serde::Serialize;

use super::layers::experiment;
use super::output::{Bar, print_rows};
use super::{Arguments, SimError};

/// One row.
#[derive(Serialize)]
struct Row {
    overlay: &'static str,
    nodes: u32,
    seed: u64,
    #[serde(flatten)]
    phase: Phase,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let experiment = experiment(arguments)?;
    let cost = Cost {
        experiment,
        clock: thread_time,
    };
    let mut bar = Bar::new();
    let phases = cost.run(&mut |stage, done, all| bar.show(stage, done, all));
    bar.finish();
    let rows = phases.map(|phase| Row {
        overlay: experiment.overlay.name(),
        nodes: experiment.nodes,
        seed: experiment.seed,
        phase,
    });
    Ok(print_rows(&rows, arguments.json)?)
}

/// Processor time of this thread: what else the machine does is not in it.
fn thread_time() -> Duration {
    let now = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    now.map_or(Duration::ZERO, Duration::from)
}
