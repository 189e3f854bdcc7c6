//! The text that nodes come to that were made up.

use std::time::Instant;

use super::*;
use crate::http::ClusterScrape;
use crate::http::plain;
use crate::metrics::{DiscoveryMetrics, Metrics, ShardMetrics};
use crate::shard::tally::new_histogram;

/// A node with so many peers on eight channels each.
fn scrape(peers: usize) -> Scrape {
    let mut metrics = Metrics::default();
    for peer in 0..peers {
        for channel in 0..8 {
            metrics.lanes.push(ChannelMetrics {
                peer: format!("node-{peer:04}"),
                channel: format!("channel-{channel}").into(),
                reliable: true,
                accepted: 3,
                acknowledged: 3,
                queue_high_water: count(peer),
                bytes_sent: 1 << 40,
                ..ChannelMetrics::default()
            });
        }
    }
    let mut latency = new_histogram();
    for micros in [20, 30, 3_000, 20_000_000] {
        latency.saturating_record(micros);
    }
    metrics.latency_us.insert("channel-0".into(), latency);
    metrics.shards = vec![ShardMetrics::default(); 2];
    Scrape {
        node: "a".to_owned(),
        metrics,
        cluster: Some(ClusterScrape {
            members: vec![("alive", 3), ("left", 1)],
            overlay: "full_mesh",
            ..ClusterScrape::default()
        }),
        ..Scrape::default()
    }
}

fn has(text: &str, line: &str) {
    assert!(
        text.lines().any(|known| known == line),
        "no `{line}` in:\n{text}"
    );
}

#[test]
fn series_are_sums_over_peers_unless_each_is_asked_for() {
    let summed = openmetrics(scrape(5), false);
    has(
        &summed,
        "overlane_channel_messages_accepted_total{channel=\"channel-0\"} 15",
    );
    has(
        &summed,
        "overlane_channel_queue_messages_high_water{channel=\"channel-7\"} 4",
    );
    has(
        &summed,
        "overlane_channel_sent_bytes_total{channel=\"channel-1\"} 5497558138880",
    );
    assert!(!summed.contains("node-0001"), "{summed}");
    let of_each = openmetrics(scrape(5), true);
    has(
        &of_each,
        "overlane_channel_messages_accepted_total{channel=\"channel-0\",peer=\"node-0004\"} 3",
    );
    assert!(of_each.ends_with("# EOF\n"));
}

#[test]
fn discoveries_and_what_a_partition_refused_are_told() {
    let mut made_up = scrape(1);
    made_up.metrics.partitioned.insert("channel-3".into(), 7);
    made_up.metrics.discoveries = vec![
        DiscoveryMetrics {
            name: "pods".to_owned(),
            strategy: "kubernetes".to_owned(),
            places: vec!["10.0.0.1:7400".to_owned(), "10.0.0.2:7400".to_owned()],
            looks: 5,
            ..DiscoveryMetrics::default()
        },
        DiscoveryMetrics {
            name: "names".to_owned(),
            strategy: "dns".to_owned(),
            looks: 3,
            failures: 2,
            refused: 1,
            failure: Some("nobody answers".to_owned()),
            ..DiscoveryMetrics::default()
        },
    ];
    let text = openmetrics(made_up, false);
    let pods = "{discovery=\"pods\",strategy=\"kubernetes\"}";
    let names = "{discovery=\"names\",strategy=\"dns\"}";
    for line in [
        "overlane_channel_messages_partitioned_total{channel=\"channel-3\"} 7".to_owned(),
        format!("overlane_discovery_up{pods} 1"),
        format!("overlane_discovery_addresses{pods} 2"),
        format!("overlane_discovery_looks_total{pods} 5"),
        format!("overlane_discovery_up{names} 0"),
        format!("overlane_discovery_addresses{names} 0"),
        format!("overlane_discovery_failures_total{names} 2"),
        format!("overlane_discovery_answers_refused_total{names} 1"),
    ] {
        has(&text, &line);
    }
}

#[test]
fn a_histogram_has_seconds_and_all_of_its_values() {
    let text = openmetrics(scrape(1), false);
    for (edge, below) in [
        ("0.00005", 2),
        ("0.0025", 2),
        ("0.005", 3),
        ("10.0", 3),
        ("+Inf", 4),
    ] {
        has(
            &text,
            &format!(
                "overlane_channel_acknowledgement_seconds_bucket{{le=\"{edge}\",channel=\"channel-0\"}} {below}"
            ),
        );
    }
    has(
        &text,
        "overlane_channel_acknowledgement_seconds_count{channel=\"channel-0\"} 4",
    );
}

#[test]
fn a_node_without_anything_has_every_family() {
    let families = |scrape| {
        let text = openmetrics(scrape, false);
        text.lines()
            .filter(|line| line.starts_with("# TYPE "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(families(Scrape::default()), families(scrape(2)));
}

/// The figure is printed; the bound is far above it, for machines that do other things as well.
#[test]
fn a_thousand_peers_on_eight_channels_are_told_quickly() {
    let scrape = scrape(1_000);
    let began = Instant::now();
    let text = openmetrics(scrape.clone(), false);
    let (summed, bytes) = (began.elapsed(), text.len());
    let began = Instant::now();
    let text = plain::of(&openmetrics(scrape, true));
    println!(
        "1,000 peers x 8 channels: {summed:?} for {bytes} bytes; each peer apart {:?} for {} bytes",
        began.elapsed(),
        text.len()
    );
    assert!(
        summed.as_secs() < 5 && bytes < 100_000,
        "{summed:?} for {bytes} bytes"
    );
}
