//! Channels that are retuned while traffic flows: what changes, and that nothing else does. The lanes stay the
//! same connections, and each message arrives once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use overlane::config::{ChannelConfig, Compression, OnLate, Overflow, Priority, Reliability};
use overlane::{Capacity, ChannelError, Envelope, Event, Node, SendError};

use super::{Load, channel, pair, ups_and_downs};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{
    GENEROUS, config, connect_both, connect_through_proxy, connected_pair, counting_handler,
    drained, hold, start, use_lane, wait_for_event, wait_until,
};

/// Two nodes with a channel that is in use, and whether its lane is the same one at the end.
fn used_pair(data: ChannelConfig) -> (Node, Node) {
    let (a, b) = connected_pair(&data);
    let (handler, _) = counting_handler();
    b.handle("warm", handler).expect("a mailbox");
    use_lane(&a, "b", "data", "warm");
    (a, b)
}

/// Ends all lanes of `a` to `b`, and makes new ones.
fn reconnect(a: &Node, b: &Node) {
    a.disconnect("b").expect("a name");
    wait_until(
        "it is gone",
        || b.metrics(),
        |metrics| {
            metrics
                .lanes
                .iter()
                .all(|lane| lane.peer != "a" || lane.lanes_up == 0)
        },
    );
    connect_both(a, b);
}

#[test]
fn every_parameter_that_can_be_retuned_is_while_traffic_flows() {
    let (a, b, count) = pair();
    let data = || channel("data", Reliability::Guaranteed);
    b.add_channel(data()).expect("new");
    let sending = a.add_channel(data()).expect("new");
    let to = a.destination("b", "in").expect("names");
    sending.try_send(&to, b"first").expect("room");
    let before = drained(&a);
    all_acknowledged(&before, "b", "data", 1);
    let events = a.events();
    let loads = [
        Load::start(sending, to.clone(), 300),
        Load::start(a.channel("base").expect("there"), to, 300),
    ];
    type Change = fn(ChannelConfig) -> ChannelConfig;
    let changes: [Change; 22] = [
        |is| is.priority(1),
        |is| is.priority(7),
        |is| is.priority(Priority::MEDIUM),
        |is| is.on_restart(overlane::config::OnRestart::Resend),
        |is| is.log_bytes_max(50_000_usize),
        |is| is.log_bytes_max(5_000_000_usize),
        |is| is.resume_timeout_ms(5_000_u64),
        |is| is.on_late(OnLate::Refuse),
        |is| is.compression(Compression::Lz4),
        |is| is.compression_level(5_u8),
        |is| is.compression(Compression::None),
        |is| is.overflow(Overflow::Block),
        |is| is.queue_messages_max(100_usize),
        |is| is.queue_bytes_max(10_000_usize),
        |is| is.high_watermark_percent(60_u8),
        |is| is.low_watermark_percent(10_u8),
        |is| is.unacknowledged_bytes_max(8_192_usize),
        |is| is.unacknowledged_bytes_max(4_000_000_usize),
        |is| is.message_bytes_max(1_000_usize),
        |is| is.send_quantum_bytes(4_096_usize),
        |is| is.floor_bytes(4_096_usize),
        |is| {
            is.notsent_lowat_bytes(8_192_u32)
                .dscp(8_u8)
                .so_priority(3_u8)
        },
    ];
    let mut acknowledged = 1;
    for change in changes {
        for node in [&a, &b] {
            node.retune_channel("data", change).expect("it can be");
        }
        let is = a.channel_config("data").expect("there");
        assert_eq!(change(is.clone()), is, "it is what it was retuned to");
        acknowledged = wait_until(
            "messages go on being acknowledged",
            || counted(&a.metrics(), "b", "data").acknowledged,
            |now| *now > acknowledged,
        );
    }
    let [data, base] = loads.map(Load::end);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", data + 1);
    all_acknowledged(&metrics[0], "b", "base", base);
    assert_eq!(count.load(Ordering::Relaxed), data + base + 1);
    assert_eq!(counted(&metrics[1], "a", "data").delivered, data + 1);
    // That it came up may be told late.
    let (_, downs) = ups_and_downs(&events, "data");
    assert_eq!(downs, 0, "the lane stays up");
}

