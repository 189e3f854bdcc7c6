//! Bounds: queues, rings, inboxes, events. Each keeps to its limit, and says what became of the rest.

use std::thread;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{config, connect_both, reliable, start, wait_for_event, wait_until};
use bytes::Bytes;
use overlane::config::{ChannelConfig, Overflow};
use overlane::{Channel, ChannelMetrics, Destination, Event, Inbox, Node, SendError};

const POLICIES: [Overflow; 4] = [
    Overflow::Reject,
    Overflow::Block,
    Overflow::DropOldest,
    Overflow::DropNewest,
];

/// Two nodes whose lane is stopped as soon as something is sent: the inbox is small and nobody reads
/// it, and the socket buffers hold little.
struct Stopped {
    a: Node,
    b: Node,
    inbox: Inbox,
    channel: Channel,
    to: Destination,
}

impl Stopped {
    fn new(channel: ChannelConfig) -> Self {
        let channel = channel
            .send_buffer_bytes(32_u32 << 10)
            .receive_buffer_bytes(64_u32 << 10);
        let node = |name| start(config(name).channel(channel.clone()));
        let (a, b) = (node("a"), node("b"));
        let inbox = b.inbox_of("in", 64 << 10).expect("a mailbox");
        connect_both(&a, &b);
        Self {
            channel: a.channel("data").expect("it is configured"),
            to: a.destination("b", "in").expect("names"),
            a,
            b,
            inbox,
        }
    }

    fn counted(&self) -> ChannelMetrics {
        counted(&self.a.metrics(), "b", "data").clone()
    }

