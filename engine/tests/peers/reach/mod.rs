//! Peers that are known and not kept connected: the first message connects them, idleness parts from them, and
//! what cannot be reached is reported. On real sockets.

mod absent;
mod idle;
mod many;
mod sending;

use std::net::{SocketAddr, TcpListener};

use crate::support::{GENEROUS, config, reliable, start, wait_until};
use overlane::config::{ChannelConfig, ConfigBuilder, Reliability};
use overlane::{Events, NameError, Node};

/// One channel of each reliability, by its name.
const KINDS: [&str; 4] = ["best_effort", "reliable", "at_least_once", "guaranteed"];

fn kinds() -> [ChannelConfig; 4] {
    let reliabilities = [
        Reliability::BestEffort,
        Reliability::Reliable,
        Reliability::AtLeastOnce,
        Reliability::Guaranteed,
    ];
    let mut names = KINDS.into_iter();
    reliabilities.map(|kind| {
        let name = names.next().expect("a name for each");
        reliable(name).reliability(kind).parallelism(2)
    })
}

/// A node with a channel of each reliability.
fn node_of(config: ConfigBuilder) -> Node {
    start(kinds().into_iter().fold(config, ConfigBuilder::channel))
}

fn node(name: &str) -> Node {
    node_of(config(name))
}

/// Reaches `b` from `a`, and waits until messages are accepted.
fn reach(a: &Node, b: &str, addresses: &[SocketAddr]) {
    a.reach(b, addresses).expect("names and addresses");
    a.wait_reachable(b, GENEROUS).expect("it is reached");
}

/// Sends a message on a channel, to the mailbox `in`, which is accepted.
fn send(from: &Node, to: &str, channel: &str, payload: &[u8]) {
    let to = from.destination(to, "in").expect("names");
    let channel = from.channel(channel).expect("it is configured");
    channel.try_send(&to, payload).expect("it is accepted");
}

/// An address at which nobody listens.
fn dead_address() -> SocketAddr {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("it is bound")
}

/// Connections that a node has.
fn connections(node: &Node) -> usize {
    let shards = node.metrics().shards;
    shards.iter().map(|shard| shard.connections).sum()
}

/// Waits until a node has so many connections.
fn has_connections(node: &Node, count: usize) {
    let now = || (connections(node), node.metrics());
    wait_until("its connections", now, |(connections, _)| {
        *connections == count
    });
}

/// What has happened and is not read yet.
fn happened(events: &Events) -> Vec<overlane::Event> {
    std::iter::from_fn(|| events.try_recv()).collect()
}

#[test]
fn what_cannot_be_an_address_of_a_peer_is_refused() {
    let a = node("a");
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let nine: Vec<_> = (1..=9).map(at).collect();
    for given in [&[][..], &nine] {
        let error = a.reach("b", given).expect_err("one to eight");
        assert!(matches!(error, NameError::Addresses { .. }), "{error}");
    }
    let error = a.reach("b", &[at(1), at(0)]).expect_err("no port");
    assert!(matches!(error, NameError::Address { .. }), "{error}");
    let error = a.reach("", &[at(1)]).expect_err("no name");
    assert!(matches!(error, NameError::Malformed { .. }), "{error}");
    assert!(a.peers().is_empty());
    a.reach("b", &nine[..8]).expect("as many as may be");
    let known = a.peers();
    assert_eq!((known[0].address, known[0].kept), (Some(at(1)), false));
}
