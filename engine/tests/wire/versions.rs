//! A node of this version and a peer of version 1, which is spoken here by hand: its bytes are those
//! that version 1 wrote, and what it could not read is refused as it did.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{GENEROUS, cluster, config, reliable, start, wait_for_event, wait_until};
use overlane::config::ConfigBuilder;
use overlane::wire::CloseReason;
use overlane::{Channel, Destination, Envelope, Event, Node, SendError};

/// A peer of version 1 on a connection.
struct OldPeer {
    stream: TcpStream,
}

/// A name as version 1 wrote it: the length in one byte, then the bytes.
fn name(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    assert!(length < 0x80, "longer lengths take two bytes");
    [&[length], text.as_bytes()].concat()
}

/// A handshake message of version 1.
fn version_1(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_le_bytes();
    [b"OVLN\x01\x00", &length[..], body].concat()
}

/// The Hello that a node of version 1 says for lane 0 of `data`, of which it sends 1 MiB at most.
fn hello(node: &str, expected: &str, priority: u8) -> Vec<u8> {
    let body = [
        vec![0],
        name(&cluster()),
        name(node),
        vec![1, 1],
        name(expected),
        name("data"),
        vec![priority],
        name("reliable"),
        name("fifo"),
        vec![1, 0x80, 0x80, 0x40],
        name("none"),
        vec![0],
    ];
    version_1(&body.concat())
}

/// The Welcome of a node of version 1, in its incarnation 1.
fn welcome(node: &str) -> Vec<u8> {
    version_1(&[&[1], &name(node)[..], &[1]].concat())
}

/// What a node of version 1 answered to a version that it did not know.
fn refuse_version() -> Vec<u8> {
    let text = "the other side speaks version 2, this node 1: run the same on both";
    version_1(&[&[2, 21], &name(text)[..]].concat())
}

/// A frame: length in 24 bits, kind in 8, word in 32, body.
fn frame(kind: u8, word: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    let first = length | u32::from(kind) << 24;
    [&first.to_le_bytes()[..], &word.to_le_bytes(), body].concat()
}

const MESSAGE: u8 = 1;
const MAILBOX: u8 = 2;
const ACK: u8 = 3;
const PING: u8 = 5;
const PONG: u8 = 6;

impl OldPeer {
    fn from(stream: TcpStream) -> Self {
        let timeout = Some(GENEROUS);
        stream.set_read_timeout(timeout).expect("it takes it");
        Self { stream }
    }

    fn connect(address: SocketAddr) -> Self {
        Self::from(TcpStream::connect(address).expect("the node listens"))
    }

    fn accept(listener: &TcpListener) -> Self {
        Self::from(listener.accept().expect("the node dials").0)
    }