    /// Offers `count` messages, numbered from `first` on; says how many were taken.
    fn offer(&self, first: u64, count: u64, bytes: usize) -> u64 {
        let mut taken = 0;
        for _ in 0..count {
            let message = Bytes::from(payload::numbered(0, first + taken, bytes));
            match self
                .channel
                .try_send(&self.to, message)
                .map_err(SendError::from)
            {
                Ok(()) => taken += 1,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        taken
    }

    /// Reads until the sender has nothing left; says how many came, and checks their order.
    fn read_all(&mut self) -> Streams {
        let mut streams = Streams::default();
        wait_until(
            "the sender drains",
            || {
                while let Some(message) = self.inbox.try_recv() {
                    streams.take_after_gap(message.payload());
                }
                self.a.metrics().is_drained()
            },
            |drained| *drained,
        );
        while let Some(message) = self.inbox.try_recv() {
            streams.take_after_gap(message.payload());
        }
        streams
    }
}

/// Offers far more than fits, under every policy, and checks what it promises. `keeps` says whether
/// the queue is within its bound and so many messages more.
fn each_policy_keeps(
    channel: impl Fn() -> ChannelConfig,
    bytes: usize,
    keeps: fn(&ChannelMetrics, u64) -> bool,
) {
    for policy in POLICIES {
        let mut stopped = Stopped::new(channel().overflow(policy));
        let events = stopped.a.events();
        let (rounds, each) = (100, 30);
        let mut taken = 0;
        for _ in 0..rounds {
            taken += stopped.offer(taken, each, bytes);
            let out = stopped.counted();
            if policy == Overflow::DropOldest {
                // The shard makes the room, as soon as it takes the newer ones up. If all the older ones
                // are with the kernel, the newest is kept besides.
                wait_until("room is made", || stopped.counted(), |out| keeps(out, 1));
            } else {
                assert!(keeps(&out, 0), "{policy:?}: {out:#?}");
            }
        }
        if policy == Overflow::DropNewest {
            // The lane may have moved meanwhile: the last one offered is to be one that was dropped.
            let before = stopped.counted().reported;
            wait_until(
                "one more is dropped",
                || {
                    taken += stopped.offer(taken, 1, bytes);
                    stopped.counted().reported
                },
                |reported| *reported > before,
            );
        }
        let drops = matches!(policy, Overflow::DropOldest | Overflow::DropNewest);
        assert_eq!(taken >= rounds * each, drops, "{policy:?} took {taken}");
        let streams = stopped.read_all();
        let metrics = check_accounting(&[&stopped.a, &stopped.b]);
        let out = counted(&metrics[0], "b", "data");
        assert_eq!(out.accepted, taken, "{policy:?}");
        assert_eq!(out.acknowledged, streams.received(), "{policy:?}");
        assert_eq!(out.reported > 0, drops, "{policy:?}: {out:#?}");
        let mut told = 0;
        if drops {
            wait_for_event(&events, "all that was dropped is told", |event| {
                if let Event::Reported { undelivered, .. } = event {
                    told += undelivered;
                }
                (told >= out.reported).then_some(())
            });
        }
        assert_eq!(told, out.reported, "{policy:?}");
        match policy {
            Overflow::DropOldest => assert_eq!(streams.next(0), taken, "the newest is kept"),
            Overflow::DropNewest => assert!(streams.next(0) < taken, "the newest is dropped"),
            _ => assert_eq!(streams.received(), taken, "{policy:?} keeps all it takes"),
        }
    }
}

#[test]
fn each_policy_keeps_the_queue_within_its_messages() {
    let channel = || reliable("data").queue_messages_max(100);
    each_policy_keeps(channel, 1000, |out, more| out.queue_messages <= 100 + more);
}

#[test]
fn each_policy_keeps_the_queue_within_its_bytes() {
    let channel = || {
        let small = reliable("data").message_bytes_max(50_000);
        small.queue_bytes_max(100_000)
    };
    each_policy_keeps(channel, 3000, |out, more| {
        out.queue_bytes <= 100_000 + 3000 * more
    });
}

#[test]
fn drop_oldest_keeps_to_twice_its_bytes_even_before_room_is_made() {
    let channel = reliable("data")
        .message_bytes_max(50_000)
        .queue_bytes_max(100_000)
        .overflow(Overflow::DropOldest);
    let mut stopped = Stopped::new(channel);
    for round in 0..20 {
        assert_eq!(stopped.offer(round * 200, 200, 3000), 200);
        let out = stopped.counted();
        assert!(out.queue_bytes <= 200_000, "{out:#?}");
    }
    let streams = stopped.read_all();
    let metrics = check_accounting(&[&stopped.a, &stopped.b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!((out.accepted, out.acknowledged), (4000, streams.received()));
}

#[test]
fn a_full_ring_refuses_and_takes_again() {
    let channel = reliable("data").ring_bytes(64 << 10);
    let a = start(config("a").channel(channel.clone()));
    let b = start(config("b").channel(channel));
    let (handler, _) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    // The shard takes nothing out of the ring while a task of the application holds it.
    let (hold, held) = crossbeam_channel::bounded::<()>(0);
    let (go_on, going_on) = crossbeam_channel::bounded::<()>(0);
    let shard = a.shard_of(&channel, &to).expect("both are of a");
    a.spawn_on_shard(shard, move |_| async move {
        hold.send(()).expect("the test waits");
        going_on.recv().expect("the test goes on");
    })
    .expect("there is that shard");
    held.recv().expect("the task runs");
    let mut taken = 0;
    let full = loop {
        match channel.try_send(&to, &[0; 1000]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, SendError::Full);
    assert!(taken > 0 && taken <= (64 << 10) / 1000, "{taken} fit");
    go_on.send(()).expect("the task waits");
    wait_until(
        "the ring takes again",
        || channel.try_send(&to, &[0; 1000]).is_ok(),
        |sent| *sent,
    );
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", taken + 1);
}

#[test]
fn a_full_inbox_stops_its_lanes_and_loses_nothing() {
    // An inbox of 64 KiB, messages below and above the inline limit, and a reader that pauses.
    for bytes in [200, 5000, 100_000] {
        let channel = reliable("data").overflow(Overflow::Block);
        let channel = channel.message_bytes_max(200_000);
        let mut stopped = Stopped::new(channel.queue_bytes_max(256 << 10));
        let count = 16_000_000 / (bytes as u64 + 6000);
        thread::scope(|scope| {
            let (channel, to) = (&stopped.channel, &stopped.to);
            scope.spawn(move || {
                for number in 0..count {
                    let message = payload::numbered(0, number, bytes);
                    channel.send_blocking(to, message).expect("accepted");
                }
            });
            let mut streams = Streams::default();
            for round in 0.. {
                if streams.received() == count {
                    break;
                }
                if round < 5 {
                    // Nothing is read until nothing moves: everything on the way is full, and the sender is
                    // not woken before half of its queue is empty.
                    wait_until(
                        "the sender is stopped",
                        || stopped.a.metrics(),
                        |metrics| {
                            let out = counted(metrics, "b", "data");
                            out.queue_bytes > (256 << 10) / 2 || out.accepted == count
                        },
                    );
                }
                for _ in 0..count.div_ceil(8).min(count - streams.received()) {
                    let message = stopped.inbox.recv_timeout(crate::support::GENEROUS);
                    streams.take(message.expect("a message").payload());
                }
            }
        });
        let metrics = check_accounting(&[&stopped.a, &stopped.b]);
        all_acknowledged(&metrics[0], "b", "data", count);
    }
}

#[test]
fn a_slow_reader_of_events_loses_the_oldest() {
    let a = start(config("a").channel(reliable("data")).events_queue_max(16));
    let b = start(config("b").channel(reliable("data")));
    let slow = a.events();
    let quick = a.events();
    // Each round is two events up and two down.
    let mut seen = 0;
    for _ in 0..10 {
        a.connect("b", b.local_addr()).expect("a name");
        a.wait_connected("b", crate::support::GENEROUS)
            .expect("it is up");
        a.disconnect("b").expect("a name");
        wait_for_event(&quick, "b is down", |event| {
            seen += 1;
            matches!(event, Event::PeerDown { .. }).then_some(())
        });
    }
    let Some(Event::Missed { events: missed }) = slow.try_recv() else {
        panic!("the reader is told first that it missed something");
    };
    let mut left = Vec::new();
    while let Some(event) = slow.try_recv() {
        left.push(event);
    }
    assert_eq!(left.len(), 16, "{left:#?}");
    assert_eq!(missed + 16, seen, "every event was seen or missed");
    assert!(
        matches!(left.last(), Some(Event::PeerDown { .. })),
        "the newest is there: {left:#?}"
    );
}
