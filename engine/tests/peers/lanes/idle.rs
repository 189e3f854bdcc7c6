//! An idle lane closes when both ends agree, and goes on when a message crosses that.

use std::net::TcpListener;

use overlane::wire::control::Rest;
use overlane::wire::{CloseReason, FrameKind};
use overlane::{Event, Events};

use crate::lanes::{control_hello, has_connections, reliable};
use crate::stranger::{Stranger, good_frame, hello};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{
    CONTROL, GENEROUS, best_effort, config, connect_both, drained, ends, start, wait_for_event,
};

const IDLE_MS: u64 = 30;

/// How the lane of `data` ended.
fn end_of_data(events: &Events) -> (CloseReason, u64) {
    wait_for_event(events, "the end of the lane", |event| match event {
        Event::LaneDown {
            channel,
            reason,
            undelivered,
            unknown,
            ..
        } if **channel == *"data" => Some((*reason, undelivered + unknown)),
        Event::PeerDown { .. } => panic!("the peer stays: {event:?}"),
        _ => None,
    })
}

#[test]
fn an_idle_lane_closes_at_both_ends_and_the_next_message_makes_it_again() {
    let node = |name: &str| {
        let config = config(name).lane_idle_ms(IDLE_MS);
        start(
            config
                .channel(reliable("data"))
                .channel(best_effort("gossip")),
        )
    };
    let (a, b) = (node("a"), node("b"));
    let mut inbox = b.inbox("in").expect("a mailbox");
    connect_both(&a, &b);
    let (at_a, at_b) = (a.events(), b.events());
    let to = a.destination("b", "in").expect("names");
    for round in 1..=3_u64 {
        for channel in ["data", "gossip"] {
            let channel = a.channel(channel).expect("it is configured");
            for _ in 0..100 {
                channel.try_send(&to, b"x").expect("accepted");
            }
        }
        for _ in 0..200 {
            inbox.recv_timeout(GENEROUS).expect("all come");
        }
        for events in [&at_a, &at_b] {
            assert_eq!(end_of_data(events), (CloseReason::Idle, 0));
        }
        for node in [&a, &b] {
            has_connections(node, 1);
        }
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 100 * round);
        for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
            let closes = &counted(metrics, peer, "data").closes;
            assert_eq!(closes.get(&CloseReason::Idle), Some(&round), "{closes:?}");
            assert_eq!(closes.len(), 1, "{closes:?}");
        }
    }
    assert!(a.peers()[0].peer.is_connected());
}

/// One end keeps its lanes for ever: both have to agree.
#[test]
fn a_lane_stays_up_as_long_as_one_end_wants_it() {
    let a = start(config("a").lane_idle_ms(IDLE_MS).channel(reliable("data")));
    let mut control = Stranger::lane(a.local_addr(), control_hello("b"));
    let mut data = Stranger::lane(a.local_addr(), hello("b"));
    for _ in 0..5 {
        let proposal = proposal(&mut data);
        assert!(!proposal.agreed);
    }
    assert!(data.say(&good_frame(FrameKind::Ping, 7, &[])));
    let mut frames = std::iter::from_fn(|| data.next_frame());
    assert!(frames.any(|(kind, ..)| kind == FrameKind::Pong));
    control.say(&good_frame(FrameKind::Ping, 7, &[]));
    assert!(counted(&a.metrics(), "b", "data").closes.is_empty());
}

fn proposal(stranger: &mut Stranger) -> Rest {
    let (word, _) = next(stranger, FrameKind::Rest);
    Rest {
        proposal: word >> 1,
        agreed: word & 1 != 0,
    }
}

/// The next frame of that kind.
fn next(stranger: &mut Stranger, wanted: FrameKind) -> (u32, Vec<u8>) {
    let mut frames = std::iter::from_fn(|| stranger.next_frame());
    let found = frames.find(|(kind, ..)| *kind == wanted);
    let (_, word, body) = found.unwrap_or_else(|| panic!("no {wanted} comes"));
    (word, body)
}

fn agreed(rest: Rest) -> Vec<u8> {
    let word = Rest {
        agreed: true,
        ..rest
    }
    .word();
    good_frame(FrameKind::Rest, word, &[])
}

#[test]
fn a_proposal_that_is_agreed_to_is_followed_by_a_goodbye() {
    let a = start(config("a").lane_idle_ms(IDLE_MS).channel(reliable("data")));
    let events = a.events();
    let _control = Stranger::lane(a.local_addr(), control_hello("b"));
    let mut data = Stranger::lane(a.local_addr(), hello("b"));
    // An answer to another proposal is none.
    let rest = proposal(&mut data);
    data.say(&agreed(Rest {
        proposal: rest.proposal + 1,
        ..rest
    }));
    let rest = proposal(&mut data);
    data.say(&agreed(rest));
    let (reason, _) = next(&mut data, FrameKind::Bye);
    assert_eq!(reason, u32::from(CloseReason::Idle.code()));
    // What the node accepts now waits for the next connection.
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    channel.try_send(&to, b"later").expect("accepted");
    data.say(&good_frame(FrameKind::Bye, reason, &[]));
    data.ends();
    assert_eq!(end_of_data(&events), (CloseReason::Idle, 0));
    let mut data = Stranger::lane(a.local_addr(), hello("b"));
    assert_eq!(next(&mut data, FrameKind::Message).1, b"later");
    data.say(&good_frame(FrameKind::Ack, 1, &[]));
    all_acknowledged(&drained(&a), "b", "data", 1);
}

