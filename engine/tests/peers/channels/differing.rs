//! Nodes whose channels differ: what can be agreed is, and what cannot is refused at both, with both values.

use std::sync::atomic::Ordering;
use std::thread;

use overlane::config::{ChannelConfig, Compression, Ordering as Order, Reliability};
use overlane::wire::CloseReason;
use overlane::{Event, Node, SendError};

use super::{Load, channel, pair, ups_and_downs};
use crate::support::accounting::{check_accounting, counted};
use crate::support::{config, connect_both, counting_handler, start, wait_for_event, wait_until};

/// A changed parameter goes over three nodes, one by one, while each sends to each.
#[test]
fn a_change_that_rolls_over_the_nodes_cuts_no_channel() {
    let data = || channel("data", Reliability::Guaranteed).compression(Compression::Lz4);
    let node = |name| start(config(name).shards(2).channel(data()));
    let nodes: [Node; 3] = ["a", "b", "c"].map(node);
    let mut counts = Vec::new();
    for node in &nodes {
        let (handler, count) = counting_handler();
        node.handle("in", handler).expect("a mailbox");
        counts.push(count);
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        connect_both(&nodes[one], &nodes[other]);
    }
    let events: Vec<_> = nodes.iter().map(Node::events).collect();
    let mut loads = Vec::new();
    for (from, node) in nodes.iter().enumerate() {
        for (into, peer) in nodes.iter().enumerate().filter(|(into, _)| *into != from) {
            let channel = node.channel("data").expect("there");
            let to = node.destination(peer.name(), "in").expect("names");
            loads.push((into, Load::start(channel, to, 700)));
        }
    }
    let flows = |more: u64| {
        let seen: Vec<_> = counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        for (count, seen) in counts.iter().zip(seen) {
            wait_until(
                "messages flow",
                || count.load(Ordering::Relaxed),
                |now| *now >= seen + more,
            );
        }
    };
    flows(100);
    type Change = fn(ChannelConfig) -> ChannelConfig;
    let changes: [Change; 4] = [
        |is| is.message_bytes_max(800_usize),
        |is| is.compression(Compression::Zstd).priority(2),
        |is| {
            is.message_bytes_max(100_000_usize)
                .log_bytes_max(2_000_000_usize)
        },
        |is| is.compression(Compression::None),
    ];
    for change in changes {
        for node in &nodes {
            node.retune_channel("data", change).expect("it can be");
            flows(20);
        }
    }
    let mut sent = [0; 3];
    for (into, load) in loads {
        sent[into] += load.end();
    }
    let nodes: Vec<_> = nodes.iter().collect();
    let metrics = check_accounting(&nodes);
    for ((count, sent), metrics) in counts.iter().zip(sent).zip(&metrics) {
        assert_eq!(count.load(Ordering::Relaxed), sent);
        let reported = metrics.lanes.iter().map(|out| out.reported).sum::<u64>();
        assert_eq!(reported, 0);
    }
    for events in &events {
        let (_, downs) = ups_and_downs(events, "data");
        assert_eq!(downs, 0, "no lane was cut");
    }
}

/// Lanes that are made while the nodes differ go by what both can: the smaller limit, no compression.
#[test]
fn lanes_made_while_nodes_differ_go_by_what_both_can() {
    let (a, b, count) = pair();
    let data = |bytes: usize| ChannelConfig::new("data").message_bytes_max(bytes);
    b.add_channel(data(500)).expect("new");
    let sending = a
        .add_channel(data(1000).compression(Compression::Lz4))
        .expect("new");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..50 {
        sending.try_send(&to, vec![7; 400]).expect("room");
    }
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").compressed_from_bytes, 0);
    let unsent = sending.try_send(&to, vec![7; 501]).expect_err("too large");
    let error = SendError::TooLarge {
        bytes: 501,
        bytes_max: 500,
    };
    assert_eq!(unsent.error, error);
    assert_eq!(count.load(Ordering::Relaxed), 50);
}

#[test]
fn what_cannot_be_agreed_is_refused_at_both_with_both_values() {
    let base = || ChannelConfig::new("data");
    for (ours, theirs, text) in [
        (
            base(),
            base().reliability(Reliability::Guaranteed),
            ["reliability", "reliable", "guaranteed"],
        ),
        (
            base(),
            base().ordering(Order::Unordered),
            ["ordering", "fifo", "unordered"],
        ),
        (base().parallelism(2_u16), base(), ["parallelism", "1", "2"]),
    ] {
        let (a, b, _) = pair();
        let (at_a, at_b) = (a.events(), b.events());
        b.add_channel(theirs).expect("new");
        let sending = a.add_channel(ours).expect("new");
        let to = a.destination("b", "in").expect("names");
        sending.try_send(&to, b"x").expect("it is held");
        let at_sender = wait_for_event(&at_a, "the sender hears why", |event| match event {
            Event::DialFailed { reason, detail, .. } => {
                assert_eq!(*reason, CloseReason::ChannelMismatch);
                Some(detail.clone())
            }
            _ => None,
        });
        let at_peer = wait_for_event(&at_b, "the peer says why", |event| match event {
            Event::Refused { reason, detail, .. } => {
                assert_eq!(*reason, CloseReason::ChannelMismatch);
                Some(detail.clone())
            }
            _ => None,
        });
        for part in text {
            assert!(
                at_sender.contains(part),
                "{at_sender} says nothing of {part}"
            );
            assert!(at_peer.contains(part), "{at_peer} says nothing of {part}");
        }
        let metrics = check_accounting(&[&a, &b]);
        assert_eq!(counted(&metrics[0], "b", "data").reported, 1);
        // Where it is added again as the peer has it, it goes.
        thread::yield_now();
    }
}
