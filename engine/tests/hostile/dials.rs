//! What a node dials and finds something else than a node.

use std::collections::BTreeSet;
use std::net::TcpListener;

use overlane::Event;
use overlane::wire::{CloseReason, HandshakeMessage, Refuse};
use socket2::{Domain, Socket, Type};

use crate::honest::Honest;
use crate::stranger::{Stranger, encoded, hello};
use crate::support::{wait_for_event, wait_until};

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

/// The target dials `name`, which does `answer`; why that dial fails.
fn failure(honest: &Honest, name: &str, answer: impl FnOnce(Stranger)) -> CloseReason {
    let listener = listener();
    let events = honest.target.events();
    let there = listener.local_addr().expect("it is bound");
    honest.target.connect(name, there).expect("a name");
    let (stranger, _) = Stranger::accept(&listener);
    answer(stranger);
    let reason = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { peer, reason, .. } if peer.name() == name => Some(*reason),
        _ => None,
    });
    honest.target.disconnect(name).expect("a name");
    reason
}

#[test]
fn an_answer_that_is_none_ends_the_dial_with_its_reason() {
    let honest = Honest::with(vec![crate::support::reliable("data")], |config| config);
    let mut peers = (0..).map(|number| format!("peer-{number}"));
    let mut says = |bytes: &[u8]| {
        let name = peers.next().expect("there is no end of them");
        failure(&honest, &name, |mut stranger| {
            stranger.say(bytes);
        })
    };
    assert_eq!(says(b"SSH-2.0-OpenSSH_9.2\r\n"), CloseReason::WrongMagic);
    assert_eq!(says(b"OVLN\x09\x00"), CloseReason::WrongVersion);
    assert_eq!(
        says(b"OVLN\x01\x00\xff\xff"),
        CloseReason::HandshakeTooLarge
    );
    assert_eq!(
        says(b"OVLN\x01\x00\x00\x00"),
        CloseReason::HandshakeMalformed
    );
    assert_eq!(
        says(&encoded(&hello("alice"))),
        CloseReason::HandshakeMalformed
    );
    assert_eq!(says(b""), CloseReason::PeerClosed);
    let refuse = Refuse::new(CloseReason::TooManyPeers, "full");
    let bytes = HandshakeMessage::Refuse(refuse).encode();
    assert_eq!(says(&bytes), CloseReason::TooManyPeers);
    let reason = failure(&honest, "alice", |mut stranger| stranger.welcome("bob", 1));
    assert_eq!(reason, CloseReason::WrongNode);
    honest.finish();
}

/// As many peers as this, all at an address that accepts and says nothing.
#[test]
fn dials_under_way_are_bounded_and_each_gets_its_turn() {
    let peers = 300;
    let honest = Honest::with(vec![crate::support::reliable("data")], |config| {
        config
            .shards(1)
            .handshake_deadline_ms(600_000)
            .peers_max(peers)
    });
    let listener = listener();
    let there = listener.local_addr().expect("it is bound");
    for number in 0..peers {
        let name = format!("peer-{number}");
        honest.target.connect(&name, there).expect("a name");
    }
    // Two more are the friend's lanes.
    let connections = || honest.connections();
    wait_until("the bound is reached", connections, |count| *count == 130);
    let mut dialled = BTreeSet::new();
    while dialled.len() < peers {
        let (stranger, hello) = Stranger::accept(&listener);
        dialled.extend(hello.expected_node.map(|name| name.to_string()));
        assert!(honest.connections() <= 130);
        drop(stranger);
    }
    honest.goes_on();
    honest.finish();
}

#[test]
fn a_dial_without_answer_ends() {
    let honest = Honest::with(vec![crate::support::reliable("data")], |config| {
        config.connect_timeout_ms(300).handshake_deadline_ms(300)
    });
    // Nobody answers the Hello.
    let mut held = None;
    let reason = failure(&honest, "alice", |stranger| held = Some(stranger));
    assert_eq!(reason, CloseReason::HandshakeTimeout);
    held.expect("it was accepted").ends();

    // Nobody answers the connect: the queue of the listener is full, and the kernel drops the rest.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    full.bind(&any.into()).expect("a port");
    full.listen(0).expect("it listens");
    let there = full
        .local_addr()
        .expect("it is bound")
        .as_socket()
        .expect("an address");
    let _waiting = Stranger::connect(there);
    let events = honest.target.events();
    honest.target.connect("bob", there).expect("a name");
    let reason = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { peer, reason, .. } if peer.name() == "bob" => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::ConnectTimeout);
    honest.finish();
}
