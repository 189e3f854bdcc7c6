//! One channel, or one peer, that stands still leaves the others alone.

use std::sync::atomic::Ordering;

use crate::support::accounting::{check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{config, connect_both, reliable, start, wait_until};
use overlane::config::Overflow;
use overlane::{Node, SendError};

fn node(name: &str) -> Node {
    let bulk = reliable("bulk").priority(7).overflow(Overflow::Reject);
    let bulk = bulk.queue_bytes_max(4_usize << 20);
    start(
        config(name)
            .channel(bulk)
            .channel(reliable("heartbeat").priority(1)),
    )
}

/// Fills the bulk channel to `peer` until it takes no more for a while.
fn fill(a: &Node, peer: &str) {
    let channel = a.channel("bulk").expect("it is configured");
    let to = a.destination(peer, "bulk").expect("names");
    let fill = || while channel.try_send(&to, vec![7; 100_000]).is_ok() {};
    let full = || {
        fill();
        let out = a.metrics();
        let out = counted(&out, peer, "bulk");
        (out.sent, channel.try_send(&to, &vec![7; 100_000]))
    };
    let mut before = 0;
    let mut same = 0;
    while same < 100 {
        let (sent, refused) = full();
        same = if sent == before && refused == Err(SendError::Full) {
            same + 1
        } else {
            0
        };
        before = sent;
    }
}

#[test]
fn a_channel_that_stands_still_does_not_stop_the_heartbeat_beside_it() {
    let (a, b) = (node("a"), node("b"));
    let mut unread = b.inbox_of("bulk", 64 << 10).expect("a mailbox");
    let (handler, beats) = crate::support::counting_handler();
    b.handle("heartbeat", handler).expect("a mailbox");
    connect_both(&a, &b);
    fill(&a, "b");
    let heartbeat = a.channel("heartbeat").expect("it is configured");
    let to = a.destination("b", "heartbeat").expect("names");
    // Each is waited for, so each passed the bulk that was before it.
    for beat in 1..=500 {
        heartbeat.try_send(&to, &[0; 50]).expect("there is room");
        wait_until(
            "the beat",
            || beats.load(Ordering::Relaxed),
            |beats| *beats == beat,
        );
    }
    assert!(counted(&a.metrics(), "b", "bulk").queue_messages > 0);
    wait_until(
        "bulk is read after all",
        || {
            while unread.try_recv().is_some() {}
            a.metrics().is_drained()
        },
        |drained| *drained,
    );
    check_accounting(&[&a, &b]);
}

#[test]
fn a_peer_that_stands_still_does_not_stop_messages_to_another() {
    let (a, b, c) = (node("a"), node("b"), node("c"));
    let _unread = b.inbox_of("bulk", 64 << 10).expect("a mailbox");
    let mut read = c.inbox("bulk").expect("a mailbox");
    connect_both(&a, &b);
    connect_both(&a, &c);
    fill(&a, "b");
    // The same channel, the same shard, the same ring.
    let channel = a.channel("bulk").expect("it is configured");
    let to = a.destination("c", "bulk").expect("names");
    let mut streams = Streams::default();
    for number in 0..500 {
        let message = payload::numbered(0, number, 20_000);
        channel.try_send(&to, message).expect("there is room");
        let message = read
            .recv_timeout(crate::support::GENEROUS)
            .expect("it passes");
        streams.take(message.payload());
    }
    // `b` goes with its inbox full: what it had not taken is reported, and c notices nothing.
    drop(b);
    let metrics = check_accounting(&[&a, &c]);
    assert!(counted(&metrics[0], "b", "bulk").reported > 0);
    assert_eq!(counted(&metrics[0], "c", "bulk").acknowledged, 500);
}
