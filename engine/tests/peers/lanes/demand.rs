//! A lane is made by the first message on it, by whichever side can dial, or its messages are reported.

use std::collections::BTreeMap;
use std::net::TcpListener;

use overlane::wire::control::Decline;
use overlane::wire::{CloseReason, FrameKind};
use overlane::{Event, Events, Node, SendError};

use crate::lanes::{connections, control_hello, has_connections, reliable};
use crate::stranger::{Stranger, good_frame};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::child::{descriptors, in_child, resident_bytes};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, counting_handler, drained, start, wait_for_event,
};

#[test]
fn the_first_message_on_a_channel_makes_its_lane_and_no_other() {
    let node = |name: &str| {
        let config = config(name).shards(2).channel(reliable("one"));
        start(config.channel(reliable("two").parallelism(3)))
    };
    let (a, b) = (node("a"), node("b"));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    for node in [&a, &b] {
        has_connections(node, 1);
    }
    let to = a.destination("b", "in").expect("names");
    let sends = [("one", 0), ("two", 2), ("two", 2), ("two", 1)];
    for (lanes, (channel, key)) in [2, 3, 3, 4].into_iter().zip(sends) {
        let channel = a.channel(channel).expect("it is configured");
        channel.try_send(&to.with_key(key), b"x").expect("accepted");
        check_accounting(&[&a, &b]);
        for node in [&a, &b] {
            has_connections(node, lanes);
        }
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "two", 3);
    assert_eq!(counted(&metrics[0], "b", "two").lanes_up, 2);
    assert_eq!(counted(&metrics[1], "a", "one").lanes_up, 1);
}

/// Both send at once what makes the same lanes.
#[test]
fn lanes_that_both_sides_need_at_once_are_made_once() {
    for round in 0..20 {
        let node = |name: &str, shards| {
            let config = config(name).shards(shards);
            start(config.channel(reliable("data").parallelism(4)))
        };
        let (a, b) = (node("a", 1 + round % 2), node("b", 1 + round / 2 % 2));
        for node in [&a, &b] {
            let (handler, _) = counting_handler();
            node.handle("in", handler).expect("a mailbox");
        }
        // In half of the rounds one side alone can dial.
        a.connect("b", b.local_addr()).expect("a name");
        if round % 2 == 0 {
            b.connect("a", a.local_addr()).expect("a name");
        }
        a.wait_connected("b", GENEROUS).expect("it is there");
        b.wait_connected("a", GENEROUS).expect("it is there");
        std::thread::scope(|scope| {
            for (from, to) in [(&a, "b"), (&b, "a")] {
                scope.spawn(move || {
                    let channel = from.channel("data").expect("it is configured");
                    let to = from.destination(to, "in").expect("names");
                    for key in 0..4 {
                        channel.try_send(&to.with_key(key), b"x").expect("accepted");
                    }
                });
            }
        });
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 4);
        all_acknowledged(&metrics[1], "a", "data", 4);
        for node in [&a, &b] {
            has_connections(node, 5);
        }
    }
}

#[test]
fn a_node_that_cannot_dial_a_peer_asks_it_for_the_lane() {
    for shards in [1, 3] {
        let node = |name: &str| {
            let config = config(name).shards(shards).channel(reliable("data"));
            start(config.channel(best_effort("gossip")))
        };
        let (a, b) = (node("a"), node("b"));
        let (handler, _) = counting_handler();
        b.handle("in", handler).expect("a mailbox");
        // b alone has an address.
        b.connect("a", a.local_addr()).expect("a name");
        a.wait_connected("b", GENEROUS).expect("it is there");
        let to = a.destination("b", "in").expect("names");
        for channel in ["data", "gossip"] {
            let channel = a.channel(channel).expect("it is configured");
            for _ in 0..10 {
                channel.try_send(&to, b"x").expect("accepted");
            }
        }
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 10);
        let gossip = counted(&metrics[0], "b", "gossip");
        assert_eq!((gossip.sent, gossip.dropped), (10, 0), "{gossip:#?}");
    }
}

#[test]
fn a_lane_that_the_peer_cannot_make_either_is_reported_with_the_reason() {
    // b has no such channel.
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("other")));
    let events = a.events();
    b.connect("a", a.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it is there");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    channel.try_send(&to, b"x").expect("accepted");
    assert_eq!(
        reported(&events),
        (1, CloseReason::ChannelUnknown.sentence())
    );
    let out = &check_accounting(&[&a, &b])[0];
    assert_eq!(counted(out, "b", "data").reported, 1);
}