/// The other way round: the node agrees, and the peer sends a message all the same.
#[test]
fn a_message_that_crosses_an_agreement_wakes_the_lane_with_what_was_accepted_meanwhile() {
    let a = start(config("a").lane_idle_ms(IDLE_MS).channel(reliable("data")));
    let mut inbox = a.inbox("in").expect("a mailbox");
    let _control = Stranger::lane(a.local_addr(), control_hello("b"));
    let mut data = Stranger::lane(a.local_addr(), hello("b"));
    data.say(&good_frame(FrameKind::Mailbox, 0, b"in"));
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "back").expect("names");
    for count in 1..=3 {
        // It agrees once it has found the lane idle itself.
        let ours = Rest {
            proposal: count,
            agreed: false,
        };
        loop {
            proposal(&mut data);
            data.say(&good_frame(FrameKind::Rest, ours.word(), &[]));
            data.say(&good_frame(FrameKind::Ping, count, &[]));
            let mut frames = std::iter::from_fn(|| data.next_frame());
            let answer = frames.find(|(kind, word, _)| match kind {
                FrameKind::Rest => word & 1 != 0,
                kind => *kind == FrameKind::Pong,
            });
            let (kind, word, _) = answer.expect("it answers");
            if kind == FrameKind::Rest {
                assert_eq!(word >> 1, count);
                break;
            }
        }
        channel.try_send(&to, &[7]).expect("accepted");
        data.say(&good_frame(FrameKind::Message, 0, b"crossing"));
        let came = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(came.payload(), b"crossing");
        assert_eq!(next(&mut data, FrameKind::Message).1, [7]);
        data.say(&good_frame(FrameKind::Ack, count, &[]));
    }
    let metrics = drained(&a);
    all_acknowledged(&metrics, "b", "data", 3);
    assert!(counted(&metrics, "b", "data").closes.is_empty());
}

/// A reply that takes longer than a lane may be idle comes on a lane of its own.
#[test]
fn a_request_outlives_the_lane_that_it_went_on() {
    for dialler in ["a", "b"] {
        let node = |name: &str| start(config(name).lane_idle_ms(IDLE_MS).channel(reliable("data")));
        let (a, b) = (node("a"), node("b"));
        if dialler == "a" {
            a.connect("b", b.local_addr()).expect("a name");
        } else {
            b.connect("a", a.local_addr()).expect("a name");
        }
        a.wait_connected("b", GENEROUS).expect("it is there");
        b.wait_connected("a", GENEROUS).expect("it is there");
        let mut asked = b.inbox("in").expect("a mailbox");
        let at_b = b.events();
        let calls = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| calls.request_blocking(&to, b"slow", GENEROUS));
            let request = asked.recv_timeout(GENEROUS).expect("it comes");
            let asker = request.reply_handle().expect("it is a request");
            assert_eq!(end_of_data(&at_b), (CloseReason::Idle, 0));
            let back = b.channel("data").expect("it is configured");
            back.try_reply(&asker, b"done").expect("accepted");
            let reply = asking.join().expect("no panic").expect("a reply");
            assert_eq!(reply.payload(), b"done");
        });
        check_accounting(&[&a, &b]);
    }
}

/// Nodes of older versions dial a lane again that ends: theirs stay up. One of version 1 is in
/// `wire_versions`.
#[test]
fn lanes_to_a_peer_without_a_control_lane_stay_up() {
    let a = start(
        config("a")
            .lane_idle_ms(1)
            .idle_timeout_ms(1000)
            .channel(reliable("data")),
    );
    let mut data = Stranger::lane(a.local_addr(), hello("old"));
    // Two Pings are two thirds of the idle timeout: hundreds of times the idle time of a lane.
    for _ in 0..2 {
        let (kind, word, _) = data.next_frame().expect("it stays");
        assert_eq!(kind, FrameKind::Ping);
        data.say(&good_frame(FrameKind::Pong, word, &[]));
    }
    assert!(counted(&a.metrics(), "old", "data").closes.is_empty());
}

/// It is started again as a version that has a control lane, and its other lanes happen to come first.
#[test]
fn a_peer_that_was_upgraded_is_found_out_though_its_lanes_are_up() {
    let a = start(config("a").lane_idle_ms(IDLE_MS).channel(reliable("data")));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    a.connect("b", there).expect("a name");
    let (mut old, _) = Stranger::accept_as_older(&listener);
    old.welcome("b", 1);
    a.wait_connected("b", GENEROUS).expect("it is there");
    drop(old);
    let mut data = loop {
        let (mut stranger, hello) = Stranger::accept(&listener);
        // Not answered, a dial says nothing of the version.
        if hello.channel.as_str() != CONTROL {
            stranger.welcome("b", 2);
            break stranger;
        }
    };
    let control = ends("the control lane", move || {
        loop {
            let (mut stranger, hello) = Stranger::accept(&listener);
            if hello.channel.as_str() == CONTROL {
                stranger.welcome("b", 2);
                break stranger;
            }
        }
    });
    // It is a lane like others from now on.
    proposal(&mut data);
    assert!(a.peers()[0].peer.is_connected());
    drop(control);
}

#[test]
fn a_node_that_stops_while_its_lanes_come_to_rest_stops_at_once() {
    for _ in 0..10 {
        let node = |name: &str| start(config(name).lane_idle_ms(1).channel(reliable("data")));
        let (a, b) = (node("a"), node("b"));
        let _inbox = b.inbox("in").expect("a mailbox");
        connect_both(&a, &b);
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        channel.try_send(&to, b"x").expect("accepted");
        drained(&a);
        channel.try_send(&to, b"x").expect("accepted");
        let report = a.stop(GENEROUS);
        assert!(report.drained, "{report:#?}");
        all_acknowledged(&report.metrics, "b", "data", 2);
        assert!(b.stop(GENEROUS).drained);
    }
}
