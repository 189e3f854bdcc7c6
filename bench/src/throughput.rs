//! `overlane-bench throughput`: one-way messages per second, beside raw sockets.
//!
//! Raw and engine take turns, A B A B, on the same cores. Sender and receiver are processes of their
//! own on either side.

use std::time::Duration;

use overlane::config::{Config, Flags};

use crate::accounts::{self, Flow};
use crate::error::{BenchError, Outcome};
use crate::flags::{Consumer, PairFlags, Producer, ThroughputFlags};
use crate::node::pair::{NodePair, RECEIVER, SENDER};
use crate::node::protocol::SendOrder;
use crate::node::settings::{self, Defaults};
use crate::pair::{Pair, Spread};
use crate::progress::Progress;
use crate::raw::pair::RawPair;
use crate::record::Record;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;

/// The channel that is measured: what waits is never dropped.
pub(crate) const CHANNEL: &str = "data";

/// Runs it and prints its result.
pub(crate) fn run(flags: &ThroughputFlags) -> Outcome<()> {
    flags.check()?;
    let common = match flags.consumer {
        Consumer::Handler => {
            let room_bytes = queue_bytes_max(flags.payload);
            configuration(flags.payload, room_bytes, &flags.engine)?
        }
        Consumer::Inbox => configuration_of_threads(flags.payload, &flags.engine)?,
    };
    let order = SendOrder {
        peers: vec![RECEIVER.to_owned()],
        channel: CHANNEL.to_owned(),
        payload_bytes: flags.payload,
        producer: flags.producer,
        consumer: flags.consumer,
        producer_core: flags.producer_core,
    };
    let measured = Hosts::with(flags.pair.remote.as_deref(), |hosts| {
        measure(hosts, &common, &order, &flags.pair)
    })?;
    let record = measured.record(flags)?;
    if flags.pair.json {
        show!("{}", record.json_line());
    } else {
        let who = match flags.producer {
            Producer::Shard => "a task on the shard",
            Producer::App => "an application thread",
        };
        show!(
            "throughput of {} byte messages, sent by {who}, taken by {}",
            flags.payload,
            match flags.consumer {
                Consumer::Handler => "a handler on the shard",
                Consumer::Inbox => "an application thread from an inbox",
            }
        );
        measured.print(&record)?;
    }
    Ok(())
}

/// What may wait in the lane: the engine's default, or more for payloads that it would hold few of.
pub(crate) fn queue_bytes_max(payload_bytes: usize) -> usize {
    (4 << 20).max(4 * payload_bytes)
}

/// The nodes of a throughput test: one channel, wide enough for its payload.
pub(crate) fn configuration(
    payload_bytes: usize,
    queue_bytes_max: usize,
    engine: &Flags,
) -> Outcome<Config> {
    let message_bytes_max = payload_bytes.max(1 << 20).min(queue_bytes_max);
    let channel = format!(
        "{CHANNEL}:priority=medium,overflow=block,message_bytes_max={message_bytes_max},\
         queue_bytes_max={queue_bytes_max}"
    );
    settings::load(
        Defaults {
            places: true,
            node: &[],
            channels: &[&channel],
        },
        engine,
    )
}

/// The nodes of a test between application threads: what an application gets that names its channel.
fn configuration_of_threads(payload_bytes: usize, engine: &Flags) -> Outcome<Config> {
    let channel = format!("{CHANNEL}:priority=low,overflow=block");
    settings::load(
        Defaults {
            places: false,
            node: &[],
            channels: &[&settings::wide_enough(channel, payload_bytes)],
        },
        engine,
    )
}

/// All windows of a run.
struct Measured {
    raw: Vec<Window>,
    ours: Vec<Window>,
    flow: Flow,
    raw_writes: String,
    hosts: Hosts,
}

