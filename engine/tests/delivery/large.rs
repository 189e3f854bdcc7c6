//! Messages that are too large for a frame, on a channel that takes them: each goes as a stream by itself, and is one
//! message again at the other node, or is reported; all of them are accounted for.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use overlane::config::{self, ChannelConfig, ConfigBuilder, Overflow, Reliability};
use overlane::{Envelope, Event, Events, Inbox, Node, SendError, StreamMetrics};
use overlane_proxy::Direction;

use crate::support::accounting::check_accounting;
use crate::support::{
    Ends, GENEROUS, config, connect_both, connect_through_proxy, pair_through_proxy, reliable,
    start, wait_for_event, wait_until,
};

const FRAME: usize = 64 << 10;
const LARGE: usize = 8 << 20;

fn channel(reliability: Reliability) -> ChannelConfig {
    reliable("data")
        .reliability(reliability)
        .ordering(config::Ordering::Unordered)
        .message_bytes_max(FRAME)
        .large_bytes_max(LARGE)
}

fn node(name: &str, channel: ChannelConfig) -> Node {
    start(config(name).channel(channel))
}

fn pair(channel: &ChannelConfig) -> (Node, Node) {
    let (a, b) = (node("a", channel.clone()), node("b", channel.clone()));
    connect_both(&a, &b);
    (a, b)
}

/// Bytes that say which message they are of, and where they stand.
fn payload(number: u64, bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(number);
    let mut made = Vec::with_capacity(bytes + 8);
    made.extend_from_slice(&number.to_le_bytes());
    while made.len() < bytes {
        made.extend_from_slice(&random.u64(..).to_le_bytes());
    }
    made.truncate(bytes);
    made.into()
}

fn number_of(bytes: &[u8]) -> u64 {
    let number = bytes.first_chunk().expect("it is long enough");
    u64::from_le_bytes(*number)
}

fn send(from: &Node, to: &str, payload: Bytes) -> Result<(), SendError> {
    let to = from.destination(to, "in").expect("names");
    let channel = from.channel("data").expect("it is configured");
    channel.send_blocking(&to, payload).map_err(SendError::from)
}

fn try_send(from: &Node, to: &str, payload: Bytes) -> Result<(), SendError> {
    let to = from.destination(to, "in").expect("names");
    let channel = from.channel("data").expect("it is configured");
    channel.try_send(&to, payload).map_err(SendError::from)
}

/// The next messages, in order of their numbers.
fn receive(inbox: &mut Inbox, count: usize) -> Vec<Bytes> {
    let next = |_| {
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        Bytes::copy_from_slice(message.payload())
    };
    let mut came: Vec<_> = (0..count).map(next).collect();
    came.sort_by_key(|bytes| number_of(bytes));
    came
}

/// Waits until no message goes as a stream any more, checks all accounts, and says what was counted.
fn accounted(nodes: &[&Node]) -> Vec<StreamMetrics> {
    for node in nodes {
        wait_until(
            "all large messages have ended",
            || node.metrics().streams,
            |streams| streams.messages_open() == 0 && streams.open_outgoing == 0,
        );
    }
    check_accounting(nodes);
    let counted = nodes.iter().map(|node| node.metrics().streams);
    let counted: Vec<_> = counted.collect();
    for streams in &counted {
        let settled = streams.messages_acknowledged + streams.messages_reported;
        assert_eq!(streams.messages_accepted, settled, "{streams:?}");
    }
    counted
}

/// The next report of large messages: undelivered ones, unknown ones, and why.
fn reported(events: &Events) -> (u64, u64, &'static str) {
    wait_for_event(events, "a report", |event| match event {
        Event::Reported {
            undelivered,
            unknown,
            why,
            ..
        } => Some((*undelivered, *unknown, *why)),
        _ => None,
    })
}

