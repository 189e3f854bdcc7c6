//! What all members of a cluster count, added up: `overlane_cluster_...`.
//!
//! All are gauges, what is counted too: a member that leaves takes its counts along, and Prometheus would take a sum that
//! gets smaller for a restart, and add all of it again. No label names a member, as the one with the most changes.

use std::collections::BTreeMap;
use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::super::figures::Kind;
use super::{Labels, count, labelled, seconds};
use crate::cluster::{CHANNEL_FIGURES, ClusterMetrics, Figure, FigureTotal, NODE_FIGURES};

/// Quantiles of latencies.
const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.99", 0.99), ("0.999", 0.999), ("1", 1.0)];

/// Labels, and the figures under them.
type Row<'a> = (
    Vec<(&'static str, &'a str)>,
    &'a BTreeMap<&'static str, FigureTotal>,
);

pub(super) fn encode(
    totals: &ClusterMetrics,
    out: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    coverage(totals, out)?;
    figures(out, "cluster", NODE_FIGURES, &[(Vec::new(), &totals.node)])?;
    let channels = totals.channels.iter();
    let rows: Vec<Row<'_>> = channels
        .map(|(name, channel)| (vec![("channel", name.as_str())], &channel.figures))
        .collect();
    figures(out, "cluster_channel", CHANNEL_FIGURES, &rows)?;
    latencies(totals, out)
}

/// How much of the cluster is in the sums, and how old the oldest part is.
fn coverage(totals: &ClusterMetrics, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    for (name, help, value) in [
        (
            "cluster_members_covered",
            "Live members that are in the sums of the cluster",
            count(totals.covered()),
        ),
        (
            "cluster_members_missing",
            "Live members of which nothing is known yet",
            count(totals.missing.len()),
        ),
        (
            "cluster_summaries_refused",
            "Summaries of members that could not be read, or that were not asked for",
            totals.refused,
        ),
    ] {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        labelled(&mut family, &[], Kind::Now, value)?;
    }
    let age_ms = totals.oldest().map_or(0, |oldest| oldest.age_ms);
    let help = "Age of the oldest part of the sums";
    let name = "cluster_oldest_part";
    out.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?
        .encode_gauge(&seconds(age_ms.saturating_mul(1_000)))
}

/// For each figure a family of sums, and one of what the member with the most has.
fn figures<T>(
    out: &mut DescriptorEncoder<'_>,
    prefix: &str,
    figures: &[Figure<T>],
    rows: &[Row<'_>],
) -> Result<(), Error> {
    type Get = fn(&FigureTotal) -> u64;
    let sorts: [(&str, &str, Get); 2] = [
        ("", "of all members", |total| total.sum),
        ("most_", "of the member with the most", |total| total.max),
    ];
    for figure in figures {
        for (infix, whose, get) in sorts {
            let name = format!("{prefix}_{infix}{}", figure.family);
            let help = format!("{}; {whose}", figure.help);
            let unit = figure.is_bytes.then_some(&Unit::Bytes);
            let mut family = out.encode_descriptor(&name, &help, unit, MetricType::Gauge)?;
            for (labels, totals) in rows {
                let value = totals.get(figure.name).map_or(0, get);
                labelled(&mut family, labels, Kind::Now, value)?;
            }
        }
    }
    Ok(())
}

fn latencies(totals: &ClusterMetrics, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let help = "Time from hand-over to the kernel to the acknowledgement, of all members";
    let name = "cluster_channel_acknowledgement";
    let mut family = out.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
    for (name, channel) in &totals.channels {
        let latency = &channel.latency_us;
        for (word, quantile) in QUANTILES.into_iter().filter(|_| !latency.is_empty()) {
            let labels: &Labels<'_> = &[("channel", name), ("quantile", word)];
            let took = seconds(latency.value_at_quantile(quantile));
            family.encode_family(&labels)?.encode_gauge(&took)?;
        }
    }
    Ok(())
}
