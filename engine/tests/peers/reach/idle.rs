//! The connection to a peer that is only reached ends when nothing is between the two nodes, and not before.

use overlane::config::ConfigBuilder;
use overlane::wire::CloseReason;
use overlane::{Event, Events, Node, SendError};

use crate::reach::{KINDS, happened, has_connections, node_of, reach, send};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::wait_until;
use crate::support::{CONTROL, GENEROUS, config, counting_handler, drained, wait_for_event};

const IDLE_MS: u64 = 30;

fn brief(name: &str) -> ConfigBuilder {
    config(name).lane_idle_ms(IDLE_MS)
}

/// Two nodes whose lanes are idle soon; the second has a mailbox `in`.
fn pair() -> (Node, Node) {
    let (a, b) = (node_of(brief("a").shards(2)), node_of(brief("b")));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    (a, b)
}

fn peer_down(events: &Events) -> CloseReason {
    wait_for_event(events, "the end", |event| match event {
        Event::PeerDown { reason, .. } => Some(*reason),
        _ => None,
    })
}

/// The lane of a channel has ended for idleness, while the peer stayed up.
fn lane_down(events: &Events, wanted: &str) {
    wait_for_event(events, "the end of the lane", |event| match event {
        Event::LaneDown {
            channel, reason, ..
        } if **channel == *wanted => {
            assert_eq!(*reason, CloseReason::Idle);
            Some(())
        }
        Event::PeerDown { .. } => panic!("the peer stays: {event:?}"),
        _ => None,
    });
}

#[test]
fn an_idle_peer_parts_in_order_and_the_next_message_connects_it_again() {
    // Whether the other side knows the address of this one or not.
    for is_mutual in [false, true] {
        let (a, b) = pair();
        let (at_a, at_b) = (a.events(), b.events());
        reach(&a, "b", &[b.local_addr()]);
        if is_mutual {
            reach(&b, "a", &[a.local_addr()]);
        }
        for round in 1..=3 {
            for channel in KINDS {
                send(&a, "b", channel, b"x");
            }
            for events in [&at_a, &at_b] {
                assert_eq!(peer_down(events), CloseReason::Idle);
            }
            for node in [&a, &b] {
                has_connections(node, 0);
            }
            let metrics = check_accounting(&[&a, &b]);
            all_acknowledged(&metrics[0], "b", "guaranteed", round);
            for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
                for channel in KINDS.into_iter().chain([CONTROL]) {
                    let closes = &counted(metrics, peer, channel).closes;
                    assert!(
                        closes.keys().all(|why| *why == CloseReason::Idle),
                        "{closes:?}"
                    );
                }
            }
        }
        let reached = a.peers()[0].peer.clone();
        assert!(reached.is_reachable() && !reached.is_connected());
        assert_eq!(b.peers()[0].peer.is_reachable(), is_mutual);
    }
}

/// Messages come at every moment of the parting.
#[test]
fn messages_that_cross_the_parting_are_all_accounted_for() {
    let (a, b) = (
        node_of(config("a").lane_idle_ms(1)),
        node_of(config("b").lane_idle_ms(1)),
    );
    for node in [&a, &b] {
        let (handler, _) = counting_handler();
        node.handle("in", handler).expect("a mailbox");
    }
    reach(&a, "b", &[b.local_addr()]);
    reach(&b, "a", &[a.local_addr()]);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    std::thread::scope(|scope| {
        for (from, to, seed) in [(&a, "b", seed), (&b, "a", !seed)] {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..300 {
                    send(from, to, KINDS[random.usize(..4)], b"x");
                    std::thread::sleep(std::time::Duration::from_micros(random.u64(..6000)));
                }
            });
        }
    });
    let metrics = check_accounting(&[&a, &b]);
    for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
        for channel in ["at_least_once", "guaranteed"] {
            let out = counted(metrics, peer, channel);
            assert_eq!(
                (out.acknowledged, out.reported),
                (out.accepted, 0),
                "{out:#?}"
            );
        }
    }
}