/// The priority counts on both sides, for the lane that is up: what waits is overtaken.
#[test]
fn a_lane_that_is_up_is_served_by_its_new_priority() {
    let node = |name| {
        let deep = |name, priority: u8| {
            ChannelConfig::new(name)
                .priority(priority)
                .queue_bytes_max(8 << 20_usize)
                .ring_bytes(8 << 20_usize)
        };
        start(
            config(name)
                .turn_bytes_max(64 << 10_usize)
                .send_quantum_bytes(64 << 10_usize)
                .channel(deep("one", 3))
                .channel(deep("other", 4)),
        )
    };
    let (a, b) = (node("a"), node("b"));
    let order = Arc::new(Mutex::new(String::new()));
    let noting = Arc::clone(&order);
    b.handle("in", move |_, message| {
        let kind = message.channel().chars().nth(1).expect("a name");
        noting.lock().expect("no panic").push(kind);
    })
    .expect("a mailbox");
    connect_both(&a, &b);
    for name in ["one", "other"] {
        use_lane(&a, "b", name, "in");
    }
    let events = a.events();
    for node in [&a, &b] {
        node.retune_channel("one", |is| is.priority(6))
            .expect("it can be");
    }
    order.lock().expect("no panic").clear();
    let held = hold(&a);
    let to = a.destination("b", "in").expect("names");
    for (name, messages) in [("one", 600), ("other", 20)] {
        let channel = a.channel(name).expect("there");
        for _ in 0..messages {
            channel.try_send(&to, vec![0; 4000]).expect("room");
        }
    }
    drop(held);
    check_accounting(&[&a, &b]);
    let order = order.lock().expect("no panic").clone();
    assert_eq!(order.len(), 620);
    // "other" is sent last and overtakes what one turn had not taken.
    let last_other = order.rfind('t').expect("they came");
    let late = order[last_other..].matches('n').count();
    assert!(late >= 300, "{late} of 600 came behind the others: {order}");
    let (_, downs) = ups_and_downs(&events, "one");
    assert_eq!(downs, 0, "the lane stays up");
}

/// Lanes go from one priority to another, in both directions, while frames are on their way, waiting and half received.
#[test]
fn lanes_that_move_between_priorities_keep_their_order() {
    const EACH: u64 = 600;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let channel = ChannelConfig::new("data")
        .reliability(Reliability::Guaranteed)
        .overflow(Overflow::Block)
        .parallelism(2);
    let (a, b) = connected_pair(&channel);
    let events = a.events();
    let send = |from: &Node, to: &str, random: &mut fastrand::Rng| {
        let data = from.channel("data").expect("it is configured");
        let to = from.destination(to, "in").expect("names");
        for number in 0..EACH {
            for stream in 0..3 {
                // Some fill many receive buffers, and some land in memory of their own.
                let most = 1 << random.u32(5..17);
                let bytes = random.usize(16..most);
                let message = payload::numbered(stream, number, bytes);
                let to = to.with_key(stream);
                data.send_blocking(&to, message).expect("it is there");
            }
        }
    };
    let receive = |inbox: &mut overlane::Inbox| {
        let mut streams = Streams::default();
        while streams.received() < 3 * EACH {
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            streams.take(message.payload());
        }
    };
    let (mut in_a, mut in_b) = (a.inbox("in").expect("free"), b.inbox("in").expect("free"));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut others = random.fork();
    thread::scope(|scope| {
        let sending = [
            scope.spawn(|| send(&a, "b", &mut random)),
            scope.spawn(|| send(&b, "a", &mut others)),
        ];
        let receiving = [
            scope.spawn(|| receive(&mut in_a)),
            scope.spawn(|| receive(&mut in_b)),
        ];
        let (mut moves, mut seen) = (0_u8, (0, 0));
        while !receiving.iter().all(thread::ScopedJoinHandle::is_finished) {
            let node = if moves % 2 == 0 { &a } else { &b };
            let priority = 1 + moves / 2 % 7;
            node.retune_channel("data", |is| is.priority(priority))
                .expect("it can be");
            moves = moves.wrapping_add(1);
            let (ups, downs) = ups_and_downs(&events, "data");
            seen = (seen.0 + ups, seen.1 + downs);
        }
        assert_eq!(seen, (2, 0), "the lanes stay up");
        for thread in sending.into_iter().chain(receiving) {
            thread.join().expect("no panic");
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
        all_acknowledged(metrics, peer, "data", 3 * EACH);
        assert_eq!(counted(metrics, peer, "data").delivered, 3 * EACH);
    }
}

#[test]
fn bounds_and_watermarks_count_at_once_for_what_is_queued() {
    let (a, b) = used_pair(ChannelConfig::new("data").queue_bytes_max(100_000_usize));
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "warm").expect("names");
    let held = hold(&a);
    let fill = || {
        let mut accepted = 0_u64;
        while sending.try_send(&to, vec![0; 1000]).is_ok() {
            accepted += 1;
        }
        accepted
    };
    let mut all = fill();
    assert_eq!(all, 100);
    drop(held);
    drained(&a);
    a.retune_channel("data", |is| is.queue_bytes_max(300_000_usize))
        .expect("it can be");
    let held = hold(&a);
    let more = fill();
    assert_eq!(more, 300, "it was raised");
    all += more;
    drop(held);
    drained(&a);
    a.retune_channel("data", |is| {
        is.queue_bytes_max(50_000_usize)
            .queue_messages_max(10_usize)
            .high_watermark_percent(50_u8)
            .low_watermark_percent(10_u8)
    })
    .expect("it can be");
    let held = hold(&a);
    for accepted in 0..5 {
        assert_eq!(sending.capacity(&to), Ok(Capacity::Ok), "{accepted}");
        sending.try_send(&to, vec![0; 100]).expect("room");
    }
    assert_eq!(sending.capacity(&to), Ok(Capacity::Overloaded));
    all += 5;
    all += fill();
    assert_eq!(all, 410);
    drop(held);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", all + 1);
}

/// Raised bounds are told to whoever waits for room.
#[test]
fn a_sender_that_waits_for_room_gets_it_from_a_raised_bound() {
    let data = ChannelConfig::new("data")
        .overflow(Overflow::Block)
        .queue_messages_max(4_usize);
    let node = |name| start(config(name).shards(2).channel(data.clone()));
    let (a, b) = (node("a"), node("b"));
    let proxy = connect_through_proxy(&a, &b);
    let (handler, count) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    use_lane(&a, "b", "data", "in");
    proxy.stall(true);
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "in").expect("names");
    let (mut accepted, mut refused) = (0, 0);
    wait_until(
        "the kernel's buffers are full",
        || {
            if sending.try_send(&to, vec![0; 200_000]).is_ok() {
                (accepted, refused) = (accepted + 1, 0);
            } else {
                refused += 1;
            }
            refused
        },
        |refused| *refused == 10_000,
    );
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sending.send_blocking(&to, b"waits"));
        a.retune_channel("data", |is| {
            is.queue_messages_max(100_usize)
                .queue_bytes_max(100_000_000_usize)
        })
        .expect("it can be");
        waiting.join().expect("no panic").expect("there is room");
    });
    proxy.stall(false);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", accepted + 2);
    assert_eq!(count.load(Ordering::Relaxed), accepted + 2);
}

