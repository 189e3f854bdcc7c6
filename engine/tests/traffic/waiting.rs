//! Waiting for room: `send().await` on any executor, `send_blocking`, tasks on a shard. Queues are
//! tiny, so that nearly every send waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::payload::{self, Streams};
use crate::support::{config, connect_both, reliable, start};
use overlane::config::{ChannelConfig, Overflow};
use overlane::{Channel, Destination, Inbox, Node};

const COUNT: u64 = 3000;

fn tiny(name: &str) -> ChannelConfig {
    reliable(name)
        .overflow(Overflow::Block)
        .queue_messages_max(4)
        .ring_bytes(64 << 10)
}

fn pair(shards: usize) -> (Node, Node, Inbox) {
    let a = start(config("a").shards(shards).channel(tiny("data")));
    let b = start(config("b").channel(tiny("data")));
    let inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    (a, b, inbox)
}

/// Runs `work` beside a reader that expects `streams` streams of [`COUNT`] messages.
fn beside_a_reader(streams: u64, work: impl FnOnce(&Channel, &Destination) + Send) {
    let (a, b, mut inbox) = pair(1);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    thread::scope(|scope| {
        scope.spawn(|| work(&channel, &to));
        let mut taken = Streams::default();
        for _ in 0..streams * COUNT {
            let message = inbox
                .recv_timeout(crate::support::GENEROUS)
                .expect("a message");
            taken.take(message.payload());
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", streams * COUNT);
}

async fn send_all(channel: Channel, to: Destination, stream: u64) {
    for number in 0..COUNT {
        // Some above the inline limit, so that both ways into the ring are waited for.
        let bytes = if number % 10 == 0 { 2000 } else { 30 };
        let message = payload::numbered(stream, number, bytes);
        channel.send(&to, message).await.expect("accepted");
    }
}

#[test]
fn send_waits_under_a_plain_executor() {
    beside_a_reader(1, |channel, to| {
        futures_lite::future::block_on(send_all(channel.clone(), to.clone(), 0));
    });
}

#[test]
fn sends_of_several_tasks_wait_under_a_tokio_runtime() {
    beside_a_reader(4, |channel, to| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let tasks: Vec<_> = (0..4)
                .map(|stream| tokio::spawn(send_all(channel.clone(), to.clone(), stream)))
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
    });
}

#[test]
fn send_blocking_waits_in_several_threads() {
    beside_a_reader(4, |channel, to| {
        thread::scope(|scope| {
            for stream in 0..4 {
                scope.spawn(move || {
                    for number in 0..COUNT {
                        let message = payload::numbered(stream, number, 30);
                        channel.send_blocking(to, &message).expect("accepted");
                    }
                });
            }
        });
    });
}

#[test]
fn an_inbox_is_read_under_a_tokio_runtime() {
    let (a, b, mut inbox) = pair(1);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    thread::scope(|scope| {
        scope.spawn(|| futures_lite::future::block_on(send_all(channel, to, 0)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut taken = Streams::default();
            while taken.received() < COUNT {
                taken.take(inbox.recv().await.expect("a message").payload());
            }
        });
    });
    check_accounting(&[&a, &b]);
}

#[test]
fn a_full_ring_is_waited_for_although_the_lane_has_room() {
    // The lane takes far more than the ring of 64 KiB holds.
    let channel = reliable("data")
        .overflow(Overflow::Block)
        .ring_bytes(64 << 10);
    let a = start(config("a").channel(channel.clone()));
    let b = start(config("b").channel(channel));
    let (handler, delivered) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    channel.send_blocking(&to, &[0; 500]).expect("accepted");
                }
            });
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 60_000);
    assert_eq!(delivered.load(Ordering::Relaxed), 60_000);
}

#[test]
fn a_task_on_the_shard_sends_one_by_one_by_many_and_waits() {
    // Two shards: from one of them the lane is the other's, from the other its own.
    for shard in [0, 1] {
        let (a, b, mut inbox) = pair(2);
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let tried = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&tried);
        a.spawn_on_shard(shard, move |handle| async move {
            assert_eq!(handle.shard(), shard);
            for number in 0..COUNT {
                let message = payload::numbered(0, number, 40);
                let sent = handle.send(&channel, &to, &message).await;
                sent.expect("accepted");
            }
            for number in 0..COUNT {
                let message = payload::numbered(1, number, 40);
                while handle.try_send(&channel, &to, &message).is_err() {
                    counted.fetch_add(1, Ordering::Relaxed);
                    handle.yield_now().await;
                }
            }
            let messages: Vec<_> = (0..COUNT)
                .map(|number| payload::numbered(2, number, 40))
                .collect();
            let slices: Vec<_> = messages.iter().map(Vec::as_slice).collect();
            let mut rest = &slices[..];
            while !rest.is_empty() {
                let sent = handle.send_many(&channel, &to, rest).unwrap_or(0);
                rest = &rest[sent..];
                handle.yield_now().await;
            }
        })
        .expect("there is that shard");
        let mut taken = Streams::default();
        for _ in 0..3 * COUNT {
            let message = inbox
                .recv_timeout(crate::support::GENEROUS)
                .expect("a message");
            taken.take(message.payload());
        }
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 3 * COUNT);
    }
}
