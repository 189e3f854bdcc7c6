//! `overlane-bench setting-cost`: what one value of a node's parameter costs beside another.
//!
//! Two pairs of nodes that differ in that parameter alone take turns, A B A B, on the same cores: so that 1 % can be seen, such as what the
//! flight recorder may cost, on a machine whose figures move by more than that from run to run.

use clap::Args;
use overlane::config::{Config, Flags, NODE_PARAMETERS};
use serde::Serialize;

use crate::error::{BenchError, Outcome};
use crate::flags::{self, PairFlags, Producer};
use crate::pair::Spread;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;
use crate::throughput;
use crate::turns::{cpu_ns_per_message, ratios, spread, take_turns};

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
    let remote = flags.pair.remote.as_deref();
    let [base, beside] = Hosts::with(remote, |hosts| {
        let sent = (flags.payload, flags.producer);
        take_turns("setting-cost", hosts, &configs, sent, &flags.pair)
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

fn print(
    flags: &SettingCostFlags,
    base: &[Window],
    beside: &[Window],
    [rates, cpu]: [Spread; 2],
) -> Outcome<()> {
    let mut rows = Vec::new();
    for (value, windows) in [(&flags.base, base), (&flags.beside, beside)] {
        rows.push(vec![
            format!("{} = {value}", flags.setting),
            table::number(spread(windows, Window::messages_per_s)?.median),
            table::number(cpu_ns_per_message(windows)),
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