/// How many messages the next report is about, and why.
fn reported(events: &Events) -> (u64, &'static str) {
    wait_for_event(events, "a report", |event| match event {
        Event::Reported {
            undelivered, why, ..
        } => Some((*undelivered, *why)),
        _ => None,
    })
}

/// A node that has dialled the control lane of a peer that is spoken by hand, and can dial no other.
fn with_control_alone(node: &Node) -> Stranger {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    node.connect("b", there).expect("a name");
    let (mut peer, _) = Stranger::accept(&listener);
    peer.welcome("b", 1);
    node.wait_connected("b", GENEROUS).expect("it is there");
    peer
}

/// The next word about a lane.
fn summoned(peer: &mut Stranger) -> (u32, Vec<u8>) {
    let mut frames = std::iter::from_fn(|| peer.next_frame());
    let summon = frames.find(|(kind, ..)| *kind == FrameKind::Summon);
    let (_, word, body) = summon.expect("it is asked");
    (word, body)
}

#[test]
fn messages_to_a_peer_that_nobody_can_reach_any_more_are_reported_in_time() {
    let node = || {
        let config = config("a")
            .connect_timeout_ms(100)
            .handshake_deadline_ms(100);
        start(config.channel(reliable("data").parallelism(2)))
    };
    // It says why it cannot make the lane; the reason of this node's own dial is told.
    let a = node();
    let events = a.events();
    let mut peer = with_control_alone(&a);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..3 {
        channel.try_send(&to.with_key(1), b"x").expect("accepted");
    }
    assert_eq!(summoned(&mut peer), (1, b"data".to_vec()));
    let decline = Decline {
        lane: 1,
        reason: CloseReason::LocalStop,
    };
    peer.say(&good_frame(FrameKind::Decline, decline.word(), b"data"));
    assert_eq!(
        reported(&events),
        (3, CloseReason::ConnectRefused.sentence())
    );
    // It says nothing: the patience for a dial ends.
    channel.try_send(&to, b"x").expect("accepted");
    assert_eq!(summoned(&mut peer), (0, b"data".to_vec()));
    assert_eq!(
        reported(&events),
        (1, CloseReason::ConnectRefused.sentence())
    );
    // Gone altogether, it is unreachable at once.
    drop(peer);
    let unreachable = || channel.try_send(&to, b"x") == Err(SendError::Unreachable);
    crate::lanes::wait_until("it is gone", unreachable, |gone| *gone);
    let metrics = check_accounting(&[&a]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!(out.reported, out.accepted, "{out:#?}");
}

#[test]
fn refusals_of_lanes_to_a_peer_that_does_not_read_are_bounded() {
    in_child(
        "lanes::demand::refusals_of_lanes_to_a_peer_that_does_not_read_are_bounded",
        || {
            const SUMMONS: usize = 100_000;
            let a = config("a").control_frames_per_second_max(10_000_000_u32);
            let a = start(a.channel(reliable("data")));
            let mut peer = Stranger::lane(a.local_addr(), control_hello("b"));
            // Each is answered by as much, which would be 26 MB, and nobody reads the answers.
            let summon = good_frame(FrameKind::Summon, 0, "x".repeat(255).as_bytes());
            let before = resident_bytes();
            let batch = summon.repeat(100);
            for _ in 0..SUMMONS / 100 {
                assert!(peer.say(&batch), "it is within the bounds");
            }
            let read = || counted(&a.metrics(), "b", crate::lanes::CONTROL).bytes_received;
            let all = (SUMMONS * summon.len()) as u64;
            crate::lanes::wait_until("they are read", read, |bytes| *bytes == all);
            let held = resident_bytes().saturating_sub(before);
            assert!(held < 4 << 20, "{held} bytes");
        },
    );
}

/// That its lane was lost with the process before says nothing of the one that has come.
#[test]
fn a_lane_to_a_peer_that_has_come_back_is_made_at_once_whatever_the_back_off_says() {
    let patient = |name: &str| {
        let config = config(name)
            .reconnect_base_ms(600_000)
            .reconnect_max_ms(600_000);
        config.channel(reliable("data"))
    };
    let a = start(patient("a"));
    let events = a.events();
    let mut place = None;
    for _ in 0..2 {
        let config = patient("b");
        let b = start(match place {
            Some(place) => config.listen(place),
            None => config,
        });
        let mut inbox = b.inbox("in").expect("a mailbox");
        if place.is_none() {
            a.connect("b", b.local_addr()).expect("a name");
        }
        place = Some(b.local_addr());
        // The second time it is b that dials.
        b.connect("a", a.local_addr()).expect("a name");
        wait_for_event(&events, "the peer", |event| {
            matches!(event, Event::PeerUp { .. }).then_some(())
        });
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        channel.try_send(&to, b"x").expect("accepted");
        inbox.recv_timeout(GENEROUS).expect("it comes");
        drained(&a);
        drop(b);
        wait_for_event(&events, "its end", |event| {
            matches!(event, Event::PeerDown { .. }).then_some(())
        });
    }
}

#[test]
fn a_stop_makes_the_lanes_that_messages_wait_for() {
    for dialler in ["a", "b"] {
        let node = |name: &str| start(config(name).shards(2).channel(reliable("data")));
        let (a, b) = (node("a"), node("b"));
        let (handler, _) = counting_handler();
        b.handle("in", handler).expect("a mailbox");
        if dialler == "a" {
            a.connect("b", b.local_addr()).expect("a name");
        } else {
            b.connect("a", a.local_addr()).expect("a name");
        }
        a.wait_connected("b", GENEROUS).expect("it is there");
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        for _ in 0..100 {
            channel.try_send(&to, b"x").expect("accepted");
        }
        let report = a.stop(GENEROUS);
        assert!(report.drained, "dialled by {dialler}: {report:#?}");
        all_acknowledged(&report.metrics, "b", "data", 100);
    }
}

/// 300 peers, spoken by hand, that keep their control lane and take what is dialled.
#[test]
fn many_known_peers_with_many_channels_have_the_sockets_that_are_used() {
    in_child(
        "lanes::demand::many_known_peers_with_many_channels_have_the_sockets_that_are_used",
        || {
            const PEERS: usize = 300;
            let channels = (0..8).map(|number| format!("channel-{number}"));
            let mut config = config("hub").shards(1);
            for channel in channels.clone() {
                config = config.channel(reliable(&channel));
            }
            let hub = start(config);
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let there = listener.local_addr().expect("it is bound");
            let sockets = || descriptors().get("socket").copied().unwrap_or(0);
            let before = sockets();
            for number in 0..PEERS {
                hub.connect(&format!("peer-{number}"), there)
                    .expect("a name");
            }
            let mut held = Vec::new();
            let mut take = |count: usize| {
                let mut taken: BTreeMap<String, usize> = BTreeMap::new();
                for _ in 0..count {
                    let (mut stranger, hello) = Stranger::accept(&listener);
                    let name = hello.expected_node.as_ref().expect("it is meant");
                    stranger.welcome(name.as_str(), 1);
                    *taken.entry(hello.channel.to_string()).or_default() += 1;
                    held.push(stranger);
                }
                taken
            };
            let control = crate::support::CONTROL.to_owned();
            assert_eq!(take(PEERS), BTreeMap::from([(control, PEERS)]));
            has_connections(&hub, PEERS);
            // Both ends of each are this process's.
            assert_eq!(sockets() - before, 2 * PEERS);
            // Each tenth peer is sent something on two channels.
            let used: Vec<_> = channels.skip(3).take(2).collect();
            for number in (0..PEERS).step_by(10) {
                let peer = format!("peer-{number}");
                hub.wait_connected(&peer, GENEROUS).expect("it is there");
                let to = hub.destination(&peer, "in").expect("names");
                for channel in &used {
                    let channel = hub.channel(channel).expect("it is configured");
                    channel.try_send(&to, b"x").expect("accepted");
                }
            }
            let expected = used.iter().map(|channel| (channel.clone(), PEERS / 10));
            assert_eq!(take(2 * PEERS / 10), expected.collect());
            let lanes = PEERS + 2 * PEERS / 10;
            has_connections(&hub, lanes);
            assert_eq!(sockets() - before, 2 * lanes);
            assert_eq!(connections(&hub), lanes);
            drop(held);
        },
    );
}
