//! Starting, stopping, connecting and disconnecting: what is told, what is settled, and that every
//! accepted message is in the report of the stop, however little time it had.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{
    GENEROUS, best_effort, config, connect_both, counting_handler, ends, reliable, start,
    wait_for_event, wait_until,
};
use overlane::config::ControlPlacement;
use overlane::wire::CloseReason;
use overlane::{Event, Events, Metrics, Node, RecvError, SendError, StopReport};

/// Longer than any test waits: a stop that needs it is found to hang.
const AGES: Duration = Duration::from_secs(3600);

fn stop(node: Node, deadline: Duration) -> StopReport {
    ends("the stop", move || node.stop(deadline))
}

/// Why the lane to `peer` ended, and then the peer with its last lane.
fn down_reasons(events: &Events, peer: &str) -> (CloseReason, CloseReason) {
    let lane = wait_for_event(events, "the end of the lane", |event| match event {
        Event::LaneDown {
            peer: of, reason, ..
        } if of.name() == peer => Some(*reason),
        _ => None,
    });
    let last = wait_for_event(events, "the end of the peer", |event| match event {
        Event::PeerDown { peer: of, reason } if of.name() == peer => Some(*reason),
        _ => None,
    });
    (lane, last)
}

/// What became of the messages of `data` to `peer`: accepted, acknowledged, reported.
fn settled(metrics: &Metrics, peer: &str) -> (u64, u64, u64) {
    let lane = metrics.channel(peer, "data").expect("it was used");
    (lane.accepted, lane.acknowledged, lane.reported)
}

fn assert_settled(report: &StopReport) {
    let metrics = &report.metrics;
    assert!(metrics.identity_holds(), "{metrics:#?}");
    assert!(metrics.is_drained(), "something is left: {metrics:#?}");
}

/// Sends until the queue is full or the node stops; how many were accepted.
fn fill(node: &Node, to: &str, mailbox: &str, payload: &[u8]) -> u64 {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(to, mailbox).expect("names");
    let mut accepted = 0;
    while channel.try_send(&to, payload).is_ok() {
        accepted += 1;
    }
    accepted
}

#[test]
fn a_node_alone_starts_and_stops() {
    for control in [ControlPlacement::Own, ControlPlacement::Shared] {
        let node = start(config("a").control(control).channel(reliable("data")));
        let events = node.events();
        let report = stop(node, AGES);
        assert!(report.drained);
        assert_settled(&report);
        let event = events.recv();
        assert!(
            matches!(event, Err(RecvError::Closed)),
            "nothing happens to a node alone: {event:?}"
        );
    }
}

#[test]
fn a_node_without_channels_starts_and_stops() {
    assert!(stop(start(config("a")), AGES).drained);
}

#[test]
fn a_stop_is_told_to_both_sides_as_what_it_is() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let (at_a, at_b) = (a.events(), b.events());
    connect_both(&a, &b);
    crate::support::use_lane(&a, "b", "data", "nobody");
    assert!(stop(a, AGES).drained);
    let (lane, peer) = down_reasons(&at_a, "b");
    assert_eq!(
        (lane, peer),
        (CloseReason::LocalStop, CloseReason::LocalStop)
    );
    let (lane, peer) = down_reasons(&at_b, "a");
    assert_eq!(
        (lane, peer),
        (CloseReason::PeerStopped, CloseReason::PeerStopped)
    );
    while at_a.recv().is_ok() {}
    let closes = &b
        .metrics()
        .channel("a", "data")
        .expect("it was up")
        .closes
        .clone();
    assert_eq!(
        closes.get(&CloseReason::PeerStopped),
        Some(&1),
        "{closes:?}"
    );
    assert!(stop(b, AGES).drained);
}

