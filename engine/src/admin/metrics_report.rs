//! The counters of a node as the admin protocol has them.
//!
//! Made of [`Metrics`] by the desk, rendered by commands. Counts nothing itself.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::metrics::{ChannelMetrics, Metrics, RuleMetrics, ShardMetrics, StreamMetrics};
use crate::wire::CloseReason;

/// The counters of a node since it started; [`Metrics`] says what each means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// For each channel and peer.
    pub lanes: Vec<ChannelReport>,
    /// Of peers whose place was given to others, by channel.
    pub departed: Vec<ChannelReport>,
    /// Of channels that were removed.
    pub removed: Vec<ChannelReport>,
    /// For each shard.
    pub shards: Vec<ShardReport>,
    /// By channel: from hand-over to the kernel to the acknowledgement.
    pub latency: BTreeMap<String, LatencyReport>,
    /// Connections that did not become a lane, by reason.
    pub refused_connections: BTreeMap<String, u64>,
    /// Requests that wait for a reply.
    pub open_requests: usize,
    /// Receipts of messages that are not settled.
    pub open_receipts: usize,
    /// Replies that came when nobody waited any more.
    pub late_replies: u64,
    /// Streams.
    pub streams: StreamsReport,
    /// Routing rules.
    pub rules: Vec<RuleStatus>,
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

/// [`ChannelMetrics`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each is the field of ChannelMetrics with its name"
)]
pub struct ChannelReport {
    pub peer: String,
    pub channel: String,
    pub reliable: bool,
    pub lanes_up: u32,
    pub accepted: u64,
    pub acknowledged: u64,
    pub reported: u64,
    pub refused: u64,
    pub refused_late: u64,
    pub expired: u64,
    pub sent: u64,
    pub dropped: u64,
    pub replaced: u64,
    pub queued: u64,
    pub in_flight: u64,
    pub delivered: u64,
    pub receive_dropped: u64,
    pub received_late: u64,
    pub bytes_sent: u64,
    pub compressed_from_bytes: u64,
    pub compressed_to_bytes: u64,
    pub bytes_received: u64,
    pub queue_messages: u64,
    pub queue_bytes: u64,
    pub queue_high_water: u64,
    pub batches: u64,
    pub turns_starved: u64,
    pub rate_waits: u64,
    pub overloads: u64,
    pub closes: BTreeMap<String, u64>,
}

/// [`ShardMetrics`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each is the field of ShardMetrics with its name"
)]
pub struct ShardReport {
    pub turns: u64,
    pub idle_turns: u64,
    pub parks: u64,
    pub io_calls: u64,
    pub completions: u64,
    pub doorbell_writes: u64,
    pub connections: usize,
    pub payloads_copied_out: u64,
    pub rings_starved: u64,
    pub lanes_retried: u64,
    pub handler_panics: u64,
    pub task_panics: u64,
    pub events_lost: u64,
}

/// [`StreamMetrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each is the field of StreamMetrics with its name"
)]
pub struct StreamsReport {
    pub open_outgoing: usize,
    pub open_incoming: usize,
    pub refused: u64,
    pub late: u64,
}

/// A routing rule of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// As it is written in `--rule`.
    pub rule: String,
    /// The channel that it chooses.
    pub channel: String,
    /// Messages that it decided for since the rules were set.
    pub matched: u64,
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
            wanted.map(ChannelReport::from).collect()
        };
        let latency = metrics.latency_us.iter();
        let latency = latency
            .filter(|(of_channel, _)| channel.is_none_or(|channel| channel == &***of_channel));
        Self {
            lanes: reports(metrics.lanes),
            departed: reports(metrics.departed),
            removed: reports(metrics.removed),
            shards: metrics.shards.into_iter().map(ShardReport::from).collect(),
            latency: latency
                .map(|(channel, histogram)| (channel.to_string(), LatencyReport::of(histogram)))
                .collect(),
            refused_connections: by_name(&metrics.refused_connections),
            open_requests: metrics.open_requests,
            open_receipts: metrics.open_receipts,
            late_replies: metrics.late_replies,
            streams: metrics.streams.into(),
            rules: metrics.rules.into_iter().map(RuleStatus::from).collect(),
            identity_holds,
        }
    }
}

fn by_name(counts: &BTreeMap<CloseReason, u64>) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts
        .map(|(reason, count)| (reason.name().to_owned(), *count))
        .collect()
}

impl LatencyReport {
    fn of(histogram: &Histogram<u32>) -> Self {
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

impl From<RuleMetrics> for RuleStatus {
    fn from(rule: RuleMetrics) -> Self {
        let RuleMetrics {
            rule,
            channel,
            matched,
        } = rule;
        Self {
            rule,
            channel,
            matched,
        }
    }
}

/// A report of the same fields.
macro_rules! same_fields {
    ($from:ident => $to:ident { $($field:ident),+ $(,)? } $(, $other:ident: $convert:expr)*) => {
        impl From<$from> for $to {
            fn from(counted: $from) -> Self {
                Self {
                    $($other: $convert(&counted),)*
                    $($field: counted.$field,)+
                }
            }
        }
    };
}

same_fields!(ChannelMetrics => ChannelReport {
    peer, reliable, lanes_up, accepted, acknowledged, reported, refused, refused_late, expired, sent, dropped, replaced,
    queued, in_flight, delivered, receive_dropped, received_late, bytes_sent, compressed_from_bytes,
    compressed_to_bytes, bytes_received, queue_messages, queue_bytes, queue_high_water, batches, turns_starved,
    rate_waits, overloads,
},
    channel: |counted: &ChannelMetrics| counted.channel.to_string(),
    closes: |counted: &ChannelMetrics| by_name(&counted.closes)
);

same_fields!(ShardMetrics => ShardReport {
    turns, idle_turns, parks, io_calls, completions, doorbell_writes, connections, payloads_copied_out, rings_starved,
    lanes_retried, handler_panics, task_panics, events_lost,
});

same_fields!(StreamMetrics => StreamsReport { open_outgoing, open_incoming, refused, late });
