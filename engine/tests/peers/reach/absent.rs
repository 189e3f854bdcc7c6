//! Peers that are reached and are not there, come back as another process, or move.

use overlane::config::ConfigBuilder;
use overlane::wire::CloseReason;
use overlane::{Event, Events, Node, SendError};

use crate::reach::{
    KINDS, dead_address, happened, has_connections, kinds, node, node_of, reach, send,
};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{GENEROUS, config, counting_handler, drained, start, wait_for_event};
use crate::support::{reliable, wait_until};

/// A node whose back-off lasts for minutes.
fn patient(name: &str) -> Node {
    node_of(patience(config(name)))
}

fn patience(config: ConfigBuilder) -> ConfigBuilder {
    config.reconnect_base_ms(600_000).reconnect_max_ms(600_000)
}

/// Why the next messages were reported, and how many.
fn reported(events: &Events) -> (u64, &'static str) {
    wait_for_event(events, "a report", |event| match event {
        Event::Reported {
            undelivered, why, ..
        } => Some((*undelivered, *why)),
        _ => None,
    })
}

fn is_refused(from: &Node, to: &str, channel: &str) -> bool {
    let to = from.destination(to, "in").expect("names");
    let channel = from.channel(channel).expect("it is configured");
    channel.try_send(&to, b"x") == Err(SendError::Unreachable)
}

#[test]
fn what_waits_for_a_dead_peer_is_reported_and_nothing_more_is_accepted_for_a_while() {
    for shards in [1, 3] {
        let a = node_of(patience(config("a").shards(shards)));
        let events = a.events();
        reach(&a, "b", &[dead_address()]);
        send(&a, "b", "reliable", b"x");
        let why = CloseReason::ConnectRefused.sentence();
        assert_eq!(reported(&events), (1, why));
        // On no channel: one dial has found out for all.
        assert!(is_refused(&a, "b", "reliable"));
        assert!(!a.peers()[0].peer.is_reachable());
        // Said again, it may be there.
        reach(&a, "b", &[dead_address()]);
        send(&a, "b", "best_effort", b"x");
        wait_until(
            "it is dropped",
            || is_refused(&a, "b", "reliable"),
            |is| *is,
        );
        let out = &check_accounting(&[&a])[0];
        assert_eq!(counted(out, "b", "best_effort").dropped, 1);
        // It comes by itself.
        let b = node("b");
        let (handler, _) = counting_handler();
        b.handle("in", handler).expect("a mailbox");
        b.connect("a", a.local_addr()).expect("a name");
        a.wait_connected("b", GENEROUS).expect("it comes");
        for channel in KINDS {
            send(&a, "b", channel, b"x");
        }
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "guaranteed", 1);
    }
}

/// A back-off of a few milliseconds passes: the gate is opened by time alone.
#[test]
fn after_the_back_off_the_next_message_is_the_next_attempt() {
    let a = node("a");
    let place = dead_address();
    reach(&a, "b", &[place]);
    let mut refused = 0;
    for _ in 0..5 {
        send(&a, "b", "reliable", b"x");
        drained(&a);
        refused += u64::from(is_refused(&a, "b", "reliable"));
        drained(&a);
        a.wait_reachable("b", GENEROUS).expect("it is tried again");
    }
    let b = node_of(config("b").listen(place));
    let mut inbox = b.inbox("in").expect("a mailbox");
    send(&a, "b", "reliable", b"there");
    assert_eq!(
        inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"there"
    );
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "reliable");
    assert_eq!(out.acknowledged, 1);
    // What was asked whether it is refused was accepted, if it was not.
    assert_eq!(out.reported, 5 + 5 - refused);
}

#[test]
fn kept_messages_wait_for_a_dead_peer_as_long_as_their_channel_says() {
    for channel in ["at_least_once", "guaranteed"] {
        let kinds = kinds().map(|kind| kind.resume_timeout_ms(300));
        let a = start(kinds.into_iter().fold(config("a"), ConfigBuilder::channel));
        let events = a.events();
        reach(&a, "b", &[dead_address()]);
        send(&a, "b", channel, b"x");
        let (count, why) = reported(&events);
        assert!(
            count == 1 && why == CloseReason::ConnectRefused.sentence(),
            "{why}"
        );
        let out = &check_accounting(&[&a])[0];
        assert_eq!(counted(out, "b", channel).reported, 1);
    }
}

#[test]
fn kept_messages_are_delivered_to_a_peer_that_comes_late() {
    for shards in [1, 3] {
        let a = node_of(config("a").shards(shards));
        let events = a.events();
        let place = dead_address();
        reach(&a, "b", &[place]);
        for channel in ["at_least_once", "guaranteed"] {
            let to = a.destination("b", "in").expect("names");
            let channel = a.channel(channel).expect("it is configured");
            for _ in 0..10 {
                while channel.try_send(&to, b"x").is_err() {
                    a.wait_reachable("b", GENEROUS).expect("it is tried again");
                }
            }
        }
        for _ in 0..3 {
            wait_for_event(&events, "a failed dial", |event| {
                matches!(event, Event::DialFailed { .. }).then_some(())
            });
        }
        let b = ConfigBuilder::build(
            kinds()
                .into_iter()
                .fold(config("b").listen(place), ConfigBuilder::channel),
        );
        let (handler, _) = counting_handler();
        let b = Node::builder(b.expect("a valid configuration"));
        let b = b.handle("in", handler).start().expect("it starts");
        let metrics = check_accounting(&[&a, &b]);
        for channel in ["at_least_once", "guaranteed"] {
            all_acknowledged(&metrics[0], "b", channel, 10);
        }
    }
}

