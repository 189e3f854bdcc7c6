//! The engine's own counters in the words of this harness.

use overlane::{ChannelMetrics, Node, ShardMetrics};

use crate::accounts::{Account, NodeAccounts};

/// The accounts of a node with each of its peers.
pub(crate) fn accounts(node: &Node) -> NodeAccounts {
    let metrics = node.metrics();
    let others = metrics.lanes.iter().filter(|lane| lane.peer != node.name());
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
