//! A node that is to be stopped soon: no new peers and lanes, and what there is goes on.

use std::time::Duration;

use overlane::config::{ChannelConfig, Reliability};
use overlane::wire::CloseReason;
use overlane::{Event, Node};

use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, config, connect_through_proxy, counting_handler, drained, reliable, start, use_lane,
    wait_for_event, wait_until,
};

fn kept(name: &str) -> ChannelConfig {
    reliable(name).reliability(Reliability::Guaranteed)
}

fn node(name: &str) -> Node {
    start(config(name).channel(kept("data")).channel(reliable("more")))
}

fn send(from: &Node, channel: &str) {
    let to = from.destination("b", "in").expect("names");
    let channel = from.channel(channel).expect("it is configured");
    channel.try_send(&to, b"x").expect("there is room");
}

#[test]
fn what_there_is_goes_on_and_nothing_new_comes() {
    let (a, b, c) = (node("a"), node("b"), node("c"));
    b.handle("in", counting_handler().0).expect("free");
    let proxy = connect_through_proxy(&a, &b);
    use_lane(&a, "b", "data", "in");
    let (at_a, at_b, at_c) = (a.events(), b.events(), c.events());
    b.be_lame_duck();
    wait_for_event(&at_b, "it is told", |event| {
        matches!(event, Event::LameDuck).then_some(())
    });
    // A new peer is refused, and told why.
    c.connect("b", b.local_addr()).expect("a name");
    let refused = |events, channel: &str| {
        wait_for_event(events, "it is refused", |event| match event {
            Event::DialFailed {
                channel: of,
                reason,
                ..
            } => (&**of == channel).then_some(*reason),
            _ => None,
        })
    };
    assert_eq!(
        refused(&at_c, crate::support::CONTROL),
        CloseReason::PeerStopped
    );
    assert!(b.wait_connected("c", Duration::from_millis(1)).is_err());
    // And so is a new lane of a peer that is there: what waits for it is reported.
    send(&a, "more");
    assert_eq!(refused(&at_a, "more"), CloseReason::PeerStopped);
    let metrics = drained(&a);
    let more = counted(&metrics, "b", "more");
    assert_eq!((more.accepted, more.reported), (1, 1), "{more:#?}");
    // The lane there is carries on, also when its connection is lost.
    send(&a, "data");
    proxy.cut();
    send(&a, "data");
    a.wait_connected("b", GENEROUS).expect("it is made again");
    let acknowledged = || counted(&a.metrics(), "b", "data").acknowledged;
    wait_until("all are delivered", acknowledged, |messages| *messages == 3);
    check_accounting(&[&a, &b]);
    for node in [a, b, c] {
        let report = node.stop(GENEROUS);
        assert!(report.drained, "{report:#?}");
    }
}

#[test]
fn what_a_lame_duck_sends_goes_out() {
    let (a, b) = (node("a"), node("b"));
    b.handle("in", counting_handler().0).expect("free");
    // `a` knows no address of `b`, which has to make the lanes.
    b.connect("a", a.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    a.be_lame_duck();
    send(&a, "data");
    let acknowledged = || counted(&a.metrics(), "b", "data").acknowledged;
    wait_until("it is delivered", acknowledged, |messages| *messages == 1);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_lame_duck_makes_no_new_lane_that_a_peer_asks_for() {
    let (a, b) = (node("a"), node("b"));
    b.handle("in", counting_handler().0).expect("free");
    // `a` knows no address of `b`, which has to make the lanes.
    b.connect("a", a.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    use_lane(&a, "b", "data", "in");
    b.be_lame_duck();
    send(&a, "more");
    let metrics = drained(&a);
    let more = counted(&metrics, "b", "more");
    assert_eq!((more.accepted, more.reported), (1, 1), "{more:#?}");
    send(&a, "data");
    let metrics = drained(&a);
    assert_eq!(counted(&metrics, "b", "data").reported, 0);
    check_accounting(&[&a, &b]);
}
