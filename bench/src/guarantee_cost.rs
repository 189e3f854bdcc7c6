//! `overlane-bench guarantee-cost`: what it costs to keep messages until they are acknowledged.
//!
//! Two pairs of nodes that differ in the channel's reliability alone take turns, A B A B, on the same cores:
//! `reliable` and `guaranteed`. Nothing is cut: this is the price of the promise while it is not needed.

use std::time::Duration;

use clap::Args;
use overlane::config::{Config, Flags, Reliability};
use serde::Serialize;

use crate::error::{BenchError, Outcome};
use crate::flags::{self, Consumer, PairFlags, Producer};
use crate::node::pair::{NodePair, RECEIVER};
use crate::node::protocol::SendOrder;
use crate::pair::{Pair, Spread};
use crate::progress::Progress;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;
use crate::throughput;

/// Flags of `guarantee-cost`.
#[derive(Debug, Args)]
pub(crate) struct GuaranteeCostFlags {
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    payload: usize,
    /// Who sends
    #[arg(long, value_enum, default_value_t = Producer::Shard)]
    producer: Producer,
    #[command(flatten)]
    pair: PairFlags,
    #[command(flatten)]
    engine: Flags,
}

/// The figure; its name is a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    ratio_to_reliable: f64,
}

/// One kind of channel, with its windows.
struct Side {
    nodes: NodePair,
    windows: Vec<Window>,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &GuaranteeCostFlags) -> Outcome<()> {
    flags::check_payload("--payload", flags.payload)?;
    flags.pair.check()?;
    let queue_bytes_max = throughput::queue_bytes_max(flags.payload);
    let common = throughput::configuration(flags.payload, queue_bytes_max, &flags.engine)?;
    let remote = flags.pair.remote.as_deref();
    let [reliable, guaranteed] = Hosts::with(remote, |hosts| measure(hosts, &common, flags))?;
    let pairs: Vec<Pair> = guaranteed
        .iter()
        .zip(&reliable)
        .map(|(guaranteed, reliable)| Pair {
            ours: guaranteed.messages_per_s(),
            raw: reliable.messages_per_s(),
        })
        .collect();
    let ratio = Spread::of_ratios(&pairs).ok_or_else(nothing_arrived)?;
    if flags.pair.json {
        let ratio_to_reliable = (ratio.median * 1e3).round() / 1e3;
        let figures = Figures { ratio_to_reliable };
        let line = serde_json::to_string(&figures).expect("figures are numbers");
        show!("{line}");
        return Ok(());
    }
    print(&reliable, &guaranteed, ratio, flags.payload)
}

fn measure(
    hosts: &Hosts,
    common: &Config,
    flags: &GuaranteeCostFlags,
) -> Outcome<[Vec<Window>; 2]> {
    let order = SendOrder {
        peers: vec![RECEIVER.to_owned()],
        channel: throughput::CHANNEL.to_owned(),
        payload_bytes: flags.payload,
        producer: flags.producer,
        consumer: Consumer::Handler,
        producer_core: None,
    };
    let (warm_up, measure) = (flags.pair.warm_up(), flags.pair.measure());
    let side = |reliability| {
        let mut common = common.clone();
        for channel in &mut common.channels {
            channel.reliability = reliability;
        }
        let nodes = NodePair::on_cores(hosts, &common, flags.pair.cores())?;
        Ok::<_, BenchError>(Side {
            nodes,
            windows: Vec::new(),
        })
    };
    let mut sides = [side(Reliability::Reliable)?, side(Reliability::Guaranteed)?];
    for side in &mut sides {
        side.nodes.stream(&order, warm_up, Duration::ZERO)?;
    }
    let progress = Progress::of_steps("guarantee-cost", 2 * u64::from(flags.pair.pairs));
    for _ in 0..flags.pair.pairs {
        for side in &mut sides {
            side.windows
                .push(side.nodes.stream(&order, warm_up, measure)?);
            progress.step();
        }
    }
    drop(progress);
    for side in &mut sides {
        side.nodes.settle()?;
    }
    Ok(sides.map(|side| side.windows))
}

fn print(
    reliable: &[Window],
    guaranteed: &[Window],
    ratio: Spread,
    payload_bytes: usize,
) -> Outcome<()> {
    let mut rows = Vec::new();
    for (name, windows) in [("reliable", reliable), ("guaranteed", guaranteed)] {
        let of = |rate: fn(&Window) -> f64| {
            let spread = Spread::of(windows.iter().map(rate)).ok_or_else(nothing_arrived);
            spread.map(|spread| table::number(spread.median))
        };
        let all = windows.iter().copied().fold(Window::default(), Window::and);
        rows.push(vec![
            name.to_owned(),
            of(Window::messages_per_s)?,
            of(Window::mib_per_s)?,
            table::number(all.per_message(all.cpu_ns())),
            String::new(),
        ]);
    }
    rows[1][4] = table::spread(ratio);
    show!("messages of {payload_bytes} bytes, median of pairs");
    let header = [
        "channel",
        "messages/s",
        "MiB/s",
        "CPU ns",
        "ratio to reliable",
    ];
    show!("{}", table::of(&header, &rows));
    Ok(())
}

fn nothing_arrived() -> BenchError {
    BenchError::CheckFailed("nothing arrived within a window; give longer --seconds".into())
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn the_key_is_the_promised_one() {
        let figures = Figures {
            ratio_to_reliable: 0.95,
        };
        let line = serde_json::to_string(&figures).unwrap();
        assert_eq!(line, r#"{"ratio_to_reliable":0.95}"#);
    }
}
