//! Caps: what a channel sends per second to all peers and to each, and that nobody else notices.
//!
//! A cap is held against what has gone by a moment that is looked up afterwards: that holds however slow the machine is.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{
    GENEROUS, config, connect_both, connected_pair, counting_handler, ends, pair_through_proxy,
    reliable, start, wait_until,
};
use overlane::config::{ChannelConfig, Ordering as Order, Overflow, Reliability};
use overlane::wire::HEADER_BYTES;
use overlane::{ChannelMetrics, Destination, Node, RateCaps, SendError};

/// A channel on which senders wait.
fn data() -> ChannelConfig {
    reliable("data").overflow(Overflow::Block)
}

/// What may have gone at most after so long, beside a burst.
fn given(per_second: u64, time: Duration) -> u64 {
    let nanoseconds = u128::from(per_second) * time.as_nanos();
    u64::try_from(nanoseconds.div_ceil(1_000_000_000)).expect("small")
}

/// What may go at once.
fn burst(per_second: u64, largest: u64) -> u64 {
    (per_second / 10).max(largest)
}

/// The frames of so many messages of one size.
fn framed(messages: u64, bytes: usize) -> u64 {
    messages * (bytes + HEADER_BYTES) as u64
}

/// Sends so many numbered messages on `data`, from a thread of its own.
fn send_all(node: &Node, to: &Destination, messages: u64, bytes: usize) {
    let channel = node.channel("data").expect("it is configured");
    for number in 0..messages {
        let message = payload::numbered(0, number, bytes);
        channel.send_blocking(to, message).expect("the peer stays");
    }
}

