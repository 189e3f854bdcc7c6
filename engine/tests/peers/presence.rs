//! Peers that move, stay away, come back as another process, or are not who they say: what is wanted of
//! them last is what happens, and a node that is gone keeps nobody else out.

use std::net::{SocketAddr, TcpListener};

use crate::support::accounting::check_accounting;
use crate::support::child::in_network;
use crate::support::{GENEROUS, config, reliable, start, wait_for_event, wait_until};
use overlane::wire::CloseReason;
use overlane::{Event, Inbox, Node};

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
        "presence::a_dial_that_met_itself_leaves_the_port_to_the_peer",
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

/// Nodes that come and go one after the other, as pods do.
#[test]
fn a_peer_that_is_gone_frees_its_place() {
    let hub = start(
        config("hub")
            .peers_max(8)
            .shards(2)
            .channel(reliable("data")),
    );
    let mut inbox = hub.inbox("in").expect("a mailbox");
    for round in 0..40 {
        let pod = node(&format!("pod-{round}"));
        pod.connect("hub", hub.local_addr()).expect("a name");
        pod.wait_connected("hub", GENEROUS).expect("lanes come up");
        let channel = pod.channel("data").expect("it is configured");
        let to = pod.destination("hub", "in").expect("names");
        channel.try_send(&to, b"here").expect("the lane is up");
        let message = inbox.recv_timeout(GENEROUS).expect("it arrives");
        assert_eq!(message.from().name(), pod.name());
        assert!(pod.stop(GENEROUS).drained);
    }
    assert!(hub.peers().len() <= 8, "{:#?}", hub.peers());
    let metrics = check_accounting(&[&hub]).remove(0);
    let lanes = metrics.lanes.iter().chain(&metrics.departed);
    assert_eq!(lanes.map(|lane| lane.delivered).sum::<u64>(), 40);
}

/// Its messages are read long after it has gone, when others want its place.
#[test]
fn unread_messages_keep_the_place_of_their_sender() {
    let hub = start(config("hub").peers_max(2).channel(reliable("data")));
    let mut inbox = hub.inbox("in").expect("a mailbox");
    for number in 0..6 {
        let pod = node(&format!("pod-{number}"));
        pod.connect("hub", hub.local_addr()).expect("a name");
        pod.wait_connected("hub", GENEROUS).expect("lanes come up");
        let channel = pod.channel("data").expect("it is configured");
        let to = pod.destination("hub", "in").expect("names");
        channel.try_send(&to, pod.name()).expect("the lane is up");
        assert!(pod.stop(GENEROUS).drained);
    }
    for number in 0..6 {
        let message = inbox.recv_timeout(GENEROUS).expect("it has arrived");
        let name = format!("pod-{number}");
        assert_eq!(message.payload(), name.as_bytes());
        assert_eq!(message.from().name(), name);
    }
    check_accounting(&[&hub]);
}

#[test]
fn a_look_up_takes_no_place_and_finds_the_peer_once_it_is_there() {
    let hub = start(config("hub").peers_max(1).channel(reliable("data")));
    let channel = hub.channel("data").expect("it is configured");
    for number in 0..5_000 {
        let typo = hub.destination(&format!("typo-{number}"), "in");
        let sent = channel.try_send(&typo.expect("a name"), b"x");
        assert_eq!(sent, Err(overlane::SendError::Unreachable));
    }
    let to_b = hub.destination("b", "in").expect("names");
    assert!(hub.peers().is_empty());
    let b = node("b");
    let mut inbox = b.inbox("in").expect("a mailbox");
    b.connect("hub", hub.local_addr()).expect("a name");
    hub.wait_connected("b", GENEROUS).expect("lanes come up");
    channel.try_send(&to_b, b"hello").expect("the lane is up");
    assert_eq!(
        &*inbox.recv_timeout(GENEROUS).expect("it arrives"),
        b"hello"
    );
    check_accounting(&[&hub, &b]);
}

