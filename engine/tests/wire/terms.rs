//! Two nodes that configure a channel differently: what need not agree does not matter, of sizes both
//! take the smaller, and what must agree is refused with both values.

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::{GENEROUS, config, connect_both, reliable, start, wait_for_event};
use overlane::config::{ChannelConfig, Ordering, Reliability};
use overlane::wire::CloseReason;
use overlane::{Event, Node, SendError};

fn node(name: &str, channel: ChannelConfig) -> Node {
    start(config(name).channel(channel))
}

/// Sends one payload to the mailbox `in` of `to`, and waits until it has come.
fn deliver(from: &Node, to: &Node, payload: Vec<u8>) {
    let mut inbox = to.inbox_of("in", 4 << 20).expect("a mailbox");
    let channel = from.channel("data").expect("it is configured");
    let there = from.destination(to.name(), "in").expect("names");
    channel
        .try_send(&there, &payload[..])
        .expect("there is room");
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert!(message.payload() == payload, "it is the same");
}

#[test]
fn what_need_not_agree_makes_a_lane() {
    let tuned = reliable("data")
        .priority(1)
        .queue_messages_max(100_usize)
        .queue_bytes_max(4_usize << 20)
        .send_quantum_bytes(32_usize << 10);
    let (a, b) = (node("a", tuned), node("b", reliable("data")));
    connect_both(&a, &b);
    deliver(&a, &b, vec![1; 1000]);
    deliver(&b, &a, vec![2; 1000]);
    for (metrics, peer) in check_accounting(&[&a, &b]).iter().zip(["b", "a"]) {
        all_acknowledged(metrics, peer, "data", 1);
    }
}

#[test]
fn of_two_limits_of_a_payload_the_smaller_holds_in_both_directions() {
    const SMALLER: usize = 64 << 10;
    let small = reliable("data").message_bytes_max(SMALLER);
    let (a, b) = (node("a", reliable("data")), node("b", small));
    connect_both(&a, &b);
    // What the other end takes is known once the lane is there.
    deliver(&a, &b, vec![3; 10]);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let channel = from.channel("data").expect("it is configured");
        let there = from.destination(to.name(), "in").expect("names");
        let refused = SendError::TooLarge {
            bytes: SMALLER + 1,
            bytes_max: SMALLER,
        };
        let larger = vec![0; SMALLER + 1];
        assert_eq!(channel.try_send(&there, &larger[..]), Err(refused.clone()));
        assert_eq!(
            channel.send_blocking(&there, &larger[..]),
            Err(refused.clone())
        );
        assert!(refused.to_string().contains("65536"), "{refused}");
        deliver(from, to, vec![3; SMALLER]);
    }
    let all = check_accounting(&[&a, &b]);
    for (metrics, peer, messages) in [(&all[0], "b", 2), (&all[1], "a", 1)] {
        all_acknowledged(metrics, peer, "data", messages);
    }
}

/// Before there is a lane, a node knows its own limit alone.
#[test]
fn a_first_message_that_is_larger_than_the_peer_takes_is_reported() {
    const SMALLER: usize = 64 << 10;
    let small = reliable("data").message_bytes_max(SMALLER);
    let (a, b) = (node("a", reliable("data")), node("b", small));
    connect_both(&a, &b);
    let events = a.events();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    channel
        .try_send(&to, vec![0; SMALLER + 1])
        .expect("nobody knows yet");
    channel.try_send(&to, b"small").expect("there is room");
    let why = wait_for_event(&events, "a report", |event| match event {
        Event::Reported {
            undelivered, why, ..
        } => {
            assert_eq!(*undelivered, 1);
            Some(*why)
        }
        _ => None,
    });
    assert!(why.contains("larger than the peer takes"), "{why}");
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(message.payload(), b"small");
    let out = &check_accounting(&[&a, &b])[0];
    let out = out.channel("b", "data").expect("it was used");
    assert_eq!((out.accepted, out.acknowledged, out.reported), (2, 1, 1));
}

#[test]
fn what_must_agree_is_refused_with_both_values() {
    for (other, difference) in [
        (
            reliable("data").reliability(Reliability::BestEffort),
            "reliability is reliable at the acceptor, best_effort at the dialer",
        ),
        (
            reliable("data").ordering(Ordering::Unordered),
            "ordering is fifo at the acceptor, unordered at the dialer",
        ),
        (
            reliable("data").parallelism(2_u16),
            "parallelism is 1 at the acceptor, 2 at the dialer",
        ),
    ] {
        let (a, b) = (node("a", other), node("b", reliable("data")));
        let (dialling, accepting) = (a.events(), b.events());
        a.connect("b", b.local_addr()).expect("a name");
        a.wait_connected("b", GENEROUS).expect("it is there");
        let to = a.destination("b", "in").expect("names");
        let data = a.channel("data").expect("it is configured");
        data.try_send(&to, b"x")
            .expect("its first message shows it");
        let told = |event: &Event| match event {
            Event::DialFailed { reason, detail, .. } | Event::Refused { reason, detail, .. } => {
                Some((*reason, detail.clone()))
            }
            _ => None,
        };
        for events in [dialling, accepting] {
            let (reason, detail) = wait_for_event(&events, "a refusal", told);
            assert_eq!(reason, CloseReason::ChannelMismatch);
            assert!(detail.contains(difference), "{detail}");
        }
    }
}
