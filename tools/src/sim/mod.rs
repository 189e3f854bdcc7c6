//! `overlane sim`: simulated clusters of thousands of nodes, repeatable from one seed.
//!
//! This file has the arguments and picks the workload; each workload has its file. Results go to
//! standard output, as a table or as one JSON object a line; progress goes to standard error.

mod broadcast;
mod causal;
mod cpu;
mod faults;
mod layers;
mod network;
mod output;
pub(crate) mod own;
mod plot;
mod seeds;
mod switching;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use overlane::config::ConfigError;
use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::sim::carrier::Carrier;
use overlane_overlays::sim::switching::BEFORE_S;

use crate::ending::{Ending, NotWritten, complain};
use crate::span::{Milliseconds, Percent, parse_milliseconds, parse_percent, parse_span};
use network::NetworkArguments;

/// Simulates a cluster and prints what it measured.
///
/// Two runs with the same arguments give the same figures and the same trace hash.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to simulate
    #[arg(long, value_enum, default_value_t = Workload::Broadcast)]
    workload: Workload,
    /// Who connects to whom: full_mesh, hyparview, client_server or pub_sub [default: hyparview]
    #[arg(long)]
    overlay: Option<Carrier>,
    /// The overlay before a `switch`
    #[arg(long, default_value_t = OverlayKind::HyParView)]
    from: OverlayKind,
    /// The overlay after a `switch`
    #[arg(long, default_value_t = OverlayKind::FullMesh)]
    to: OverlayKind,
    /// Simulate nodes of that configuration file, with the environment; the workload is `switch` then
    #[arg(long, value_name = "FILE", requires = "switch")]
    config: Option<String>,
    /// The overlays before and after a `switch`, such as hyparview,client_server; the workload is `switch` then
    #[arg(long, value_name = "FROM,TO", value_parser = parse_switch, conflicts_with_all = ["from", "to", "workload", "overlay"])]
    switch: Option<(OverlayKind, OverlayKind)>,
    /// How long broadcasts flow before the order to switch, such as 30s; whole seconds [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_span, requires = "switch")]
    at: Option<Duration>,
    /// Nodes that join, one by one [default: 1000; `causal`: 30; `faults` draws it from the seed]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    nodes: Option<u32>,
    /// The number that repeats the simulation
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Share of nodes that crash at once, such as 50%; with `causal` one by one, every second starts again
    #[arg(long, default_value = "0%", value_parser = parse_percent)]
    fail: Percent,
    /// Broadcasts to send; after a failure, as many again when three cycles have passed
    #[arg(long, default_value_t = 100)]
    broadcasts: usize,
    /// How broadcasts are spread
    #[arg(long, value_enum, default_value_t = Spread::Plumtree)]
    spread: Spread,
    /// Who sends the broadcasts
    #[arg(long, value_enum, default_value_t = Senders::One)]
    senders: Senders,
    /// Broadcasts sent at the same moment, with `--senders many` by different nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Bytes of each broadcast, 8 to 262144
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=262_144))]
    payload_bytes: u32,
    /// Time between two broadcasts, or between the moments of several
    #[arg(long, default_value = "1000", value_name = "MS", value_parser = parse_milliseconds)]
    interval_ms: Milliseconds,
    /// Time between two joins [default: 10; `faults` draws it from the seed]
    #[arg(long, value_name = "MS", value_parser = parse_milliseconds)]
    join_spacing_ms: Option<Milliseconds>,
    /// Cycles of 10 s to settle after the last join
    #[arg(long, default_value_t = 5)]
    cycles: usize,
    #[command(flatten)]
    network: NetworkArguments,
    /// How much later than the others one node does everything, for `membership`
    #[arg(long, default_value = "0", value_name = "MS", value_parser = parse_milliseconds)]
    slow_ms: Milliseconds,
    /// Nodes that `turnover` replaces
    #[arg(long, default_value_t = 1_000)]
    replacements: usize,
    /// Share of the nodes that `turnover` replaces by one of another name; the others come back at another address
    #[arg(long, default_value = "100%", value_parser = parse_percent)]
    renamed: Percent,
    /// How many seeds, from --seed on [default: `faults`: 1000; `causal`: 1]
    #[arg(long)]
    seeds: Option<u64>,
    /// Hops that a path must get shorter for a node to move in the tree
    #[arg(long, value_name = "HOPS")]
    optimization_threshold: Option<u16>,
    /// HyParView with X-BOT: near neighbors instead of random ones
    #[arg(long)]
    xbot: bool,
    /// HyParView with Partisan's deviations from the paper, for comparison
    #[arg(long)]
    partisan_deviations: bool,
    /// Simulate twice and fail if the trace hashes differ
    #[arg(long)]
    twice: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print each broadcast too, before the figures of all
    #[arg(long)]
    each: bool,
    /// Draw the figures of each broadcast into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Nodes join and broadcast; with --fail, before and after healing
    Broadcast,
    /// What membership costs, how fast it tells of crashes, how often it errs (--loss, --slow-ms)
    Membership,
    /// Two halves for 60 s, then healed: how long until all members know all members again
    Partition,
    /// Nodes replaced one by one, --replacements of them: does the cluster stand, and forget those that are gone
    Turnover,
    /// What an input costs the protocols of a node: quiet, with broadcasts, with crashes
    Cpu,
    /// Publications to topics, before and after --fail: do they reach all subscribers, and only them
    PubSub,
    /// Payloads relayed by the servers of client_server, before and after servers crash
    Relay,
    /// The overlay --from gives way to --to while random nodes broadcast; fails if a broadcast is lost
    Switch,
    /// All or none of five random members deliver, while in --fail of --broadcasts rounds one crashes
    Atomic,
    /// Keys with values of --payload-bytes written everywhere, then in two halves: how long until all have all
    AntiEntropy,
    /// Every overlay at every size under every loss and latency that is not given, one row each
    Table,
    /// Causal broadcast and unicast: is the order causal, what is held back and given up (--loss, --fail)
    Causal,
    /// Everything goes wrong, then is repaired: --seeds runs, each twice, on all overlays in turn
    Faults,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spread {
    /// Along a tree
    Plumtree,
    /// To all neighbors
    Flood,
    /// To four random neighbors
    Epidemic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Senders {
    /// Always the same node
    One,
    /// A random node each time
    Many,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum SimError {
    #[error("{0}")]
    Arguments(&'static str),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Output(#[from] NotWritten),
    #[error("{path}: cannot draw: {reason}; give --plot a file in a directory that can be written")]
    Plot { path: String, reason: String },
    #[error("{failed} of {seeds} seeds failed; each is named above and repeats its failure")]
    Faults { failed: usize, seeds: u64 },
    #[error("seed {seed}: {reason}")]
    Switch { seed: u64, reason: String },
    #[error("seed {seed}: two runs gave the traces {first} and {second}; please report this seed")]
    NotRepeatable {
        seed: u64,
        first: String,
        second: String,
    },
}

impl SimError {
    const fn ending(&self) -> Ending {
        match self {
            Self::Arguments(_) | Self::Config(_) => Ending::BadInput,
            Self::Output(_) | Self::Plot { .. } => Ending::NotWritten,
            Self::Faults { .. } | Self::Switch { .. } | Self::NotRepeatable { .. } => {
                Ending::CheckFailed
            }
        }
    }
}

impl Arguments {
    fn overlay(&self) -> Carrier {
        self.overlay.unwrap_or(Carrier::HyParView)
    }

    /// The overlays before and after a switch.
    fn overlays(&self) -> (OverlayKind, OverlayKind) {
        self.switch.unwrap_or((self.from, self.to))
    }

    /// Seconds before the order to switch.
    fn before_s(&self) -> u32 {
        let seconds = self.at.map(|at| at.as_secs());
        seconds.map_or(BEFORE_S, |seconds| {
            u32::try_from(seconds).unwrap_or(u32::MAX)
        })
    }

    fn nodes(&self) -> u32 {
        self.nodes.unwrap_or(1_000)
    }

    fn join_spacing(&self) -> Milliseconds {
        let default = Milliseconds { micros: 10_000 };
        self.join_spacing_ms.unwrap_or(default)
    }
}

/// Simulates, and prints the results.
pub(crate) fn run(arguments: &Arguments) -> Ending {
    let workload = match arguments.switch {
        Some(_) => Workload::Switch,
        None => arguments.workload,
    };
    let result = match workload {
        Workload::Broadcast => broadcast::run(arguments),
        Workload::Membership => layers::membership(arguments),
        Workload::Partition => layers::partition(arguments),
        Workload::Turnover => layers::turnover(arguments),
        Workload::Cpu => cpu::run(arguments),
        Workload::PubSub => layers::pub_sub(arguments),
        Workload::Relay => layers::relay(arguments),
        Workload::Switch => switching::run(arguments),
        Workload::Atomic => layers::atomic(arguments),
        Workload::AntiEntropy => layers::anti_entropy(arguments),
        Workload::Table => table::run(arguments),
        Workload::Causal => causal::run(arguments),
        Workload::Faults => faults::run(arguments),
    };
    match result {
        Ok(()) => Ending::Done,
        Err(error) => {
            complain(format_args!("overlane sim: {error}"));
            error.ending()
        }
    }
}

/// Reads `hyparview,client_server`.
fn parse_switch(text: &str) -> Result<(OverlayKind, OverlayKind), String> {
    let right = "not two overlays, such as hyparview,client_server";
    let (from, to) = text.split_once(',').ok_or(right)?;
    let kind = |name: &str| name.trim().parse().map_err(|_| right.to_owned());
    Ok((kind(from)?, kind(to)?))
}

/// A span of time given in milliseconds.
const fn span(milliseconds: Milliseconds) -> Duration {
    Duration::from_micros(milliseconds.micros)
}

/// Two runs of one seed must have the same trace.
fn repeatable(arguments: &Arguments, first: &str, second: &str) -> Result<(), SimError> {
    if first == second {
        return Ok(());
    }
    Err(SimError::NotRepeatable {
        seed: arguments.seed,
        first: first.into(),
        second: second.into(),
    })
}
