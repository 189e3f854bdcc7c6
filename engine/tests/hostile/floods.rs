//! More of what is allowed than anybody needs.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use overlane::config::ChannelConfig;
use overlane::wire::{Ack, CloseReason, FrameKind};
use overlane::{Node, SendError};

use crate::honest::Honest;
use crate::stranger::{Stranger, frame, good_frame, hello, letter};
use crate::support::child::{in_child, resident_bytes};
use crate::support::{
    best_effort, config, connect_both, counting_handler, drained, reliable, start, wait_until,
};

#[test]
fn a_flood_of_control_frames_is_closed() {
    let honest = Honest::start(|config| config.control_frames_per_second_max(100));
    let mut useless_ack = Vec::new();
    Ack {
        processed: 0,
        refused: 0,
        late: 0,
    }
    .append_to(&mut useless_ack);
    for (peer, drop_of_it) in [
        ("pings", good_frame(FrameKind::Ping, 1, &[])),
        ("pongs", good_frame(FrameKind::Pong, 1, &[])),
        ("acks", useless_ack),
        ("optional", frame(0x90, 0, 0, &[])),
    ] {
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello(peer));
        stranger.say(&drop_of_it.repeat(1000));
        stranger.ends();
        honest.closed(peer, "data", CloseReason::ControlFlood, 1);
    }
    // Of these the first is answered: the two may part before the others were read.
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("byes"));
    stranger.say(&good_frame(FrameKind::Bye, 3, &[]).repeat(1000));
    stranger.ends();
    honest.goes_on();
    honest.finish();
}

#[test]
fn pings_of_a_peer_that_does_not_read_make_the_node_owe_one_pong() {
    let name = "floods::pings_of_a_peer_that_does_not_read_make_the_node_owe_one_pong";
    in_child(name, || {
        let small = 32_u32 << 10;
        let honest = Honest::with(vec![reliable("data").send_buffer_bytes(small)], |config| {
            config.control_frames_per_second_max(10_000_000)
        });
        let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
        let size = socket2::SockRef::from(&stranger.stream).set_recv_buffer_size(small as usize);
        size.expect("a socket takes it");
        let before = resident_bytes();
        let pings = 2_000_000;
        for first in (0..pings).step_by(1000) {
            let some =
                (first..first + 1000).flat_map(|word| good_frame(FrameKind::Ping, word, &[]));
            assert!(stranger.say(&some.collect::<Vec<_>>()), "it is allowed");
        }
        let read = || {
            let metrics = honest.target.metrics();
            metrics
                .channel("alice", "data")
                .map_or(0, |lane| lane.bytes_received)
        };
        wait_until("all is read", read, |bytes| *bytes == u64::from(pings) * 8);
        let grown = resident_bytes().saturating_sub(before);
        println!("{pings} Pings: resident memory grew by {grown} bytes");
        assert!(
            grown < 4 << 20,
            "{grown} bytes are held for a peer that does not read"
        );
        // The last one is answered, once it reads.
        let mut frames = std::iter::from_fn(|| stranger.next_frame());
        let last = frames.find(|(kind, word, _)| (*kind, *word) == (FrameKind::Pong, pings - 1));
        assert!(last.is_some());
        honest.finish();
    });
}

#[test]
fn as_many_mailboxes_as_allowed_are_no_flood() {
    let honest = Honest::start(|config| config.control_frames_per_second_max(10));
    let (handler, count) = counting_handler();
    honest.target.handle("in", handler).expect("a mailbox");
    let mut stranger = Stranger::lane(honest.target.local_addr(), hello("alice"));
    let mailboxes = (0..100).flat_map(|id| good_frame(FrameKind::Mailbox, id, b"in"));
    stranger.say(&mailboxes.collect::<Vec<_>>());
    stranger.say(&good_frame(FrameKind::Message, 99, b"hello"));
    wait_until(
        "the message",
        || count.load(Ordering::Relaxed),
        |count| *count == 1,
    );
    honest.finish();
}