/// Lets `a` send `messages` of `bytes` each to `b`, and holds the cap against what has gone at every look.
fn holds(channel: ChannelConfig, messages: u64, bytes: usize) -> Duration {
    let (rate_bytes, rate_messages) = (channel.rate_bytes_max, channel.rate_messages_max);
    let (a, b) = connected_pair(&channel);
    let mut inbox = b.inbox("in").expect("free");
    let to = a.destination("b", "in").expect("names");
    let began = Instant::now();
    let took = thread::scope(|scope| {
        scope.spawn(|| send_all(&a, &to, messages, bytes));
        let reading = scope.spawn(|| {
            let mut streams = Streams::default();
            while streams.received() < messages {
                let message = inbox.recv_timeout(GENEROUS).expect("it comes");
                streams.take(message.payload());
            }
        });
        wait_until(
            "all has come",
            || {
                let sent = a.metrics().channel("b", "data").map_or(0, |out| out.sent);
                let time = began.elapsed();
                if rate_messages > 0 {
                    let most = given(rate_messages, time) + burst(rate_messages, 1);
                    assert!(sent <= most, "{sent} by {time:?}, where {most} may go");
                }
                if rate_bytes > 0 {
                    let gone = framed(sent, bytes);
                    let most = given(rate_bytes, time) + burst(rate_bytes, framed(1, bytes));
                    assert!(gone <= most, "{gone} by {time:?}, where {most} may go");
                }
                reading.is_finished()
            },
            |finished| *finished,
        );
        began.elapsed()
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", messages);
    let out = counted(&metrics[0], "b", "data");
    assert!(out.rate_waits > 0, "it had to wait: {out:#?}");
    took
}

/// Far above what it takes on a machine that is busy with other things, and far below what a lost wake-up takes.
fn soon_after(expected: Duration, took: Duration) {
    let most = expected * 4 + Duration::from_secs(10);
    assert!(took < most, "{took:?}, where {expected:?} is due");
}

#[test]
fn messages_per_second_are_kept_to() {
    let took = holds(data().rate_messages_max(5_000_u64), 5_000, 20);
    soon_after(Duration::from_secs(1), took);
}

#[test]
fn bytes_per_second_are_kept_to_by_small_messages() {
    let took = holds(data().rate_bytes_max(1_000_000_u64), 10_000, 100);
    soon_after(Duration::from_secs(1), took);
}

#[test]
fn bytes_per_second_are_kept_to_by_messages_beyond_a_burst() {
    let took = holds(data().rate_bytes_max(2_000_000_u64), 8, 300_000);
    soon_after(Duration::from_secs(1), took);
}

#[test]
fn a_monotonic_channel_keeps_what_waits_where_it_can_be_replaced() {
    let channel = data().ordering(Order::Monotonic).rate_messages_max(20_u64);
    let (a, b) = connected_pair(&channel);
    let mut inbox = b.inbox("in").expect("free");
    let to = a.destination("b", "in").expect("names").with_key(7);
    send_all(&a, &to, 1_000, 20);
    let mut streams = Streams::default();
    while streams.next(0) < 1_000 {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        streams.take_after_gap(message.payload());
    }
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert!(
        out.replaced > 900,
        "most were replaced while they waited: {out:#?}"
    );
}

/// Node `a` with `data`, capped, and `free` beside it, and peers with a counting handler of `in`.
fn star(channel: &ChannelConfig, shards: usize, peers: &[&str]) -> (Node, Vec<Node>) {
    let free = reliable("free").priority(6);
    let node = |name: &str, shards| {
        let config = config(name).channel(channel.clone());
        start(config.channel(free.clone()).shards(shards))
    };
    let a = node("a", shards);
    let peers: Vec<_> = peers.iter().map(|name| node(name, 1)).collect();
    for peer in &peers {
        connect_both(&a, peer);
    }
    (a, peers)
}

fn delivered(node: &Node, channel: &str) -> u64 {
    let metrics = node.metrics();
    metrics
        .channel("a", channel)
        .map_or(0, |from| from.delivered)
}

/// Sends as many as there is room for.
fn fill(node: &Node, peer: &str, channel: &str, messages: u64) {
    let channel = node.channel(channel).expect("it is configured");
    let to = node.destination(peer, "in").expect("names");
    for _ in 0..messages {
        channel.try_send(&to, b"0123456789").expect("there is room");
    }
}

#[test]
fn other_channels_are_undisturbed_and_caps_change_while_they_are_waited_for() {
    let (a, peers) = star(&reliable("data").rate_messages_max(1_u64), 1, &["b"]);
    let b = &peers[0];
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("free");
    fill(&a, "b", "data", 2_000);
    fill(&a, "b", "free", 2_000);
    wait_until(
        "the other channel",
        || delivered(b, "free"),
        |n| *n == 2_000,
    );
    let slow = delivered(b, "data");
    assert!(slow < 2_000, "it is capped: {slow}");
    let channel = a.channel("data").expect("it is configured");
    assert_eq!(channel.rate_caps().messages_max, 1);
    channel.set_rate_caps(RateCaps {
        messages_max: 10_000,
        ..RateCaps::default()
    });
    assert_eq!(channel.rate_caps().messages_max, 10_000);
    wait_until(
        "it goes on faster",
        || delivered(b, "data"),
        |n| *n == 2_000,
    );
    // And back: one goes at the very most.
    channel.set_rate_caps(RateCaps {
        bytes_max: 1,
        ..RateCaps::default()
    });
    fill(&a, "b", "data", 100);
    let waits = wait_until(
        "it waits",
        || counted(&a.metrics(), "b", "data").clone(),
        |out: &ChannelMetrics| out.queued >= 99,
    );
    assert!(waits.sent <= 2_001, "{waits:#?}");
    channel.set_rate_caps(RateCaps::default());
    wait_until("nothing holds it", || delivered(b, "data"), |n| *n == 2_100);
    let metrics = check_accounting(&[&a, b]);
    all_acknowledged(&metrics[0], "b", "data", 2_100);
}

#[test]
fn a_peer_that_has_had_enough_holds_nothing_back_from_others() {
    let channel = reliable("data").peer_rate_messages_max(2_u64);
    let (a, peers) = star(&channel, 1, &["b", "c"]);
    for peer in &peers {
        let (handler, _) = counting_handler();
        peer.handle("in", handler).expect("free");
    }
    fill(&a, "b", "data", 500);
    fill(&a, "c", "data", 1);
    wait_until(
        "the other peer",
        || delivered(&peers[1], "data"),
        |n| *n == 1,
    );
    assert!(delivered(&peers[0], "data") < 400, "it is capped");
    let channel = a.channel("data").expect("it is configured");
    channel.set_rate_caps(RateCaps::default());
    let metrics = check_accounting(&[&a, &peers[0], &peers[1]]);
    all_acknowledged(&metrics[0], "b", "data", 500);
    all_acknowledged(&metrics[0], "c", "data", 1);
}

#[test]
fn peers_and_shards_share_a_cap_alike() {
    const EACH: u64 = 400;
    const RATE: u64 = 400;
    let channel = data().rate_messages_max(RATE).parallelism(4);
    let (a, peers) = star(&channel, 2, &["b", "c"]);
    let mut counts = Vec::new();
    for peer in &peers {
        let (handler, count) = counting_handler();
        peer.handle("in", handler).expect("free");
        counts.push(count);
    }
    let channel = a.channel("data").expect("it is configured");
    let began = Instant::now();
    for number in 0..EACH {
        for peer in ["b", "c"] {
            let to = a.destination(peer, "in").expect("names").with_key(number);
            channel.try_send(&to, b"0123456789").expect("there is room");
        }
    }
    let came = || -> Vec<_> {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect()
    };
    let half = wait_until("half has come", came, |came| {
        came.iter().sum::<u64>() >= EACH
    });
    let time = began.elapsed();
    let sum = came().iter().sum::<u64>();
    assert!(half.iter().all(|came| *came >= EACH / 4), "{half:?}");
    let most = given(RATE, began.elapsed()) + burst(RATE, 1);
    assert!(sum <= most, "{sum} by {time:?}, where {most} may go");
    let metrics = check_accounting(&[&a, &peers[0], &peers[1]]);
    for peer in ["b", "c"] {
        all_acknowledged(&metrics[0], peer, "data", EACH);
    }
}

#[test]
fn what_waits_for_a_cap_fills_the_queue_and_senders_see_it() {
    let channel = reliable("data")
        .rate_bytes_max(100_u64)
        .queue_messages_max(50_usize);
    let (a, b) = connected_pair(&channel);
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("free");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let mut taken = 0;
    let refused = loop {
        match channel.try_send(&to, [0; 1000].as_slice()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "the queue has no end");
    };
    assert_eq!(refused, SendError::Full);
    channel.set_rate_caps(RateCaps::default());
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", taken);
}

#[test]
fn guaranteed_messages_keep_to_a_cap_over_lost_connections() {
    const MESSAGES: u64 = 1_500;
    let channel = data()
        .reliability(Reliability::Guaranteed)
        .rate_messages_max(1_000_u64);
    let (a, b, proxy) = pair_through_proxy(&channel);
    let mut inbox = b.inbox("in").expect("free");
    let to = a.destination("b", "in").expect("names");
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| send_all(&a, &to, MESSAGES, 100));
        let mut streams = Streams::default();
        for number in 0..MESSAGES {
            if number % 300 == 299 {
                proxy.cut();
            }
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            streams.take(message.payload());
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", MESSAGES);
    assert_eq!(counted(&metrics[0], "b", "data").delivered, 0);
    assert_eq!(counted(&metrics[1], "a", "data").delivered, MESSAGES);
    let most = given(1_000, began.elapsed()) + burst(1_000, 1);
    let sent = counted(&metrics[0], "b", "data").sent;
    assert!(sent <= most, "{sent}, where {most} may have gone");
}

#[test]
fn a_stream_keeps_to_the_cap_of_its_channel() {
    const BYTES: usize = 600_000;
    let channel = data()
        .reliability(Reliability::Guaranteed)
        .rate_bytes_max(1_000_000_u64);
    let (a, b) = connected_pair(&channel);
    let mut streams = b.streams("file").expect("free");
    let to = a.destination("b", "file").expect("names");
    let began = Instant::now();
    let mut writer = a
        .channel("data")
        .expect("it is configured")
        .open_stream(&to)
        .expect("the peer is there");
    let reading = thread::spawn(move || {
        let mut reader = streams.accept_timeout(GENEROUS).expect("it comes");
        let mut came = Vec::new();
        while let Some(chunk) = reader.read_chunk_blocking().expect("it comes whole") {
            came.extend_from_slice(&chunk);
        }
        came
    });
    let bytes = payload::filled(1, BYTES);
    writer
        .write_bytes_blocking(bytes.clone().into())
        .expect("it takes it");
    writer.finish_blocking().expect("it comes whole");
    let came = ends("the reader", move || reading.join().expect("no panic"));
    let time = began.elapsed();
    assert!(came == bytes, "other bytes came");
    let most = given(1_000_000, time) + 256 * 1024 + 16;
    assert!(
        BYTES as u64 <= most,
        "{BYTES} by {time:?}, where {most} may go"
    );
    check_accounting(&[&a, &b]);
}

#[test]
fn a_node_that_stops_reports_what_a_cap_has_kept() {
    let (a, b) = connected_pair(&reliable("data").rate_messages_max(1_u64));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("free");
    let to = a.destination("b", "in").expect("names");
    let channel = a.channel("data").expect("it is configured");
    for _ in 0..100 {
        channel.try_send(&to, b"0123456789").expect("there is room");
    }
    let report = a.stop(Duration::from_millis(300));
    let out = counted(&report.metrics, "b", "data");
    assert!(out.identity_holds() && out.is_drained(), "{out:#?}");
    assert_eq!(out.accepted, 100);
    assert!(out.reported > 90 && out.acknowledged > 0, "{out:#?}");
}

#[test]
fn what_a_peer_that_went_had_reserved_is_given_back_to_the_others() {
    // A message of 50 KB goes at once and is paid for in 5 s; one of 1 MB would be granted then, for 100 s.
    let channel = reliable("data")
        .rate_bytes_max(10_000_u64)
        .fragment_bytes(0_usize);
    let channel = channel.queue_bytes_max(2_000_000_usize);
    let (a, peers) = star(&channel, 1, &["b", "c"]);
    let data = a.channel("data").expect("it is configured");
    let [to_b, to_c] = ["b", "c"].map(|name| a.destination(name, "in").expect("names"));
    let (handler, _) = counting_handler();
    peers[1].handle("in", handler).expect("free");
    data.try_send(&to_c, vec![1; 50_000])
        .expect("there is room");
    wait_until(
        "it goes at once",
        || delivered(&peers[1], "data"),
        |n| *n == 1,
    );
    data.try_send(&to_b, vec![1; 1_000_000])
        .expect("there is room");
    let waits = || {
        a.metrics()
            .channel("b", "data")
            .map_or(0, |out| out.rate_waits)
    };
    wait_until("it waits for tokens", waits, |waits| *waits > 0);
    a.disconnect("b").expect("a name");
    wait_until(
        "it is reported",
        || counted(&a.metrics(), "b", "data").reported,
        |n| *n == 1,
    );
    data.try_send(&to_c, b"small").expect("there is room");
    wait_until(
        "the tokens that were reserved",
        || delivered(&peers[1], "data"),
        |n| *n == 2,
    );
    check_accounting(&[&a, &peers[1]]);
}

#[test]
fn small_messages_that_pass_a_large_one_do_not_starve_it() {
    let channel = data()
        .rate_bytes_max(400_000_u64)
        .ordering(Order::Unordered);
    let channel = channel
        .fragment_bytes(64_usize << 10)
        .queue_bytes_max(1_000_000_usize);
    let (a, b) = connected_pair(&channel);
    let mut inbox = b.inbox("in").expect("free");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    data.send_blocking(&to, vec![1; 200_000])
        .expect("the peer stays");
    let over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = crate::support::Ends(&over);
        scope.spawn(|| {
            // More than the cap lets go, for as long as it takes.
            while !over.load(Ordering::Relaxed) {
                match data.try_send(&to, vec![2; 1000]) {
                    Ok(()) => {}
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let mut small = 0;
        loop {
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            if message.payload().len() == 200_000 {
                break;
            }
            small += 1;
            assert!(small < 5_000, "the large one has not come among {small}");
        }
    });
    let mut is_settled = || {
        while inbox.recv_timeout(Duration::from_millis(1)).is_ok() {}
        a.metrics().is_drained()
    };
    wait_until("what is left comes", &mut is_settled, |settled| *settled);
    check_accounting(&[&a, &b]);
}
