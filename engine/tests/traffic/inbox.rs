//! Receiving: mailboxes that are there, not there, not there any more, or there later.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, reliable, start, wait_for_event, wait_until,
};
use overlane::config::Overflow;
use overlane::{Event, NameError, Node};

fn pair() -> (Node, Node) {
    let node = |name| {
        let data = reliable("data").overflow(Overflow::Block);
        start(config(name).channel(data).channel(best_effort("gossip")))
    };
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    (a, b)
}

#[test]
fn messages_for_no_mailbox_are_refused_and_reported_or_dropped_and_counted() {
    let (a, b) = pair();
    let events = a.events();
    let to = a.destination("b", "nowhere").expect("names");
    for (name, messages) in [("data", 10), ("gossip", 20)] {
        let channel = a.channel(name).expect("it is configured");
        for _ in 0..messages {
            channel.try_send(&to, b"lost").expect("accepted");
        }
    }
    let mut reported = 0;
    wait_for_event(&events, "the report", |event| {
        if let Event::Reported {
            channel,
            undelivered,
            why,
            ..
        } = event
        {
            assert_eq!(&**channel, "data");
            assert_eq!(*why, "the receiving node has no such mailbox");
            reported += undelivered;
        }
        (reported == 10).then_some(())
    });
    wait_until(
        "best effort has come",
        || b.metrics(),
        |metrics| counted(metrics, "a", "gossip").receive_dropped == 20,
    );
    let metrics = check_accounting(&[&a, &b]);
    let data = counted(&metrics[0], "b", "data");
    assert_eq!((data.accepted, data.refused, data.reported), (10, 10, 10));
    let gossip = counted(&metrics[0], "b", "gossip");
    assert_eq!((gossip.accepted, gossip.sent, gossip.dropped), (20, 20, 0));
    assert_eq!(counted(&metrics[1], "a", "gossip").delivered, 0);
}

#[test]
fn more_mailboxes_than_a_lane_has_ids_for_take_turns() {
    let a = start(
        config("a")
            .mailboxes_per_lane_max(2_usize)
            .channel(reliable("data")),
    );
    let b = start(config("b").channel(reliable("data")));
    let channel = a.channel("data").expect("it is configured");
    let handlers = ["one", "two", "three"].map(|name| {
        let (handler, count) = crate::support::counting_handler();
        b.handle(name, handler).expect("a mailbox");
        count
    });
    connect_both(&a, &b);
    for _ in 0..5 {
        for name in ["one", "two", "three"] {
            let to = a.destination("b", name).expect("names");
            channel.try_send(&to, b"x").expect("accepted");
        }
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 15);
    let counts = handlers.map(|count| count.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(counts, [5, 5, 5]);
}

#[test]
fn a_mailbox_registered_later_gets_what_comes_then() {
    let (a, b) = pair();
    let channel = a.channel("data").expect("it is configured");
    let late = a.destination("b", "late").expect("names");
    channel.try_send(&late, b"too early").expect("accepted");
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").refused, 1);
    let mut inbox = b.inbox("late").expect("a mailbox");
    channel.try_send(&late, b"in time").expect("accepted");
    let message = inbox.recv_timeout(GENEROUS).expect("a message");
    assert_eq!(message.payload(), b"in time");
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").acknowledged, 1);
}

#[test]
fn messages_for_an_inbox_that_was_dropped_are_refused() {
    // Small ones lie in the inbox's ring, large ones outside it: both kinds are left unread.
    for bytes in [50, 5000] {
        let (a, b) = pair();
        let inbox = b.inbox_of("in", 64 << 10).expect("a mailbox");
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let count = 5000;
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count {
                    let message = payload::numbered(0, number, bytes);
                    channel.send_blocking(&to, message).expect("accepted");
                }
            });
            // The inbox holds less than all of them, so the lane is stopped when it is dropped.
            wait_until(
                "some have come",
                || b.metrics(),
                |metrics| counted(metrics, "a", "data").delivered > 5,
            );
            drop(inbox);
        });
        let metrics = check_accounting(&[&a, &b]);
        let out = counted(&metrics[0], "b", "data");
        assert_eq!(out.accepted, count);
        assert!(out.refused > 0 && out.refused == out.reported, "{out:#?}");
    }
}

