//! The counters of a node as the admin protocol has them.
//!
//! Made of [`Metrics`] by the desk, rendered by commands. Counts nothing itself.

use std::collections::BTreeMap;

use hdrhistogram::{Counter, Histogram};
use serde::{Deserialize, Serialize};

use crate::faults::FaultMetrics;
use crate::metrics::{
    ChannelMetrics, DiscoveryMetrics, Metrics, RuleMetrics, ShardMetrics, StreamMetrics,
};
use crate::spans::SpanMetrics;
use crate::wire::CloseReason;

/// The counters of a node since it started; [`Metrics`] says what each means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// For each channel and peer.
    pub lanes: Vec<ChannelMetrics>,
    /// Of peers whose place was given to others, by channel.
    pub departed: Vec<ChannelMetrics>,
    /// Of channels that were removed.
    pub removed: Vec<ChannelMetrics>,
    /// For each shard.
    pub shards: Vec<ShardMetrics>,
    /// By channel: from hand-over to the kernel to the acknowledgement.
    pub latency: BTreeMap<String, LatencyReport>,
    /// Connections that did not become a lane, by reason.
    pub refused_connections: BTreeMap<CloseReason, u64>,
    /// Requests that wait for a reply.
    pub open_requests: usize,
    /// Receipts of messages that are not settled.
    pub open_receipts: usize,
    /// Replies that came when nobody waited any more.
    pub late_replies: u64,
    /// Streams.
    pub streams: StreamMetrics,
    /// By channel: messages refused because the cluster is parted.
    #[serde(default)]
    pub partitioned: BTreeMap<String, u64>,
    /// Routing rules.
    pub rules: Vec<RuleMetrics>,
    /// Discoveries.
    #[serde(default)]
    pub discoveries: Vec<DiscoveryMetrics>,
    /// Faults on purpose.
    #[serde(default)]
    pub faults: FaultMetrics,
    /// Spans of messages whose trace is recorded.
    #[serde(default)]
    pub spans: SpanMetrics,
    /// Whether the accounting identity holds for every channel and peer.
    pub identity_holds: bool,
}

/// How long acknowledgements took, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LatencyReport {
    pub count: u64,
    pub p50_us: u32,
    pub p99_us: u32,
    pub p999_us: u32,
    pub max_us: u32,
}

impl MetricsReport {
    /// Of these counters, those of a peer and a channel alone if they are named.
    pub(crate) fn of(metrics: Metrics, peer: Option<&str>, channel: Option<&str>) -> Self {
        let identity_holds = metrics.identity_holds();
        let is_wanted = |of_peer: &str, of_channel: &str| {
            peer.is_none_or(|peer| peer == of_peer)
                && channel.is_none_or(|channel| channel == of_channel)
        };
        let reports = |all: Vec<ChannelMetrics>| {
            let wanted = all
                .into_iter()
                .filter(|one| is_wanted(&one.peer, &one.channel));
            wanted.collect()
        };
        let latency = metrics.latency_us.iter();
        let latency = latency
            .filter(|(of_channel, _)| channel.is_none_or(|channel| channel == &***of_channel));
        Self {
            lanes: reports(metrics.lanes),
            departed: reports(metrics.departed),
            removed: reports(metrics.removed),
            shards: metrics.shards,
            latency: latency
                .map(|(channel, histogram)| (channel.to_string(), LatencyReport::of(histogram)))
                .collect(),
            refused_connections: metrics.refused_connections,
            open_requests: metrics.open_requests,
            open_receipts: metrics.open_receipts,
            late_replies: metrics.late_replies,
            streams: metrics.streams,
            partitioned: metrics
                .partitioned
                .iter()
                .map(|(channel, refused)| (channel.to_string(), *refused))
                .collect(),
            rules: metrics.rules,
            discoveries: metrics.discoveries,
            faults: metrics.faults,
            spans: metrics.spans,
            identity_holds,
        }
    }
}

impl LatencyReport {
    pub(super) fn of<T: Counter>(histogram: &Histogram<T>) -> Self {
        let at =
            |quantile| u32::try_from(histogram.value_at_quantile(quantile)).unwrap_or(u32::MAX);
        Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }
}
