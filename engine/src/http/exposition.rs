//! Counters as OpenMetrics text.
//!
//! Called on the thread of a connection with what was gathered; `figures` has the names. Series are bounded: by channels, shards,
//! reasons and rules; those of each peer are written only when they are asked for.

#[cfg(test)]
mod tests;
mod totals;

use std::collections::BTreeMap;
use std::fmt::Error;

use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::Scrape;
use super::figures::{CHANNEL, CLUSTER, DISCOVERY, EDGES_US, FAULTS, Figure, Kind, Measure, SHARD};
use crate::metrics::ChannelMetrics;

/// Begins the name of each metric.
const PREFIX: &str = "overlane";

/// Everything counted, with each peer told apart or not.
pub(super) fn openmetrics(scrape: Scrape, by_peer: bool) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Exposition { scrape, by_peer }));
    let mut written = String::new();
    // Writing to a string cannot fail.
    let _ = text::encode(&mut written, &registry);
    written
}

#[derive(Debug)]
struct Exposition {
    scrape: Scrape,
    by_peer: bool,
}

type Labels<'a> = [(&'static str, &'a str)];

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let out = &mut encoder;
        self.node(out)?;
        self.channels(out)?;
        self.latencies(out)?;
        self.reasons(out)?;
        self.shards(out)?;
        let faults: &Row<'_, _> = &(Vec::new(), vec![&self.scrape.metrics.faults]);
        families(out, FAULTS, std::slice::from_ref(faults))?;
        self.cluster(out)?;
        if let Some(totals) = { self.scrape.cluster.as_ref() }.and_then(|of| of.totals.as_ref()) {
            totals::encode(totals, out)?;
        }
        self.discoveries(out)
    }
}

