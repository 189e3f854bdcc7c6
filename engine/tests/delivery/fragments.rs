//! Large messages in fragments: others on their lane pass them where their order does not matter, and what
//! arrives is what was sent, whatever happens to the connection meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, connected_pair, drained, pair_through_proxy,
    payload, reliable, start, use_lane, wait_until,
};
use overlane::config::{ChannelConfig, Compression, Ordering as Order, Overflow, Reliability};
use overlane::{Channel, Destination, Inbox, Node};

const LARGE: usize = 600_000;

/// Of 600,000 bytes at most 64 KiB are under way at a time.
fn narrow(channel: ChannelConfig) -> ChannelConfig {
    channel
        .overflow(Overflow::Block)
        .queue_bytes_max(4_usize << 20)
        .log_bytes_max(4_usize << 20)
        .unacknowledged_bytes_max(64_usize << 10)
}

fn ends(a: &Node) -> (Channel, Destination) {
    let channel = a.channel("data").expect("it is configured");
    (channel, a.destination("b", "in").expect("names"))
}

/// The bytes of message `number`.
fn message(number: u64, bytes: usize) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.extend(payload::filled(number, bytes.saturating_sub(8)));
    message
}

/// Sends a large message with key 1 while nothing can leave, then small ones with these keys (and none), and lets
/// all go. Returns the order in which they came, by the place in which they were sent.
fn overtaken(channel: ChannelConfig, keys: &[Option<u64>]) -> Vec<u64> {
    let (a, b, proxy) = pair_through_proxy(&narrow(channel));
    let mut inbox = b.inbox("in").expect("free");
    let (data, to) = ends(&a);
    use_lane(&a, "b", "data", "in");
    inbox.recv_timeout(GENEROUS).expect("the first comes");
    proxy.stall(true);
    data.send_blocking(&to.with_key(1), message(0, LARGE))
        .expect("there is room");
    // The first of it is under way; no more can be.
    wait_until(
        "the large message has begun",
        || counted(&a.metrics(), "b", "data").bytes_sent,
        |sent| *sent > 10_000,
    );
    for (number, key) in (1..).zip(keys) {
        let to = key.map_or_else(|| to.clone(), |key| to.with_key(key));
        data.send_blocking(&to, message(number, 60))
            .expect("there is room");
    }
    wait_until(
        "all are accepted by the shard",
        || counted(&a.metrics(), "b", "data").accepted,
        |accepted| *accepted == keys.len() as u64 + 2,
    );
    proxy.stall(false);
    let came = (0..=keys.len()).map(|_| {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        let number = *message.payload().first_chunk().expect("a number");
        let number = u64::from_le_bytes(number);
        let bytes = if number == 0 { LARGE } else { 60 };
        assert!(
            message.payload() == self::message(number, bytes),
            "{number} is damaged"
        );
        number
    });
    let came = came.collect();
    drained(&a);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", keys.len() as u64 + 2);
    came
}

#[test]
fn small_messages_pass_a_large_one_unless_they_have_its_key() {
    for reliability in [Reliability::Reliable, Reliability::Guaranteed] {
        let channel = reliable("data").reliability(reliability);
        let came = overtaken(
            channel,
            &[Some(2), Some(1), None, Some(3), Some(1), Some(2)],
        );
        assert_eq!(came, [1, 3, 4, 6, 0, 2, 5], "{reliability:?}");
    }
}

#[test]
fn messages_without_a_key_keep_their_order() {
    let (a, b, proxy) = pair_through_proxy(&narrow(reliable("data")));
    let mut inbox = b.inbox("in").expect("free");
    let (data, to) = ends(&a);
    proxy.stall(true);
    for number in 0..6 {
        let bytes = if number % 2 == 0 { LARGE } else { 60 };
        data.send_blocking(&to, message(number, bytes))
            .expect("there is room");
    }
    proxy.stall(false);
    for number in 0..6 {
        let received = inbox.recv_timeout(GENEROUS).expect("it comes");
        let bytes = if number % 2 == 0 { LARGE } else { 60 };
        assert!(received.payload() == message(number, bytes), "{number}");
    }
    drained(&a);
    all_acknowledged(&check_accounting(&[&a, &b])[0], "b", "data", 6);
}

#[test]
fn on_an_unordered_channel_all_small_ones_pass() {
    let channel = reliable("data").ordering(Order::Unordered);
    let came = overtaken(channel, &[Some(1), Some(1), Some(1)]);
    assert_eq!(came, [1, 2, 3, 0]);
}

#[test]
fn without_fragments_none_pass() {
    let channel = reliable("data").fragment_bytes(0_usize);
    let came = overtaken(channel, &[Some(1), Some(2), None]);
    assert_eq!(came, [0, 1, 2, 3]);
}

/// Keys of the messages that are sent.
const KEYS: u64 = 5;

/// Sends `each` messages on each key, of sizes up to 300,000 bytes.
fn send_all(node: &Node, each: u64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (data, to) = ends(node);
    for number in 0..each {
        for key in 0..KEYS {
            let bytes = match random.u8(0..4) {
                0 => random.usize(60_000..300_000),
                1 => random.usize(8..70_000),
                _ => random.usize(8..200),
            };
            let message = message(number * KEYS + key, bytes);
            data.send_blocking(&to.with_key(key), message)
                .expect("it waits for room");
        }
    }
}

