//! Messages between nodes: they arrive, in order, whole, whatever their size, and are accounted for.

use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::payload::{self, Streams};
use crate::support::{config, connect_both, reliable, start};
use bytes::Bytes;
use overlane::config::Overflow;
use overlane::{Channel, Destination, Inbox, Node, SendError};

const INLINE_MAX: usize = 1024;
const MESSAGE_MAX: usize = 1 << 20;

/// Sends, waiting for room by asking again: for channels of any policy.
fn send(channel: &Channel, to: &Destination, payload: &[u8]) {
    loop {
        match channel.try_send(to, payload) {
            Ok(()) => return,
            Err(SendError::Full) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn receive(inbox: &mut Inbox) -> Vec<u8> {
    let message = inbox
        .recv_timeout(crate::support::GENEROUS)
        .expect("a message");
    message.payload().to_vec()
}

#[test]
fn messages_arrive_in_order_and_are_acknowledged() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let count = 100_000_u32;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                send(&channel, &to, &number.to_le_bytes());
            }
        });
        for number in 0..count {
            let message = inbox
                .recv_timeout(crate::support::GENEROUS)
                .expect("a message");
            assert_eq!(message.payload(), number.to_le_bytes());
            assert_eq!((message.from().name(), message.channel()), ("a", "data"));
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", u64::from(count));
}

/// Sizes where something changes: none, a header's, the inline limit, a receive buffer, the limit.
fn sizes(receive_buffer_bytes: usize) -> Vec<usize> {
    let mut sizes = vec![0, 1, 2, 7, 8, 9];
    for edge in [INLINE_MAX, receive_buffer_bytes, 64 << 10] {
        sizes.extend([edge - 9, edge - 8, edge - 1, edge, edge + 1]);
    }
    sizes.extend([MESSAGE_MAX - 1, MESSAGE_MAX]);
    sizes
}

/// Sends every size in every form a payload can have, from `a` to `b`, and compares.
fn every_size_arrives(a: &Node, b: &Node, inbox: &mut Inbox, receive_buffer_bytes: usize) -> u64 {
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination(b.name(), "in").expect("names");
    let sizes = sizes(receive_buffer_bytes);
    thread::scope(|scope| {
        scope.spawn(|| {
            for &bytes in &sizes {
                let payload = payload::filled(bytes as u64, bytes);
                channel.send_blocking(&to, &payload).expect("borrowed");
                channel
                    .send_blocking(&to, Bytes::from(payload.clone()))
                    .expect("shared");
                channel.send_blocking(&to, payload).expect("a vector");
            }
        });
        for &bytes in &sizes {
            let right = payload::filled(bytes as u64, bytes);
            for form in ["borrowed", "shared", "a vector"] {
                assert!(receive(inbox) == right, "{bytes} bytes, {form}");
            }
        }
    });
    3 * sizes.len() as u64
}

#[test]
fn every_size_arrives_whole_in_both_directions() {
    for receive_buffer_bytes in [4096, 64 << 10] {
        let node = |name| {
            let config = config(name)
                .receive_buffer_bytes(receive_buffer_bytes)
                .inline_bytes_max(INLINE_MAX);
            start(config.channel(reliable("data").overflow(Overflow::Block)))
        };
        let (a, b) = (node("a"), node("b"));
        let mut into_a = a.inbox("in").expect("a mailbox");
        let mut into_b = b.inbox("in").expect("a mailbox");
        connect_both(&a, &b);
        let sent = every_size_arrives(&a, &b, &mut into_b, receive_buffer_bytes);
        every_size_arrives(&b, &a, &mut into_a, receive_buffer_bytes);
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", sent);
        all_acknowledged(&metrics[1], "a", "data", sent);
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_with_both_numbers() {
    let channel = reliable("data").message_bytes_max(2000);
    let a = start(config("a").channel(channel.clone()));
    let b = start(config("b").channel(channel));
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    assert_eq!(channel.message_bytes_max(), 2000);
    let to = a.destination("b", "in").expect("names");
    let too_large = SendError::TooLarge {
        bytes: 2001,
        bytes_max: 2000,
    };
    let payload = vec![0; 2001];
    assert_eq!(channel.try_send(&to, &payload), Err(too_large.clone()));
    assert_eq!(channel.send_blocking(&to, &payload), Err(too_large.clone()));
    assert_eq!(channel.send_many(&to, &[&payload]), Err(too_large.clone()));
    let mailbox = a.mailbox("in").expect("a name");
    let broadcast = channel.broadcast(&mailbox, &payload);
    assert_eq!(broadcast.err(), Some(too_large.clone()));
    let itself = a.destination("a", "in").expect("names");
    assert_eq!(channel.try_send(&itself, &payload), Err(too_large));
    let metrics = check_accounting(&[&a, &b]);
    assert!(metrics[0].lanes.iter().all(|lane| lane.accepted == 0));
}

#[test]
fn send_many_takes_none_that_is_too_large_though_all_are_copied() {
    let a = start(config("a").channel(reliable("data").message_bytes_max(100)));
    let b = start(config("b").channel(reliable("data").message_bytes_max(100)));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let (fits, too_large) = ([1; 100], [2; 101]);
    assert_eq!(
        channel.send_many(&to, &[&too_large, &too_large]),
        Err(SendError::TooLarge {
            bytes: 101,
            bytes_max: 100
        })
    );
    let sent = channel.send_many(&to, &[&fits, &fits, &too_large, &fits]);
    assert_eq!(sent, Ok(2), "those before it, and none after it");
    for _ in 0..2 {
        assert_eq!(receive(&mut inbox), fits);
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 2);
}

#[test]
fn frames_that_straddle_receive_buffers_are_put_together() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let random = fastrand::Rng::with_seed(seed);
    // One buffer of 4 KiB: nearly every frame straddles two, and large ones several.
    let b = start(
        config("b")
            .receive_buffer_bytes(4096)
            .receive_quantum_bytes(4096)
            .channel(reliable("data").overflow(Overflow::Block)),
    );
    let a = start(config("a").channel(reliable("data").overflow(Overflow::Block)));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let count = 3000;
    thread::scope(|scope| {
        let mut random = random.clone();
        scope.spawn(move || {
            for number in 0..count {
                let bytes = payload::HEAD_BYTES + random.usize(..10_000);
                let message = payload::numbered(0, number, bytes);
                channel.send_blocking(&to, message).expect("accepted");
            }
        });
        let mut streams = Streams::default();
        for _ in 0..count {
            streams.take(&receive(&mut inbox));
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", count);
}

#[test]
fn many_lanes_share_one_receive_buffer_and_one_small_inbox() {
    for shards in [1, 3] {
        let channel = || reliable("data").parallelism(32).overflow(Overflow::Block);
        let a = start(config("a").channel(channel()));
        // One buffer of 4 KiB for 32 lanes, so nearly all of them wait for it at any time.
        let b = config("b").shards(shards).receive_buffer_bytes(4096_usize);
        let b = start(b.receive_quantum_bytes(4096_usize).channel(channel()));
        let mut inbox = b.inbox_of("in", 64 << 10).expect("a mailbox");
        connect_both(&a, &b);
        let data = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let count = 200;
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count {
                    for key in 0..32 {
                        let bytes = if number % 20 == 0 { 9000 } else { 700 };
                        let message = payload::numbered(key, number, bytes);
                        let sent = data.send_blocking(&to.with_key(key), message);
                        sent.expect("accepted");
                    }
                }
            });
            let mut streams = Streams::default();
            for _ in 0..count * 32 {
                streams.take(&receive(&mut inbox));
            }
        });
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", count * 32);
    }
}

