//! docs/wire.md is the specification: its bytes are exactly what the encoders write and the
//! decoders read, and its table of close reasons is exactly the list in the code.
use std::collections::BTreeMap;
use std::fmt::Write;

use overlane::wire::control::{
    append_bye, append_mailbox, append_message, append_ping, append_pong, bye_reason,
};
use overlane::wire::{
    AcceptProgress, Acceptor, Ack, ChannelTerms, CloseReason, DialProgress, Dialer, Frame,
    FrameKind, FrameLimits, HandshakeMessage, Hello, Name, Next, Refuse, Welcome, next_frame,
};

const DOCUMENT: &str = include_str!("../../docs/wire.md");

/// Every block of bytes in the document by its name: hexadecimal, with comments after `#`.
fn golden_blocks() -> BTreeMap<&'static str, Vec<u8>> {
    let mut blocks = BTreeMap::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```golden ") else {
            continue;
        };
        let mut bytes = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            let data = line.split('#').next().unwrap_or(line);
            for pair in data.split_whitespace() {
                let byte = u8::from_str_radix(pair, 16);
                bytes.push(byte.unwrap_or_else(|_| panic!("in {name}: {pair:?} is no byte")));
            }
        }
        assert!(
            blocks.insert(name, bytes).is_none(),
            "{name} is there twice"
        );
    }
    blocks
}

fn golden(name: &str) -> Vec<u8> {
    golden_blocks()
        .remove(name)
        .unwrap_or_else(|| panic!("docs/wire.md has no bytes of {name}"))
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn hello(expected_node: Option<Name>) -> Hello {
    Hello {
        cluster: name("prod"),
        node: name("node-a"),
        incarnation: 1,
        expected_node,
        channel: name("data"),
        terms: ChannelTerms {
            priority: 4,
            reliability: name("reliable"),
            ordering: name("fifo"),
            parallelism: 4,
            body_bytes_max: 1 << 20,
            compression: name("none"),
        },
        lane: 2,
    }
}

fn handshake_messages() -> Vec<(&'static str, HandshakeMessage)> {
    let welcome = Welcome {
        node: name("node-b"),
        incarnation: 300,
    };
    let refuse = Refuse::new(
        CloseReason::ChannelUnknown,
        "node node-b has no channel data",
    );
    vec![
        (
            "hello",
            HandshakeMessage::Hello(hello(Some(name("node-b")))),
        ),
        ("hello to a seed node", HandshakeMessage::Hello(hello(None))),
        ("welcome", HandshakeMessage::Welcome(welcome)),
        ("refuse", HandshakeMessage::Refuse(refuse)),
    ]
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let ack = |processed, refused| written(|out| Ack { processed, refused }.append_to(out));
    vec![
        ("message", written(|out| append_message(out, 3, b"hello"))),
        ("empty message", written(|out| append_message(out, 0, b""))),
        ("mailbox", written(|out| append_mailbox(out, 3, "inbox"))),
        ("ack", ack(1000, 0)),
        ("ack with refusals", ack(1002, 2)),
        (
            "bye",
            written(|out| append_bye(out, CloseReason::LocalStop)),
        ),
        ("ping", written(|out| append_ping(out, 0x0102_0304))),
        ("pong", written(|out| append_pong(out, 0x0102_0304))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x} ").expect("a String takes everything");
        text
    })
}

/// The frame at the start of golden bytes, which has to take all of them.
fn only_frame(bytes: &[u8]) -> Frame<'_> {
    match next_frame(bytes, &FrameLimits::default()) {
        Ok(Next::Frame(frame, consumed_bytes)) if consumed_bytes == bytes.len() => frame,
        other => panic!("not exactly one frame: {other:?}"),
    }
}

#[test]
fn the_encoders_write_the_documented_bytes() {
    let mut documented = golden_blocks();
    let handshakes = handshake_messages()
        .into_iter()
        .map(|(name, message)| (name, message.encode()));
    for (name, bytes) in frames().into_iter().chain(handshakes) {
        let golden = documented.remove(name).unwrap_or_default();
        assert_eq!(hex(&golden), hex(&bytes), "{name}");
    }
    documented.remove("unknown optional frame");
    documented.remove("unknown mandatory frame");
    assert!(
        documented.is_empty(),
        "not checked: {:?}",
        documented.keys()
    );
}

#[test]
fn the_decoders_read_the_documented_frames() {
    for (block, kind, word, body) in [
        ("message", FrameKind::Message, 3, &b"hello"[..]),
        ("empty message", FrameKind::Message, 0, b""),
        ("mailbox", FrameKind::Mailbox, 3, b"inbox"),
        ("ack", FrameKind::Ack, 1000, b""),
        ("ack with refusals", FrameKind::Ack, 1002, b"\x02\0\0\0"),
        ("bye", FrameKind::Bye, 3, b""),
        ("ping", FrameKind::Ping, 0x0102_0304, b""),
        ("pong", FrameKind::Pong, 0x0102_0304, b""),
    ] {
        assert_eq!(
            only_frame(&golden(block)),
            Frame { kind, word, body },
            "{block}"
        );
    }
    let ack = golden("ack with refusals");
    assert_eq!(
        Ack::from_frame(&only_frame(&ack)),
        Ack {
            processed: 1002,
            refused: 2
        }
    );
    assert_eq!(
        bye_reason(&only_frame(&golden("bye"))),
        CloseReason::PeerStopped
    );
}

#[test]
fn the_documented_unknown_frames_are_skipped_or_refused() {
    let limits = FrameLimits::default();
    let optional = golden("unknown optional frame");
    let consumed_bytes = optional.len();
    assert_eq!(
        next_frame(&optional, &limits),
        Ok(Next::Skip { consumed_bytes })
    );
    let mandatory = golden("unknown mandatory frame");
    let error = next_frame(&mandatory, &limits).expect_err("mandatory");
    assert_eq!(error.close_reason(), CloseReason::UnknownFrame);
}

#[test]
fn the_decoders_read_the_documented_handshake() {
    for (block, message) in handshake_messages() {
        let bytes = golden(block);
        let consumed_bytes = bytes.len();
        let dialled = || Dialer::new(hello(None)).0.receive(&bytes);
        match message {
            HandshakeMessage::Hello(hello) => {
                let done = AcceptProgress::Done {
                    hello,
                    consumed_bytes,
                };
                assert_eq!(Acceptor::new().receive(&bytes), Ok(done), "{block}");
            }
            HandshakeMessage::Welcome(welcome) => {
                let welcomed = DialProgress::Welcomed {
                    welcome,
                    consumed_bytes,
                };
                assert_eq!(dialled(), Ok(welcomed), "{block}");
            }
            HandshakeMessage::Refuse(refuse) => {
                let refused = DialProgress::Refused {
                    refuse,
                    consumed_bytes,
                };
                assert_eq!(dialled(), Ok(refused), "{block}");
            }
        }
    }
}

#[test]
fn the_documented_close_reasons_are_those_of_the_code() {
    let rows: Vec<_> = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("## Close reasons"))
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .collect();
    let expected: Vec<_> = CloseReason::ALL
        .iter()
        .map(|reason| format!("| {} | `{}` | {reason} |", reason.code(), reason.name()))
        .collect();
    assert_eq!(rows, expected);
}