#[test]
fn a_mailbox_can_have_another_receiver_when_its_inbox_is_gone() {
    let (a, b) = pair();
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for round in 0..20_u8 {
        let mut inbox = b.inbox("in").expect("a mailbox");
        channel.try_send(&to, &[round]).expect("accepted");
        let message = inbox.recv_timeout(GENEROUS).expect("a message");
        assert_eq!(message.payload(), [round]);
    }
    let (handler, handled) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    channel.try_send(&to, b"x").expect("accepted");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 21);
    assert_eq!(handled.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_mailbox_has_one_receiver() {
    let (a, _b) = pair();
    let taken = || NameError::MailboxTaken {
        name: "in".to_owned(),
    };
    let _inbox = a.inbox("in").expect("a mailbox");
    assert_eq!(a.inbox("in").err(), Some(taken()));
    assert_eq!(a.handle("in", |_, _| {}).err(), Some(taken()));
}

/// A shard that has just found an inbox full looks about for other work before it sleeps. Room that is
/// made meanwhile must not be overlooked: only the next sweep, up to two seconds later, would find it.
#[test]
fn room_made_while_the_shard_looks_for_work_is_not_overlooked() {
    let data = || reliable("data").overflow(Overflow::Block);
    let a = start(config("a").channel(data()));
    let b = start(config("b").channel(data()).spin_us(100_000_u64));
    let mut inbox = b.inbox_of("in", 64 << 10).expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    // Several hundred times what the inbox holds.
    let count = 20_000;
    let deadline = Instant::now() + GENEROUS;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                let message = payload::numbered(0, number, 1000);
                channel.send_blocking(&to, message).expect("accepted");
            }
        });
        let mut streams = Streams::default();
        for _ in 0..count {
            let message = inbox.recv_timeout(GENEROUS).expect("a message");
            streams.take(message.payload());
            assert!(Instant::now() < deadline, "{} came", streams.received());
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", count);
}

#[test]
fn an_empty_inbox_says_so_in_every_way() {
    let (a, _b) = pair();
    let mut inbox = a.inbox("in").expect("a mailbox");
    assert!(inbox.try_recv().is_none());
    assert!(inbox.recv_timeout(Duration::from_millis(1)).is_err());
    let mut receiving = Box::pin(inbox.recv());
    let pending = futures_lite::future::block_on(futures_lite::future::poll_once(&mut receiving));
    assert!(pending.is_none());
}

#[test]
fn what_an_inbox_holds_can_be_read_after_the_node_stopped() {
    let (a, b) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for number in 0..100 {
        let message = payload::numbered(0, number, 40);
        channel.try_send(&to, &message).expect("accepted");
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 100);
    assert!(b.stop(GENEROUS).drained);
    let mut streams = Streams::default();
    while let Ok(message) = inbox.recv_blocking() {
        streams.take(message.payload());
        assert_eq!(message.from().name(), "a");
    }
    assert_eq!(streams.received(), 100);
    assert!(futures_lite::future::block_on(inbox.recv()).is_none());
}

#[test]
fn a_reader_that_waits_learns_that_the_node_stopped() {
    let (_a, b) = pair();
    let mut blocking = b.inbox("blocking").expect("a mailbox");
    let mut waiting = b.inbox("waiting").expect("a mailbox");
    let readers = [
        thread::spawn(move || blocking.recv_blocking().is_err()),
        thread::spawn(move || futures_lite::future::block_on(waiting.recv()).is_none()),
    ];
    assert!(b.stop(GENEROUS).drained);
    for reader in readers {
        assert!(reader.join().expect("no panic"));
    }
}

#[test]
fn an_inbox_of_the_smallest_size_takes_messages_of_any() {
    let (a, b) = pair();
    let mut inbox = b.inbox_of("tiny", 128).expect("a mailbox");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "tiny").expect("names");
    let sizes = [0, 48, 49, 100, 128, 1000, 5000, 100_000];
    thread::scope(|scope| {
        scope.spawn(|| {
            for bytes in sizes {
                channel.try_send(&to, vec![7; bytes]).expect("accepted");
            }
        });
        for bytes in sizes {
            let message = inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(message.payload(), vec![7; bytes]);
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", sizes.len() as u64);
}
