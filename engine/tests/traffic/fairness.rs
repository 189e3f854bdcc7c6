//! Channels and connections of one priority share a turn: none of them waits for another to run dry.
//! Shown by the order in which messages arrive at a shard that is held while they are sent.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{config, connect_both, hold, reliable, start, wait_until};
use overlane::Node;
use overlane::config::ChannelConfig;

/// The least that can be configured, so that all this takes many turns.
const TURN_BYTES: usize = 64 << 10;

/// Notes the first byte of each message, in the order in which they come.
fn note_order(node: &Node, burn: Duration) -> Arc<Mutex<Vec<u8>>> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&order);
    node.handle("in", move |_, message| {
        noting.lock().expect("no panic").push(message.payload()[0]);
        let start = Instant::now();
        while start.elapsed() < burn {
            std::hint::spin_loop();
        }
    })
    .expect("a mailbox");
    order
}

/// A channel that takes all that a test queues, and has all of it under way from the start.
fn deep(name: &str, priority: u8) -> ChannelConfig {
    reliable(name)
        .priority(priority)
        .ring_bytes(8_usize << 20)
        .queue_bytes_max(16_usize << 20)
        .window_budget_us(0_u64)
}

/// Sends on channels of `a` while its shard is held; returns the order in which all of it came.
fn order_of(channels: [ChannelConfig; 3], counts: [u64; 3], bytes: usize) -> Vec<u8> {
    let node = |name| {
        let small_turns = config(name)
            .turn_bytes_max(TURN_BYTES)
            .send_quantum_bytes(TURN_BYTES);
        let channels = channels.iter().cloned();
        start(channels.fold(small_turns, |config, channel| config.channel(channel)))
    };
    let (a, b) = (node("a"), node("b"));
    let order = note_order(&b, Duration::ZERO);
    connect_both(&a, &b);
    let to = a.destination("b", "in").expect("names");
    let held = hold(&a);
    for (channel, count) in channels.iter().zip(counts) {
        let sending = a.channel(&channel.name).expect("it is configured");
        let payload = vec![channel.name.as_bytes()[0]; bytes];
        for _ in 0..count {
            sending.try_send(&to, &payload).expect("there is room");
        }
    }
    drop(held);
    let metrics = check_accounting(&[&a, &b]);
    for (channel, count) in channels.iter().zip(counts) {
        all_acknowledged(&metrics[0], "b", &channel.name, count);
    }
    let order = order.lock().expect("no panic");
    order.clone()
}

fn last(order: &[u8], kind: u8) -> usize {
    let place = order.iter().rposition(|came| *came == kind);
    place.expect("they came")
}

fn first(order: &[u8], kind: u8) -> usize {
    let place = order.iter().position(|came| *came == kind);
    place.expect("they came")
}

#[test]
fn a_floor_holds_beside_a_channel_of_the_same_priority_that_has_none() {
    let channels = [
        deep("urgent", 1),
        deep("plain", 7),
        deep("floored", 7).floor_bytes(8000_usize),
    ];
    let order = order_of(channels, [4000, 500, 500], 1000);
    let urgent_ends = last(&order, b'u');
    assert!(
        first(&order, b'f') < urgent_ends,
        "the floor was ignored: urgent messages end at {urgent_ends} of {}",
        order.len()
    );
}

#[test]
fn two_channels_of_one_priority_share_the_turns() {
    let channels = [deep("urgent", 1), deep("one", 4), deep("two", 4)];
    let order = order_of(channels, [1, 4000, 4000], 1000);
    // Each has sent something before the other is half through.
    let half = order.len() / 4;
    assert!(
        first(&order, b'o') < half && first(&order, b't') < half,
        "one waited for the other: {} and {} of {}",
        first(&order, b'o'),
        first(&order, b't'),
        order.len()
    );
}

#[test]
fn a_heartbeat_passes_floods_of_other_peers_on_its_channel_though_the_handler_is_slow() {
    // Fits into the smallest window that a kernel offers for a connection that nobody reads.
    const FLOOD: u64 = 1000;
    let node = |name: &str| start(config(name).channel(deep("data", 4)));
    let target = node("target");
    let order = note_order(&target, Duration::from_micros(20));
    let flooders = ["flood-1", "flood-2", "flood-3"].map(node);
    let honest = node("honest");
    for peer in flooders.iter().chain([&honest]) {
        connect_both(peer, &target);
    }
    for peer in flooders.iter().chain([&honest]) {
        crate::support::use_lane(peer, "target", "data", "in");
    }
    let held = hold(&target);
    let send = |from: &Node, messages: u64, kind: u8| {
        let channel = from.channel("data").expect("it is configured");
        let to = from.destination("target", "in").expect("names");
        for _ in 0..messages {
            channel.try_send(&to, &[kind; 50]).expect("there is room");
        }
        wait_until(
            "it is with the kernel",
            || from.metrics(),
            |metrics| counted(metrics, "target", "data").sent == messages + 1,
        );
    };
    for flooder in &flooders {
        send(flooder, FLOOD, b'f');
    }
    send(&honest, 1, b'h');
    drop(held);
    for peer in flooders.iter().chain([&honest]) {
        check_accounting(&[peer, &target]);
    }
    let order = order.lock().expect("no panic");
    let before = first(&order, b'h');
    // Each flooder has some slices of a turn in front of it, of 16 KiB each at the most.
    assert!(before < 500, "{before} messages of floods came first");
}
