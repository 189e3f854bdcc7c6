//! Messages that are worth nothing after a while: what is too late ends where it waits, is counted and
//! reported; what arrives says how long it has left; and a receiver can refuse what is late.

use std::time::{Duration, Instant};

use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, connect_through_proxy, drained, hold, reliable,
    start, use_lane, wait_for_event, wait_until,
};
use futures_lite::StreamExt;
use futures_lite::future::{block_on, poll_once};
use overlane::config::{ChannelConfig, OnLate, Overflow, Reliability};
use overlane::{
    Channel, Destination, Envelope, Event, Events, Node, Reported, RequestError, SendError,
};

/// Long enough to be accepted, and soon over.
const SHORT: Duration = Duration::from_millis(50);

fn node(name: &str, data: ChannelConfig) -> Node {
    start(config(name).channel(data).channel(best_effort("gossip")))
}

fn pair(data: ChannelConfig) -> (Node, Node, Channel, Destination) {
    let (a, b) = (node("a", data.clone()), node("b", data));
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, data, to)
}

/// A channel on which all that a test sends is under way at once, so that none of it ends before it is sent.
fn all_under_way() -> ChannelConfig {
    reliable("data").window_budget_us(0_u64)
}

fn expired(node: &Node, channel: &str) -> u64 {
    let metrics = node.metrics();
    metrics.channel("b", channel).map_or(0, |out| out.expired)
}

/// Adds up what is reported for a cause, until it is as much as expected.
fn reported(events: &Events, cause: &str, undelivered: u64, unknown: u64) {
    let (mut first, mut second) = (0, 0);
    wait_for_event(events, "the reports", |event| {
        if let Event::Reported {
            undelivered,
            unknown,
            why,
            ..
        } = event
            && why.contains(cause)
        {
            first += undelivered;
            second += unknown;
        }
        (first + second >= undelivered + unknown).then_some(())
    });
    assert_eq!((first, second), (undelivered, unknown));
}

#[test]
fn what_is_left_of_a_deadline_travels_with_the_message() {
    let (a, b, data, to) = pair(reliable("data").queue_bytes_max(4_usize << 20));
    let itself = a.destination("a", "in").expect("names");
    for (receiver, to) in [(&b, &to), (&a, &itself)] {
        let mut inbox = receiver.inbox_of("in", 4 << 20).expect("a mailbox");
        for bytes in [0, 900, 5000, 100_000] {
            let sent_at = Instant::now();
            let letter = || Envelope::new(vec![1; bytes]).deadline(GENEROUS);
            data.try_send(to, letter()).expect("accepted");
            data.try_send(to, letter()).expect("accepted");
            data.try_send(to, vec![1; bytes]).expect("accepted");
            let latest = Instant::now() + GENEROUS;
            let lent = inbox.recv_timeout(GENEROUS).expect("it comes");
            let said = lent.deadline().expect("it was sent with one");
            let owned = lent.to_owned();
            let delay = sent_at.elapsed() + Duration::from_millis(2);
            assert!(said + delay > sent_at + GENEROUS && said < latest + delay);
            assert_eq!((owned.payload().len(), owned.message_type()), (bytes, None));
            let owned = block_on(inbox.next()).expect("it comes");
            let said = owned.deadline().expect("it was sent with one");
            let delay = sent_at.elapsed() + Duration::from_millis(2);
            assert!(said + delay > sent_at + GENEROUS && said < latest + delay);
            let plain = inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(plain.deadline(), None);
        }
    }
    check_accounting(&[&a, &b]);
}

