//! Peers that move, stay away, come back as another process, or are not who they say: what is wanted of
//! them last is what happens, and a node that is gone keeps nobody else out.

mod support;

use std::net::{SocketAddr, TcpListener};

use overlane::wire::CloseReason;
use overlane::{Event, Inbox, Node};
use support::accounting::check_accounting;
use support::child::in_network;
use support::{GENEROUS, config, reliable, start, wait_for_event};

fn node(name: &str) -> Node {
    start(config(name).channel(reliable("data")))
}

/// An address at which nobody listens.
fn dead_address() -> SocketAddr {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("it is bound")
}

/// Sends one message from `from` to `to` and waits until it is in this inbox.
fn arrives(from: &Node, to: &str, inbox: &mut Inbox, text: &[u8]) {
    let channel = from.channel("data").expect("it is configured");
    let to = from.destination(to, "in").expect("names");
    channel.try_send(&to, text).expect("the lane is up");
    let message = inbox.recv_timeout(GENEROUS).expect("it arrives here");
    assert_eq!(message.payload(), text);
}

/// Waits until `node` has told that its lane to `peer` has ended, for which reason.
fn lane_down(events: &overlane::Events) -> CloseReason {
    wait_for_event(events, "the end of the lane", |event| match event {
        Event::LaneDown { reason, .. } => Some(*reason),
        _ => None,
    })
}

fn lane_up(events: &overlane::Events) {
    wait_for_event(events, "the lane", |event| {
        matches!(event, Event::LaneUp { .. }).then_some(())
    });
}

/// The old place answers still, as a node does whose traffic is to be moved away from it.
#[test]
fn a_peer_at_a_new_address_is_reached_there_though_the_old_one_answers() {
    let a = node("a");
    let (old, new) = (node("b"), node("b"));
    let (mut at_old, mut at_new) = (
        old.inbox("in").expect("a mailbox"),
        new.inbox("in").expect("a mailbox"),
    );
    let (of_a, of_old) = (a.events(), old.events());
    a.connect("b", old.local_addr()).expect("a name");
    lane_up(&of_a);
    arrives(&a, "b", &mut at_old, b"one");
    a.connect("b", new.local_addr()).expect("a name");
    assert_eq!(lane_down(&of_a), CloseReason::Moved);
    lane_down(&of_old);
    lane_up(&of_a);
    arrives(&a, "b", &mut at_new, b"two");
    assert!(at_old.try_recv().is_none());
    check_accounting(&[&a]);
}

/// Between two turns of a shard both orders have come and gone.
#[test]
fn disconnect_and_connect_in_one_go_make_the_lanes_anew() {
    for moves in [true, false] {
        let a = node("a");
        let (old, new) = (node("b"), node("b"));
        let target = if moves { &new } else { &old };
        let mut inbox = target.inbox("in").expect("a mailbox");
        let of_a = a.events();
        a.connect("b", old.local_addr()).expect("a name");
        lane_up(&of_a);
        a.disconnect("b").expect("a name");
        a.connect("b", target.local_addr()).expect("a name");
        assert_eq!(lane_down(&of_a), CloseReason::Disconnected);
        lane_up(&of_a);
        arrives(&a, "b", &mut inbox, b"here");
        check_accounting(&[&a]);
    }
}

/// A node that waits for a minute at least before it dials again.
fn patient() -> Node {
    start(
        config("a")
            .channel(reliable("data"))
            .reconnect_base_ms(600_000)
            .reconnect_max_ms(600_000),
    )
}

fn dial_fails(events: &overlane::Events) -> CloseReason {
    wait_for_event(events, "a failed dial", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn a_new_address_is_dialled_at_once_whatever_the_back_off_says() {
    let (a, b) = (patient(), node("b"));
    let mut inbox = b.inbox("in").expect("a mailbox");
    let of_a = a.events();
    a.connect("b", dead_address()).expect("a name");
    assert_eq!(dial_fails(&of_a), CloseReason::ConnectRefused);
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    arrives(&a, "b", &mut inbox, b"hello");
    check_accounting(&[&a, &b]);
}

#[test]
fn the_same_address_given_again_is_dialled_at_once() {
    let address = dead_address();
    let a = patient();
    let of_a = a.events();
    a.connect("b", address).expect("a name");
    assert_eq!(dial_fails(&of_a), CloseReason::ConnectRefused);
    let b = start(config("b").channel(reliable("data")).listen(address));
    a.connect("b", address).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    drop(b);
}

#[test]
fn a_dial_that_met_itself_leaves_the_port_to_the_peer() {
    in_network(
        "a_dial_that_met_itself_leaves_the_port_to_the_peer",
        [40_000, 40_009],
        || {
            let address: SocketAddr = "127.0.0.1:40004".parse().expect("an address");
            let a = start(
                config("a")
                    .listen("127.0.0.1:20000".parse().expect("an address"))
                    .reconnect_base_ms(1)
                    .reconnect_max_ms(2)
                    .channel(reliable("data")),
            );
            let of_a = a.events();
            a.connect("b", address).expect("a name");
            wait_for_event(&of_a, "a dial that meets itself", |event| match event {
                Event::DialFailed { reason, detail, .. } => {
                    assert_eq!(*reason, CloseReason::ConnectRefused);
                    detail.contains("itself").then_some(())
                }
                _ => None,
            });
            drop(a);
            start(config("b").channel(reliable("data")).listen(address));
        },
    );
}
