//! `overlane-bench guarantee-cost`: what it costs to keep messages until they are acknowledged.
//!
//! Two pairs of nodes that differ in the channel's reliability alone take turns, A B A B, on the same cores:
//! `reliable` and `guaranteed`. Nothing is cut: this is the price of the promise while it is not needed.

use clap::Args;
use overlane::config::{Config, Flags, Reliability};
use serde::Serialize;

use crate::error::Outcome;
use crate::flags::{self, PairFlags, Producer};
use crate::pair::Spread;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;
use crate::throughput;
use crate::turns::{cpu_ns_per_message, ratios, spread, take_turns};

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

/// Runs it and prints its result.
pub(crate) fn run(flags: &GuaranteeCostFlags) -> Outcome<()> {
    flags::check_payload("--payload", flags.payload)?;
    flags.pair.check()?;
    let queue_bytes_max = throughput::queue_bytes_max(flags.payload);
    let common = throughput::configuration(flags.payload, queue_bytes_max, &flags.engine)?;
    let remote = flags.pair.remote.as_deref();
    let [reliable, guaranteed] = Hosts::with(remote, |hosts| measure(hosts, &common, flags))?;
    let ratio = ratios(&reliable, &guaranteed, Window::messages_per_s)?;
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
    let configs = [Reliability::Reliable, Reliability::Guaranteed].map(|reliability| {
        let mut config = common.clone();
        for channel in &mut config.channels {
            channel.reliability = reliability;
        }
        config
    });
    let sent = (flags.payload, flags.producer);
    take_turns("guarantee-cost", hosts, &configs, sent, &flags.pair)
}

fn print(
    reliable: &[Window],
    guaranteed: &[Window],
    ratio: Spread,
    payload_bytes: usize,
) -> Outcome<()> {
    let mut rows = Vec::new();
    for (name, windows) in [("reliable", reliable), ("guaranteed", guaranteed)] {
        rows.push(vec![
            name.to_owned(),
            table::number(spread(windows, Window::messages_per_s)?.median),
            table::number(spread(windows, Window::mib_per_s)?.median),
            table::number(cpu_ns_per_message(windows)),
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
