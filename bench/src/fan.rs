//! `overlane-bench fan`: one node that sends to many, beside the same kind of node that sends to one.
//!
//! Three things take turns: raw sockets, one sender with one receiver, one sender with all receivers. All
//! receivers are full nodes, each with its threads, in one process on the receiving core, where they park
//! at once; the sender goes round them with some 32 KiB for each.

use std::time::Duration;

use overlane::config::Config;

use crate::accounts::Flow;
use crate::error::{BenchError, Outcome};
use crate::flags::{self, Consumer, FanFlags, Producer};
use crate::node::pair::{NodePair, NodeProcess, SENDER};
use crate::node::protocol::{Command, SendOrder};
use crate::node::settings;
use crate::pair::{Pair, Spread};
use crate::progress::Progress;
use crate::raw::pair::RawPair;
use crate::record::Record;
use crate::remote::site::Hosts;
use crate::sample::{Window, figure};
use crate::shown::show;
use crate::table;
use crate::throughput;

/// What may wait for each receiver: some visits of the sender's. The engine's default, 4 MiB for each of 500
/// lanes, would only be memory that is filled and drained.
const QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Runs it and prints its results: one peer, then all of them.
pub(crate) fn run(flags: &FanFlags) -> Outcome<()> {
    flags::check_payload("--payload", flags.payload)?;
    flags::within("--peers", flags.peers, 2, 1_000)?;
    flags.pair.check()?;
    if let Some(remote) = &flags.pair.remote {
        return Err(BenchError::BadInput(format!(
            "--remote {remote}: fan runs on one host; leave the flag out"
        )));
    }
    let queue_bytes_max = QUEUE_BYTES_MAX.max(4 * flags.payload);
    let common = throughput::configuration(flags.payload, queue_bytes_max, &flags.engine)?;
    let mut raw = RawPair::on_cores(
        &Hosts::this_one(),
        flags.pair.cores(),
        flags.pair.raw_batch_kib,
    )?;
    let mut one = Fan::start(&common, flags, 1)?;
    let mut many = Fan::start(&common, flags, flags.peers)?;
    let (warm_up, measure) = (flags.pair.warm_up(), flags.pair.measure());
    one.nodes.stream(&one.order, warm_up, Duration::ZERO)?;
    many.nodes.stream(&many.order, warm_up, Duration::ZERO)?;
    let progress = Progress::of_steps("fan", 3 * u64::from(flags.pair.pairs));
    let mut raws = Vec::new();
    for _ in 0..flags.pair.pairs {
        progress.say("raw");
        raws.push(raw.stream(flags.payload, warm_up, measure)?);
        progress.step();
        for fan in [&mut one, &mut many] {
            progress.say(format!("{} peers", fan.order.peers.len()));
            fan.windows
                .push(fan.nodes.stream(&fan.order, warm_up, measure)?);
            progress.step();
        }
    }
    drop(progress);
    let (one_flows, many_flows) = (one.nodes.settle()?, many.nodes.settle()?);
    let records = [
        one.record(&raws, &one_flows, flags)?,
        many.record(&raws, &many_flows, flags)?,
    ];
    if flags.pair.json {
        records
            .iter()
            .for_each(|record| show!("{}", record.json_line()));
    } else {
        print(&one, &many, &records, flags)?;
    }
    Ok(())
}

/// One sender with its receivers.
struct Fan {
    nodes: NodePair,
    order: SendOrder,
    windows: Vec<Window>,
    /// Resident memory of the sender that its idle lanes took.
    idle_lanes_bytes: u64,
    lanes: usize,
}

impl Fan {
    fn start(common: &Config, flags: &FanFlags, peers: usize) -> Outcome<Self> {
        let (sender_core, receiver_core) = flags.pair.cores();
        let names: Vec<String> = (0..peers).map(|peer| format!("p{peer}")).collect();
        // They share a core: one that spins takes the time of those that have work.
        let parking = Config {
            spin_us: 0,
            ..common.clone()
        };
        let receivers = names
            .iter()
            .map(|name| settings::on_core(&parking, name, receiver_core));
        let receiver = NodeProcess::of_many("receivers", receivers.collect())?;
        let sender = settings::on_core(common, SENDER, sender_core);
        let mut sender = NodeProcess::of_many("sender", vec![sender])?;
        let (before_bytes, _) = sender.memory()?;
        let addresses = receiver.addresses.iter().copied();
        sender.order(&Command::Connect {
            peers: names.iter().cloned().zip(addresses).collect(),
        })?;
        let (after_bytes, lanes) = sender.memory()?;
        let idle_lanes_bytes = after_bytes.saturating_sub(before_bytes);
        let order = SendOrder {
            peers: names,
            channel: throughput::CHANNEL.to_owned(),
            payload_bytes: flags.payload,
            producer: Producer::Shard,
            consumer: Consumer::Handler,
            producer_core: None,
        };
        let nodes = NodePair { sender, receiver };
        Ok(Self {
            nodes,
            order,
            windows: Vec::new(),
            idle_lanes_bytes,
            lanes,
        })
    }