#[test]
fn overflow_is_retuned_both_ways() {
    let (a, b) = used_pair(ChannelConfig::new("data").queue_messages_max(10_usize));
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "warm").expect("names");
    let flood = || {
        let held = hold(&a);
        let mut accepted = 0_u64;
        for _ in 0..30 {
            match sending.try_send(&to, b"x") {
                Ok(()) => accepted += 1,
                Err(error) => assert_eq!(error, SendError::Full),
            }
        }
        drop(held);
        drained(&a);
        accepted
    };
    let expected = [
        (Overflow::Reject, 10, 0),
        (Overflow::DropNewest, 30, 20),
        (Overflow::DropOldest, 30, 20),
        (Overflow::Block, 10, 0),
    ];
    let (mut accepted, mut reported) = (1, 0);
    for (overflow, taken, dropped) in expected {
        a.retune_channel("data", |is| is.overflow(overflow))
            .expect("it can be");
        assert_eq!(flood(), taken, "{overflow:?}");
        accepted += taken;
        reported += dropped;
        let metrics = drained(&a);
        let out = counted(&metrics, "b", "data");
        assert_eq!(
            (out.accepted, out.reported),
            (accepted, reported),
            "{overflow:?}"
        );
    }
    check_accounting(&[&a, &b]);
}

/// The largest message: what is lowered counts at once, what is raised once the lane is made again.
#[test]
fn the_largest_message_is_retuned() {
    let (a, b) = used_pair(ChannelConfig::new("data").message_bytes_max(1000_usize));
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "warm").expect("names");
    let too_large = |bytes, bytes_max| {
        let unsent = sending
            .try_send(&to, vec![0; bytes])
            .expect_err("too large");
        assert_eq!(unsent.error, SendError::TooLarge { bytes, bytes_max });
    };
    too_large(1001, 1000);
    a.retune_channel("data", |is| is.message_bytes_max(500_usize))
        .expect("it can be");
    too_large(501, 500);
    for node in [&a, &b] {
        node.retune_channel("data", |is| is.message_bytes_max(2000_usize))
            .expect("it can be");
    }
    too_large(1001, 1000);
    sending.try_send(&to, vec![0; 1000]).expect("room");
    drained(&a);
    reconnect(&a, &b);
    sending.try_send(&to, vec![0; 1000]).expect("room");
    drained(&a);
    sending
        .try_send(&to, vec![0; 2000])
        .expect("both take it now");
    too_large(2001, 2000);
    check_accounting(&[&a, &b]);
}