#[test]
fn messages_above_the_frame_limit_come_as_they_were_sent() {
    for kind in [
        Reliability::Reliable,
        Reliability::AtLeastOnce,
        Reliability::Guaranteed,
    ] {
        let (a, b) = pair(&channel(kind).parallelism(2).overflow(Overflow::Block));
        let mut inbox = b.inbox("in").expect("free");
        let lengths = [8, FRAME, FRAME + 1, 3_000_000, LARGE];
        let sent: Vec<_> = (0..)
            .zip(lengths)
            .map(|(number, bytes)| payload(number, bytes))
            .collect();
        // What is not read takes the room of what is still to be sent.
        thread::scope(|scope| {
            scope.spawn(|| {
                for payload in &sent {
                    send(&a, "b", payload.clone()).expect("the peer is there");
                }
            });
            assert!(receive(&mut inbox, sent.len()) == sent);
        });
        let counted = accounted(&[&a, &b]);
        assert_eq!(counted[0].messages_acknowledged, 3, "{counted:?}");
        assert_eq!(counted[1].messages_delivered, 3, "{counted:?}");
    }
}

#[test]
fn a_handler_sends_and_gets_them_too_also_within_a_node() {
    let (a, b) = pair(&channel(Reliability::Reliable));
    for node in [&a, &b] {
        let channel = node.channel("data").expect("it is configured");
        let back = node.destination("a", "in").expect("names");
        node.handle(
            "turn",
            move |context: &mut overlane::ShardContext<'_>, message: overlane::Message<'_>| {
                let payload = Bytes::copy_from_slice(message.payload());
                let sent = context.try_send(&channel, &back, payload);
                sent.expect("there is room");
            },
        )
        .expect("free");
    }
    let mut inbox = a.inbox("in").expect("free");
    let channel = a.channel("data").expect("it is configured");
    for (number, by) in (0..).zip(["a", "b"]) {
        let to = a.destination(by, "turn").expect("names");
        let sent = payload(number, 1_000_000);
        channel
            .send_blocking(&to, sent.clone())
            .expect("it is there");
        assert!(receive(&mut inbox, 1) == [sent]);
    }
    let counted = accounted(&[&a, &b]);
    assert_eq!(
        counted[0].messages_accepted + counted[1].messages_accepted,
        4
    );
    assert_eq!(
        counted[0].messages_delivered + counted[1].messages_delivered,
        4
    );
}