#[test]
fn a_stop_sends_what_is_queued_and_waits_for_its_acknowledgement() {
    let a = start(config("a").channel(reliable("data").queue_messages_max(1 << 20)));
    let b = start(config("b").channel(reliable("data").queue_messages_max(1 << 20)));
    let (handler, delivered) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let accepted = fill(&a, "b", "in", &[7; 500]);
    assert!(accepted > 0);
    let report = stop(a, AGES);
    assert!(report.drained, "{report:#?}");
    assert_settled(&report);
    assert_eq!(settled(&report.metrics, "b"), (accepted, accepted, 0));
    assert_eq!(delivered.load(Ordering::Relaxed), accepted);
}

/// Sixteen inboxes' worth of messages, which nobody reads at the other side.
#[test]
fn a_stop_without_time_reports_what_is_left_to_the_last_message() {
    for control in [ControlPlacement::Own, ControlPlacement::Shared] {
        let data = || {
            reliable("data")
                .queue_messages_max(1 << 20)
                .queue_bytes_max(64 << 20)
                .ring_bytes(4 << 20)
        };
        let a = start(config("a").control(control).channel(data()));
        let b = start(config("b").channel(data()).inbox_bytes(64 << 10));
        let inbox = b.inbox("in").expect("a mailbox");
        connect_both(&a, &b);
        let mut accepted = 0;
        for _ in 0..8 {
            accepted += fill(&a, "b", "in", &[7; 900]);
        }
        let report = stop(a, Duration::ZERO);
        assert!(!report.drained);
        assert_settled(&report);
        let (counted, acknowledged, reported) = settled(&report.metrics, "b");
        assert_eq!(
            counted, accepted,
            "a message vanished: {:#?}",
            report.metrics
        );
        assert_eq!(counted, acknowledged + reported);
        assert!(reported > 0);
        drop(inbox);
    }
}

#[test]
fn a_stop_at_its_deadline_reports_what_is_left() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")).inbox_bytes(64 << 10));
    let events = a.events();
    let inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let accepted = fill(&a, "b", "in", &[7; 900]);
    let report = stop(a, Duration::from_millis(50));
    assert!(!report.drained);
    assert_settled(&report);
    let (counted, acknowledged, reported) = settled(&report.metrics, "b");
    assert_eq!((counted, acknowledged + reported), (accepted, accepted));
    let lost = wait_for_event(&events, "the end of the lane", |event| match event {
        Event::LaneDown {
            channel,
            reason,
            undelivered,
            unknown,
            ..
        } if **channel == *"data" => Some((*reason, undelivered + unknown)),
        _ => None,
    });
    assert_eq!(lost, (CloseReason::DrainTimeout, reported));
    drop(inbox);
}

