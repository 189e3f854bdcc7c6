//! `overlane metrics`: what a node has counted.

use overlane::admin::{Answer, MetricsReport, Request};
use overlane::{ChannelMetrics, DiscoveryMetrics, FaultMetrics, ShardMetrics, SpanMetrics};

use super::{Target, cluster_metrics, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::table::{Column, table};

/// Prints what a node has counted since it started, by peer and channel, or what all members of its cluster have; all of
/// it with --json.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only with that peer
    #[arg(long, value_name = "NODE")]
    peer: Option<String>,
    /// Only on that channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Of all live members of the cluster, added up, as this node has heard of them
    #[arg(long, conflicts_with_all = ["peer", "channel"])]
    cluster: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told(
        "metrics",
        if arguments.cluster {
            cluster_metrics::print(&arguments.target)
        } else {
            metrics(arguments)
        },
    )
}

fn metrics(arguments: &Arguments) -> Result<Ending, Failure> {
    let request = Request::Metrics {
        peer: arguments.peer.clone(),
        channel: arguments.channel.clone(),
    };
    match arguments.target.ask(&request)? {
        Answer::Metrics(report) => arguments.target.print(&report, || text(&report)),
        other => Err(unexpected(&other)),
    }
}

fn text(report: &MetricsReport) -> String {
    let all = [&report.lanes, &report.departed, &report.removed];
    let used = all.into_iter().flatten().filter(|lane| is_used(lane));
    let rows: Vec<_> = used.map(|lane| lane_row(lane, report)).collect();
    let shards: Vec<_> = report.shards.iter().enumerate().map(shard_row).collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text += &table(&LANE_COLUMNS, &rows);
        text += "\n";
    }
    text += &table(&SHARD_COLUMNS, &shards);
    if !report.discoveries.is_empty() {
        let rows: Vec<_> = report.discoveries.iter().map(discovery_row).collect();
        text += "\n";
        text += &table(&DISCOVERY_COLUMNS, &rows);
    }
    let faults = &report.faults;
    if *faults != FaultMetrics::default() {
        let done = &faults.done;
        text += &format!(
            "\nfaults on purpose: {} open; {} messages dropped, {} held back; {} links cut, {} dials failed\n",
            faults.open, done.dropped, done.delayed, done.cut, done.dials_failed
        );
    }
    let spans = &report.spans;
    if *spans != SpanMetrics::default() {
        text += &format!(
            "\nspans: {} recorded, {} dropped; {} exported, {} failed; {} messages open\n",
            spans.recorded, spans.dropped, spans.exported, spans.failed, spans.open
        );
    }
    let accounted = if report.identity_holds {
        "all"
    } else {
        "NOT all"
    };
    text + &format!("\n{accounted} messages are accounted for\n")
}

/// Lanes that nothing went over would fill the screen.
const fn is_used(lane: &ChannelMetrics) -> bool {
    lane.lanes_up > 0 || lane.accepted > 0 || lane.delivered > 0 || lane.receive_dropped > 0
}

const LANE_COLUMNS: [Column; 11] = [
    Column::Word("peer"),
    Column::Word("channel"),
    Column::Number("lanes"),
    Column::Number("accepted"),
    Column::Number("acked"),
    Column::Number("reported"),
    Column::Number("sent"),
    Column::Number("dropped"),
    Column::Number("delivered"),
    Column::Number("open"),
    Column::Number("p50/p99 us"),
];

fn lane_row(lane: &ChannelMetrics, report: &MetricsReport) -> Vec<String> {
    let latency = report.latency.get(&*lane.channel);
    let latency = latency.map(|took| format!("{}/{}", took.p50_us, took.p99_us));
    let peer = match lane.peer.as_str() {
        "" => "(gone)",
        name => name,
    };
    let mut row = vec![
        peer.to_owned(),
        lane.channel.to_string(),
        lane.lanes_up.to_string(),
    ];
    let counts = [
        lane.accepted,
        lane.acknowledged,
        lane.reported,
        lane.sent,
        lane.dropped,
        lane.delivered,
        lane.queued + lane.in_flight,
    ];
    row.extend(counts.map(|count| count.to_string()));
    row.push(latency.unwrap_or_else(|| "-".to_owned()));
    row
}

const SHARD_COLUMNS: [Column; 6] = [
    Column::Word("shard"),
    Column::Number("turns"),
    Column::Number("idle"),
    Column::Number("parks"),
    Column::Number("system calls"),
    Column::Number("connections"),
];

fn shard_row((index, shard): (usize, &ShardMetrics)) -> Vec<String> {
    let calls = shard.syscalls();
    let mut row = vec![index.to_string()];
    row.extend([shard.turns, shard.idle_turns, shard.parks, calls].map(|count| count.to_string()));
    row.push(shard.connections.to_string());
    row
}

const DISCOVERY_COLUMNS: [Column; 8] = [
    Column::Word("discovery"),
    Column::Word("strategy"),
    Column::Number("places"),
    Column::Number("looks"),
    Column::Number("failures"),
    Column::Number("lost all"),
    Column::Number("refused"),
    Column::Word("failure"),
];

fn discovery_row(discovery: &DiscoveryMetrics) -> Vec<String> {
    let places = u64::try_from(discovery.places.len()).unwrap_or(u64::MAX);
    let counts = [
        places,
        discovery.looks,
        discovery.failures,
        discovery.lost_all,
        discovery.refused,
    ];
    let mut row = vec![discovery.name.clone(), discovery.strategy.clone()];
    row.extend(counts.map(|count| count.to_string()));
    row.push(discovery.failure.clone().unwrap_or_else(|| "-".to_owned()));
    row
}
