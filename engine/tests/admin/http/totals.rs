//! What three real nodes count, added up by one of them, as it is shown over HTTP, over the admin protocol and to programs.

use overlane::config::{OverlayChoice, SummariesConfig};
use overlane::{Metrics, Node};
use serde_json::Value;

use super::{address, config, get};
use crate::support::{self, best_effort, reliable, wait_until};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A cluster of three, all of which know all, and say often what they count.
fn three() -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for name in NAMES {
        let summaries = SummariesConfig { period_ms: 100 };
        let config = config(name).overlay(OverlayChoice::FullMesh);
        let config = config.summaries(summaries).channel(reliable("data"));
        let mut config = config.channel(best_effort("gossip"));
        if let Some(first) = nodes.first() {
            config = config.seeds([first.local_addr().to_string().parse().expect("a seed")]);
        }
        let node = support::start(config);
        let (handler, _count) = support::counting_handler();
        node.handle("in", handler).expect("a name");
        nodes.push(node);
    }
    for node in &nodes {
        let live = || node.cluster().expect("it is in one").live();
        wait_until("each knows all", live, |live| *live == 3);
        for other in NAMES.iter().filter(|name| **name != node.name()) {
            node.wait_connected(other, support::GENEROUS)
                .expect("a full mesh");
        }
    }
    nodes
}

fn send(from: &Node, to: &str, messages: usize) {
    let to = from.destination(to, "in").expect("names");
    let data = from.channel("data").expect("it is there");
    for _ in 0..messages {
        data.send_blocking(&to, b"x").expect("it is connected");
    }
}

fn total(node: &Node) -> Value {
    let got = get(address(node), "/api/cluster");
    assert_eq!(got.status, 200, "{}", got.body);
    serde_json::from_str(&got.body).expect("JSON")
}

fn sum_of(total: &Value, figure: &str) -> Option<u64> {
    total["channels"]["data"]["figures"][figure]["sum"].as_u64()
}

/// Of one channel, over all peers of all these nodes.
fn counted(all: &[Metrics], get: fn(&overlane::ChannelMetrics) -> u64) -> u64 {
    let lanes = all.iter().flat_map(|metrics| &metrics.lanes);
    lanes.filter(|lane| &*lane.channel == "data").map(get).sum()
}

#[test]
fn one_node_shows_the_sums_of_all_and_of_those_that_are_left() {
    let mut nodes = three();
    send(&nodes[0], "b", 20);
    send(&nodes[1], "c", 5);
    send(&nodes[2], "a", 7);
    let all: Vec<_> = nodes.iter().collect();
    let metrics = support::accounting::check_accounting(&all);
    let expected = (
        counted(&metrics, |lane| lane.acknowledged),
        counted(&metrics, |lane| lane.delivered),
    );
    assert_eq!(expected, (32, 32));
    for node in &nodes {
        let seen = || total(node);
        let seen = wait_until("the sums are those of all", seen, |seen| {
            let sums = sum_of(seen, "acknowledged").zip(sum_of(seen, "delivered"));
            sums == Some(expected) && seen["covered"] == 3
        });
        assert_eq!(
            (&seen["members"], &seen["missing"]),
            (&3.into(), &Value::Array(Vec::new()))
        );
        let data = &seen["channels"]["data"];
        let accepted = &data["figures"]["accepted"];
        assert_eq!(
            (&accepted["sum"], &accepted["max"], &accepted["max_at"]),
            (&32.into(), &20.into(), &"a".into())
        );
        assert_eq!(
            (&data["members"], &data["latency"]["count"]),
            (&3.into(), &32.into())
        );
        assert_eq!(seen["node"]["shards"]["sum"], 3);
        assert_eq!(seen["node"]["unaccounted"]["sum"], 0);
        assert_eq!(seen["ages"].as_array().map(Vec::len), Some(3));
        assert_eq!(seen["refused"], 0);
    }
    let shown = get(address(&nodes[1]), "/metrics?cluster=1").body;
    for line in [
        "overlane_cluster_channel_messages_accepted{channel=\"data\"} 32",
        "overlane_cluster_channel_most_messages_accepted{channel=\"data\"} 20",
        "overlane_cluster_members_covered 3",
        "overlane_cluster_members_missing 0",
        "overlane_cluster_shards 3",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "no {line} in\n{shown}"
        );
    }
    assert!(shown.contains(
        "overlane_cluster_channel_acknowledgement_seconds{channel=\"data\",quantile=\"0.99\"} "
    ));
    let plain = get(address(&nodes[1]), "/metrics").body;
    assert!(
        !plain.contains("overlane_cluster_channel_"),
        "only when it is asked for"
    );
    // Who goes takes its counts along.
    let gone = nodes.pop().expect("three");
    let left = gone
        .cluster()
        .expect("it is in one")
        .leave(support::GENEROUS);
    left.expect("it says goodbye");
    let _ = gone.stop(support::GENEROUS);
    let seen = || {
        nodes[0]
            .cluster()
            .expect("it is in one")
            .metrics()
            .expect("it answers")
    };
    let seen = wait_until("two are left", seen, |seen| {
        let data = seen.channels.get("data");
        seen.members == 2 && data.is_some_and(|data| data.figures["accepted"].sum == 25)
    });
    assert_eq!((seen.covered(), seen.missing.len()), (2, 0));
    assert!(seen.oldest().is_some());
}

#[test]
fn a_node_in_no_cluster_says_so() {
    let node = support::start(config("alone"));
    let got = get(address(&node), "/api/cluster");
    assert_eq!(got.status, 400, "{}", got.body);
    assert!(got.body.contains("in no cluster"), "{}", got.body);
    assert_eq!(get(address(&node), "/metrics?cluster=1").status, 200);
}
