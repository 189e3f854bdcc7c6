//! The counters: each says what its documentation says.

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{GENEROUS, best_effort, config, connect_both, reliable, start, wait_until};
use overlane::config::Overflow;
use overlane::wire::CloseReason;

#[test]
fn a_channels_counters_add_up_on_both_sides() {
    let channel = || reliable("data").overflow(Overflow::Block);
    let a = start(config("a").channel(channel()));
    let b = start(config("b").channel(channel()));
    let (handler, _) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    // One side dials: a second dial that finds the lane up makes the node ask for its peer, in bytes
    // that are counted.
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("the lane comes up");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..1000 {
        data.send_blocking(&to, &[0; 92]).expect("accepted");
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 1000);
    let out = counted(&metrics[0], "b", "data");
    let into = counted(&metrics[1], "a", "data");
    assert_eq!((out.lanes_up, into.lanes_up), (1, 1));
    assert_eq!((out.sent, into.delivered), (1000, 1000));
    // A header of eight bytes for each, and the announcement of the mailbox's name.
    assert_eq!(out.bytes_sent, 1000 * 100 + 8 + 2);
    assert_eq!(into.bytes_received, out.bytes_sent);
    assert!(0 < out.batches && out.batches <= 1001, "{out:#?}");
    assert!(
        0 < out.queue_high_water && out.queue_high_water <= 1000,
        "{out:#?}"
    );
    assert_eq!(
        metrics[0].latency_us["data"].len(),
        1000,
        "one latency per acknowledgement"
    );
    assert_eq!((out.queue_messages, out.queue_bytes), (0, 0));
    // The other direction carried acknowledgements and no message.
    assert_eq!((into.accepted, out.delivered), (0, 0));
    assert!(into.bytes_sent > 0 && out.bytes_received == into.bytes_sent);
}

#[test]
fn a_best_effort_channel_counts_what_it_dropped_and_what_was_dropped_at_the_other_end() {
    let a = start(config("a").channel(best_effort("gossip")));
    let b = start(config("b").channel(best_effort("gossip")));
    let gossip = a.channel("gossip").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..3 {
        gossip
            .try_send(&to, b"nobody is there")
            .expect("taken and dropped");
    }
    let _unread = b.inbox_of("in", 64 << 10).expect("a mailbox");
    connect_both(&a, &b);
    let mut sent = 0;
    while sent < 200 {
        sent += u64::from(gossip.try_send(&to, &[0; 1000]).is_ok());
    }
    wait_until(
        "all have come",
        || b.metrics(),
        |metrics| {
            let into = counted(metrics, "a", "gossip");
            into.delivered + into.receive_dropped == 200
        },
    );
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "gossip");
    assert_eq!((out.accepted, out.sent, out.dropped), (203, 200, 3));
    assert_eq!((out.acknowledged, out.reported, out.in_flight), (0, 0, 0));
    let into = counted(&metrics[1], "a", "gossip");
    assert!(
        into.receive_dropped > 0,
        "the inbox holds 64 KiB: {into:#?}"
    );
}

#[test]
fn ends_of_lanes_are_counted_by_reason() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    connect_both(&a, &b);
    crate::support::use_lane(&a, "b", "data", "nobody");
    a.disconnect("b").expect("a name");
    wait_until(
        "the end is counted",
        || a.metrics(),
        |metrics| {
            counted(metrics, "b", "data")
                .closes
                .get(&CloseReason::Disconnected)
                == Some(&1)
        },
    );
    wait_until(
        "b is refused, and counts it",
        || b.metrics(),
        |metrics| {
            let closes = &counted(metrics, "a", crate::support::CONTROL).closes;
            closes.contains_key(&CloseReason::PeerDisconnected)
        },
    );
    let refused = a.metrics().refused_connections;
    assert!(refused[&CloseReason::Disconnected] > 0, "{refused:?}");
}

#[test]
fn a_node_without_work_parks_and_a_message_wakes_it() {
    let a = start(config("a").shards(2).channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let (handler, _) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    wait_until(
        "all shards park",
        || a.metrics(),
        |metrics| metrics.shards.len() == 2 && metrics.shards.iter().all(|shard| shard.parks > 2),
    );
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    data.try_send(&to, b"wake up").expect("accepted");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 1);
    let shards = &metrics[0].shards;
    assert!(shards.iter().all(|shard| shard.turns >= shard.idle_turns));
    assert!(
        shards.iter().any(|shard| shard.doorbell_writes > 0),
        "{shards:#?}"
    );
    assert!(
        shards.iter().all(|shard| shard.syscalls() > 0),
        "{shards:#?}"
    );
}