/// The peer's shard does not read, so the lane may send no more; later it gets what is still worth it.
#[test]
fn what_waits_for_its_turn_ends_by_its_deadline_and_the_rest_goes_on_in_order() {
    for name in ["data", "gossip"] {
        let small = |channel: ChannelConfig| channel.queue_bytes_max(4_usize << 20);
        let limited = small(reliable("data")).unacknowledged_bytes_max(4096_usize);
        let start = |name| {
            start(
                config(name).channel(limited.clone()).channel(
                    small(best_effort("gossip"))
                        .notsent_lowat_bytes(4096_u32)
                        .send_buffer_bytes(4608_u32),
                ),
            )
        };
        let (a, b) = (start("a"), start("b"));
        connect_both(&a, &b);
        let events = a.events();
        let (mut inbox, mut other) = (
            b.inbox_of("in", 16 << 20).expect("free"),
            b.inbox("other").expect("free"),
        );
        use_lane(&a, "b", name, "in");
        inbox.recv_timeout(GENEROUS).expect("the first");
        let held = hold(&b);
        let channel = a.channel(name).expect("it is configured");
        let (to, aside) = (
            a.destination("b", "in").expect("names"),
            a.destination("b", "other").expect("names"),
        );
        // So much is under way or in the kernel by now that what follows waits.
        let mut filled = 0;
        while counted(&a.metrics(), "b", name).queued < 3 {
            channel
                .try_send(&to, vec![9; 60_000])
                .expect("there is room");
            filled += 1;
            std::thread::sleep(Duration::from_millis(3));
        }
        let sent_before = counted(&a.metrics(), "b", name).accepted;
        for number in 0..300_u32 {
            let bytes = [
                &number.to_le_bytes()[..],
                &vec![3; if number % 7 == 0 { 3000 } else { 8 }],
            ]
            .concat();
            let to = if number % 50 == 3 { &aside } else { &to };
            if number % 2 == 0 {
                channel.try_send(to, bytes).expect("there is room");
            } else {
                let letter = Envelope::new(bytes).metadata("k", "v").deadline(SHORT);
                channel.try_send(to, letter).expect("there is room");
            }
        }
        let before = wait_until(
            "all are over",
            || expired(&a, name),
            |expired| *expired == 150,
        );
        assert_eq!(counted(&a.metrics(), "b", name).accepted, sent_before + 300);
        if name == "data" {
            reported(&events, "deadline", before, 0);
        }
        drop(held);
        let mut came = Vec::new();
        while came.last() != Some(&298) {
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            if message.payload().len() < 60_000 {
                came.push(u32::from_le_bytes(
                    *message.payload().first_chunk().expect("a number"),
                ));
            }
        }
        let expected: Vec<_> = (0..300)
            .filter(|number| number % 2 == 0 && number % 50 != 3)
            .collect();
        assert_eq!(came, expected, "after {filled} others");
        assert!(other.try_recv().is_none(), "those were odd");
        let metrics = check_accounting(&[&a, &b]);
        let out = counted(&metrics[0], "b", name);
        assert_eq!((out.expired, out.queue_messages), (150, 0), "{out:#?}");
        let ended = if name == "data" {
            out.reported
        } else {
            out.dropped
        };
        assert_eq!(ended, out.expired);
    }
}

#[test]
fn what_waits_for_a_lane_ends_by_its_deadline() {
    let (a, b, data, to) = pair(reliable("data"));
    let events = a.events();
    let mut inbox = b.inbox("in").expect("a mailbox");
    // The lane is not made while the peer does not answer.
    let held = hold(&b);
    for number in 0..100_u8 {
        let letter = Envelope::new(vec![number]);
        let worth = if number < 50 { SHORT } else { 2 * GENEROUS };
        data.try_send(&to, letter.deadline(worth))
            .expect("accepted");
    }
    wait_until(
        "they are over",
        || expired(&a, "data"),
        |expired| *expired == 50,
    );
    reported(&events, "deadline", 50, 0);
    assert_eq!(counted(&a.metrics(), "b", "data").queue_messages, 50);
    drop(held);
    for number in 50..100 {
        assert_eq!(
            inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
            [number]
        );
    }
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.acknowledged, out.reported, out.expired), (50, 50, 50));
}

/// What was sent and not acknowledged, and what was accepted since, while a peer is away.
#[test]
fn a_deadline_ends_what_is_kept_for_a_peer_that_is_away() {
    let data = reliable("data").reliability(Reliability::Guaranteed);
    let (a, b) = (node("a", data.clone()), node("b", data));
    let proxy = connect_through_proxy(&a, &b);
    let events = a.events();
    let mut inbox = b.inbox("in").expect("a mailbox");
    use_lane(&a, "b", "data", "in");
    assert_eq!(
        inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"first"
    );
    let (data, to) = (
        a.channel("data").expect("there"),
        a.destination("b", "in").expect("names"),
    );
    // What is sent from here on stays in the proxy.
    proxy.stall(true);
    let send = |numbers: std::ops::Range<u8>| {
        for number in numbers {
            let worth = if number % 2 == 0 {
                2 * GENEROUS
            } else {
                4 * SHORT
            };
            data.try_send(&to, Envelope::new(vec![number]).deadline(worth))
                .expect("held");
        }
    };
    send(0..20);
    wait_until(
        "they are sent",
        || counted(&a.metrics(), "b", "data").in_flight,
        |sent| *sent == 20,
    );
    proxy.cut();
    wait_until(
        "the lane is lost",
        || counted(&a.metrics(), "b", "data").in_flight,
        |sent| *sent == 0,
    );
    send(20..40);
    wait_until(
        "they are over",
        || expired(&a, "data"),
        |expired| *expired == 20,
    );
    reported(&events, "deadline", 10, 10);
    proxy.stall(false);
    for number in (0..40).step_by(2) {
        assert_eq!(
            inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
            [number]
        );
    }
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.acknowledged, out.reported), (21, 20), "{out:#?}");
    assert_eq!(counted(&metrics[1], "a", "data").delivered, 21);
}

