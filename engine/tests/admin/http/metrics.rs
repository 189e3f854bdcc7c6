//! `/metrics`: what was counted, in both formats, and what rules and dashboards go by.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use overlane::Node;
use overlane::config::OverlayChoice;

use super::{address, config, get, get_with};
use crate::support::{self, best_effort, drained, reliable};

/// Two nodes of a cluster that know each other, of which `a` has sent 20 messages to `b`.
fn talked() -> (Node, Node) {
    let config = |name| {
        let config = config(name).overlay(OverlayChoice::FullMesh);
        config
            .channel(reliable("data"))
            .channel(best_effort("gossip"))
    };
    let a = support::start(config("a"));
    let seed = a.local_addr().to_string().parse().expect("a seed");
    let b = support::start(config("b").seeds([seed]));
    let joined = b
        .cluster()
        .expect("it is in one")
        .wait_joined(support::GENEROUS);
    joined.expect("a lets it in");
    // `b` has joined; `a` hears of that by itself.
    support::wait_until(
        "a knows both",
        || a.cluster().expect("it is in one").members().len(),
        |members| *members == 2,
    );
    let (handler, _count) = support::counting_handler();
    b.handle("in", handler).expect("a name");
    a.wait_connected("b", support::GENEROUS)
        .expect("they are neighbors");
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is there");
    for _ in 0..20 {
        data.send_blocking(&to, b"x").expect("it is connected");
    }
    drained(&a);
    (a, b)
}

fn value(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn what_was_counted_is_told_in_both_formats() {
    let (a, b) = talked();
    let openmetrics = get_with(
        address(&a),
        "/metrics",
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    );
    assert!(
        openmetrics
            .head
            .contains("Content-Type: application/openmetrics-text; version=1.0.0"),
        "{}",
        openmetrics.head
    );
    assert!(openmetrics.body.ends_with("# EOF\n"));
    let plain = get(address(&a), "/metrics");
    assert!(
        plain
            .head
            .contains("Content-Type: text/plain; version=0.0.4"),
        "{}",
        plain.head
    );
    for text in [&openmetrics.body, &plain.body] {
        for (series, expected) in [
            (
                "overlane_channel_messages_accepted_total{channel=\"data\"}",
                20.0,
            ),
            (
                "overlane_channel_messages_acknowledged_total{channel=\"data\"}",
                20.0,
            ),
            (
                "overlane_channel_acknowledgement_seconds_count{channel=\"data\"}",
                20.0,
            ),
            (
                "overlane_channel_messages_accepted_total{channel=\"gossip\"}",
                0.0,
            ),
            ("overlane_accounting_identity_holds", 1.0),
            ("overlane_peers_connected", 1.0),
            ("overlane_cluster_members{status=\"alive\"}", 2.0),
            ("overlane_overlay_info{overlay=\"full_mesh\"}", 1.0),
        ] {
            assert_eq!(value(text, series), Some(expected), "{series} in\n{text}");
        }
        assert!(
            !text.contains("peer=\"b\""),
            "peers are told apart only when that is asked for"
        );
    }
    let of_each = get(address(&a), "/metrics?peers=1").body;
    assert_eq!(
        value(
            &of_each,
            "overlane_channel_messages_accepted_total{channel=\"data\",peer=\"b\"}"
        ),
        Some(20.0)
    );
    drop(b);
}

/// The names of all metrics that a node has, as samples have them.
fn known() -> BTreeSet<String> {
    let (a, _b) = talked();
    let text = get(address(&a), "/metrics").body;
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a kind");
        if kind == "histogram" {
            names.extend(["_bucket", "_count", "_sum"].map(|suffix| format!("{name}{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/packaging")
}

/// What in a text looks like the name of a metric.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    words
        .filter(|word| word.starts_with("overlane_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rules_and_the_dashboard_name_metrics_that_there_are() {
    let known = known();
    for file in ["prometheus/overlane.rules.yml", "grafana/overlane.json"] {
        let text = std::fs::read_to_string(packaging().join(file)).expect("it is there");
        let named = named(&text);
        assert!(named.len() > 5, "{file} names {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{file} names {unknown:?}, which are none of {known:#?}"
        );
    }
    let dashboard =
        std::fs::read_to_string(packaging().join("grafana/overlane.json")).expect("it is there");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 5)
    );
}

/// Prometheus' own opinion, where it is installed.
#[test]
fn promtool_finds_nothing_wrong() {
    let (a, _b) = talked();
    let text = get(address(&a), "/metrics?peers=1&cluster=1").body;
    assert!(text.contains("overlane_cluster_most_shards"), "{text}");
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checked) = checked else {
        println!(
            "promtool is not installed (Debian: prometheus): metrics and rules are not checked by it"
        );
        return;
    };
    checked
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("it reads");
    let output = checked.wait_with_output().expect("it ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?} of\n{text}"
    );
    let rules = Command::new("promtool")
        .args(["check", "rules"])
        .arg(packaging().join("prometheus/overlane.rules.yml"))
        .output();
    let rules = rules.expect("it runs");
    assert!(rules.status.success(), "{rules:?}");
}