#[test]
fn names_are_charged_to_their_peer_and_given_back_when_its_lanes_end() {
    let lanes = 4;
    let honest = Honest::with(vec![reliable("data").parallelism(lanes)], |config| {
        config.peer_names_bytes_max(1 << 20)
    });
    let lane = |peer: &str, index| {
        let mut hello = hello(peer);
        hello.terms.parallelism = lanes;
        hello.lane = index;
        Stranger::lane(honest.target.local_addr(), hello)
    };
    // A quarter of the budget and a few for each lane: one of them is too much, but not for others.
    let names: Vec<u8> = (0..1000)
        .flat_map(|id| good_frame(FrameKind::Mailbox, id, format!("{id:0>250}").as_bytes()))
        .collect();
    // Says them, and waits until they are taken in.
    let hoard = |peer: &str, index| {
        let mut stranger = lane(peer, index);
        stranger.say(&names);
        stranger.say(&good_frame(FrameKind::Ping, 7, &[]));
        let mut frames = std::iter::from_fn(|| stranger.next_frame());
        assert!(frames.any(|(kind, ..)| kind == FrameKind::Pong), "{peer}");
        stranger
    };
    for round in 1..=3 {
        let mut hoards: Vec<_> = ["alice", "bob"].map(|peer| hoard(peer, 0)).into();
        hoards.extend((1..lanes).map(|index| hoard("mallory", index)));
        let mut last = lane("mallory", 0);
        last.say(&names);
        last.ends();
        honest.closed("mallory", "data", CloseReason::OverBudget, round);
        honest.goes_on();
        // With its lanes go its names: the next ones have all of the budget again.
        drop(hoards);
        wait_until("all are gone", || honest.connections(), |count| *count == 2);
    }
    honest.finish();
}

#[test]
fn a_flooding_peer_does_not_stop_honest_ones() {
    let honest = Honest::start(|config| config);
    let (handler, count) = counting_handler();
    honest.target.handle("sink", handler).expect("a mailbox");
    let over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|peer| {
            let mut stranger = Stranger::lane(honest.target.local_addr(), hello(peer));
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                stranger.say(&letter("sink", b"first"));
                let mut reader = stranger.stream.try_clone().expect("a descriptor");
                // What the node acknowledges has to be read, or it would be the one that is flooded.
                let acks = std::thread::spawn(move || {
                    std::io::copy(&mut reader, &mut std::io::sink()).unwrap_or(0)
                });
                let many = good_frame(FrameKind::Message, 0, &[7; 100]).repeat(1000);
                let mut sent = 1;
                while !over.load(Ordering::Relaxed) {
                    assert!(stranger.say(&many), "a flood of messages is allowed");
                    sent += 1000;
                }
                stranger.fall_silent();
                assert!(acks.join().expect("it does not panic") > 0);
                sent
            })
        })
        .collect();
    wait_until(
        "the flood",
        || count.load(Ordering::Relaxed),
        |count| *count > 200_000,
    );
    for _ in 0..5 {
        honest.goes_on();
    }
    over.store(true, Ordering::Relaxed);
    let sent: u64 = floods
        .into_iter()
        .map(|flood| flood.join().expect("it ends"))
        .sum();
    wait_until(
        "all of it",
        || count.load(Ordering::Relaxed),
        |count| *count == sent,
    );
    honest.finish();
}

/// Sends on a channel until it is over; how many were accepted.
fn flood(node: &Node, channel: &str, over: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let channel = node.channel(channel).expect("it is configured");
    let to = node.destination("b", "in").expect("names");
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        let mut accepted = 0;
        while !over.load(Ordering::Relaxed) {
            match channel.try_send(&to, &[7; 1000]) {
                Ok(()) => accepted += 1,
                Err(error) => assert_eq!(error, SendError::Full),
            }
        }
        accepted
    })
}

#[test]
fn a_flooding_channel_starves_only_lower_priorities_counted() {
    let channels = || {
        [("high", 1), ("middle", 4), ("low", 6)].map(|(name, priority)| {
            // Several lanes of the flooding channel spend the budget of a turn.
            let lanes = if name == "middle" { 4 } else { 1 };
            ChannelConfig::new(name)
                .priority(priority)
                .parallelism(lanes)
                .ring_bytes(4 << 20)
        })
    };
    let node = |name| {
        let config = config(name)
            .turn_bytes_max(64 << 10)
            .send_quantum_bytes(64 << 10);
        start(
            channels()
                .into_iter()
                .fold(config, |config, channel| config.channel(channel)),
        )
    };
    let (a, b) = (node("a"), node("b"));
    let (handler, count) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let over = Arc::new(AtomicBool::new(false));
    let threads = ["middle", "middle", "low", "high"].map(|name| flood(&a, name, &over));
    let starved = |name| {
        let metrics = a.metrics();
        metrics
            .channel("b", name)
            .expect("it was used")
            .turns_starved
    };
    let low_starved = || {
        let rings = a
            .metrics()
            .shards
            .iter()
            .map(|shard| shard.rings_starved)
            .sum::<u64>();
        starved("low") + rings
    };
    wait_until("the lowest has to wait", low_starved, |turns| *turns > 0);
    over.store(true, Ordering::Relaxed);
    let accepted: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("it ends"))
        .sum();
    for lane in &drained(&a).lanes {
        assert_eq!(
            lane.acknowledged, lane.accepted,
            "nothing is lost by waiting"
        );
    }
    assert_eq!(starved("high"), 0, "nobody is before it");
    assert_eq!(count.load(Ordering::Relaxed), accepted);
}