    /// The next connection for the lane of `data`, whose Hello of version 1 it returns too. A node of version 1
    /// cannot read a Hello of version 2, and knows no channel of the engine's own.
    fn accept_data(listener: &TcpListener) -> (Self, Vec<u8>) {
        let control = "overlane.control";
        loop {
            let mut old = Self::accept(listener);
            let (version, body) = old.hear_handshake();
            if version != 1 {
                assert_eq!(version, 2, "it is offered both");
                old.say(&refuse_version());
            } else if body
                .windows(control.len())
                .any(|at| at == control.as_bytes())
            {
                let text = name("node old has no channel overlane.control");
                old.say(&version_1(&[&[2, 25], &text[..]].concat()));
            } else {
                return (old, body);
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node reads");
    }

    fn hear(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        self.stream
            .read_exact(&mut buffer)
            .expect("the node goes on");
        buffer
    }

    /// A handshake message: its version and its body.
    fn hear_handshake(&mut self) -> (u16, Vec<u8>) {
        let prefix = self.hear(8);
        assert_eq!(&prefix[..4], b"OVLN");
        let number = |at: usize| u16::from_le_bytes([prefix[at], prefix[at + 1]]);
        (number(4), self.hear(number(6).into()))
    }

    /// The next frame that is no Ping, which is answered: its kind, word and body. Version 1 knows the
    /// kinds 1 to 6 and no others.
    fn hear_frame(&mut self) -> (u8, u32, Vec<u8>) {
        loop {
            let (kind, word, body) = self.hear_any_frame();
            if kind != PING {
                return (kind, word, body);
            }
            self.say(&frame(PONG, word, &[]));
        }
    }

    fn hear_any_frame(&mut self) -> (u8, u32, Vec<u8>) {
        let header = self.hear(8);
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let kind = header[3];
        assert!(
            (1..=6).contains(&kind),
            "version 1 has no frames of kind {kind:#x}"
        );
        let word = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        (
            kind,
            word,
            self.hear(usize::try_from(length).expect("small")),
        )
    }

    /// Hears a mailbox announced and a message for it, and acknowledges it as the `count`th.
    fn hear_letter(&mut self, mailbox: &str, payload: &[u8], count: u32) {
        let (kind, id, announced) = self.hear_frame();
        assert_eq!((kind, &announced[..]), (MAILBOX, mailbox.as_bytes()));
        assert_eq!(self.hear_frame(), (MESSAGE, id, payload.to_vec()));
        self.say(&frame(ACK, count, &[]));
    }
}

fn node(tune: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Node {
    start(tune(config("new").channel(reliable("data"))))
}

fn sender(node: &Node, mailbox: &str) -> (Channel, Destination) {
    let channel = node.channel("data").expect("it is configured");
    (channel, node.destination("old", mailbox).expect("names"))
}

#[test]
fn a_node_dials_a_peer_of_version_1() {
    let new = node(|config| config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    new.connect("old", there).expect("a name");
    for life in 1..=2 {
        // The lane of its channel is dialled although nobody sends: it keeps its lanes up itself. The Hello
        // is byte for byte as version 1 wrote it.
        let (mut old, body) = OldPeer::accept_data(&listener);
        let expected = hello("new", "old", 4)[8..].to_vec();
        let incarnation_at = 1 + name(&cluster()).len() + name("new").len();
        assert_eq!(body[..incarnation_at], expected[..incarnation_at]);
        assert!(
            body.ends_with(&expected[incarnation_at + 1..]),
            "{body:02x?}"
        );
        old.say(&welcome("old"));

        new.wait_connected("old", GENEROUS).expect("the lane is up");
        let (channel, to) = sender(&new, "in");
        channel.try_send(&to, &b"hello"[..]).expect("there is room");
        old.hear_letter("in", b"hello", 1);
        let acknowledged = || {
            new.metrics()
                .channel("old", "data")
                .map(|lane| lane.acknowledged)
        };
        wait_until("the ack", acknowledged, |count| *count == Some(life));
        // The lane ends, and the node dials again.
    }
    all_acknowledged(&check_accounting(&[&new])[0], "old", "data", 2);
}

#[test]
fn a_peer_of_version_1_dials_a_node() {
    let new = node(|config| config);
    let mut inbox = new.inbox("in").expect("a mailbox");
    let mut old = OldPeer::connect(new.local_addr());
    // Its priority is another, which is no term.
    old.say(&hello("old", "new", 1));
    let (version, body) = old.hear_handshake();
    assert_eq!(version, 1);
    assert_eq!(body[..5], [&[1][..], &name("new")].concat(), "a Welcome");
    old.say(&frame(MAILBOX, 0, b"in"));
    old.say(&frame(MESSAGE, 0, b"hello"));
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(message.payload(), b"hello");
    assert_eq!(old.hear_frame(), (ACK, 1, Vec::new()));

    let (channel, to) = sender(&new, "back");
    channel
        .try_send(&to, &b"answer"[..])
        .expect("there is room");
    old.hear_letter("back", b"answer", 1);
    all_acknowledged(&check_accounting(&[&new])[0], "old", "data", 1);
}

/// It would dial a lane again that this node closes.
#[test]
fn an_idle_lane_to_a_peer_of_version_1_stays_up() {
    let new = node(|config| config.lane_idle_ms(1).idle_timeout_ms(1000));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("it is bound");
    new.connect("old", there).expect("a name");
    let (mut old, _) = OldPeer::accept_data(&listener);
    old.say(&welcome("old"));
    new.wait_connected("old", GENEROUS).expect("the lane is up");
    // Two thirds of the idle timeout, in which it is offered nothing that it cannot read.
    for _ in 0..2 {
        let (kind, word, _) = old.hear_any_frame();
        assert_eq!(kind, PING);
        old.say(&frame(PONG, word, &[]));
    }
    let (channel, to) = sender(&new, "in");
    channel.try_send(&to, &b"hello"[..]).expect("there is room");
    old.hear_letter("in", b"hello", 1);
    let metrics = &check_accounting(&[&new])[0];
    all_acknowledged(metrics, "old", "data", 1);
    assert!(counted(metrics, "old", "data").closes.is_empty());
}

#[test]
fn a_peer_of_version_1_is_refused_in_words_that_it_can_read() {
    let new = node(|config| config);
    let mut larger = hello("old", "new", 4);
    let at = larger.len() - 9;
    assert_eq!(larger[at..at + 3], [0x80, 0x80, 0x40], "body_bytes_max");
    larger[at] = 0x81;
    let mut cut_off = hello("old", "new", 4);
    cut_off.pop();
    cut_off[6] -= 1;
    for (what, said, code) in [
        (
            "another node",
            hello("old", "somebody", 4),
            CloseReason::WrongNode,
        ),
        (
            "its own name",
            hello("new", "new", 4),
            CloseReason::SelfDial,
        ),
        ("larger payloads", larger, CloseReason::ChannelMismatch),
        ("a field missing", cut_off, CloseReason::HandshakeMalformed),
    ] {
        let mut old = OldPeer::connect(new.local_addr());
        old.say(&said);
        let (version, body) = old.hear_handshake();
        assert_eq!(version, 1, "{what}");
        let code = u8::try_from(code.code()).expect("below 128");
        assert_eq!(body[..2], [2, code], "{what}");
    }
}

#[test]
fn a_peer_of_version_1_gets_no_mailbox_id_twice() {
    let new = node(|config| config.mailboxes_per_lane_max(2));
    let events = new.events();
    let mut old = OldPeer::connect(new.local_addr());
    old.say(&hello("old", "new", 4));
    old.hear_handshake();
    new.wait_connected("old", GENEROUS).expect("the lane is up");
    for (count, mailbox) in (1..).zip(["first", "second"]) {
        let (channel, to) = sender(&new, mailbox);
        channel.try_send(&to, &b"x"[..]).expect("there is room");
        old.hear_letter(mailbox, b"x", count);
    }
    let (channel, to) = sender(&new, "third");
    channel.try_send(&to, &b"x"[..]).expect("there is room");
    wait_for_event(&events, "the report", |event| match event {
        Event::Reported { undelivered: 1, .. } => Some(()),
        _ => None,
    });
    let metrics = &check_accounting(&[&new])[0];
    let out = counted(metrics, "old", "data");
    assert_eq!((out.acknowledged, out.reported), (2, 1));
}

#[test]
fn metadata_for_a_peer_of_version_1_is_refused_before_it_is_accepted() {
    let new = node(|config| config);
    let mut old = OldPeer::connect(new.local_addr());
    old.say(&hello("old", "new", 4));
    old.hear_handshake();
    new.wait_connected("old", GENEROUS).expect("the lane is up");
    let (channel, to) = sender(&new, "in");
    let sent = channel.try_send(&to, Envelope::new("x").message_type("letter"));
    assert_eq!(sent, Err(SendError::OldPeer));
    let sent = channel.send_to_all([&to], Envelope::new("x").metadata("k", "v"));
    assert_eq!(
        sent.expect("it can be sent").refused[0].1,
        SendError::OldPeer
    );
    channel.try_send(&to, "x").expect("there is room");
    old.hear_letter("in", b"x", 1);
    let metrics = &check_accounting(&[&new])[0];
    all_acknowledged(metrics, "old", "data", 1);
}
