//! Channels that compress: what is sent arrives as it was, in order, whatever it is made of, and costs fewer
//! bytes where it can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, connected_pair, counting_handler,
    pair_through_proxy, payload, reliable, start,
};
use overlane::config::{ChannelConfig, Compression, Overflow, Reliability};
use overlane::{Channel, ChannelMetrics, Destination, Inbox, Node};

const CODECS: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

fn compressed(codec: Compression) -> ChannelConfig {
    let channel = reliable("data").overflow(Overflow::Block);
    channel.compression(codec)
}

/// Message `number`: every third is noise, the others are text; of a few bytes up to `bytes_max`.
fn message(number: u64, bytes_max: usize) -> Vec<u8> {
    let spread =
        usize::try_from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).expect("24 bits");
    let bytes = 8 + spread % bytes_max;
    let mut message = number.to_le_bytes().to_vec();
    if number.is_multiple_of(3) {
        message.extend(payload::filled(number, bytes - 8));
    } else {
        let text = format!(
            "a line of some log, the same as before but for {}; ",
            number % 7
        );
        message.extend(text.bytes().cycle().take(bytes - 8));
    }
    message
}

fn pair(channel: &ChannelConfig) -> (Node, Node, Channel, Destination) {
    let (a, b) = connected_pair(channel);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, channel, to)
}

fn send_all(channel: &Channel, to: &Destination, messages: u64, bytes_max: usize) {
    for number in 0..messages {
        channel
            .send_blocking(to, message(number, bytes_max))
            .expect("it waits for room");
    }
}

fn receive_all(inbox: &mut Inbox, messages: u64, bytes_max: usize) {
    for number in 0..messages {
        let received = inbox.recv_timeout(GENEROUS);
        let received = received.unwrap_or_else(|error| panic!("message {number}: {error}"));
        assert!(
            received.payload() == message(number, bytes_max),
            "message {number} is damaged or not the next"
        );
    }
}

/// Sends from a thread what an inbox of that size takes; what the sender's lane counted.
fn carry(channel: &ChannelConfig, messages: u64, bytes_max: usize, inbox: usize) -> ChannelMetrics {
    let (a, b, data, to) = pair(channel);
    let mut inbox = b.inbox_of("in", inbox).expect("a mailbox");
    thread::scope(|scope| {
        scope.spawn(|| send_all(&data, &to, messages, bytes_max));
        receive_all(&mut inbox, messages, bytes_max);
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", messages);
    counted(&metrics[0], "b", "data").clone()
}

#[test]
fn messages_of_all_sizes_arrive_as_they_were_and_take_fewer_bytes() {
    for codec in CODECS {
        for (messages, bytes_max) in [(20_000, 100), (3_000, 5_000), (200, 200_000)] {
            let lane = carry(&compressed(codec), messages, bytes_max, 1 << 20);
            let (from, to) = (lane.compressed_from_bytes, lane.compressed_to_bytes);
            assert!(
                to > 0 && to * 3 < from * 2,
                "{codec:?}, {bytes_max}: {from} bytes became {to}"
            );
            assert!(lane.bytes_sent >= to);
        }
    }
}

#[test]
fn a_batch_that_an_inbox_stops_in_its_middle_goes_on_where_it_was() {
    for codec in CODECS {
        // Far below what a batch stands for.
        carry(&compressed(codec), 5_000, 1_000, 4096);
        carry(&compressed(codec), 100, 100_000, 4096);
    }
}

#[test]
fn messages_beyond_what_a_batch_may_stand_for_are_carried_too() {
    for codec in CODECS {
        let channel = compressed(codec).message_bytes_max(4_usize << 20);
        let lane = carry(&channel, 12, 4 << 20, 1 << 20);
        assert!(lane.compressed_to_bytes > 0);
    }
}

/// What repeats itself beyond the bound on the way in is sent so that it stays within it.
#[test]
fn what_is_almost_nothing_compressed_arrives() {
    for codec in CODECS {
        let (a, b, data, to) = pair(&compressed(codec));
        let mut inbox = b.inbox("in").expect("a mailbox");
        let zeros = vec![0; 1 << 20];
        for _ in 0..20 {
            data.send_blocking(&to, &zeros).expect("it waits for room");
            let received = inbox.recv_timeout(GENEROUS).expect("it arrives");
            assert!(received.payload() == zeros);
        }
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 20);
    }
}

#[test]
fn noise_is_sent_as_it_is_and_hardly_tried() {
    for codec in CODECS {
        let (a, b, data, to) = pair(&compressed(codec));
        let mut inbox = b.inbox("in").expect("a mailbox");
        for seed in 0..500 {
            let noise = payload::filled(seed, 5_000);
            data.send_blocking(&to, &noise).expect("it waits for room");
            let received = inbox.recv_timeout(GENEROUS).expect("it arrives");
            assert!(received.payload() == noise);
        }
        let metrics = check_accounting(&[&a, &b]);
        let lane = counted(&metrics[0], "b", "data");
        assert_eq!(lane.compressed_from_bytes, 0);
        assert_eq!(lane.bytes_sent, 500 * 5_008 + 8 + 2);
    }
}

#[test]
fn a_best_effort_channel_compresses_too() {
    for codec in CODECS {
        let channel = best_effort("data").compression(codec);
        let channel = channel.overflow(Overflow::Block);
        let (a, b, data, to) = pair(&channel);
        let mut inbox = b.inbox_of("in", 8 << 20).expect("a mailbox");
        send_all(&data, &to, 1_000, 1_000);
        receive_all(&mut inbox, 1_000, 1_000);
        let metrics = check_accounting(&[&a, &b]);
        assert!(counted(&metrics[0], "b", "data").compressed_to_bytes > 0);
    }
}

#[test]
fn a_guaranteed_lane_that_is_cut_goes_on_with_what_was_compressed() {
    const MESSAGES: u64 = 6_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for codec in CODECS {
        let mut random = fastrand::Rng::with_seed(seed);
        let channel = compressed(codec).reliability(Reliability::Guaranteed);
        let (a, b, proxy) = pair_through_proxy(&channel);
        let mut inbox = b.inbox("in").expect("a mailbox");
        let data = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| send_all(&data, &to, MESSAGES, 1_000));
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let after = proxy.bytes() + random.u64(1..100_000);
                    while proxy.bytes() < after && !over.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                    proxy.cut();
                }
            });
            receive_all(&mut inbox, MESSAGES, 1_000);
            over.store(true, Ordering::Relaxed);
        });
        a.wait_connected("b", GENEROUS).expect("it comes back");
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", MESSAGES);
        assert_eq!(counted(&metrics[1], "a", "data").delivered, MESSAGES);
    }
}

#[test]
fn ends_that_compress_differently_go_on_without() {
    let channel = |codec| reliable("data").compression(codec);
    let a = start(config("a").channel(channel(Compression::Lz4)));
    let b = start(config("b").channel(channel(Compression::Zstd)));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    for _ in 0..20 {
        data.try_send(&to, vec![7; 4000]).expect("there is room");
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 20);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!(out.compressed_from_bytes, 0, "{out:#?}");
}