/// Takes all of them: each once, whole, and in order for its key.
fn receive_all(inbox: &mut Inbox, each: u64) {
    let mut next = vec![0; usize::try_from(KEYS).expect("few")];
    for count in 0..each * KEYS {
        let received = inbox.recv_timeout(GENEROUS);
        let received = received.unwrap_or_else(|error| panic!("after {count}: {error}"));
        let payload = received.payload();
        let number = u64::from_le_bytes(*payload.first_chunk().expect("a number"));
        assert!(
            payload == message(number, payload.len()),
            "{number} is damaged"
        );
        let key = usize::try_from(number % KEYS).expect("small");
        assert_eq!(number / KEYS, next[key], "key {key}");
        next[key] += 1;
    }
}

fn carry(channel: &ChannelConfig, each: u64, inbox_bytes: usize) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (a, b) = connected_pair(&channel.clone().overflow(Overflow::Block));
    let mut inbox = b.inbox_of("in", inbox_bytes).expect("free");
    thread::scope(|scope| {
        scope.spawn(|| send_all(&a, each, seed));
        receive_all(&mut inbox, each);
    });
    drained(&a);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", each * KEYS);
    assert_eq!(counted(&metrics[1], "a", "data").delivered, each * KEYS);
}

#[test]
fn messages_of_all_sizes_arrive_whole_and_in_the_order_of_their_keys() {
    for channel in [
        reliable("data"),
        reliable("data").parallelism(3),
        reliable("data")
            .reliability(Reliability::Guaranteed)
            .fragment_bytes(1_usize),
        narrow(reliable("data")),
    ] {
        carry(&channel, 60, 1 << 20);
        carry(&channel, 30, 4096);
    }
}

#[test]
fn fragments_are_compressed_with_their_batch() {
    for codec in [Compression::Lz4, Compression::Zstd] {
        let channel = reliable("data")
            .compression(codec)
            .fragment_bytes(20_000_usize);
        carry(&channel, 40, 1 << 20);
        carry(&channel, 30, 4096);
    }
}

#[test]
fn a_node_that_sends_whole_messages_takes_fragments() {
    let whole = narrow(reliable("data")).fragment_bytes(0_usize);
    let a = start(config("a").channel(narrow(reliable("data"))));
    let b = start(config("b").channel(whole));
    connect_both(&a, &b);
    let mut inbox = b.inbox("in").expect("free");
    thread::scope(|scope| {
        scope.spawn(|| send_all(&a, 20, 7));
        receive_all(&mut inbox, 20);
    });
    drained(&a);
    all_acknowledged(&check_accounting(&[&a, &b])[0], "b", "data", 20 * KEYS);
}

#[test]
fn best_effort_messages_in_fragments_are_sent_or_dropped() {
    let channel = best_effort("data")
        .fragment_bytes(50_000_usize)
        .queue_bytes_max(300_000_usize)
        .overflow(Overflow::DropOldest);
    let (a, b, proxy) = pair_through_proxy(&channel);
    let mut inbox = b.inbox_of("in", 64 << 20).expect("free");
    let (data, to) = ends(&a);
    for number in 0..400_u64 {
        proxy.stall(number % 40 < 20);
        let bytes = if number % 3 == 0 { 200_000 } else { 100 };
        data.try_send(&to.with_key(number % KEYS), message(number, bytes))
            .expect("the oldest gives way");
    }
    proxy.stall(false);
    drained(&a);
    let metrics = check_accounting(&[&a, &b]);
    let lane = counted(&metrics[0], "b", "data");
    assert_eq!(lane.accepted, 400);
    assert_eq!(lane.sent + lane.dropped, 400);
    assert!(lane.dropped > 0, "nothing was dropped");
    let received = wait_until(
        "what was sent has come",
        || counted(&b.metrics(), "a", "data").delivered,
        |delivered| *delivered == lane.sent,
    );
    for _ in 0..received {
        let message = inbox.recv_timeout(GENEROUS).expect("it is there");
        let payload = message.payload();
        let number = u64::from_le_bytes(*payload.first_chunk().expect("a number"));
        assert!(
            payload == self::message(number, payload.len()),
            "{number} is damaged"
        );
    }
}

#[test]
fn cut_at_random_every_message_comes_once_and_in_the_order_of_its_key() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let channel = reliable("data")
        .reliability(Reliability::Guaranteed)
        .overflow(Overflow::Block);
    let (a, b, proxy) = pair_through_proxy(&channel);
    let mut inbox = b.inbox("in").expect("free");
    let over = AtomicBool::new(false);
    let each = 60;
    let cuts = thread::scope(|scope| {
        scope.spawn(|| send_all(&a, each, seed));
        let reader = scope.spawn(|| {
            receive_all(&mut inbox, each);
            over.store(true, Ordering::Relaxed);
        });
        let mut cuts = 0;
        while !over.load(Ordering::Relaxed) && !reader.is_finished() {
            let some = proxy.bytes() + random.u64(1..600_000);
            while proxy.bytes() < some && !over.load(Ordering::Relaxed) && !reader.is_finished() {
                // Often enough to cut in between, and the others get the cores.
                thread::sleep(Duration::from_millis(1));
            }
            proxy.cut();
            cuts += 1;
        }
        cuts
    });
    assert!(cuts > 1, "nothing was cut");
    drained(&a);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", each * KEYS);
    assert_eq!(counted(&metrics[1], "a", "data").delivered, each * KEYS);
}