#[test]
fn lanes_that_wait_for_room_are_left_alone_until_their_own_inbox_has_some() {
    let honest = Honest::start(|config| config.idle_timeout_ms(600_000_u64));
    let inbox = |name| honest.target.inbox_of(name, 64 << 10).expect("a mailbox");
    let mut inboxes = [inbox("unread-0"), inbox("unread-1")];
    let size = 40_000;
    // Enough for each inbox to be full with the first of them.
    let strangers: Vec<_> = (0..300)
        .map(|number| {
            let mut stranger =
                Stranger::lane(honest.target.local_addr(), hello(&format!("peer-{number}")));
            stranger.say(&letter(&format!("unread-{}", number % 2), &vec![7; size]));
            stranger
        })
        .collect();
    let received = || {
        let metrics = honest.target.metrics();
        let lanes = metrics
            .lanes
            .iter()
            .filter(|lane| lane.peer.starts_with("peer-"));
        lanes
            .filter(|lane| lane.bytes_received > size as u64)
            .count()
    };
    wait_until("all letters are here", received, |lanes| {
        *lanes == strangers.len()
    });
    let retried = || -> u64 {
        let shards = honest.target.metrics().shards;
        shards.iter().map(|shard| shard.lanes_retried).sum()
    };
    let before = retried();
    for _ in 0..5 {
        honest.goes_on();
    }
    assert_eq!(retried(), before, "they were tried without room");
    let mut read = [0, 0];
    wait_until(
        "all is read",
        || {
            for (inbox, read) in inboxes.iter_mut().zip(&mut read) {
                while inbox.try_recv().is_some() {
                    *read += 1;
                }
            }
            read.iter().sum::<usize>()
        },
        |read| *read == strangers.len(),
    );
    // Each letter that is read lets one in, and one on each shard finds the inbox full again.
    let tries = retried() - before;
    assert!(tries <= 4 * strangers.len() as u64, "{tries} tries");
    honest.finish();
}

#[test]
fn a_peer_holds_no_more_than_its_budget() {
    in_child("floods::a_peer_holds_no_more_than_its_budget", || {
        let queue = 1 << 20;
        let channels = vec![
            reliable("data").queue_bytes_max(queue),
            best_effort("gossip"),
        ];
        let honest = Honest::with(channels, |config| config);
        let inbox = honest.target.inbox_of("full", 64 << 10).expect("a mailbox");
        let channel = honest.target.channel("data").expect("it is configured");
        let peers: u32 = 20;
        let before = resident_bytes();
        let mut held = Vec::new();
        for number in 0..peers {
            let name = format!("peer-{number}");
            let mut stranger = Stranger::lane(honest.target.local_addr(), hello(&name));
            // It reads nothing, so that what is for it queues up ...
            honest.up(&name);
            let to = honest.target.destination(&name, "in").expect("names");
            while channel.try_send(&to, vec![7; 10_000]).is_ok() {}
            // ... and sends all but the last byte of the largest frame ...
            let largest = frame(1, 1 << 20, 0, &vec![7; (1 << 20) - 1]);
            stranger.say(&good_frame(FrameKind::Mailbox, 0, b"full"));
            stranger.say(&largest);
            held.push(stranger);
        }
        let queued = || {
            let metrics = honest.target.metrics();
            let lanes = metrics
                .lanes
                .iter()
                .filter(|lane| lane.peer.starts_with("peer-"));
            lanes
                .map(|lane| lane.queue_bytes)
                .max()
                .expect("there are some")
        };
        assert!(queued() <= queue as u64, "{} bytes are queued", queued());
        honest.goes_on();
        // ... and then much more than the inbox holds that it is for.
        for stranger in &mut held {
            stranger
                .stream
                .set_write_timeout(Some(Duration::from_millis(20)))
                .expect("it can");
            let more = good_frame(FrameKind::Message, 0, &[7; 1000]).repeat(1000);
            let _ = stranger.stream.write_all(&[7]);
            for _ in 0..10 {
                if stranger.stream.write_all(&more).is_err() {
                    break;
                }
            }
        }
        honest.goes_on();
        let grown = resident_bytes().saturating_sub(before);
        // What each may hold, and as much again for buffers on their way.
        let budget = 2 * peers as usize * (queue + (1 << 20));
        println!("{peers} peers hold {grown} bytes of {budget}");
        assert!(
            grown < budget,
            "{grown} bytes for {peers} peers, over {budget}"
        );
        drop((held, inbox));
        honest.finish();
    });
}
