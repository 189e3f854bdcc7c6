//! The engine's own counters in the words of this harness.

use overlane::config::RESERVED_PREFIX;
use overlane::{ChannelMetrics, Node, ShardMetrics};

use crate::accounts::{Account, NodeAccounts};

/// The accounts of a node with each of its peers.
pub(crate) fn accounts(node: &Node) -> NodeAccounts {
    let metrics = node.metrics();
    // What nodes of a cluster say to one another goes on all the time, and is nobody's traffic.
    let is_of_test = |lane: &&ChannelMetrics| {
        lane.peer != node.name() && !lane.channel.starts_with(RESERVED_PREFIX)
    };
    let others = metrics.lanes.iter().filter(is_of_test);
    NodeAccounts {
        node: node.name().to_owned(),
        accounts: others.map(account).collect(),
    }
}

/// System calls of a node's data path since it started.
pub(crate) fn syscalls(node: &Node) -> u64 {
    node.metrics()
        .shards
        .iter()
        .map(ShardMetrics::syscalls)
        .sum()
}

/// Connections of a node now.
pub(crate) fn connections(node: &Node) -> usize {
    node.metrics()
        .shards
        .iter()
        .map(|shard| shard.connections)
        .sum()
}

fn account(lane: &ChannelMetrics) -> Account {
    Account {
        peer: lane.peer.clone(),
        channel: lane.channel.to_string(),
        reliable: lane.reliable,
        accepted: lane.accepted,
        acknowledged: lane.acknowledged,
        reported: lane.reported,
        sent: lane.sent,
        dropped: lane.dropped,
        under_way: lane.queue_messages + lane.queued + lane.in_flight,
        delivered: lane.delivered,
        sent_bytes: lane.bytes_sent,
    }
}