    fn rate(&self) -> Outcome<Spread> {
        Spread::of(self.windows.iter().map(Window::messages_per_s)).ok_or_else(nothing_arrived)
    }

    fn record(&self, raws: &[Window], flows: &[Flow], flags: &FanFlags) -> Outcome<Record> {
        let raw =
            Spread::of(raws.iter().map(Window::messages_per_s)).ok_or_else(nothing_arrived)?;
        let pairs: Vec<Pair> = self
            .windows
            .iter()
            .zip(raws)
            .map(|(ours, raw)| Pair {
                ours: ours.messages_per_s(),
                raw: raw.messages_per_s(),
            })
            .collect();
        let all = self
            .windows
            .iter()
            .copied()
            .fold(Window::default(), Window::and);
        let sum = |of: fn(&Flow) -> u64| {
            Some(
                flows
                    .iter()
                    .filter(|flow| flow.from == SENDER)
                    .map(of)
                    .sum(),
            )
        };
        Ok(Record {
            test: format!("fan-{}", self.order.peers.len()),
            payload_bytes: Some(flags.payload as u64),
            messages_per_s: Some(self.rate()?.median),
            mib_per_s: Spread::of(self.windows.iter().map(Window::mib_per_s)).map(|s| s.median),
            raw_messages_per_s: Some(raw.median),
            ratio_to_raw: Spread::of_ratios(&pairs).map(|spread| spread.median),
            accepted: sum(|flow| flow.account.accepted),
            acknowledged: sum(|flow| flow.account.acknowledged),
            reported: sum(|flow| flow.account.reported),
            dropped: sum(|flow| flow.account.dropped),
            delivered: sum(|flow| flow.delivered),
            cpu_ns_per_message: Some(all.per_message(all.cpu_ns())),
            syscalls_per_message: Some(all.per_message(all.syscalls)),
            allocations_per_message: Some(all.per_message(all.allocations)),
            ..Record::default()
        })
    }
}

fn print(one: &Fan, many: &Fan, records: &[Record; 2], flags: &FanFlags) -> Outcome<()> {
    let mut rows: Vec<Vec<String>> = records
        .iter()
        .zip([one, many])
        .map(|(record, fan)| {
            vec![
                fan.order.peers.len().to_string(),
                table::number(record.messages_per_s.unwrap_or_default()),
                table::number(record.mib_per_s.unwrap_or_default()),
                table::number(record.cpu_ns_per_message.unwrap_or_default()),
                format!("{:.4}", record.syscalls_per_message.unwrap_or_default()),
                format!("{:.2}", record.ratio_to_raw.unwrap_or_default()),
            ]
        })
        .collect();
    let windows = one.windows.iter().zip(&many.windows);
    let pairs: Vec<Pair> = windows
        .map(|(one, many)| Pair {
            ours: many.messages_per_s(),
            raw: one.messages_per_s(),
        })
        .collect();
    let ratio = Spread::of_ratios(&pairs).ok_or_else(nothing_arrived)?;
    rows[0].push(String::new());
    rows[1].push(table::spread(ratio));
    show!(
        "one node that sends {} byte messages to many",
        flags.payload
    );
    let header = [
        "peers",
        "messages/s",
        "MiB/s",
        "CPU ns",
        "system calls",
        "ratio to raw",
        "ratio to one peer",
    ];
    show!("{}", table::of(&header, &rows));
    let lanes = many.lanes.max(1);
    show!(
        "{lanes} idle lanes took {} KiB of the sender's resident memory: {} KiB each",
        table::count(many.idle_lanes_bytes / 1024),
        table::number(figure(many.idle_lanes_bytes) / 1024.0 / figure(lanes as u64))
    );
    Ok(())
}

fn nothing_arrived() -> BenchError {
    BenchError::CheckFailed("nothing arrived within a window; give longer --seconds".into())
}
