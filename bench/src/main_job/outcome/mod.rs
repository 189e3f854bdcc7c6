//! What a main job came to: a run as it is put together, and what is made of it at its end.
//!
//! - checks.rs: what had to hold; figures.rs: large print and JSON; printed.rs: tables for a terminal

mod checks;
mod figures;
mod printed;

use std::path::Path;

use super::cluster::{RECEIVER, SENDER};
use super::file_source::{self, FileSource};
use super::protocol::{Finished, Progress};
use super::run_folder::RunFolder;
use crate::accounts::Flow;
use crate::error::{BenchError, Outcome};
use crate::flags::MainJobFlags;
use crate::latencies::{Buckets, Latencies};
use crate::machine;
use crate::report::{self, Held, Interval, Report};
use crate::sample::figure;
use crate::shown::show;

const MIB: f64 = 1024.0 * 1024.0;

/// A run, as it is put together while it goes on.
#[derive(Debug)]
pub(crate) struct Run {
    /// The file that is sent.
    pub(crate) file: FileSource,
    /// Every channel in every direction, at the end.
    pub(crate) flows: Vec<Flow>,
    differences: String,
    began_ns: Option<u64>,
    last_ns: u64,
    last: Vec<Progress>,
    intervals: Vec<Interval>,
    /// Heartbeats before and beside the file.
    before: Latencies,
    beside: Latencies,
    /// Heartbeats over a plain socket beside the file.
    plain: Latencies,
    heartbeat_bound_us: u32,
    on_disk: Option<String>,
}

impl Run {
    /// A run that begins; its heartbeats may come `heartbeat_bound_us` later beside the file.
    pub(crate) fn new(file: FileSource, differences: String, heartbeat_bound_us: u32) -> Self {
        Self {
            file,
            flows: Vec::new(),
            differences,
            began_ns: None,
            last_ns: 0,
            last: Vec::new(),
            intervals: Vec::new(),
            before: Latencies::default(),
            beside: Latencies::default(),
            plain: Latencies::default(),
            heartbeat_bound_us,
            on_disk: None,
        }
    }

    /// Takes what happened on all nodes until `now_ns`, and to heartbeats over a plain socket.
    pub(crate) fn take(&mut self, now_ns: u64, nodes: &[Progress], plain: &Buckets) {
        let began_ns = *self.began_ns.get_or_insert(now_ns);
        let mut latencies = Latencies::default();
        nodes
            .iter()
            .for_each(|node| latencies.add(&node.heartbeats));
        let before = self.last.get(RECEIVER).map_or(0, |node| node.file.bytes);
        let bytes = nodes[RECEIVER].file.bytes.saturating_sub(before);
        let lasted_s = seconds(now_ns.saturating_sub(self.last_ns));
        let over_before = self.file_is_over();
        if nodes[SENDER].file.bytes == 0 {
            self.before.add(&latencies.buckets());
        } else if !over_before {
            // Also the step in which the file ended.
            self.beside.add(&latencies.buckets());
            self.plain.add(plain);
        }
        if self.last_ns > 0 && lasted_s > 0.02 && latencies.count() > 0 {
            self.intervals.push(Interval {
                at_s: seconds(now_ns - began_ns) - lasted_s / 2.0,
                p50_us: latencies.percentile_us(50.0),
                p99_us: latencies.percentile_us(99.0),
                max_us: latencies.max_us(),
                file_mib_per_s: figure(bytes) / MIB / lasted_s,
            });
        }
        self.last_ns = now_ns;
        self.last = nodes.to_vec();
    }

    /// Whether the receiver has all of the file.
    pub(crate) fn file_is_over(&self) -> bool {
        self.received().is_some()
    }

    /// Reads back what the receiver wrote; false when it is another file, worth looking at.
    pub(crate) fn check_file_on_disk(&mut self, path: &Path) -> Outcome<bool> {
        if self.received().is_none() {
            self.on_disk = Some("the file did not arrive within the time of the run".to_owned());
            return Ok(true);
        }
        let (bytes, hash) = file_source::hash_of(path)?;
        if (bytes, hash) == (self.file.bytes, self.file.hash) {
            return Ok(true);
        }
        let FileSource {
            bytes: sent_bytes,
            hash: sent_hash,
            ..
        } = &self.file;
        self.on_disk = Some(format!(
            "{bytes} bytes with {hash} instead of {sent_bytes} with {sent_hash}, kept as {}",
            path.display()
        ));
        Ok(false)
    }

    /// Writes the report, prints the result, and fails when a check did.
    pub(crate) fn finish(self, flags: &MainJobFlags, folder: &RunFolder) -> Outcome<()> {
        let (records, report) = (self.records(flags), self.report());
        let path = folder.publish(&report::page(&report))?;
        if flags.json {
            records
                .iter()
                .for_each(|record| show!("{}", record.json_line()));
        } else {
            printed::print(&report);
            let newest = flags.folder.join("report.html");
            show!("report: {}, kept as {}", newest.display(), path.display());
        }
        failure(&report, &path).map_or(Ok(()), Err)
    }

    fn received(&self) -> Option<&Finished> {
        self.last.get(RECEIVER)?.file.finished.as_ref()
    }

    /// From the sender's first read to the receiver's last write.
    fn transfer(&self) -> Option<(u64, u64)> {
        let sent = self.last.get(SENDER)?.file.finished.as_ref()?;
        Some((sent.began_ns, self.received()?.ended_ns))
    }

    fn file_mib_per_s(&self) -> Option<f64> {
        let (began_ns, ended_ns) = self.transfer()?;
        Some(figure(self.file.bytes) / MIB / seconds(ended_ns - began_ns))
    }

    fn report(&self) -> Report {
        let began_ns = self.began_ns.unwrap_or_default();
        let since = |at_ns: u64| seconds(at_ns.saturating_sub(began_ns));
        Report {
            headlines: self.headlines(),
            checks: self.checks(),
            intervals: self.intervals.clone(),
            transfer: self
                .transfer()
                .map(|(began, ended)| (since(began), since(ended))),
            before: self.before.clone(),
            beside: self.beside.clone(),
            plain: self.plain.clone(),
            heartbeat_cost: self.heartbeat_cost(),
            flows: self.flows.clone(),
            facts: vec![
                ("command", std::env::args().collect::<Vec<_>>().join(" ")),
                ("machine", machine::sentence()),
                ("file", self.file.path.display().to_string()),
                ("nodes differ from defaults", self.differences.clone()),
            ],
        }
    }
}

/// What `main` says of a run whose checks did not all hold.
fn failure(report: &Report, path: &Path) -> Option<BenchError> {
    let mut broken = report.checks.iter().filter_map(|check| match &check.held {
        Held::No(why) => Some(format!("{}: {why}", check.what)),
        Held::Yes | Held::NotJudged(_) => None,
    });
    let first = broken.next()?;
    let others = broken.count();
    let and = if others == 0 {
        String::new()
    } else {
        format!(" (and {others} more)")
    };
    let path = path.display();
    Some(BenchError::CheckFailed(format!(
        "a check failed{and}: {first}; see {path}"
    )))
}

fn seconds(nanoseconds: u64) -> f64 {
    figure(nanoseconds) / 1e9
}