#[test]
fn late_messages_are_refused_once_the_receiver_is_retuned_so() {
    let (a, b) = used_pair(ChannelConfig::new("data"));
    let mut inbox = b.inbox_of("box", 128).expect("a mailbox");
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "box").expect("names");
    let late = |inbox: &mut overlane::Inbox| {
        // What was read before is let go of.
        assert!(inbox.try_recv().is_none());
        // The first fills the inbox; the second is late when it is read.
        sending.try_send(&to, vec![1; 100]).expect("room");
        let message = Envelope::new(vec![2; 100]).deadline(Duration::from_millis(200));
        sending.try_send(&to, message).expect("room");
        wait_until(
            "both are there",
            || a.metrics(),
            |metrics| {
                let out = counted(metrics, "b", "data");
                out.queued == 0 && out.in_flight <= 1
            },
        );
        thread::sleep(Duration::from_millis(250));
        inbox.recv_timeout(GENEROUS).expect("the first");
    };
    late(&mut inbox);
    let message = inbox.recv_timeout(GENEROUS);
    assert_eq!(message.expect("it is delivered late").payload()[0], 2);
    b.retune_channel("data", |is| is.on_late(OnLate::Refuse))
        .expect("it can be");
    late(&mut inbox);
    wait_until(
        "the second is refused",
        || {
            assert!(inbox.try_recv().is_none());
            counted(&a.metrics(), "b", "data").refused_late
        },
        |late| *late == 1,
    );
    check_accounting(&[&a, &b]);
}

#[test]
fn compression_is_turned_off_at_once_and_on_with_the_next_connection() {
    let packed = |node: &Node| counted(&drained(node), "b", "data").compressed_from_bytes;
    let (a, b) = used_pair(ChannelConfig::new("data").compression(Compression::Lz4));
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "warm").expect("names");
    let send = || {
        for _ in 0..50 {
            sending.try_send(&to, vec![7; 2000]).expect("room");
        }
    };
    send();
    let on = packed(&a);
    assert!(on > 0, "it compresses");
    a.retune_channel("data", |is| is.compression(Compression::None))
        .expect("it can be");
    send();
    assert_eq!(packed(&a), on, "it does not any more");
    a.retune_channel("data", |is| {
        is.compression(Compression::Zstd).compression_level(9_u8)
    })
    .expect("it can be");
    send();
    assert_eq!(packed(&a), on, "the peer has not agreed to that");
    b.retune_channel("data", |is| is.compression(Compression::Zstd))
        .expect("it can be");
    reconnect(&a, &b);
    send();
    assert!(packed(&a) > on, "both have agreed");
    check_accounting(&[&a, &b]);
}

#[test]
fn what_cannot_be_retuned_is_refused_with_both_values() {
    let (a, _, _) = pair();
    type Change = fn(ChannelConfig) -> ChannelConfig;
    let fixed: [(Change, &str); 6] = [
        (
            |is| is.reliability(Reliability::Guaranteed),
            "reliability of channel `base` is reliable",
        ),
        (
            |is| is.ordering(overlane::config::Ordering::Unordered),
            "ordering of channel `base` is fifo",
        ),
        (
            |is| is.parallelism(2_u16),
            "parallelism of channel `base` is 1",
        ),
        (
            |is| is.ring_bytes(65_536_usize),
            "ring_bytes of channel `base` is 1MiB",
        ),
        (|is| is.priority(9), "priority"),
        (|is| is.queue_bytes_max(1_usize), "queue_bytes_max"),
    ];
    let before = a.channel_config("base").expect("there");
    for (change, text) in fixed {
        let error = a.retune_channel("base", change).expect_err("it cannot");
        assert!(error.to_string().contains(text), "{error}");
    }
    let mut renamed = before.clone();
    renamed.name = "other".to_owned();
    let error = a.retune_channel("base", move |_| renamed.clone());
    let error = error.expect_err("a name stays");
    assert!(
        matches!(
            &error,
            ChannelError::Fixed {
                parameter: "name",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("remove the channel and add it again")
    );
    assert_eq!(a.channel_config("base").expect("there"), before);
}

#[test]
fn events_tell_what_was_retuned_and_two_that_retune_lose_nothing() {
    let (a, _, _) = pair();
    let events = a.events();
    a.retune_channel("base", |is| is.priority(2).floor_bytes(4096_usize))
        .expect("it can be");
    wait_for_event(&events, "it is told", |event| match event {
        Event::ChannelRetuned {
            channel,
            parameters,
        } => {
            assert_eq!(
                (&**channel, &parameters[..]),
                ("base", &["priority", "floor_bytes"][..])
            );
            Some(())
        }
        _ => None,
    });
    let bytes = a.channel_config("base").expect("there").queue_bytes_max;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    a.retune_channel("base", |is| {
                        let bytes = is.queue_bytes_max;
                        is.queue_bytes_max(bytes + 10)
                    })
                    .expect("it can be");
                }
            });
        }
    });
    let raised = a.channel_config("base").expect("there").queue_bytes_max;
    assert_eq!(raised, bytes + 1000);
}
