//! `overlane-bench broadcast`: how many broadcasts go through a node in a second.
//!
//! The first node begins them as fast as it takes them; over HyParView and client-server the others pass them on. The time
//! runs until all have come to all, repairs included.

use overlane::BroadcastKind;
use serde::Serialize;

use super::flags::BroadcastFlags;
use super::nodes::Nodes;
use super::{form, judge, of_rows, print, short};
use crate::error::Outcome;
use crate::progress::Progress;
use crate::sample::figure;

/// The figures of `broadcast`; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    nodes: usize,
    overlay: &'static str,
    kind: &'static str,
    payload: usize,
    broadcasts: u32,
    /// Until all had come to all.
    seconds: f64,
    broadcasts_per_s: f64,
    /// Payload bytes delivered, all nodes together.
    mib_per_s: f64,
    reach_percent: f64,
    duplicates: u64,
    p50_us: f64,
    p99_us: f64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &BroadcastFlags) -> Outcome<()> {
    flags.check()?;
    let cluster = flags.cluster();
    let progress = Progress::of_steps("broadcast", flags.nodes as u64 + 2);
    let mut nodes = Nodes::new(&cluster)?;
    form(&mut nodes, &cluster, &progress)?;
    progress.say("broadcasts");
    let patience = flags.run.patience();
    let (reach, took) = nodes.flood(0..flags.broadcasts, flags.payload, flags.kind, patience)?;
    drop(progress);
    let seconds = took.as_secs_f64();
    let figures = Figures {
        nodes: flags.nodes,
        overlay: cluster.overlay()?.name(),
        kind: flags.kind.name(),
        payload: flags.payload,
        broadcasts: flags.broadcasts,
        seconds,
        broadcasts_per_s: f64::from(flags.broadcasts) / seconds,
        mib_per_s: figure(reach.came * flags.payload as u64) / seconds / f64::from(1 << 20),
        reach_percent: reach.percent(),
        duplicates: reach.duplicates,
        p50_us: reach.latencies.percentile_us(50.0),
        p99_us: reach.latencies.percentile_us(99.0),
    };
    print(&figures, figures.table(), flags.run.json);
    // An epidemic one may miss some: the figures say how many.
    if flags.kind == BroadcastKind::Epidemic {
        return Ok(());
    }
    judge(&[&reach])
}

impl Figures {
    fn table(&self) -> String {
        let rows = [
            ("nodes", format!("{} on {}", self.nodes, self.overlay)),
            (
                "broadcasts",
                format!(
                    "{} {} of {} bytes",
                    self.broadcasts, self.kind, self.payload
                ),
            ),
            (
                "through one node",
                format!("{} per s", short(self.broadcasts_per_s)),
            ),
            ("delivered", format!("{} MiB/s", short(self.mib_per_s))),
            ("deliveries", format!("{} %", short(self.reach_percent))),
            (
                "from sender to receiver p50",
                format!("{} us", short(self.p50_us)),
            ),
            ("p99", format!("{} us", short(self.p99_us))),
        ];
        of_rows(rows)
    }
}