#[test]
fn what_is_larger_still_or_says_more_is_refused() {
    let (a, b) = pair(&channel(Reliability::Reliable));
    let _inbox = b.inbox("in").expect("free");
    let beyond = try_send(&a, "b", payload(0, LARGE + 1));
    let (bytes, bytes_max) = (LARGE + 1, LARGE);
    assert_eq!(beyond, Err(SendError::TooLarge { bytes, bytes_max }));
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    let says_more = Envelope::new(payload(1, FRAME + 1)).message_type("report");
    let refused = data.try_send(&to, says_more).map_err(SendError::from);
    assert!(
        matches!(refused, Err(SendError::TooLarge { .. })),
        "{refused:?}"
    );
    let refused = data.try_send_with_receipt(&to, payload(2, FRAME + 1));
    let refused = refused.err().map(SendError::from);
    assert!(
        matches!(refused, Some(SendError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(accounted(&[&a, &b])[0].messages_accepted, 0);
}

#[test]
fn both_ends_go_by_the_smaller_size_and_by_none_if_one_takes_none() {
    for taken in [0, 2_000_000] {
        let kind = Reliability::Guaranteed;
        let a = node("a", channel(kind));
        let b = node("b", channel(kind).large_bytes_max(taken));
        connect_both(&a, &b);
        let _inbox = b.inbox("in").expect("free");
        let events = a.events();
        // Before there is a lane nobody knows.
        try_send(&a, "b", payload(0, 3_000_000)).expect("it is accepted");
        let (undelivered, unknown, why) = reported(&events);
        assert_eq!((undelivered, unknown), (1, 0));
        assert!(why.contains("large_bytes_max"), "{why}");
        let refused = try_send(&a, "b", payload(1, 3_000_000));
        assert!(
            matches!(refused, Err(SendError::TooLarge { .. })),
            "{refused:?}"
        );
        let smaller = try_send(&a, "b", payload(2, 2_000_000));
        assert_eq!(smaller.is_ok(), taken > 0, "{smaller:?}");
        let counted = accounted(&[&a, &b]);
        assert_eq!(counted[0].messages_reported, 1);
        assert_eq!(counted[1].messages_delivered, u64::from(taken > 0));
    }
}

#[test]
fn without_a_mailbox_it_is_reported_and_not_sent() {
    let (a, b) = pair(&channel(Reliability::Guaranteed));
    let events = a.events();
    try_send(&a, "b", payload(0, LARGE)).expect("it is accepted");
    assert_eq!(reported(&events), (1, 0, "there is no such mailbox"));
    let counted = accounted(&[&a, &b]);
    assert_eq!(counted[0].messages_reported, 1);
    let sent = a.metrics();
    let sent = sent.channel("b", "data").expect("it was used").accepted;
    assert!(sent < 3, "{sent} messages went for it");
}

#[test]
fn an_inbox_without_room_holds_it_back_and_the_peer_has_as_many_bytes_as_it_may() {
    let kind = Reliability::Guaranteed;
    for overflow in [Overflow::Reject, Overflow::Block] {
        let channel = channel(kind).overflow(overflow);
        let (a, b) = pair(&channel);
        let mut inbox = b.inbox("in").expect("free");
        // The inbox takes one; of the other two, one is whole at the other node and one waits in this one.
        let sent: Vec<_> = (0..3).map(|number| payload(number, 5_000_000)).collect();
        send(&a, "b", sent[0].clone()).expect("there is room");
        wait_until(
            "the first is there",
            || b.metrics().streams.messages_delivered,
            |delivered| *delivered == 1,
        );
        wait_until(
            "that is told",
            || a.metrics().streams.messages_open(),
            |open| *open == 0,
        );
        try_send(&a, "b", sent[1].clone()).expect("there is room");
        assert_eq!(try_send(&a, "b", sent[2].clone()), Err(SendError::Full));
        thread::scope(|scope| {
            let last = sent[2].clone();
            let waits = scope.spawn(|| match overflow {
                Overflow::Block => send(&a, "b", last),
                _ => Ok(()),
            });
            let first = receive(&mut inbox, 1);
            assert!(first == sent[..1]);
            assert!(receive(&mut inbox, 1) == sent[1..2]);
            assert_eq!(waits.join().expect("no panic"), Ok(()));
        });
        if overflow == Overflow::Block {
            assert!(receive(&mut inbox, 1) == sent[2..]);
        }
        accounted(&[&a, &b]);
    }
}

#[test]
fn cut_at_random_each_comes_once_where_the_lane_resumes() {
    const EACH: u64 = 12;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let channel = channel(Reliability::Guaranteed)
        .parallelism(2)
        .overflow(Overflow::Block);
    let (a, b, proxy) = pair_through_proxy(&channel);
    b.wait_connected("a", GENEROUS).expect("lanes come up");
    let mut inbox = b.inbox("in").expect("free");
    let over = AtomicBool::new(false);
    let sent: Vec<_> = (0..EACH)
        .map(|number| payload(number, random.usize(FRAME + 1..3_000_000)))
        .collect();
    thread::scope(|scope| {
        let _ends = Ends(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                proxy.cut_each_after(random.u64(100_000..4_000_000));
                let some = proxy.bytes() + random.u64(1..3_000_000);
                while proxy.bytes() < some && !over.load(Ordering::Relaxed) {
                    thread::sleep(std::time::Duration::from_millis(1));
                }
                proxy.cut();
            }
        });
        let sending = scope.spawn(|| {
            for payload in &sent {
                send(&a, "b", payload.clone()).expect("the peer is away for a moment at most");
            }
        });
        let came = receive(&mut inbox, sent.len());
        assert!(came == sent, "each once, as it was sent");
        sending.join().expect("no panic");
        over.store(true, Ordering::Relaxed);
    });
    proxy.cut_each_after(0);
    let counted = accounted(&[&a, &b]);
    assert_eq!(counted[0].messages_acknowledged, EACH);
    assert_eq!(counted[1].messages_delivered, EACH);
}

#[test]
fn on_a_lane_that_does_not_resume_it_is_reported() {
    let (a, b, proxy) = pair_through_proxy(&channel(Reliability::Reliable));
    let mut inbox = b.inbox("in").expect("free");
    send(&a, "b", payload(0, FRAME + 1)).expect("it is there");
    receive(&mut inbox, 1);
    accounted(&[&a]);
    let events = a.events();
    proxy.stall(true);
    try_send(&a, "b", payload(1, LARGE)).expect("it is accepted");
    proxy.cut();
    let (undelivered, unknown, _) = reported(&events);
    assert_eq!(undelivered + unknown, 1);
    proxy.stall(false);
    a.wait_connected("b", GENEROUS).expect("it is back");
    // The other node has let go of what it had of it.
    wait_until(
        "nothing is open there",
        || b.metrics().streams,
        |streams| streams.open_incoming == 0,
    );
    send(&a, "b", payload(2, LARGE)).expect("there is room");
    assert!(receive(&mut inbox, 1) == [payload(2, LARGE)]);
    let counted = accounted(&[&a, &b]);
    assert_eq!(
        (
            counted[0].messages_acknowledged,
            counted[0].messages_reported
        ),
        (2, 1)
    );
}

/// The lane was away for longer than its sender waits, and for less than its receiver does.
#[test]
fn a_receiver_lets_go_of_the_half_that_it_has_of_a_message_that_was_given_up() {
    let guaranteed = || channel(Reliability::Guaranteed);
    let a = node("a", guaranteed().resume_timeout_ms(300_u64));
    let waits_longer = GENEROUS * 2;
    let waits_ms = u64::try_from(waits_longer.as_millis()).expect("it is short");
    let b = node("b", guaranteed().resume_timeout_ms(waits_ms));
    let proxy = connect_through_proxy(&a, &b);
    let mut inbox = b.inbox("in").expect("free");
    let rate = NonZeroU64::new(1 << 20);
    proxy.set_rate(Direction::ToTarget, rate);
    try_send(&a, "b", payload(1, LARGE)).expect("it is accepted");
    wait_until(
        "some of it has come",
        || b.metrics().streams.open_incoming,
        |open| *open == 1,
    );
    proxy.stall(true);
    proxy.cut();
    wait_until(
        "it is given up",
        || a.metrics().streams.messages_reported,
        |reported| *reported == 1,
    );
    assert_eq!(b.metrics().streams.open_incoming, 1, "it may go on");
    proxy.set_rate(Direction::ToTarget, None);
    proxy.stall(false);
    wait_until(
        "it has let go of it",
        || b.metrics().streams.open_incoming,
        |open| *open == 0,
    );
    a.wait_connected("b", GENEROUS).expect("it is back");
    // There is room for all of another.
    send(&a, "b", payload(2, LARGE)).expect("there is room");
    assert!(receive(&mut inbox, 1) == [payload(2, LARGE)]);
    let counted = accounted(&[&a, &b]);
    assert_eq!(counted[0].messages_reported, 1);
    assert_eq!(counted[1].messages_delivered, 1);
}

#[test]
fn a_channel_that_cannot_carry_them_is_refused() {
    let refused = |channel: ChannelConfig| {
        let refused = ConfigBuilder::build(config("a").channel(channel));
        refused.expect_err("it is refused").to_string()
    };
    let good = || channel(Reliability::Reliable);
    for (channel, said) in [
        (good().ordering(config::Ordering::Fifo), "unordered"),
        (good().reliability(Reliability::BestEffort), "reliable"),
        (good().overflow(Overflow::DropNewest), "reject or block"),
        (good().large_bytes_max(FRAME), "message_bytes_max"),
    ] {
        let text = refused(channel);
        assert!(
            text.contains(said) && text.contains("large_bytes_max"),
            "{text}"
        );
    }
}
