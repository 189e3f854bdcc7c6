//! The report of a main job: one HTML file with its figures, its checks and its pictures.
//!
//! `Report` is plain data, put together by main_job/; plots.rs draws SVG from it, html.rs the page.
//! The file stands alone: no script, no font, no style sheet from elsewhere.

mod heartbeat_cost;
mod html;
mod plots;

use crate::accounts::Flow;
use crate::latencies::Latencies;

pub(crate) use heartbeat_cost::{HeartbeatCost, Verdict};
pub(crate) use html::page;

/// Heartbeats and file progress within a short time, over all nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    /// Seconds after the begin of the run, in the middle of the interval.
    pub(crate) at_s: f64,
    /// Median one-way latency.
    pub(crate) p50_us: f64,
    /// 99th percentile of the one-way latency.
    pub(crate) p99_us: f64,
    /// Longest one-way latency.
    pub(crate) max_us: f64,
    /// Of the file, as it was written at the receiver.
    pub(crate) file_mib_per_s: f64,
}

/// A thing that had to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    /// What had to hold.
    pub(crate) what: String,
    /// Whether it did.
    pub(crate) held: Held,
}

/// Whether a check held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// It did.
    Yes,
    /// It did not, and why.
    No(String),
    /// Nothing can be said, and why.
    NotJudged(String),
}

impl Check {
    /// A check that held unless there is a fault.
    pub(crate) fn of(what: String, fault: Option<String>) -> Self {
        let held = fault.map_or(Held::Yes, Held::No);
        Self { what, held }
    }
}

/// A figure that is worth a large print.
#[derive(Debug, Clone)]
pub(crate) struct Headline {
    /// What it is.
    pub(crate) name: &'static str,
    /// The figure with its unit.
    pub(crate) value: String,
    /// What it should be seen beside.
    pub(crate) beside: String,
}

/// All that a report says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Figures in large print.
    pub(crate) headlines: Vec<Headline>,
    /// What had to hold.
    pub(crate) checks: Vec<Check>,
    /// The run in steps.
    pub(crate) intervals: Vec<Interval>,
    /// When the file was under way: seconds after the begin of the run.
    pub(crate) transfer: Option<(f64, f64)>,
    /// Heartbeats before the file.
    pub(crate) before: Latencies,
    /// Heartbeats while the file was under way.
    pub(crate) beside: Latencies,
    /// Heartbeats over a plain socket while the file was under way.
    pub(crate) plain: Latencies,
    /// What the file costs them.
    pub(crate) heartbeat_cost: HeartbeatCost,
    /// Every channel in every direction.
    pub(crate) flows: Vec<Flow>,
    /// Machine, command and settings.
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Report {
    /// Whether everything held.
    pub(crate) fn passed(&self) -> bool {
        let broken = |check: &Check| matches!(check.held, Held::No(_));
        !self.checks.iter().any(broken)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::accounts::Account;

    /// A run as it could have been.
    pub(crate) fn example() -> Report {
        let mut report = Report {
            transfer: Some((3.0, 5.5)),
            ..Report::default()
        };
        for step in 0..34_u32 {
            let at_s = f64::from(step) * 0.25 + 0.125;
            let loaded = (3.0..5.5).contains(&at_s);
            let p50_us = if loaded { 90.0 } else { 60.0 } + f64::from(step % 5);
            let file_mib_per_s = if loaded {
                400.0 + f64::from(step % 3) * 30.0
            } else {
                0.0
            };
            let (p99_us, max_us) = (p50_us * 2.5, p50_us * 9.0);
            report.intervals.push(Interval {
                at_s,
                p50_us,
                p99_us,
                max_us,
                file_mib_per_s,
            });
        }
        for latency in 1..20_000_u64 {
            report
                .before
                .record(40_000 + latency % 977 * 60 + latency * latency / 4_000);
            report
                .beside
                .record(60_000 + latency % 977 * 90 + latency * latency / 900);
        }
        let account = Account {
            peer: "b".into(),
            channel: "data".into(),
            reliable: true,
            accepted: 4_098,
            acknowledged: 4_098,
            ..Account::default()
        };
        report.flows.push(Flow {
            from: "a".into(),
            account,
            delivered: 4_098,
            fault: None,
        });
        report.headlines.push(Headline {
            name: "File",
            value: "421 MiB/s".into(),
            beside: "1 024 MiB in 2.4 s".into(),
        });
        report
            .checks
            .push(Check::of("the file's hash at b".into(), None));
        report.plain = report.before.clone();
        report.heartbeat_cost =
            HeartbeatCost::of(&report.before, &report.beside, &report.plain, 400);
        report
            .facts
            .push(("command", "overlane-bench <main job>".into()));
        report
    }
}
