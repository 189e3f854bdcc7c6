//! Messages of a node to itself: the same promises, without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{best_effort, config, reliable, start, wait_until};
use bytes::Bytes;
use overlane::Node;
use overlane::config::Overflow;

fn alone(shards: usize) -> Node {
    let channel = reliable("data").parallelism(4).overflow(Overflow::Block);
    // For all that a test sends before it reads.
    let channel = channel.queue_bytes_max(4_usize << 20);
    let config = config("a").shards(shards).channel(channel);
    start(config.channel(best_effort("gossip")))
}

#[test]
fn small_and_large_messages_arrive_in_order_per_key() {
    for shards in [1, 3] {
        let a = alone(shards);
        let mut inbox = a.inbox("in").expect("a mailbox");
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("a", "in").expect("names");
        let (keys, count) = (4, 1000);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count {
                    for key in 0..keys {
                        let bytes = if number % 50 == 0 { 100_000 } else { 30 };
                        let message = payload::numbered(key, number, bytes);
                        channel
                            .send_blocking(&to.with_key(key), message)
                            .expect("accepted");
                    }
                }
            });
            let mut streams = Streams::default();
            for _ in 0..keys * count {
                let message = inbox
                    .recv_timeout(crate::support::GENEROUS)
                    .expect("a message");
                assert!(message.from().is_self());
                streams.take(message.payload());
            }
        });
        let metrics = check_accounting(&[&a]);
        all_acknowledged(&metrics[0], "a", "data", keys * count);
    }
}

#[test]
fn empty_payloads_between_large_ones_in_every_form() {
    let a = alone(1);
    let mut inbox = a.inbox("in").expect("a mailbox");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("a", "in").expect("names");
    for _ in 0..10 {
        channel.try_send(&to, Bytes::new()).expect("accepted");
        channel.try_send(&to, vec![1; 5000]).expect("accepted");
        channel.try_send(&to, b"").expect("accepted");
        channel.try_send(&to, Vec::new()).expect("accepted");
        channel.try_send(&to, vec![2; 3]).expect("accepted");
    }
    for _ in 0..10 {
        for right in [&[][..], &[1; 5000], &[], &[], &[2; 3]] {
            let message = inbox
                .recv_timeout(crate::support::GENEROUS)
                .expect("a message");
            assert_eq!(message.payload(), right);
        }
    }
    let metrics = check_accounting(&[&a]);
    all_acknowledged(&metrics[0], "a", "data", 50);
}

#[test]
fn a_full_inbox_holds_a_reliable_channel_back_and_drops_best_effort() {
    let a = alone(1);
    let mut inbox = a.inbox_of("in", 64 << 10).expect("a mailbox");
    let data = a.channel("data").expect("it is configured");
    let gossip = a.channel("gossip").expect("it is configured");
    let to = a.destination("a", "in").expect("names");
    let count = 2000;
    for number in 0..count {
        let message = payload::numbered(0, number, 500);
        data.send_blocking(&to, message).expect("accepted");
    }
    wait_until(
        "the inbox is full",
        || a.metrics(),
        |metrics| {
            let own = counted(metrics, "a", "data");
            own.delivered > 0 && own.queued == count - own.delivered
        },
    );
    for _ in 0..100 {
        gossip.try_send(&to, &[0; 500]).expect("accepted");
    }
    wait_until(
        "best effort is dropped",
        || a.metrics(),
        |metrics| {
            let own = counted(metrics, "a", "gossip");
            own.delivered + own.receive_dropped == 100 && own.receive_dropped > 0
        },
    );
    let mut streams = Streams::default();
    while streams.received() < count {
        let message = inbox
            .recv_timeout(crate::support::GENEROUS)
            .expect("a message");
        if message.channel() == "data" {
            streams.take(message.payload());
        }
    }
    let metrics = check_accounting(&[&a]);
    all_acknowledged(&metrics[0], "a", "data", count);
}

#[test]
fn a_handler_that_sends_to_its_own_node_goes_on_for_ever_without_growing() {
    let a = alone(1);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("a", "in").expect("names");
    let rounds = Arc::new(AtomicU64::new(0));
    let counted_rounds = Arc::clone(&rounds);
    let (again, there) = (channel.clone(), to.clone());
    a.handle("in", move |context, message| {
        let round = counted_rounds.fetch_add(1, Ordering::Relaxed);
        if round < 50_000 {
            let sent = context.try_send(&again, &there, message.payload());
            sent.expect("accepted");
        }
    })
    .expect("a mailbox");
    channel.try_send(&to, b"round").expect("accepted");
    wait_until(
        "all rounds",
        || rounds.load(Ordering::Relaxed),
        |rounds| *rounds == 50_001,
    );
    let metrics = check_accounting(&[&a]);
    all_acknowledged(&metrics[0], "a", "data", 50_001);
    let depth = counted(&metrics[0], "a", "data").queue_high_water;
    assert_eq!(depth, 1, "one message at a time");
}

#[test]
fn a_message_to_a_mailbox_of_its_own_that_is_not_there_is_reported() {
    let a = alone(1);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("a", "nowhere").expect("names");
    channel.try_send(&to, b"lost").expect("accepted");
    let metrics = check_accounting(&[&a]);
    let own = counted(&metrics[0], "a", "data");
    assert_eq!((own.accepted, own.refused, own.reported), (1, 1, 1));
}