#[test]
fn a_receiver_refuses_what_is_late_and_both_sides_count_it() {
    let (a, b, data, to) = pair(all_under_way().on_late(OnLate::Refuse));
    let events = a.events();
    let mut inbox = b.inbox_of("in", 4096).expect("a mailbox");
    // In one batch: some fill the inbox, the rest wait on the peer's lane, not in its socket.
    let held = hold(&a);
    for number in 0..200_u8 {
        let letter = Envelope::new(vec![number; 100]);
        let worth = if number % 2 == 0 {
            2 * GENEROUS
        } else {
            4 * SHORT
        };
        data.try_send(&to, letter.deadline(worth))
            .expect("there is room");
    }
    drop(held);
    wait_until(
        "they are sent",
        || counted(&a.metrics(), "b", "data").queued,
        |queued| *queued == 0,
    );
    std::thread::sleep(5 * SHORT);
    let mut came = Vec::new();
    while came.last() != Some(&198) {
        came.push(inbox.recv_timeout(GENEROUS).expect("it comes").payload()[0]);
    }
    let late = came.iter().filter(|number| *number % 2 == 1).count();
    assert!(came.is_sorted() && late < 100, "{came:?}");
    assert_eq!(came.len() - late, 100, "what is in time is delivered");
    let refused = 100 - late as u64;
    reported(&events, "on_late", refused, 0);
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!(
        (out.reported, out.refused, out.refused_late, out.expired),
        (refused, refused, refused, 0)
    );
    let into = counted(&metrics[1], "a", "data");
    assert_eq!(
        (into.received_late, into.delivered),
        (refused, came.len() as u64)
    );
}

#[test]
fn without_being_told_to_a_node_delivers_what_is_late() {
    let (a, b, data, to) = pair(all_under_way());
    let mut inbox = b.inbox_of("in", 4096).expect("a mailbox");
    for number in 0..200_u8 {
        let letter = Envelope::new(vec![number; 100]).deadline(4 * SHORT);
        data.try_send(&to, letter).expect("there is room");
    }
    wait_until(
        "they are sent",
        || counted(&a.metrics(), "b", "data").queued,
        |queued| *queued == 0,
    );
    std::thread::sleep(5 * SHORT);
    for number in 0..200 {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(message.payload()[0], number);
        assert!(message.deadline().is_some());
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_wait_for_room_ends_by_the_deadline() {
    let data = reliable("data")
        .overflow(Overflow::Block)
        .queue_messages_max(4);
    let (a, b, data, to) = pair(data);
    let held = hold(&a);
    for _ in 0..4 {
        data.try_send(&to, "x").expect("there is room");
    }
    let sent = data.send_blocking(&to, Envelope::new(vec![1]).deadline(SHORT));
    let unsent = sent.expect_err("there is no room");
    assert_eq!(
        (unsent.error, unsent.payload),
        (SendError::Expired, vec![1])
    );
    // At once: it is worth nothing from the start.
    for sent in [
        data.try_send(&to, Envelope::new("x").deadline(Duration::ZERO)),
        data.send_blocking(&to, Envelope::new("x").deadline(Duration::ZERO)),
        block_on(data.send(&to, Envelope::new("x").deadline(Duration::ZERO))),
    ] {
        assert_eq!(sent, Err(SendError::Expired));
    }
    // A task looks when there is room.
    let letter = Envelope::new("x").deadline(SHORT);
    let mut sending = Box::pin(data.send(&to, letter));
    assert!(block_on(poll_once(&mut sending)).is_none());
    std::thread::sleep(2 * SHORT);
    drop(held);
    let sent = block_on(sending);
    assert!(matches!(sent, Err(SendError::Expired)), "{sent:?}");
    let metrics = drained(&a);
    assert_eq!(counted(&metrics, "b", "data").accepted, 4);
    drop(b);
}

#[test]
fn a_request_that_is_not_sent_by_its_deadline_is_not_sent() {
    let (a, b, data, to) = pair(reliable("data"));
    let inbox = b.inbox("in").expect("a mailbox");
    let held = hold(&b);
    let ended = data.request_blocking(&to, "well?", SHORT).err();
    assert_eq!(ended, Some(RequestError::DeadlinePassed));
    wait_until(
        "it is over",
        || expired(&a, "data"),
        |expired| *expired == 1,
    );
    drop(held);
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").reported, 1);
    drop(inbox);
}

#[test]
fn a_receipt_tells_that_the_deadline_passed() {
    let (a, b, data, to) = pair(reliable("data"));
    let held = hold(&b);
    let letter = Envelope::new("x").deadline(SHORT);
    let receipt = data.try_send_with_receipt(&to, letter).expect("accepted");
    let outcome = block_on(receipt);
    let Err(Reported::Undelivered { why }) = outcome else {
        panic!("it was not sent: {outcome:?}");
    };
    assert!(why.contains("deadline"), "{why}");
    drop(held);
    check_accounting(&[&a, &b]);
}