impl Exposition {
    fn node(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let scrape = &self.scrape;
        let metrics = &scrape.metrics;
        let labels: &Labels<'_> = &[
            ("node", &scrape.node),
            ("cluster", &scrape.cluster_name),
            ("version", env!("CARGO_PKG_VERSION")),
            ("backend", &scrape.backend),
        ];
        out.encode_descriptor("node", "What the node is", None, MetricType::Info)?
            .encode_info(&labels)?;
        let help = "Time since the node started";
        out.encode_descriptor("uptime", help, Some(&Unit::Seconds), MetricType::Gauge)?
            .encode_gauge(&scrape.uptime_seconds)?;
        let streams = &metrics.streams;
        let spans = &metrics.spans;
        for (kind, name, help, value) in [
            (
                Kind::Now,
                "incarnation",
                "Number of this start of the node",
                scrape.incarnation,
            ),
            (
                Kind::Now,
                "accounting_identity_holds",
                "Whether all messages are accounted for",
                u64::from(metrics.identity_holds()),
            ),
            (
                Kind::Now,
                "peers",
                "Peers that the node knows",
                count(scrape.peers),
            ),
            (
                Kind::Now,
                "peers_connected",
                "Peers that are connected",
                count(scrape.peers_connected),
            ),
            (
                Kind::Now,
                "requests_open",
                "Requests that wait for a reply",
                count(metrics.open_requests),
            ),
            (
                Kind::Now,
                "receipts_open",
                "Receipts of messages that are not settled",
                count(metrics.open_receipts),
            ),
            (
                Kind::Count,
                "replies_late",
                "Replies that came when nobody waited any more",
                metrics.late_replies,
            ),
            (
                Kind::Now,
                "streams_open_outgoing",
                "Open streams of this node",
                count(streams.open_outgoing),
            ),
            (
                Kind::Now,
                "streams_open_incoming",
                "Open streams of other nodes",
                count(streams.open_incoming),
            ),
            (
                Kind::Count,
                "streams_refused",
                "Streams of other nodes that were not let in",
                streams.refused,
            ),
            (
                Kind::Count,
                "stream_messages_late",
                "Messages for streams that were not open",
                streams.late,
            ),
            (
                Kind::Count,
                "large_messages_accepted",
                "Messages of this node that went as streams",
                streams.messages_accepted,
            ),
            (
                Kind::Count,
                "large_messages_acknowledged",
                "Of those, handed over at the other node",
                streams.messages_acknowledged,
            ),
            (
                Kind::Count,
                "large_messages_reported",
                "Of those, reported as undelivered or unknown",
                streams.messages_reported,
            ),
            (
                Kind::Count,
                "large_messages_delivered",
                "Messages that came as streams and were handed over",
                streams.messages_delivered,
            ),
            (
                Kind::Count,
                "spans_recorded",
                "Spans of messages that have ended and were kept to be taken",
                spans.recorded,
            ),
            (
                Kind::Count,
                "spans_dropped",
                "Spans of messages that found no room",
                spans.dropped,
            ),
            (
                Kind::Count,
                "spans_exported",
                "Spans that the receiver at trace_endpoint has taken",
                spans.exported,
            ),
            (
                Kind::Count,
                "spans_failed",
                "Spans that it has refused, or that waited too long for it",
                spans.failed,
            ),
            (
                Kind::Now,
                "spans_open",
                "Messages whose spans are open",
                count(spans.open),
            ),
        ] {
            let mut family = out.encode_descriptor(name, help, None, metric_type(kind))?;
            write(&mut family, kind, value)?;
        }
        Ok(())
    }

    fn channels(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let metrics = &self.scrape.metrics;
        let all = [&metrics.lanes, &metrics.departed, &metrics.removed];
        let mut groups: BTreeMap<(&str, &str), Vec<&ChannelMetrics>> = BTreeMap::new();
        for one in all.into_iter().flatten() {
            let peer = if self.by_peer { one.peer.as_str() } else { "" };
            groups.entry((&one.channel, peer)).or_default().push(one);
        }
        let rows: Vec<_> = groups
            .iter()
            .map(|((channel, peer), group)| {
                let mut labels = vec![("channel", *channel)];
                // What is summed up over peers that are gone has none.
                labels.extend(self.by_peer.then_some(("peer", *peer)));
                (labels, group.as_slice())
            })
            .collect();
        families(out, CHANNEL, &rows)
    }

    fn latencies(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Time from hand-over to the kernel to the acknowledgement";
        let name = "channel_acknowledgement";
        let mut family =
            out.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (channel, histogram) in &self.scrape.metrics.latency_us {
            let labels: &Labels<'_> = &[("channel", channel)];
            let (sum, buckets) = buckets(histogram);
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, histogram.len(), &buckets, None)?;
        }
        Ok(())
    }

    /// What is counted by reason, by channel where there is any, and by rule.
    fn reasons(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let metrics = &self.scrape.metrics;
        let help = "Connections from outside that did not become a lane";
        let mut family =
            out.encode_descriptor("connections_refused", help, None, MetricType::Counter)?;
        for (reason, times) in &metrics.refused_connections {
            labelled(
                &mut family,
                &[("reason", reason.name())],
                Kind::Count,
                *times,
            )?;
        }
        let mut closes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let all = [&metrics.lanes, &metrics.departed, &metrics.removed];
        for one in all.into_iter().flatten() {
            for (reason, times) in &one.closes {
                *closes.entry((&*one.channel, reason.name())).or_default() += times;
            }
        }
        let help = "Ends of lanes and failed dials";
        let mut family =
            out.encode_descriptor("channel_lane_ends", help, None, MetricType::Counter)?;
        for ((channel, reason), times) in closes {
            let labels: &Labels<'_> = &[("channel", channel), ("reason", reason)];
            labelled(&mut family, labels, Kind::Count, times)?;
        }
        let help = "Messages and streams refused because the cluster is parted, on channels that refused any";
        let name = "channel_messages_partitioned";
        let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (channel, refused) in &metrics.partitioned {
            labelled(&mut family, &[("channel", channel)], Kind::Count, *refused)?;
        }
        let help = "Messages that a routing rule decided for, by its place in the list from 0, since the rules were set";
        let mut family = out.encode_descriptor("rule_matches", help, None, MetricType::Counter)?;
        for (place, rule) in metrics.rules.iter().enumerate() {
            let place = place.to_string();
            let labels: &Labels<'_> = &[("rule", &place), ("channel", &rule.channel)];
            labelled(&mut family, labels, Kind::Count, rule.matched)?;
        }
        Ok(())
    }

    fn shards(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let shards = &self.scrape.metrics.shards;
        let places: Vec<_> = (0..shards.len()).map(|place| place.to_string()).collect();
        let rows: Vec<_> = places
            .iter()
            .zip(shards)
            .map(|(place, shard)| (vec![("shard", place.as_str())], vec![shard]))
            .collect();
        families(out, SHARD, &rows)
    }

    /// Those of the configuration, which are few.
    fn discoveries(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let discoveries = self.scrape.metrics.discoveries.iter();
        let rows: Vec<_> = discoveries
            .map(|of| {
                let labels = vec![
                    ("discovery", of.name.as_str()),
                    ("strategy", of.strategy.as_str()),
                ];
                (labels, vec![of])
            })
            .collect();
        families(out, DISCOVERY, &rows)
    }

    fn cluster(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let cluster = self.scrape.cluster.as_ref();
        let rows: Vec<_> = cluster.iter().map(|it| (Vec::new(), vec![*it])).collect();
        families(out, CLUSTER, &rows)?;
        let help = "The overlay that carries";
        let mut family = out.encode_descriptor("overlay", help, None, MetricType::Info)?;
        if let Some(cluster) = cluster {
            let labels: &Labels<'_> = &[("overlay", cluster.overlay)];
            family.encode_info(&labels)?;
        }
        let help = "Members of the cluster that this node knows, itself among them";
        let mut family = out.encode_descriptor("cluster_members", help, None, MetricType::Gauge)?;
        for (status, members) in cluster.iter().flat_map(|cluster| &cluster.members) {
            labelled(
                &mut family,
                &[("status", status)],
                Kind::Now,
                count(*members),
            )?;
        }
        Ok(())
    }
}

