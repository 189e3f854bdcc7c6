//! What a main job came to: its checks, its table, its JSON lines and its report.

use std::path::Path;

use super::cluster::{NAMES, RECEIVER, SENDER};
use super::file_source::{self, FileSource};
use super::protocol::{COORDINATION, DATA, Finished, GOSSIP, Progress};
use crate::accounts::Flow;
use crate::cli::MainJobFlags;
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::record::Record;
use crate::report::{self, Check, Headline, Interval, Report};
use crate::sample::figure;
use crate::shown::show;
use crate::table;

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
    quiet: Latencies,
    loaded: Latencies,
    on_disk: Option<String>,
}

impl Run {
    /// A run that begins.
    pub(crate) fn new(file: FileSource, differences: String) -> Self {
        Self {
            file,
            flows: Vec::new(),
            differences,
            began_ns: None,
            last_ns: 0,
            last: Vec::new(),
            intervals: Vec::new(),
            quiet: Latencies::default(),
            loaded: Latencies::default(),
            on_disk: None,
        }
    }

    /// Takes what happened on all nodes until `now_ns`.
    pub(crate) fn take(&mut self, now_ns: u64, nodes: &[Progress]) {
        let began_ns = *self.began_ns.get_or_insert(now_ns);
        let mut latencies = Latencies::default();
        nodes
            .iter()
            .for_each(|node| latencies.add(&node.heartbeats));
        let before = self.last.get(RECEIVER).map_or(0, |node| node.file.bytes);
        let bytes = nodes[RECEIVER].file.bytes.saturating_sub(before);
        let lasted_s = seconds(now_ns.saturating_sub(self.last_ns));
        let under_way = nodes[SENDER].file.bytes > 0 && !self.file_is_over();
        let into = if under_way {
            &mut self.loaded
        } else {
            &mut self.quiet
        };
        into.add(&latencies.buckets());
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

    /// Reads back what the receiver wrote; a good copy is removed, a bad one is kept for looking at.
    pub(crate) fn check_file_on_disk(&mut self, path: &Path) -> Outcome<()> {
        if self.received().is_none() {
            self.on_disk = Some("the file did not arrive within the time of the run".to_owned());
            return Ok(());
        }
        let (bytes, hash) = file_source::hash_of(path)?;
        if (bytes, hash) == (self.file.bytes, self.file.hash) {
            return std::fs::remove_file(path).map_err(|source| BenchError::File {
                action: "remove",
                path: path.to_owned(),
                source,
            });
        }
        let FileSource {
            bytes: sent_bytes,
            hash: sent_hash,
            ..
        } = &self.file;
        self.on_disk = Some(format!(
            "{bytes} bytes with {hash} instead of {sent_bytes} with {sent_hash}"
        ));
        Ok(())
    }

    /// Prints the result, writes the report, and fails when a check did.
    pub(crate) fn finish(self, flags: &MainJobFlags) -> Outcome<()> {
        let path = flags.folder.join("report.html");
        let json = flags.json;
        let (records, report) = (self.records(flags), self.report());
        std::fs::write(&path, report::page(&report)).map_err(|source| BenchError::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
        if json {
            records
                .iter()
                .for_each(|record| show!("{}", record.json_line()));
        } else {
            print(&report);
            show!("report: {}", path.display());
        }
        let broken = report
            .checks
            .iter()
            .filter(|check| check.fault.is_some())
            .count();
        if broken == 0 {
            return Ok(());
        }
        let first = report.checks.iter().find_map(|check| {
            check
                .fault
                .as_ref()
                .map(|fault| format!("{}: {fault}", check.what))
        });
        Err(BenchError::CheckFailed(format!(
            "{broken} checks failed, the first is {}; see {}",
            first.unwrap_or_default(),
            path.display()
        )))
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

    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![Check {
            what: format!(
                "the file of {} bytes has the same BLAKE3 on {}'s disk",
                table::count(self.file.bytes),
                NAMES[RECEIVER]
            ),
            fault: self.on_disk.clone(),
        }];
        for channel in [DATA, COORDINATION, GOSSIP] {
            let flows = self
                .flows
                .iter()
                .filter(|flow| flow.account.channel == channel);
            let identity = if channel == GOSSIP {
                "accepted = sent + dropped"
            } else {
                "accepted = acknowledged + reported"
            };
            let fault = flows.clone().find_map(|flow| {
                let fault = flow.fault.as_ref()?;
                Some(format!("{} to {}: {fault}", flow.from, flow.account.peer))
            });
            let ways = flows.count();
            let missing = (ways != 6).then(|| format!("{ways} of 6 directions were counted"));
            checks.push(Check {
                what: format!(
                    "{identity} on {channel}, all six directions, and what was delivered"
                ),
                fault: fault.or(missing),
            });
        }
        let sum = |of: fn(&Progress) -> u64| self.last.iter().map(of).sum::<u64>();
        let (refused, out_of_order) = (sum(|node| node.refused), sum(|node| node.out_of_order));
        let lost = (refused + out_of_order > 0)
            .then(|| format!("{refused} were not accepted, {out_of_order} came out of order"));
        checks.push(Check {
            what: "every heartbeat came, in order".into(),
            fault: lost,
        });
        checks
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
            quiet: self.quiet.clone(),
            loaded: self.loaded.clone(),
            flows: self.flows.clone(),
            facts: vec![
                ("command", std::env::args().collect::<Vec<_>>().join(" ")),
                ("machine", machine()),
                ("file", self.file.path.display().to_string()),
                ("nodes differ from defaults", self.differences.clone()),
            ],
        }
    }

    fn headlines(&self) -> Vec<Headline> {
        let mib = figure(self.file.bytes) / MIB;
        let lasted_s = self.transfer().map(|(began, ended)| seconds(ended - began));
        let (started, heard, again) = self.last.iter().fold((0, 0, 0), |sum, node| {
            let (started, heard, again) = node.rumours;
            (sum.0 + started, sum.1 + heard, sum.2 + again)
        });
        let micros = |latencies: &Latencies, percent| {
            format!("{} µs", table::number(latencies.percentile_us(percent)))
        };
        vec![
            Headline {
                name: "File",
                value: self.file_mib_per_s().map_or_else(
                    || "failed".to_owned(),
                    |rate| format!("{} MiB/s", table::number(rate)),
                ),
                beside: lasted_s.map_or_else(String::new, |lasted_s| {
                    format!(
                        "{} MiB in {lasted_s:.2} s, disk to disk",
                        table::number(mib)
                    )
                }),
            },
            Headline {
                name: "Heartbeat, 99 %, beside the file",
                value: micros(&self.loaded, 99.0),
                beside: format!("{} without it", micros(&self.quiet, 99.0)),
            },
            Headline {
                name: "Heartbeat, median, beside the file",
                value: micros(&self.loaded, 50.0),
                beside: format!("{} without it", micros(&self.quiet, 50.0)),
            },
            Headline {
                name: "Rumours heard",
                value: table::count(heard),
                beside: format!(
                    "{} started, {} heard again",
                    table::count(started),
                    table::count(again)
                ),
            },
        ]
    }

    fn records(&self, flags: &MainJobFlags) -> Vec<Record> {
        let sums = |channel: &str| {
            let flows = self
                .flows
                .iter()
                .filter(|flow| flow.account.channel == channel);
            let mut sum: Option<Flow> = None;
            for flow in flows {
                sum = Some(match sum {
                    None => flow.clone(),
                    Some(sum) => sum.and(flow),
                });
            }
            sum
        };
        let of = |channel: &str, record: Record| {
            let record = Record {
                test: format!("main-job-{channel}"),
                ..record
            };
            match sums(channel) {
                Some(flow) => record.with_account(&flow),
                None => record,
            }
        };
        let percentile = |latencies: &Latencies, percent| Some(latencies.percentile_us(percent));
        let payload_bytes = Some(flags.chunk_kib as u64 * 1024);
        let mib_per_s = self.file_mib_per_s();
        let heartbeats = Record {
            payload_bytes: Some(crate::heartbeat::HEARTBEAT_BYTES as u64),
            p50_us: percentile(&self.loaded, 50.0),
            p99_us: percentile(&self.loaded, 99.0),
            p999_us: percentile(&self.loaded, 99.9),
            idle_p99_us: percentile(&self.quiet, 99.0),
            loaded_p99_us: percentile(&self.loaded, 99.0),
            ..Record::default()
        };
        vec![
            of(
                DATA,
                Record {
                    payload_bytes,
                    mib_per_s,
                    ..Record::default()
                },
            ),
            of(COORDINATION, heartbeats),
            of(GOSSIP, Record::default()),
        ]
    }
}

fn print(report: &Report) {
    let headlines: Vec<Vec<String>> = report
        .headlines
        .iter()
        .map(|line| {
            vec![
                line.name.to_owned(),
                line.value.clone(),
                line.beside.clone(),
            ]
        })
        .collect();
    show!("{}", table::of(&["main job", "", ""], &headlines));
    let flows: Vec<Vec<String>> = report
        .flows
        .iter()
        .map(|flow| {
            let account = &flow.account;
            let ended = [
                account.acknowledged,
                account.reported,
                account.sent,
                account.dropped,
            ];
            let way = format!("{} {} > {}", account.channel, flow.from, account.peer);
            let mut cells = vec![way, table::count(account.accepted)];
            cells.extend(ended.map(table::count));
            cells.push(table::count(flow.delivered));
            cells
        })
        .collect();
    let header = [
        "channel",
        "accepted",
        "acknowledged",
        "reported",
        "sent",
        "dropped",
        "delivered",
    ];
    show!("{}", table::of(&header, &flows));
    for check in &report.checks {
        match &check.fault {
            None => show!("ok      {}", check.what),
            Some(fault) => show!("FAILED  {}: {fault}", check.what),
        }
    }
}

/// The machine in a line: kernel and cores.
fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Linux {}, {cores} cores", kernel.trim())
}

fn seconds(nanoseconds: u64) -> f64 {
    figure(nanoseconds) / 1e9
}