#[test]
fn a_node_stops_while_a_peer_floods_it() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let (handler, delivered) = counting_handler();
    a.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let flooding = std::thread::spawn({
        let channel = b.channel("data").expect("it is configured");
        let to = b.destination("a", "in").expect("names");
        move || {
            let mut accepted = 0_u64;
            loop {
                match channel.try_send(&to, &[7; 64]) {
                    Ok(()) => accepted += 1,
                    Err(SendError::Full) => std::thread::yield_now(),
                    Err(SendError::Unreachable) => return accepted,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    wait_until(
        "the flood",
        || delivered.load(Ordering::Relaxed),
        |count| *count > 10_000,
    );
    let stopped = stop(a, AGES);
    assert!(stopped.drained);
    let accepted = flooding.join().expect("the flood does not panic");
    let metrics = crate::support::drained(&b);
    let (counted, acknowledged, reported) = settled(&metrics, "a");
    assert_eq!((counted, acknowledged + reported), (accepted, accepted));
    let arrived = delivered.load(Ordering::Relaxed);
    assert_eq!(
        stopped
            .metrics
            .channel("b", "data")
            .expect("it was used")
            .delivered,
        arrived
    );
    assert!(acknowledged <= arrived && arrived <= accepted);
}

#[test]
fn both_ends_stop_at_once() {
    for _ in 0..20 {
        let a = start(
            config("a")
                .channel(reliable("data"))
                .channel(best_effort("noise")),
        );
        let b = start(
            config("b")
                .channel(reliable("data"))
                .channel(best_effort("noise")),
        );
        let (handler, _) = counting_handler();
        a.handle("in", handler.clone()).expect("a mailbox");
        b.handle("in", handler).expect("a mailbox");
        connect_both(&a, &b);
        fill(&a, "b", "in", b"one");
        fill(&b, "a", "in", b"two");
        let other = std::thread::spawn(move || stop(b, AGES));
        for report in [stop(a, AGES), other.join().expect("it stops")] {
            assert!(report.drained, "{report:#?}");
            assert_settled(&report);
        }
    }
}

#[test]
fn many_nodes_of_one_process_stop_together() {
    let names = ["a", "b", "c", "d", "e"];
    let nodes: Vec<_> = names
        .iter()
        .map(|name| {
            start(
                config(name)
                    .shards(2)
                    .channel(reliable("data").parallelism(2)),
            )
        })
        .collect();
    for (index, node) in nodes.iter().enumerate() {
        let (handler, _) = counting_handler();
        node.handle("in", handler).expect("a mailbox");
        for other in &nodes[index + 1..] {
            node.connect(other.name(), other.local_addr())
                .expect("a name");
        }
    }
    for node in &nodes {
        for name in names.iter().filter(|name| **name != node.name()) {
            node.wait_connected(name, GENEROUS).expect("lanes come up");
        }
    }
    for (node, to) in nodes.iter().zip(["b", "c", "d", "e", "a"]) {
        fill(node, to, "in", b"a message");
    }
    let stops: Vec<_> = nodes
        .into_iter()
        .map(|node| std::thread::spawn(move || stop(node, AGES)))
        .collect();
    for report in stops {
        let report = report.join().expect("it stops");
        assert!(report.drained, "{report:#?}");
        assert_settled(&report);
    }
}

#[test]
fn a_dropped_node_ends_its_lanes_and_frees_its_port() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let at_b = b.events();
    connect_both(&a, &b);
    let address = a.local_addr();
    ends("the drop", move || drop(a));
    down_reasons(&at_b, "a");
    TcpListener::bind(address).expect("the port is free");
}

#[test]
fn whoever_holds_on_to_a_stopped_node_learns_that_it_stopped() {
    let a = start(config("a").channel(reliable("data").queue_messages_max(1)));
    let b = start(config("b").channel(reliable("data").queue_messages_max(1)));
    let mut inbox = a.inbox("in").expect("a mailbox");
    let full = b.inbox_of("full", 64 << 10).expect("a mailbox");
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to_itself = a.destination("a", "in").expect("names");
    channel.try_send(&to_itself, b"last words").expect("room");
    wait_until("the delivery", || a.metrics(), Metrics::is_drained);
    let to_b = a.destination("b", "full").expect("names");
    let waiting = std::thread::spawn({
        let channel = a.channel("data").expect("it is configured");
        move || {
            loop {
                match channel.send_blocking(&to_b, &vec![7; 60_000]) {
                    Ok(()) => {}
                    Err(error) => return error,
                }
            }
        }
    });
    let _ = stop(a, Duration::from_millis(100));
    let error = waiting.join().expect("it does not panic");
    assert!(
        matches!(error, SendError::Closed | SendError::Full),
        "{error}"
    );
    assert_eq!(
        channel.try_send(&to_itself, b"too late"),
        Err(SendError::Closed)
    );
    assert_eq!(
        inbox.recv_blocking().expect("it came in time").payload(),
        b"last words"
    );
    assert!(inbox.recv_blocking().is_err());
    drop(full);
}

#[test]
fn a_deadline_beyond_all_time_is_one() {
    let a = start(config("a").channel(reliable("data")));
    let mut inbox = a.inbox("in").expect("a mailbox");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("a", "in").expect("names");
    channel.try_send(&to, b"one").expect("room");
    assert!(inbox.recv_timeout(Duration::MAX).is_ok());
    a.wait_connected("a", Duration::MAX)
        .expect("a node is connected to itself");
    assert!(stop(a, Duration::MAX).drained);
}

#[test]
fn a_node_whose_control_shard_shares_a_thread_does_all_that_others_do() {
    for shards in [1, 2] {
        let shared = |name| {
            config(name)
                .shards(shards)
                .control(ControlPlacement::Shared)
                .channel(reliable("data"))
        };
        let a = start(shared("a"));
        let b = start(shared("b"));
        let (at_a, at_b) = (a.events(), b.events());
        let (handler, delivered) = counting_handler();
        b.handle("in", handler).expect("a mailbox");
        connect_both(&a, &b);
        wait_for_event(&at_a, "the peer", |event| {
            matches!(event, Event::PeerUp { .. }).then_some(())
        });
        let accepted = fill(&a, "b", "in", b"hello");
        let report = stop(a, AGES);
        assert!(report.drained);
        assert_eq!(settled(&report.metrics, "b"), (accepted, accepted, 0));
        assert_eq!(delivered.load(Ordering::Relaxed), accepted);
        assert_eq!(down_reasons(&at_a, "b").1, CloseReason::LocalStop);
        assert_eq!(down_reasons(&at_b, "a").1, CloseReason::PeerStopped);
        while at_a.recv().is_ok() {}
        stop(b, AGES);
    }
}

#[test]
fn a_disconnected_peer_stays_away_until_it_is_connected_again() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    let (handler, delivered) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let (at_a, at_b) = (a.events(), b.events());
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    channel.try_send(&to, b"one").expect("room");
    crate::support::drained(&a);

    a.disconnect("b").expect("a name");
    assert_eq!(down_reasons(&at_a, "b").0, CloseReason::Disconnected);
    down_reasons(&at_b, "a");
    assert_eq!(channel.try_send(&to, b"two"), Err(SendError::Unreachable));
    // The peer tries again and learns why it may not.
    let reason = wait_for_event(&at_b, "a refusal", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::PeerDisconnected);
    let refused = a.metrics().refused_connections;
    assert!(
        refused.contains_key(&CloseReason::Disconnected),
        "{refused:?}"
    );

    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    channel.try_send(&to, b"three").expect("room");
    crate::support::drained(&a);
    assert_eq!(delivered.load(Ordering::Relaxed), 2);
}

#[test]
fn a_node_that_is_not_there_is_dialled_until_it_is() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let a = start(config("a").channel(reliable("data")).peer("b", address));
    let at_a = a.events();
    let reason = wait_for_event(&at_a, "a failed dial", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::ConnectRefused);
    let _b = start(config("b").listen(address).channel(reliable("data")));
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    // Stopping calls off what is being dialled.
    a.connect("nobody", address).expect("a name");
    assert!(stop(a, AGES).drained);
}

#[test]
fn a_node_stops_though_its_tasks_never_end() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    connect_both(&a, &b);
    a.spawn_on_shard(0, |_| std::future::pending())
        .expect("the shard is there");
    a.spawn_on_shard(0, |handle| async move {
        loop {
            handle.yield_now().await;
        }
    })
    .expect("the shard is there");
    a.spawn_on_shard(0, |_| async {
        loop {
            futures_lite::future::yield_now().await;
        }
    })
    .expect("the shard is there");
    assert!(stop(a, AGES).drained);
    assert!(stop(b, AGES).drained);
}

/// What a closed ring of the kernel's leaves to do is done by the thread that made it, in the middle
/// of whatever that thread waits for.
#[test]
fn a_start_leaves_nothing_that_interrupts_its_caller() {
    let (mut quiet, _other) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let timeout = Some(Duration::from_millis(10));
    quiet
        .set_read_timeout(timeout)
        .expect("a socket takes a timeout");
    for _ in 0..20 {
        let node = start(config("a"));
        let error = std::io::Read::read(&mut quiet, &mut [0]).expect_err("nothing comes");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
        drop(node);
    }
}