/// Labels, and what is to be made one figure under them.
type Row<'a, G> = (Vec<(&'static str, &'a str)>, G);

/// A family for each figure, with a series for each row.
fn families<'a, T: 'a, G: AsRef<[&'a T]>>(
    out: &mut DescriptorEncoder<'_>,
    figures: &[Figure<T>],
    rows: &[Row<'_, G>],
) -> Result<(), Error> {
    for figure in figures {
        let unit = (figure.measure == Measure::Bytes).then_some(&Unit::Bytes);
        let kind = metric_type(figure.kind);
        let mut family = out.encode_descriptor(figure.name, figure.help, unit, kind)?;
        for (labels, group) in rows {
            let values = group.as_ref().iter().map(|one| (figure.get)(one));
            let value = match figure.kind {
                Kind::Count | Kind::Now => values.sum(),
                Kind::NowMost => values.max().unwrap_or_default(),
            };
            labelled(&mut family, labels, figure.kind, value)?;
        }
    }
    Ok(())
}

const fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Count => MetricType::Counter,
        Kind::Now | Kind::NowMost => MetricType::Gauge,
    }
}

fn labelled(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    kind: Kind,
    value: u64,
) -> Result<(), Error> {
    if labels.is_empty() {
        return write(family, kind, value);
    }
    write(&mut family.encode_family(&labels)?, kind, value)
}

fn write(series: &mut MetricEncoder<'_>, kind: Kind, value: u64) -> Result<(), Error> {
    match kind {
        Kind::Count => series.encode_counter::<NoLabelSet, u64, u64>(&value, None),
        Kind::Now | Kind::NowMost => series.encode_gauge(&value),
    }
}

fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

/// The sum in seconds, and how many values are in each bucket up to its edge in seconds.
fn buckets(histogram: &Histogram<u32>) -> (f64, Vec<(f64, u64)>) {
    let mut buckets: Vec<_> = EDGES_US.iter().map(|edge| (seconds(*edge), 0)).collect();
    // The encoder's word for infinity.
    buckets.push((f64::MAX, 0));
    let mut sum = 0.0;
    for recorded in histogram.iter_recorded() {
        let (value, times) = (
            recorded.value_iterated_to(),
            recorded.count_since_last_iteration(),
        );
        sum += seconds(value.saturating_mul(times));
        let place = EDGES_US.partition_point(|edge| *edge < value);
        buckets[place].1 += times;
    }
    (sum, buckets)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