#[test]
fn a_peer_that_keeps_the_connection_is_not_parted_from() {
    let (a, b) = pair();
    reach(&a, "b", &[b.local_addr()]);
    b.connect("a", a.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it comes");
    let events = a.events();
    for _ in 0..3 {
        send(&a, "b", "reliable", b"x");
        lane_down(&events, "reliable");
    }
    // It does no more: then both agree.
    reach(&b, "a", &[a.local_addr()]);
    assert_eq!(peer_down(&events), CloseReason::Idle);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_connection_that_is_kept_no_more_lets_out_what_was_sent_and_ends_when_idle() {
    let (a, b) = pair();
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it comes");
    let events = a.events();
    for _ in 0..100 {
        send(&a, "b", "reliable", b"x");
    }
    a.reach("b", &[b.local_addr()]).expect("names");
    assert_eq!(peer_down(&events), CloseReason::Idle);
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "reliable", 100);
    // Kept again, it is made without a message, and stays.
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it comes");
    assert!(a.peers()[0].kept);
    happened(&events);
    for _ in 0..3 {
        send(&a, "b", "reliable", b"x");
        lane_down(&events, "reliable");
    }
    check_accounting(&[&a, &b]);
}

/// The answer takes longer than a connection may be idle, and whoever is asked wants nothing of the asker.
#[test]
fn a_request_that_is_open_keeps_the_connection() {
    let (a, b) = pair();
    let mut asked = b.inbox("questions").expect("a mailbox");
    let (at_a, at_b) = (a.events(), b.events());
    reach(&a, "b", &[b.local_addr()]);
    let calls = a.channel("reliable").expect("it is configured");
    let to = a.destination("b", "questions").expect("names");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| calls.request_blocking(&to, b"slow", GENEROUS));
        let request = asked.recv_timeout(GENEROUS).expect("it comes");
        let asker = request.reply_handle().expect("it is a request");
        lane_down(&at_b, "reliable");
        // The one that is asked would part.
        for _ in 0..3 {
            send(&a, "b", "guaranteed", b"x");
            lane_down(&at_b, "guaranteed");
        }
        let back = b.channel("reliable").expect("it is configured");
        back.try_reply(&asker, b"done").expect("accepted");
        let reply = asking.join().expect("no panic").expect("a reply");
        assert_eq!(reply.payload(), b"done");
    });
    assert_eq!(peer_down(&at_a), CloseReason::Idle);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_peer_that_is_released_keeps_the_lanes_that_it_wants() {
    let (a, b) = pair();
    reach(&a, "b", &[b.local_addr()]);
    b.connect("a", a.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it comes");
    let events = a.events();
    a.release("b").expect("a name");
    for _ in 0..3 {
        send(&a, "b", "reliable", b"x");
        lane_down(&events, "reliable");
    }
    let known = a.peers();
    assert_eq!((known[0].address, known[0].kept), (None, false));
    a.forget("b").expect("a name");
    assert_eq!(peer_down(&events), CloseReason::Disconnected);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_peer_that_is_released_is_reached_no_more_once_it_has_parted() {
    let (a, b) = pair();
    let events = a.events();
    reach(&a, "b", &[b.local_addr()]);
    for _ in 0..100 {
        send(&a, "b", "reliable", b"x");
    }
    a.wait_connected("b", GENEROUS).expect("it is made");
    a.release("b").expect("a name");
    assert_eq!(peer_down(&events), CloseReason::Idle);
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "reliable");
    assert_eq!(out.acknowledged + out.reported, 100);
    let to = a.destination("b", "in").expect("names");
    let channel = a.channel("reliable").expect("it is configured");
    let refused = || channel.try_send(&to, b"x") == Err(SendError::Unreachable);
    wait_until("it is let go", refused, |refused| *refused);
    drained(&a);
}
