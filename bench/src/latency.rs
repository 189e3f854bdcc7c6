//! `overlane-bench latency`: round trips between handlers on two shards, beside raw ping-pong.
//!
//! A shard that spins is compared with busy sockets, one that parks with blocking sockets. Raw and engine
//! take turns, A B A B, on the same cores.

use overlane::config::Config;

use crate::accounts::{self, Flow};
use crate::error::{BenchError, Outcome};
use crate::flags::{self, Idle, LatencyFlags, PairFlags, Producer};
use crate::latencies::Latencies;
use crate::node::pair::{NodePair, RECEIVER, SENDER};
use crate::node::protocol::RoundTripOrder;
use crate::node::round_trip;
use crate::node::settings::{self, Defaults};
use crate::pair::{Pair, Spread};
use crate::ping::Pace;
use crate::progress::Progress;
use crate::raw::pair::RawPair;
use crate::record::Record;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;

/// The channel that is measured.
const CHANNEL: &str = "coordination";

/// Runs it and prints its result.
pub(crate) fn run(flags: &LatencyFlags) -> Outcome<()> {
    let payload_bytes_max = 1 << 20;
    flags::within(
        "--payload",
        flags.payload,
        round_trip::PAYLOAD_BYTES_MIN,
        payload_bytes_max,
    )?;
    flags.pair.check()?;
    let node: &[(&str, &str)] = match flags.idle {
        Idle::Spin => &[("spin_us", "50")],
        Idle::Park => &[("spin_us", "0")],
    };
    let channel = format!("{CHANNEL}:priority=high,overflow=block");
    let common = settings::load(
        Defaults {
            places: true,
            node,
            channels: &[&channel],
        },
        &flags.engine,
    )?;
    let measured = Hosts::with(flags.pair.remote.as_deref(), |hosts| {
        measure(hosts, &common, flags)
    })?;
    let record = measured.record(flags)?;
    if flags.pair.json {
        show!("{}", record.json_line());
    } else {
        show!(
            "round trip of {} byte messages, {}",
            flags.payload,
            measured.compared
        );
        measured.print(&record)?;
    }
    Ok(())
}

/// All windows of a run.
struct Measured {
    compared: &'static str,
    raw: Vec<Latencies>,
    ours: Vec<Latencies>,
    used: Window,
    flow: Flow,
    hosts: Hosts,
}

fn measure(hosts: &Hosts, common: &Config, flags: &LatencyFlags) -> Outcome<Measured> {
    let PairFlags {
        pairs,
        raw_batch_kib,
        ..
    } = flags.pair;
    let cores = flags.pair.cores();
    let mut raw = RawPair::on_cores(hosts, cores, raw_batch_kib)?;
    let mut nodes = NodePair::on_cores(hosts, common, cores)?;
    let busy = flags.idle == Idle::Spin;
    let order = RoundTripOrder {
        peer: RECEIVER.to_owned(),
        channel: CHANNEL.to_owned(),
        payload_bytes: flags.payload,
        pace: Pace::Closed,
        producer: Producer::Shard,
        warm_up: flags.pair.warm_up(),
        measure: flags.pair.measure(),
    };
    let progress = Progress::of_steps("latency", 2 * u64::from(pairs));
    let (mut raws, mut ours, mut used) = (Vec::new(), Vec::new(), Window::default());
    for _ in 0..pairs {
        progress.say("raw");
        raws.push(raw.ping(flags.payload, busy, order.warm_up, order.measure)?);
        progress.step();
        progress.say("overlane");
        let before = (nodes.sender.sample()?, nodes.receiver.sample()?);
        ours.push(nodes.sender.round_trips(order.clone())?.due);
        let after = (nodes.sender.sample()?, nodes.receiver.sample()?);
        used = used.and(Window::between((before.0, after.0), (before.1, after.1)));
        progress.step();
    }
    let flows = nodes.settle()?;
    let answers = accounts::between(flows.clone(), RECEIVER, SENDER, CHANNEL)?;
    let flow = accounts::between(flows, SENDER, RECEIVER, CHANNEL)?;
    // A handler counts its messages in the engine only; each way is one.
    used.messages = flow.delivered + answers.delivered;
    let compared = match flags.idle {
        Idle::Spin => "shards spin, compared with busy raw sockets",
        Idle::Park => "shards park, compared with blocking raw sockets",
    };
    Ok(Measured {
        compared,
        raw: raws,
        ours,
        used,
        flow,
        hosts: hosts.clone(),
    })
}

impl Measured {
    fn median(windows: &[Latencies], percent: f64) -> Outcome<Spread> {
        Spread::of(windows.iter().map(|window| window.percentile_us(percent)))
            .ok_or_else(no_round_trip)
    }

    fn ratio(&self) -> Outcome<Spread> {
        let p50 = |window: &Latencies| window.percentile_us(50.0);
        let windows = self.ours.iter().zip(&self.raw);
        let pairs: Vec<Pair> = windows
            .map(|(ours, raw)| Pair {
                ours: p50(ours),
                raw: p50(raw),
            })
            .collect();
        Spread::of_ratios(&pairs).ok_or_else(no_round_trip)
    }

    fn record(&self, flags: &LatencyFlags) -> Outcome<Record> {
        let used = self.used;
        Ok(Record {
            test: "latency".into(),
            payload_bytes: Some(flags.payload as u64),
            p50_us: Some(Self::median(&self.ours, 50.0)?.median),
            p99_us: Some(Self::median(&self.ours, 99.0)?.median),
            p999_us: Some(Self::median(&self.ours, 99.9)?.median),
            raw_p50_us: Some(Self::median(&self.raw, 50.0)?.median),
            ratio_to_raw: Some(self.ratio()?.median),
            cpu_ns_per_message: Some(used.per_message(used.cpu_ns())),
            syscalls_per_message: Some(used.per_message(used.syscalls)),
            allocations_per_message: Some(used.per_message(used.allocations)),
            ..Record::default()
        }
        .with_account(&self.flow)
        .with_cpu(used.cpu_shares()))
    }

    fn print(&self, record: &Record) -> Outcome<()> {
        let mut rows = Vec::new();
        for (name, percent) in [("p50 us", 50.0), ("p99 us", 99.0), ("p99.9 us", 99.9)] {
            let ours = Self::median(&self.ours, percent)?;
            let raw = Self::median(&self.raw, percent)?;
            rows.push(vec![
                name.into(),
                table::number(ours.median),
                table::number(raw.median),
            ]);
        }
        rows[0].push(table::spread(self.ratio()?));
        show!(
            "{}",
            table::of(
                &["median of pairs", "overlane", "raw", "ratio to raw"],
                &rows
            )
        );
        show!(
            "system calls {:.2} and allocations {:.4} per message, each way is one\n{}",
            record.syscalls_per_message.unwrap_or_default(),
            record.allocations_per_message.unwrap_or_default(),
            self.flow.sentence()
        );
        show!(
            "{}",
            table::cpu(self.used.cpu_shares(), self.hosts.far_host())
        );
        Ok(())
    }
}

fn no_round_trip() -> BenchError {
    BenchError::CheckFailed("no round trip ended within a window; give longer --seconds".into())
}
