//! Topics over real sockets: publications come to those who subscribe, and to nobody else, over every overlay.

use std::time::Duration;

use overlane::config::OverlayChoice;
use overlane::{ORIGIN_KEY, OverlayKind, TOPIC_KEY, TopicError};

use crate::nodes::{CHANNEL, MAILBOX, Member, agree, cluster, name};
use crate::support::GENEROUS;

const TOPIC: &str = "weather";

const OVERLAYS: [OverlayChoice; 4] = [
    OverlayChoice::FullMesh,
    OverlayChoice::HyParView,
    OverlayChoice::ClientServer,
    OverlayChoice::PubSub,
];

fn publish(member: &Member, payload: &str) {
    let published = member.cluster().publish(CHANNEL, TOPIC, payload);
    published.expect("there is room");
}

fn subscribe(member: &Member) {
    let subscribed = member.cluster().subscribe(TOPIC, MAILBOX);
    subscribed.expect("there is room");
}

/// Publishes until a subscriber has got one: where subscribers form an overlay of their own, that takes a moment.
fn until_reached(from: &Member, to: &mut Member, what: &str) {
    let deadline = std::time::Instant::now() + 2 * GENEROUS;
    for number in 0.. {
        publish(from, &format!("{what} {number}"));
        if to.inbox.recv_timeout(Duration::from_millis(200)).is_ok() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{what} never came");
    }
    // What was published meanwhile is read as well: the next message is a new one.
    let last = format!("{what}: that was it");
    publish(from, &last);
    loop {
        let came = to.inbox.recv_timeout(GENEROUS).expect("it comes");
        if came.payload() == last.as_bytes() {
            break;
        }
    }
}

#[test]
fn publications_come_to_subscribers_alone_also_to_late_ones_and_after_one_is_gone() {
    for overlay in OVERLAYS {
        let mut members = cluster(6, overlay);
        // In the order of nodes: 1 and 2 subscribe, 0 publishes.
        subscribe(&members[1]);
        subscribe(&members[2]);
        for number in [1, 2] {
            let (publisher, rest) = members.split_first_mut().expect("six");
            until_reached(publisher, &mut rest[number - 1], "first");
        }
        // A late one gets what comes after.
        subscribe(&members[4]);
        let (publisher, rest) = members.split_first_mut().expect("six");
        until_reached(publisher, &mut rest[3], "late");
        // One of them dies; the others go on.
        drop(members.remove(1));
        agree(&members);
        let (publisher, rest) = members.split_first_mut().expect("five");
        until_reached(publisher, &mut rest[0], "after a death");
        // One ends its subscription, and takes it up again.
        let left = members[3].cluster();
        left.unsubscribe(TOPIC).expect("it subscribes");
        assert_eq!(
            left.unsubscribe(TOPIC),
            Err(TopicError::NotSubscribed(TOPIC.to_owned()))
        );
        let (publisher, rest) = members.split_first_mut().expect("five");
        until_reached(publisher, &mut rest[0], "without one");
        subscribe(&members[3]);
        let (publisher, rest) = members.split_first_mut().expect("five");
        until_reached(publisher, &mut rest[2], "again");
        // Nobody else ever heard of any of it.
        for number in [0, 2, 4] {
            assert!(
                members[number].inbox.try_recv().is_none(),
                "{overlay:?} {number}"
            );
            assert_eq!(members[number].cluster().broadcast_counts().delivered, 0);
        }
        for member in &members {
            let metrics = member.node.metrics();
            assert!(metrics.identity_holds(), "{metrics:#?}");
        }
    }
}

#[test]
fn a_publication_says_who_sent_it_to_which_topic_and_a_switch_ends_no_subscription() {
    let mut members = cluster(4, OverlayChoice::FullMesh);
    subscribe(&members[2]);
    for kind in [OverlayKind::PubSub, OverlayKind::HyParView] {
        let switched = members[0].cluster().switch_overlay(kind, &[], 3 * GENEROUS);
        switched.expect("all are there");
        let (publisher, rest) = members.split_first_mut().expect("four");
        until_reached(publisher, &mut rest[1], kind.name());
        publish(publisher, "sun");
        let came = rest[1].inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(came.payload(), b"sun");
        assert_eq!(came.metadata(TOPIC_KEY), Some(TOPIC.as_bytes()));
        assert_eq!(came.metadata(ORIGIN_KEY), Some(name(0).as_bytes()));
    }
}

#[test]
fn topics_are_bounded_in_number_and_length() {
    let members = cluster(2, OverlayChoice::PubSub);
    let cluster = members[0].cluster();
    for bad in ["", "a\n", &"a".repeat(256)] {
        assert!(matches!(
            cluster.subscribe(bad, MAILBOX),
            Err(TopicError::Name(_))
        ));
        assert!(matches!(
            cluster.publish(CHANNEL, bad, "x"),
            Err(TopicError::Name(_))
        ));
    }
    assert!(matches!(
        cluster.subscribe("a", ""),
        Err(TopicError::Mailbox(_))
    ));
    assert!(matches!(
        cluster.publish("none", "a", "x"),
        Err(TopicError::Broadcast(_))
    ));
    for number in 0..64 {
        let subscribed = cluster.subscribe(&format!("topic {number}"), MAILBOX);
        subscribed.expect("64 are allowed");
    }
    let refused = cluster.subscribe("one more", MAILBOX);
    assert_eq!(refused, Err(TopicError::TooMany { most: 64 }));
    cluster
        .subscribe("topic 7", "another")
        .expect("it is one of them");
    assert_eq!(cluster.subscriptions().len(), 64);
}
