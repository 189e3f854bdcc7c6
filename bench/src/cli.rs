//! The command line: what may be asked.
//!
//! Parsed by `main`; the rest of the crate sees flags (`flags`), and checked values only. Everything that can
//! be known to be wrong before a process is started is refused by their checks, in one sentence, with exit
//! code 2.

use clap::{Parser, Subcommand};

use crate::cluster::{
    AutoFlags, BroadcastFlags, ChurnFlags, ClusterFlags, PartitionFlags, PauseFlags, RelayFlags,
    SwitchFlags,
};
use crate::flags::{
    FanFlags, IsolationFlags, LatencyFlags, MainJobFlags, RawFlags, ServeFlags, ThroughputFlags,
};
use crate::guarantee_cost::GuaranteeCostFlags;
use crate::link::LinkFlags;
use crate::matrix::MatrixFlags;
use crate::rules::RulesFlags;
use crate::security::{RotationFlags, SessionsFlags, StormFlags};
use crate::setting_cost::SettingCostFlags;
use crate::slow_consumer::SlowConsumerFlags;
use crate::soak::SoakFlags;
use crate::stream::StreamFlags;

/// The bench harness of Overlane. Without a subcommand it runs the main job: three nodes, a real
/// file, heartbeats and gossip, all checked.
#[derive(Debug, Parser)]
#[command(
    name = "overlane-bench",
    version,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) main_job: MainJobFlags,
}

/// The single measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One-way messages per second between two nodes, beside raw sockets
    Throughput(ThroughputFlags),
    /// Round trips between handlers on two shards, beside raw ping-pong
    Latency(LatencyFlags),
    /// A heartbeat idle, beside a saturating bulk channel, and in one lane with it
    Isolation(IsolationFlags),
    /// One node sending to many, beside the same node sending to one
    Fan(FanFlags),
    /// The limit: framed batches and ping-pong over plain TCP sockets
    Raw(RawFlags),
    /// Every message held against what became of it, while connections are cut and stalled
    Soak(SoakFlags),
    /// Throughput of a guaranteed channel beside a reliable one
    GuaranteeCost(GuaranteeCostFlags),
    /// What one value of a node's parameter costs beside another
    SettingCost(SettingCostFlags),
    /// What routing rules cost the thread that sends, for each message
    Rules(RulesFlags),
    /// One consumer that stops reading among many peers: memory, and what the others feel
    SlowConsumer(SlowConsumerFlags),
    /// One long stream beside a TCP connection, hashed at both ends
    Stream(StreamFlags),
    /// Heartbeats beside bulk that fills a slow link
    Link(LinkFlags),
    /// Large requests from many senders over a distant link, by lanes and channels
    Matrix(MatrixFlags),
    /// The same traffic over plain, psk and tls, and over QUIC: throughput, and CPU for each byte
    Sessions(SessionsFlags),
    /// Secret and certificates of five nodes rotated while guaranteed messages flow
    Rotation(RotationFlags),
    /// Hundreds of lanes cut at once: how long until all are back, with each kind of protection
    Storm(StormFlags),
    /// Real nodes, each a process, that form a cluster: how fast, at what cost, and whether broadcasts reach all
    Cluster(ClusterFlags),
    /// The same, some of them killed at once and started again
    Churn(ChurnFlags),
    /// Broadcasts through a cluster, as fast as one node takes them
    Broadcast(BroadcastFlags),
    /// The overlay of a cluster switched again and again while guaranteed messages flow
    Switch(SwitchFlags),
    /// A cluster that follows rules grows and shrinks again under load, and switches once each way
    Auto(AutoFlags),
    /// A cluster over several hosts that are cut off from one another for a while (needs root)
    Partition(PartitionFlags),
    /// A node of a cluster is stopped for a while (SIGSTOP) and goes on, while guaranteed messages flow
    Pause(PauseFlags),
    /// Guaranteed messages between clients that have no lane to each other, over the servers
    Relay(RelayFlags),
    /// Lets another host run measurements against this one, with --remote
    Serve(ServeFlags),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flags::{PairFlags, check_payload};
    use crate::raw;

    fn throughput(arguments: &[&str]) -> PairFlags {
        let all = ["overlane-bench", "throughput"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Some(Command::Throughput(flags)) => flags.pair,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_can_be_run_on_a_machine_with_two_cores() {
        let flags = throughput(&["--receiver-core", "0"]);
        flags.check().unwrap();
        assert_eq!((flags.pairs, flags.measure()), (5, Duration::from_secs(1)));
        Cli::try_parse_from(["overlane-bench"])
            .unwrap()
            .main_job
            .check()
            .unwrap();
    }

    #[test]
    fn bad_values_are_refused_with_flag_and_range() {
        for (arguments, said) in [
            (["--pairs", "4"], "--pairs 4: "),
            (["--seconds", "0"], "--seconds 0: "),
            (["--seconds", "NaN"], "--seconds NaN: "),
            (["--warm-up-seconds", "61"], "--warm-up-seconds 61: "),
            (["--raw-batch-kib", "0"], "--raw-batch-kib 0: "),
            (["--sender-core", "4096"], "--sender-core 4096: "),
        ] {
            let error = throughput(&arguments).check().unwrap_err();
            assert_eq!(error.exit(), crate::exit::Exit::Usage);
            assert!(error.to_string().starts_with(said), "{error}");
        }
        assert!(check_payload("--payload", 0).is_err());
        assert!(check_payload("--payload", raw::frame::PAYLOAD_BYTES_MAX + 1).is_err());
    }
}
