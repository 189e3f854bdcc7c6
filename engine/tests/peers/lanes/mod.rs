//! Lanes are made by what is sent on them and close when nobody uses them, and nothing is lost by either:
//! on real sockets, with real nodes and with peers spoken by hand.

mod demand;
mod idle;
mod stress;

use crate::stranger::control_hello;
use crate::support::{CONTROL, reliable, wait_until};
use overlane::{Metrics, Node};

/// Connections that a node has.
fn connections(node: &Node) -> usize {
    let shards = node.metrics().shards;
    shards.iter().map(|shard| shard.connections).sum()
}

/// Waits until a node has so many connections.
fn has_connections(node: &Node, count: usize) {
    wait_until(
        "its connections",
        || (connections(node), node.metrics()),
        |(connections, _): &(usize, Metrics)| *connections == count,
    );
}