fn measure(
    hosts: &Hosts,
    common: &Config,
    order: &SendOrder,
    flags: &PairFlags,
) -> Outcome<Measured> {
    let (mut raw, mut nodes) = match order.consumer {
        Consumer::Handler => (
            RawPair::on_cores(hosts, flags.cores(), flags.raw_batch_kib)?,
            NodePair::on_cores(hosts, common, flags.cores())?,
        ),
        Consumer::Inbox => (
            RawPair::unplaced(hosts, order.payload_bytes, flags.raw_batch_kib)?,
            NodePair::as_configured(hosts, common)?,
        ),
    };
    let (warm_up, measure) = (flags.warm_up(), flags.measure());
    // The first connection grows its socket buffers; that belongs to neither side's figure.
    raw.stream(order.payload_bytes, warm_up, Duration::ZERO)?;
    nodes.stream(order, warm_up, Duration::ZERO)?;
    let progress = Progress::of_steps("throughput", 2 * u64::from(flags.pairs));
    let (mut raws, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..flags.pairs {
        progress.say("raw");
        raws.push(raw.stream(order.payload_bytes, warm_up, measure)?);
        progress.step();
        progress.say("overlane");
        ours.push(nodes.stream(order, warm_up, measure)?);
        progress.step();
    }
    let flow = accounts::between(nodes.settle()?, SENDER, RECEIVER, CHANNEL)?;
    Ok(Measured {
        raw: raws,
        ours,
        flow,
        raw_writes: raw.writes(),
        hosts: hosts.clone(),
    })
}

impl Measured {
    fn pairs(&self) -> Vec<Pair> {
        let pairs = self.ours.iter().zip(&self.raw);
        pairs
            .map(|(ours, raw)| Pair {
                ours: ours.messages_per_s(),
                raw: raw.messages_per_s(),
            })
            .collect()
    }

    fn record(&self, flags: &ThroughputFlags) -> Outcome<Record> {
        let median = |windows: &[Window], of: fn(&Window) -> f64| {
            Spread::of(windows.iter().map(of)).map(|spread| spread.median)
        };
        let ratio = Spread::of_ratios(&self.pairs()).ok_or_else(nothing_arrived)?;
        let all = self
            .ours
            .iter()
            .copied()
            .fold(Window::default(), Window::and);
        Ok(Record {
            test: "throughput".into(),
            producer: Some(flags.producer),
            consumer: Some(flags.consumer),
            payload_bytes: Some(flags.payload as u64),
            messages_per_s: median(&self.ours, Window::messages_per_s),
            mib_per_s: median(&self.ours, Window::mib_per_s),
            raw_messages_per_s: median(&self.raw, Window::messages_per_s),
            ratio_to_raw: Some(ratio.median),
            cpu_ns_per_message: Some(all.per_message(all.cpu_ns())),
            syscalls_per_message: Some(all.per_message(all.syscalls)),
            allocations_per_message: Some(all.per_message(all.allocations)),
            ..Record::default()
        }
        .with_account(&self.flow)
        .with_cpu(all.cpu_shares()))
    }

    fn print(&self, record: &Record) -> Outcome<()> {
        let of = |windows: &[Window], rate: fn(&Window) -> f64| {
            Spread::of(windows.iter().map(rate)).ok_or_else(nothing_arrived)
        };
        let ratio = Spread::of_ratios(&self.pairs()).ok_or_else(nothing_arrived)?;
        let row = |name: &str, ours: Spread, raw: Spread| {
            vec![
                name.to_owned(),
                table::number(ours.median),
                table::number(raw.median),
            ]
        };
        let cost = |windows: &[Window]| {
            let all = windows.iter().copied().fold(Window::default(), Window::and);
            all.per_message(all.cpu_ns())
        };
        let mut rows = vec![
            row(
                "messages/s",
                of(&self.ours, Window::messages_per_s)?,
                of(&self.raw, Window::messages_per_s)?,
            ),
            row(
                "MiB/s",
                of(&self.ours, Window::mib_per_s)?,
                of(&self.raw, Window::mib_per_s)?,
            ),
            vec![
                "CPU ns/message".into(),
                table::number(cost(&self.ours)),
                table::number(cost(&self.raw)),
            ],
        ];
        rows[0].push(table::spread(ratio));
        show!(
            "{}",
            table::of(
                &["median of pairs", "overlane", "raw", "ratio to raw"],
                &rows
            )
        );
        show!(
            "raw {}; system calls {:.4} and allocations {:.4} per message\n{}",
            self.raw_writes,
            record.syscalls_per_message.unwrap_or_default(),
            record.allocations_per_message.unwrap_or_default(),
            self.flow.sentence()
        );
        let all = self
            .ours
            .iter()
            .copied()
            .fold(Window::default(), Window::and);
        show!("{}", table::cpu(all.cpu_shares(), self.hosts.far_host()));
        Ok(())
    }
}

fn nothing_arrived() -> BenchError {
    BenchError::CheckFailed("nothing arrived within a window; give longer --seconds".into())
}
