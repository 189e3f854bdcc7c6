//! `overlane-bench setting-cost`: what one value of a node's parameter costs beside another.
//!
//! Two pairs of nodes that differ in that parameter alone take turns, A B A B, on the same cores: so that 1 % can be seen, such as what the
//! flight recorder may cost, on a machine whose figures move by more than that from run to run.

use clap::Args;
use overlane::config::{Config, Flags, NODE_PARAMETERS};
use serde::Serialize;

use crate::error::{BenchError, Outcome};
use crate::flags::{self, Consumer, PairFlags, Producer};
use crate::node::pair::RECEIVER;
use crate::node::protocol::SendOrder;
use crate::pair::{Pair, Spread};
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;
use crate::throughput;
use crate::turns::take_turns;

/// Flags of `setting-cost`.
#[derive(Debug, Args)]
pub(crate) struct SettingCostFlags {
    /// The parameter, such as `recorder_entries`
    #[arg(long, value_name = "PARAMETER")]
    setting: String,
    /// Its value on the nodes that are compared with
    #[arg(long, value_name = "VALUE")]
    base: String,
    /// Its value on the others
    #[arg(long, value_name = "VALUE")]
    beside: String,
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

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    /// Messages per second, `beside` to `base`.
    ratio_of_rates: f64,
    /// Processor time of a message, the same way.
    ratio_of_cpu: f64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &SettingCostFlags) -> Outcome<()> {
    flags::check_payload("--payload", flags.payload)?;
    flags.pair.check()?;
    let configs = [
        configuration(flags, &flags.base)?,
        configuration(flags, &flags.beside)?,
    ];
    let order = SendOrder {
        peers: vec![RECEIVER.to_owned()],
        channel: throughput::CHANNEL.to_owned(),
        payload_bytes: flags.payload,
        producer: flags.producer,
        consumer: Consumer::Handler,
        producer_core: None,
    };
    let remote = flags.pair.remote.as_deref();
    let [base, beside] = Hosts::with(remote, |hosts| {
        take_turns("setting-cost", hosts, &configs, &order, &flags.pair)
    })?;
    let rates = ratios(&base, &beside, Window::messages_per_s)?;
    let cpu = ratios(&base, &beside, |window| window.per_message(window.cpu_ns()))?;
    if flags.pair.json {
        let rounded = |spread: Spread| (spread.median * 1e4).round() / 1e4;
        let figures = Figures {
            ratio_of_rates: rounded(rates),
            ratio_of_cpu: rounded(cpu),
        };
        let line = serde_json::to_string(&figures).expect("figures are numbers");
        show!("{line}");
        return Ok(());
    }
    print(flags, &base, &beside, [rates, cpu])
}

/// What the nodes have that have that value.
fn configuration(flags: &SettingCostFlags, value: &str) -> Outcome<Config> {
    let mut parameters = NODE_PARAMETERS.iter().map(|parameter| parameter.name);
    let Some(name) = parameters.find(|name| *name == flags.setting) else {
        return Err(BenchError::BadInput(format!(
            "--setting {}: a node has no such parameter; `docs/tuning.md` lists them",
            flags.setting
        )));
    };
    let mut engine = flags.engine.clone();
    engine.node.push((name, value.to_owned()));
    let queue_bytes_max = throughput::queue_bytes_max(flags.payload);
    throughput::configuration(flags.payload, queue_bytes_max, &engine)
}

fn ratios(base: &[Window], beside: &[Window], figure: impl Fn(&Window) -> f64) -> Outcome<Spread> {
    let pairs: Vec<Pair> = { beside.iter().zip(base) }
        .map(|(beside, base)| Pair {
            ours: figure(beside),
            raw: figure(base),
        })
        .collect();
    Spread::of_ratios(&pairs).ok_or_else(nothing_arrived)
}

fn print(
    flags: &SettingCostFlags,
    base: &[Window],
    beside: &[Window],
    [rates, cpu]: [Spread; 2],
) -> Outcome<()> {
    let mut rows = Vec::new();
    for (value, windows) in [(&flags.base, base), (&flags.beside, beside)] {
        let rates = Spread::of(windows.iter().map(Window::messages_per_s));
        let all = windows.iter().copied().fold(Window::default(), Window::and);
        rows.push(vec![
            format!("{} = {value}", flags.setting),
            table::number(rates.ok_or_else(nothing_arrived)?.median),
            table::number(all.per_message(all.cpu_ns())),
            String::new(),
            String::new(),
        ]);
    }
    rows[1][3] = table::spread(rates);
    rows[1][4] = table::spread(cpu);
    show!("messages of {} bytes, median of pairs", flags.payload);
    let header = [
        "setting",
        "messages/s",
        "CPU ns",
        "ratio of rates",
        "ratio of CPU",
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
    fn the_keys_are_the_promised_ones() {
        let figures = Figures {
            ratio_of_rates: 0.995,
            ratio_of_cpu: 1.004,
        };
        let line = serde_json::to_string(&figures).unwrap();
        assert_eq!(line, r#"{"ratio_of_rates":0.995,"ratio_of_cpu":1.004}"#);
    }
}
