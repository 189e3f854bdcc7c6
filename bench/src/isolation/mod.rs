//! `overlane-bench isolation`: what a saturating bulk channel does to heartbeats.
//!
//! Heartbeats go there and back on one channel. Windows take turns: heartbeats alone, beside bulk on
//! another channel, beside bulk in the same lane (what a single connection would do), bulk alone, and
//! with application threads the same over plain sockets.
//!
//! - phases.rs: the windows of the engine; plain.rs: those of plain sockets
//! - figures.rs: the medians of all rounds, as JSON and as a table

mod figures;
mod phases;
mod plain;

use overlane::config::Config;

use self::figures::Figures;
use self::phases::Phases;
use crate::error::{BenchError, Outcome};
use crate::flags::{self, IsolationFlags, LoopKind, Producer};
use crate::node::round_trip;
use crate::node::settings::{self, Defaults};
use crate::ping::Pace;
use crate::progress::Progress;
use crate::remote::site::Hosts;
use crate::shown::show;
use crate::table;

/// The heartbeats' own channel.
const HEARTBEATS: &str = "coordination";
/// The channel of the bulk messages, and of the heartbeats that share its lane.
const BULK: &str = "data";

/// Heartbeats of an open loop: how large, and how many a second.
const OPEN_PAYLOAD_BYTES: usize = 50;
const OPEN_HZ: u32 = 1_000;
/// Heartbeats of a closed loop.
const CLOSED_PAYLOAD_BYTES: usize = 64;

/// What is sent, from checked flags.
struct Plan<'a> {
    flags: &'a IsolationFlags,
    heartbeat_bytes: usize,
    pace: Pace,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &IsolationFlags) -> Outcome<()> {
    let plan = Plan::of(flags)?;
    let common = plan.configuration()?;
    Hosts::with(flags.pair.remote.as_deref(), |hosts| {
        measure(hosts, &common, &plan)
    })
}

fn measure(hosts: &Hosts, common: &Config, plan: &Plan<'_>) -> Outcome<()> {
    let mut phases = Phases::start(hosts, common, plan)?;
    let steps = u64::from(plan.flags.pair.pairs) * phases.windows();
    let progress = Progress::of_steps("isolation", steps);
    let mut rounds = Vec::new();
    for _ in 0..plan.flags.pair.pairs {
        rounds.push(phases.round(&progress)?);
    }
    drop(progress);
    phases.settle()?;
    let figures = Figures::of(&rounds)?;
    let cpu = phases.cpu_shares(&rounds);
    if plan.flags.pair.json {
        show!("{}", figures.record(plan).with_cpu(cpu).json_line());
    } else {
        show!("{}", plan.sentence());
        figures.print();
        let cpu = table::cpu(cpu, hosts.far_host());
        show!("beside bulk, {cpu}");
    }
    Ok(())
}

/// Bulk messages that wait in their queue at most, where a task on the shard sends them.
const BULK_QUEUED_MAX: usize = 64;
/// Room of that queue that no bulk message fits in: heartbeats in the same lane wait for their turn, not
/// for a place.
const HEARTBEAT_ROOM_BYTES: usize = 16 * 1024;

impl<'a> Plan<'a> {
    fn of(flags: &'a IsolationFlags) -> Outcome<Self> {
        flags::check_payload("--bulk-payload", flags.bulk_payload)?;
        let (heartbeat_bytes, pace) = match (flags.loop_kind, flags.heartbeat_hz) {
            (LoopKind::Open, hz) => {
                let hz = hz.unwrap_or(OPEN_HZ);
                flags::within("--heartbeat-hz", hz as usize, 1, 100_000)?;
                (OPEN_PAYLOAD_BYTES, Pace::Open { hz })
            }
            (LoopKind::Closed, None) => (CLOSED_PAYLOAD_BYTES, Pace::Closed),
            (LoopKind::Closed, Some(hz)) => {
                return Err(BenchError::BadInput(format!(
                    "--heartbeat-hz {hz}: a closed loop sends after each answer; \
                     leave the flag out, or give --loop open"
                )));
            }
        };
        let heartbeat_bytes = flags.heartbeat_payload.unwrap_or(heartbeat_bytes);
        let least = round_trip::PAYLOAD_BYTES_MIN;
        flags::within("--heartbeat-payload", heartbeat_bytes, least, 1 << 20)?;
        flags.pair.check()?;
        if flags.producer == Producer::App {
            flags.pair.check_unplaced()?;
        }
        Ok(Self {
            flags,
            heartbeat_bytes,
            pace,
        })
    }

    /// Two channels. With application threads everything else is the engine's default, because that is
    /// what is judged; a task on the shard keeps little of its bulk in the kernel, where priority has
    /// no say.
    fn configuration(&self) -> Outcome<Config> {
        let bulk_bytes = self.flags.bulk_payload;
        let heartbeats = format!("{HEARTBEATS}:priority=high,overflow=block");
        let (places, bulk) = match self.flags.producer {
            Producer::App => {
                let bulk = format!("{BULK}:priority=low,overflow=block");
                (false, settings::wide_enough(bulk, bulk_bytes))
            }
            Producer::Shard => {
                let message_bytes_max = bulk_bytes.max(1 << 20);
                let queue_bytes_max = BULK_QUEUED_MAX * bulk_bytes + HEARTBEAT_ROOM_BYTES;
                let bulk = format!(
                    "{BULK}:priority=medium,overflow=block,notsent_lowat_bytes=256KiB,\
                     queue_bytes_max={queue_bytes_max},message_bytes_max={message_bytes_max}"
                );
                (true, bulk)
            }
        };
        settings::load(
            Defaults {
                places,
                node: &[],
                channels: &[&heartbeats, &bulk],
            },
            &self.flags.engine,
        )
    }

    fn sentence(&self) -> String {
        let who = match self.flags.producer {
            Producer::Shard => "between shards",
            Producer::App => "between application threads",
        };
        let when = match self.pace {
            Pace::Closed => "one after the other".to_owned(),
            Pace::Open { hz } => format!("at {hz} Hz"),
        };
        format!(
            "heartbeats of {} bytes {when}, there and back {who}, beside messages of {} bytes",
            self.heartbeat_bytes, self.flags.bulk_payload
        )
    }
}
