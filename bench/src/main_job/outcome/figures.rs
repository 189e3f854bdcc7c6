//! The figures of a main job: those in large print, and those of its JSON objects.

use super::{MIB, Run, seconds};
use crate::accounts::Flow;
use crate::flags::MainJobFlags;
use crate::latencies::Latencies;
use crate::main_job::protocol::{COORDINATION, DATA, GOSSIP};
use crate::record::Record;
use crate::report::Headline;
use crate::sample::figure;
use crate::table;

impl Run {
    /// The figures in large print.
    pub(super) fn headlines(&self) -> Vec<Headline> {
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
                value: micros(&self.beside, 99.0),
                beside: format!("{} before it", micros(&self.before, 99.0)),
            },
            Headline {
                name: "Plain socket, 99 %, beside the file",
                value: micros(&self.plain, 99.0),
                beside: format!("{} in the median", micros(&self.plain, 50.0)),
            },
            Headline {
                name: "Heartbeat, median, beside the file",
                value: micros(&self.beside, 50.0),
                beside: format!("{} before it", micros(&self.before, 50.0)),
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

    /// One JSON object for each channel.
    pub(super) fn records(&self, flags: &MainJobFlags) -> Vec<Record> {
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
            p50_us: percentile(&self.beside, 50.0),
            p99_us: percentile(&self.beside, 99.0),
            p999_us: percentile(&self.beside, 99.9),
            idle_p99_us: percentile(&self.before, 99.0),
            loaded_p99_us: percentile(&self.beside, 99.0),
            raw_loaded_p50_us: percentile(&self.plain, 50.0),
            raw_loaded_p99_us: percentile(&self.plain, 99.0),
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