#[test]
fn a_peer_that_was_started_again_is_reached_as_another_process() {
    for channel in KINDS {
        let a = node("a");
        let mut place = None;
        let mut incarnations = Vec::new();
        for round in 0..3_u64 {
            let config = config("b").incarnation(round + 1);
            let b = node_of(match place {
                Some(place) => config.listen(place),
                None => config,
            });
            let mut inbox = b.inbox("in").expect("a mailbox");
            place = Some(b.local_addr());
            // Its start is told, as a membership tells it.
            reach(&a, "b", &[b.local_addr()]);
            send(&a, "b", channel, b"x");
            inbox.recv_timeout(GENEROUS).expect("it comes");
            incarnations.push(a.peers()[0].peer.incarnation());
            drained(&a);
            // Without a goodbye from this side of it: messages are not waited for.
            drop(b);
            has_connections(&a, 0);
        }
        assert_eq!(incarnations, [1, 2, 3]);
    }
}

/// The old place refuses, so nobody but the newcomer can have got it.
#[test]
fn a_peer_that_moved_is_reached_at_its_new_address() {
    let a = patient("a");
    let old = node("b");
    let (handler, _) = counting_handler();
    old.handle("in", handler.clone()).expect("a mailbox");
    reach(&a, "b", &[old.local_addr()]);
    send(&a, "b", "guaranteed", b"one");
    check_accounting(&[&a, &old]);
    let there = old.local_addr();
    drop(old);
    has_connections(&a, 0);
    // What is sent meanwhile waits, and goes to the new place.
    send(&a, "b", "guaranteed", b"two");
    let new = node("b");
    assert_ne!(new.local_addr(), there);
    let mut inbox = new.inbox("in").expect("a mailbox");
    reach(&a, "b", &[new.local_addr()]);
    assert_eq!(
        inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"two"
    );
    check_accounting(&[&a]);
}

#[test]
fn lanes_that_are_up_stay_when_addresses_change() {
    let (a, b) = (node("a"), node("b"));
    let mut inbox = b.inbox("in").expect("a mailbox");
    reach(&a, "b", &[b.local_addr()]);
    send(&a, "b", "reliable", b"one");
    inbox.recv_timeout(GENEROUS).expect("it comes");
    drained(&a);
    let events = a.events();
    reach(&a, "b", &[dead_address(), b.local_addr()]);
    reach(&a, "b", &[dead_address()]);
    send(&a, "b", "reliable", b"two");
    assert_eq!(
        inbox.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"two"
    );
    check_accounting(&[&a, &b]);
    let ended = happened(&events).into_iter();
    let mut ended = ended.filter(|event| matches!(event, Event::LaneDown { .. }));
    assert!(ended.next().is_none());
}

/// Another node answers at the address, then the right one at the next.
#[test]
fn a_node_of_another_name_is_not_taken_for_the_peer() {
    let (a, b, other) = (node("a"), node("b"), node("c"));
    let (handler, count) = counting_handler();
    other.handle("in", handler).expect("a mailbox");
    let mut inbox = b.inbox("in").expect("a mailbox");
    reach(&a, "b", &[other.local_addr(), b.local_addr()]);
    send(&a, "b", "guaranteed", b"x");
    inbox.recv_timeout(GENEROUS).expect("it comes");
    check_accounting(&[&a, &b, &other]);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn a_peer_that_is_banned_is_reached_no_more_until_it_is_wanted_again() {
    let (a, b) = (node("a"), node("b"));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    reach(&a, "b", &[b.local_addr()]);
    send(&a, "b", "reliable", b"x");
    check_accounting(&[&a, &b]);
    a.disconnect("b").expect("a name");
    wait_until("it is banned", || is_refused(&a, "b", "reliable"), |is| *is);
    drained(&a);
    reach(&a, "b", &[b.local_addr()]);
    send(&a, "b", "reliable", b"x");
    check_accounting(&[&a, &b]);
    a.forget("b").expect("a name");
    wait_until(
        "it is forgotten",
        || is_refused(&a, "b", "reliable"),
        |is| *is,
    );
    check_accounting(&[&a, &b]);
}

/// Many members are dead: what is sent to them ends, and nobody else waits for it.
#[test]
fn dead_peers_hold_nobody_else_up() {
    const DEAD: usize = 200;
    let config = config("a").peers_max(DEAD + 1);
    let a = start(config.channel(reliable("data")));
    let b = start(crate::reach::config("b").channel(reliable("data")));
    let mut inbox = b.inbox("in").expect("a mailbox");
    let dead = dead_address();
    for number in 0..DEAD {
        a.reach(&format!("dead-{number}"), &[dead]).expect("names");
    }
    reach(&a, "b", &[b.local_addr()]);
    for number in 0..DEAD {
        let name = format!("dead-{number}");
        a.wait_reachable(&name, GENEROUS).expect("it is reached");
        send(&a, &name, "data", b"x");
    }
    send(&a, "b", "data", b"x");
    inbox.recv_timeout(GENEROUS).expect("it comes");
    let metrics = check_accounting(&[&a, &b]);
    let out = metrics[0].lanes.iter();
    let reported: u64 = out.map(|lane| lane.reported).sum();
    assert_eq!(reported, DEAD as u64);
}