/// A destination is held while its peer loses its place to others and comes back.
#[test]
fn a_destination_outlives_the_place_of_its_peer() {
    let hub = start(config("hub").peers_max(1).channel(reliable("data")));
    let channel = hub.channel("data").expect("it is configured");
    let to = hub.destination("b", "in").expect("names");
    for round in 0..3_u64 {
        let b = node("b");
        let mut inbox = b.inbox("in").expect("a mailbox");
        b.connect("hub", hub.local_addr()).expect("a name");
        hub.wait_connected("b", GENEROUS).expect("lanes come up");
        channel
            .try_send(&to, &round.to_le_bytes())
            .expect("the lane is up");
        let message = inbox.recv_timeout(GENEROUS).expect("it arrives");
        assert_eq!(message.payload(), round.to_le_bytes());
        check_accounting(&[&hub, &b]);
        assert!(b.stop(GENEROUS).drained);
        let other = node("other");
        other.connect("hub", hub.local_addr()).expect("a name");
        other
            .wait_connected("hub", GENEROUS)
            .expect("lanes come up");
        let sent = channel.try_send(&to, b"nobody is there");
        assert_eq!(sent, Err(overlane::SendError::Unreachable));
        assert!(other.stop(GENEROUS).drained);
    }
    check_accounting(&[&hub]);
}

#[test]
fn what_is_wanted_of_peers_is_bounded_and_can_be_forgotten() {
    let hub = start(config("hub").peers_max(2).channel(reliable("data")));
    let b = node("b");
    hub.connect("b", b.local_addr()).expect("a name");
    hub.disconnect("banned").expect("a name");
    let too_many = hub.connect("c", b.local_addr()).expect_err("there are two");
    assert!(too_many.to_string().contains("peers_max"), "{too_many}");
    hub.wait_connected("b", GENEROUS).expect("lanes come up");
    let of_hub = hub.events();
    hub.forget("b").expect("a name");
    assert_eq!(lane_down(&of_hub), CloseReason::Disconnected);
    hub.connect("c", dead_address()).expect("b made room");
    // It is banned no more: it may dial.
    hub.forget("banned").expect("a name");
    let banned = node("banned");
    banned.connect("hub", hub.local_addr()).expect("a name");
    banned
        .wait_connected("hub", GENEROUS)
        .expect("lanes come up");
}

/// Of all that was there of a peer, nothing is left when it comes back: not the number of its process.
#[test]
fn a_restart_with_the_clock_set_back_is_let_in() {
    let start_at = |incarnation: u64| {
        let config = config("b").channel(reliable("data"));
        start(config.incarnation(incarnation))
    };
    let a = node("a");
    for incarnation in [u64::MAX, 3_600_000, 1] {
        let b = start_at(incarnation);
        let mut inbox = b.inbox("in").expect("a mailbox");
        a.connect("b", b.local_addr()).expect("a name");
        wait_until(
            "this start of b is met",
            || a.peers()[0].peer.incarnation(),
            |met| *met == incarnation,
        );
        a.wait_connected("b", GENEROUS).expect("lanes come up");
        arrives(&a, "b", &mut inbox, b"hello");
        assert!(b.stop(GENEROUS).drained);
    }
    check_accounting(&[&a]);
}

/// A name is unique within the cluster. Who has it keeps it, whichever of the two is the older.
#[test]
fn a_second_node_of_a_name_is_refused_while_the_first_lives() {
    for second in [4, 6] {
        let start_at = |incarnation: u64| {
            let config = config("b").channel(reliable("data"));
            start(config.incarnation(incarnation))
        };
        let (a, first, second) = (node("a"), start_at(5), start_at(second));
        let mut at_first = first.inbox("in").expect("a mailbox");
        let mut at_second = second.inbox("in").expect("a mailbox");
        a.connect("b", first.local_addr()).expect("a name");
        a.wait_connected("b", GENEROUS).expect("lanes come up");
        let (of_a, of_second) = (a.events(), second.events());
        second.connect("a", a.local_addr()).expect("a name");
        let expected = if second.incarnation() > 5 {
            CloseReason::NameTaken
        } else {
            CloseReason::StaleIncarnation
        };
        assert_eq!(dial_fails(&of_second), expected);
        let refused = wait_for_event(&of_a, "a refusal", |event| match event {
            Event::Refused { reason, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(refused, expected);
        arrives(&a, "b", &mut at_first, b"for the first");
        assert!(first.stop(GENEROUS).drained);
        // Nobody else has the name now. Who is met is known before the lanes to it are up, and the lanes
        // to the first may still look up: first the one, then the other.
        wait_until(
            "the second is met",
            || a.peers()[0].peer.incarnation(),
            |met| *met == second.incarnation(),
        );
        a.wait_connected("b", GENEROUS).expect("lanes come up");
        arrives(&a, "b", &mut at_second, b"for the second");
        check_accounting(&[&a]);
    }
}
