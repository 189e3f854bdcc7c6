//! Order: per sender, channel and key, with parallel lanes, several shards and several threads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::payload::{self, Streams};
use crate::support::{config, connect_both, reliable, start};
use overlane::config::{Ordering, Overflow};
use overlane::{Node, SendError};

fn node(name: &str, shards: usize) -> Node {
    let channel = reliable("data").parallelism(4).overflow(Overflow::Block);
    start(config(name).shards(shards).channel(channel))
}

#[test]
fn equal_keys_keep_their_order_over_parallel_lanes_and_shards() {
    for shards in [1, 3] {
        let (a, b) = (node("a", shards), node("b", shards));
        let mut inbox = b.inbox("in").expect("a mailbox");
        connect_both(&a, &b);
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let (threads, keys, count) = (3_u64, 8_u64, 500_u64);
        thread::scope(|scope| {
            for thread in 0..threads {
                let (channel, to) = (&channel, &to);
                scope.spawn(move || {
                    for number in 0..count {
                        for key in 0..keys {
                            let message = payload::numbered(thread << 32 | key, number, 24);
                            channel
                                .send_blocking(&to.with_key(key), &message)
                                .expect("accepted");
                        }
                    }
                });
            }
            let mut streams = Streams::default();
            for _ in 0..threads * keys * count {
                let message = inbox
                    .recv_timeout(crate::support::GENEROUS)
                    .expect("a message");
                streams.take(message.payload());
            }
        });
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", threads * keys * count);
    }
}

#[test]
fn a_key_picks_the_same_lane_every_time_and_keys_use_all_lanes() {
    let (a, b) = (node("a", 4), node("b", 1));
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let shard = |key| {
        a.shard_of(&channel, &to.with_key(key))
            .expect("both are of a")
    };
    let used: HashSet<_> = (0..4).map(shard).collect();
    assert_eq!(used.len(), 4, "four lanes lie on four shards");
    for key in 0..100 {
        assert_eq!(shard(key), shard(key));
        assert_eq!(shard(key), shard(key % 4));
    }
}

#[test]
fn an_unordered_channel_spreads_messages_without_a_key_over_its_lanes() {
    let channel = reliable("data").parallelism(4);
    let spread = channel.clone().ordering(Ordering::Unordered);
    for (channel, lanes) in [(channel, 1), (spread, 4)] {
        let a = start(config("a").channel(channel.clone()));
        // Four shards have a lane each: the handler's shard tells the lane.
        let b = start(config("b").shards(4).channel(channel));
        let shards = Arc::new(Mutex::new(HashSet::new()));
        let seen = Arc::clone(&shards);
        b.handle("in", move |context, _| {
            seen.lock().expect("no panic").insert(context.shard());
        })
        .expect("a mailbox");
        connect_both(&a, &b);
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        for _ in 0..40 {
            channel.try_send(&to, b"x").expect("accepted");
        }
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 40);
        assert_eq!(shards.lock().expect("no panic").len(), lanes);
    }
}

#[test]
fn accepted_connections_reach_the_shard_that_owns_their_lane() {
    // Only `a` dials, so each of b's eight lanes is accepted by whichever shard the kernel picked.
    let channel = reliable("data").parallelism(8);
    let a = start(config("a").shards(2).channel(channel.clone()));
    let b = start(config("b").shards(4).channel(channel));
    let shards = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shards);
    b.handle("in", move |context, message| {
        let key = message.payload()[0];
        seen.lock().expect("no panic").push((key, context.shard()));
    })
    .expect("a mailbox");
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", crate::support::GENEROUS)
        .expect("the peer is there");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for key in 0..8_u8 {
        let sent = channel.try_send(&to.with_key(u64::from(key)), &[key]);
        assert_eq!(sent, Ok::<(), SendError>(()));
    }
    check_accounting(&[&a, &b]);
    let lanes_up = b.peers()[0].lanes_up;
    assert_eq!(lanes_up, 9, "each key has a lane, and the engine one");
    let back = b.channel("data").expect("it is configured");
    let from = b.destination("a", "in").expect("names");
    let mut seen = shards.lock().expect("no panic").clone();
    seen.sort_unstable();
    let right: Vec<_> = (0..8)
        .map(|key| {
            (
                key,
                b.shard_of(&back, &from.with_key(u64::from(key)))
                    .expect("both are of b"),
            )
        })
        .collect();
    assert_eq!(seen, right);
}
