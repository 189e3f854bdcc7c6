//! A peer that is killed: its messages are reported, its lanes end, and when it is started again
//! they come back. The peer is this test's own program, run again with a variable set.

mod support;

use std::thread;
use std::time::Duration;

use overlane::config::Overflow;
use overlane::wire::CloseReason;
use overlane::{Event, SendError};
use support::accounting::{check_accounting, counted};
use support::process::{self, PeerProcess};
use support::{GENEROUS, config, reliable, start, wait_for_event, wait_until};

fn node(name: &str) -> overlane::config::ConfigBuilder {
    config(name)
        .cluster("crash")
        .channel(reliable("data").parallelism(2).overflow(Overflow::Block))
}

/// Not a test of its own: what the killed process does.
#[test]
fn the_peer() {
    let Some(role) = process::role() else {
        return;
    };
    let (address, incarnation) = role.split_once(' ').expect("an address and a number");
    let node = start(
        node("b")
            .listen(address.parse().expect("an address"))
            .incarnation(incarnation.parse::<u64>().expect("a number")),
    );
    // Slow enough that messages are on their way at any time: a turn takes in some 250 of them.
    node.handle("in", |_, _| thread::sleep(Duration::from_micros(200)))
        .expect("a mailbox");
    process::serve(&node);
}

#[test]
fn a_killed_peer_is_reported_and_gets_its_lanes_back_when_it_starts_again() {
    let a = start(node("a"));
    let events = a.events();
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let mut peer = PeerProcess::start("127.0.0.1:0 1");
    let address = peer.address;
    a.connect("b", address).expect("a name");
    let mut accepted = 0;
    for incarnation in 1..=3_u64 {
        a.wait_connected("b", GENEROUS).expect("lanes come up");
        let up = wait_for_event(&events, "the peer is up", |event| match event {
            Event::PeerUp { incarnation, .. } => Some(*incarnation),
            _ => None,
        });
        assert_eq!(up, incarnation);
        let before = counted_acknowledged(&a);
        for number in 0..2000 {
            let to = to.with_key(number);
            channel.send_blocking(&to, &[0; 1000]).expect("accepted");
            accepted += 1;
        }
        wait_until(
            "some are acknowledged",
            || counted_acknowledged(&a),
            |now| *now > before,
        );
        peer.kill();
        let mut unknown = 0;
        let reason = wait_for_event(&events, "the peer is down", |event| match event {
            Event::LaneDown {
                undelivered,
                unknown: of_lane,
                ..
            } => {
                unknown += undelivered + of_lane;
                None
            }
            Event::PeerDown { reason, .. } => Some(*reason),
            _ => None,
        });
        assert!(
            matches!(reason, CloseReason::PeerClosed | CloseReason::Reset),
            "{reason:?}"
        );
        assert!(unknown > 0, "messages were on their way");
        assert_eq!(channel.try_send(&to, b"x"), Err(SendError::Unreachable));
        peer = PeerProcess::start(&format!("{address} {}", incarnation + 1));
    }
    let metrics = check_accounting(&[&a]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!(out.accepted, accepted);
    assert!(out.acknowledged > 0 && out.reported > 0, "{out:#?}");
}

fn counted_acknowledged(a: &overlane::Node) -> u64 {
    counted(&a.metrics(), "b", "data").acknowledged
}