#[test]
fn many_channels_carry_messages_over_several_shards() {
    let names: Vec<_> = (0..20).map(|index| format!("channel-{index}")).collect();
    let node = |name| {
        let channels = names.iter().zip([1_u8, 3, 5, 7].iter().cycle());
        let config = channels.fold(config(name).shards(3), |config, (name, priority)| {
            config.channel(reliable(name).priority(*priority))
        });
        start(config)
    };
    let (a, b) = (node("a"), node("b"));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let to = a.destination("b", "in").expect("names");
    let count = 200;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                for (stream, name) in (0..).zip(&names) {
                    let channel = a.channel(name).expect("it is configured");
                    send(&channel, &to, &payload::numbered(stream, number, 40));
                }
            }
        });
        let mut streams = Streams::default();
        for _ in 0..count * 20 {
            let message = inbox
                .recv_timeout(crate::support::GENEROUS)
                .expect("a message");
            let (stream, _) = streams.take(message.payload());
            assert_eq!(message.channel(), format!("channel-{stream}"));
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    for name in &names {
        all_acknowledged(&metrics[0], "b", name, count);
    }
}

#[test]
fn send_many_takes_what_there_is_room_for_in_order() {
    let channel = reliable("data").queue_messages_max(500);
    let a = start(config("a").channel(channel.clone()));
    let b = start(config("b").channel(channel));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    assert_eq!(channel.send_many(&to, &[]), Ok(0));
    let count = 5000_u64;
    // Now and then one above the inline limit, which ends a run.
    let messages: Vec<_> = (0..count)
        .map(|number| payload::numbered(0, number, if number % 97 == 0 { 3000 } else { 50 }))
        .collect();
    let slices: Vec<_> = messages.iter().map(Vec::as_slice).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = &slices[..];
            while !rest.is_empty() {
                match channel.send_many(&to, rest) {
                    Ok(taken) => {
                        assert!(0 < taken && taken <= rest.len());
                        rest = &rest[taken..];
                    }
                    Err(error) => assert_eq!(error, SendError::Full),
                }
            }
        });
        let mut streams = Streams::default();
        for _ in 0..count {
            streams.take(&receive(&mut inbox));
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", count);
}

#[test]
fn payloads_kept_longer_than_the_receive_buffers_last_stay_right() {
    let channel = reliable("data").overflow(Overflow::Block);
    let a = start(config("a").channel(channel.clone()));
    let b = start(config("b").channel(channel));
    let mut inbox = b.inbox_of("in", 8 << 20).expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let count = 200;
    let mut kept = Vec::new();
    for number in 0..count {
        // One at a time, so that each of the small ones lies whole in a receive buffer of its own. The
        // large ones after them land in memory of their own.
        let bytes = if number < count / 2 { 7_000 } else { 60_000 };
        let message = payload::numbered(0, number, bytes);
        channel.send_blocking(&to, message).expect("accepted");
        let message = inbox
            .recv_timeout(crate::support::GENEROUS)
            .expect("a message");
        kept.push(message.to_bytes());
    }
    let mut streams = Streams::default();
    for message in &kept {
        streams.take(message);
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", count);
    assert!(
        metrics[1].shards[0].payloads_copied_out > 0,
        "buffers ran out: {:#?}",
        metrics[1].shards
    );
}
