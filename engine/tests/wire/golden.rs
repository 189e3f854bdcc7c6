//! docs/wire.md is the specification: its bytes are exactly what the encoders write and the
//! decoders read, and its table of close reasons is exactly the list in the code.
use std::collections::BTreeMap;
use std::fmt::Write;

use crc_fast::CrcAlgorithm;
use overlane::wire::causes::{Cause, Causes, Told, encode_causes, node_number};
use overlane::wire::codec::Codec;
use overlane::wire::compression::Decompressor;
use overlane::wire::control::{
    Decline, Rest, append_bye, append_mailbox, append_message, append_ping, append_pong, bye_reason,
};
use overlane::wire::fragment::FirstFragment;
use overlane::wire::frame::message_header;
use overlane::wire::hello::SESSION_PLAIN;
use overlane::wire::stream::{CancelReason, Side, Word, data_mailbox};
use overlane::wire::{
    AcceptProgress, Acceptor, Ack, Agreed, ChannelTerms, CloseReason, Correlation, DialProgress,
    Dialer, Endings, Extension, Frame, FrameKind, FrameLimits, HEADER_BYTES, HandshakeMessage,
    Hello, Name, Next, Parameters, Progress, Refuse, Role, VersionRange, Welcome, next_frame,
    put_header,
};

const DOCUMENT: &str = include_str!("../../../docs/wire.md");

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

fn stream_words() -> Vec<(&'static str, Word)> {
    let id = STREAM_ID;
    vec![
        (
            "stream open",
            Word::Open {
                id,
                mailbox: "files".into(),
            },
        ),
        (
            "stream window",
            Word::Window {
                id,
                granted: 1 << 20,
                received: 70_000,
                read: 65_536,
            },
        ),
        (
            "stream finish",
            Word::Finish {
                id,
                bytes: 9,
                checksum: crc_fast::checksum(CrcAlgorithm::Crc64Nvme, b"123456789"),
            },
        ),
        ("stream done", Word::Done { id }),
        (
            "stream cancel",
            Word::Cancel {
                id,
                by: Side::Reader,
                reason: CancelReason::Application,
                why: "full".into(),
            },
        ),
        (
            "stream message",
            Word::Message {
                id,
                bytes: 3 << 20,
                mailbox: "reports".into(),
            },
        ),
    ]
}

const STREAM_ID: u64 = 0x7b;

#[test]
fn the_decoders_read_the_documented_words_of_streams() {
    for (block, word) in stream_words() {
        assert_eq!(Word::decode(&golden(block)), Some(word), "{block}");
    }
    let mailbox = format!("`{}`", data_mailbox(STREAM_ID));
    assert!(DOCUMENT.contains(&mailbox), "{mailbox} is not there");
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn progress() -> Progress {
    Progress {
        log: 7,
        peer_log: 9,
        processed: 1000,
        refused: 2,
        endings: Endings::read("d90r2d8").expect("it can be read"),
    }
}

fn hello() -> Hello {
    Hello {
        versions: VersionRange::OURS,
        cluster: name("prod"),
        node: name("node-a"),
        incarnation: 1,
        expected_node: Some(name("node-b")),
        channel: name("data"),
        lane: 2,
        priority: 4,
        session: name(SESSION_PLAIN),
        progress: progress(),
        terms: ChannelTerms {
            reliability: name("reliable"),
            ordering: name("fifo"),
            compression: name("none"),
            parallelism: 4,
            body_bytes_max: 1 << 20,
            mailboxes_max: 4096,
            fragments: false,
            large_bytes_max: 0,
        },
        unknown: Parameters::default(),
    }
}

/// The same from a node of version 1, as this version reads it.
fn hello_of_version_1(expected_node: Option<Name>) -> Hello {
    let mut hello = hello();
    hello.versions = VersionRange::only(1);
    hello.expected_node = expected_node;
    hello.progress = Progress::default();
    hello.terms.mailboxes_max = u32::MAX;
    hello
}

/// The answer to `hello` of a node that takes smaller payloads.
fn welcome(hello: &Hello) -> Welcome {
    let mut terms = hello.terms.clone();
    terms.body_bytes_max = 64 << 10;
    let agreed = Agreed {
        version: hello.layout_version(),
        terms,
    };
    let progress = Progress {
        log: 9,
        ..Progress::default()
    };
    hello.welcome(name("node-b"), 300, progress, &agreed)
}

fn handshake_messages() -> Vec<(&'static str, HandshakeMessage)> {
    let refuse = Refuse::new(
        CloseReason::ChannelUnknown,
        "node node-b has no channel data",
    );
    let old = hello_of_version_1(Some(name("node-b")));
    let welcomes = [welcome(&hello()), welcome(&old)].map(HandshakeMessage::Welcome);
    let refusals = [refuse.clone(), refuse.in_version(1)].map(HandshakeMessage::Refuse);
    let hellos = [hello(), old, hello_of_version_1(None)]
        .map(|hello| HandshakeMessage::Hello(Box::new(hello)));
    [
        "hello",
        "hello of version 1",
        "hello of version 1 to a seed node",
        "welcome",
        "welcome of version 1",
        "refuse",
        "refuse of version 1",
    ]
    .into_iter()
    .zip(hellos.into_iter().chain(welcomes).chain(refusals))
    .collect()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let ack = |processed, refused, late| {
        written(|out| {
            Ack {
                processed,
                refused,
                late,
            }
            .append_to(out)
        })
    };
    vec![
        ("message", written(|out| append_message(out, 3, b"hello"))),
        ("empty message", written(|out| append_message(out, 0, b""))),
        ("mailbox", written(|out| append_mailbox(out, 3, "inbox"))),
        ("ack", ack(1000, 0, 0)),
        ("ack with refusals", ack(1002, 2, 0)),
        ("ack with late messages", ack(1005, 3, 1)),
        (
            "bye",
            written(|out| append_bye(out, CloseReason::LocalStop)),
        ),
        ("ping", written(|out| append_ping(out, 0x0102_0304))),
        ("pong", written(|out| append_pong(out, 0x0102_0304))),
        ("rest", encoded(FrameKind::Rest, PROPOSED.word(), b"")),
        ("rest agreed", encoded(FrameKind::Rest, AGREED.word(), b"")),
        ("summon", encoded(FrameKind::Summon, 2, b"data")),
        (
            "settled",
            encoded(FrameKind::Settled, 0, &Told::body([TOLD])),
        ),
        (
            "ask settled",
            encoded(FrameKind::AskSettled, 0, &Told::body([TOLD])),
        ),
        (
            "decline",
            encoded(FrameKind::Decline, DECLINED.word(), b"data"),
        ),
    ]
}

const TOLD: Told = Told {
    sender: 0x2a,
    incarnation: 7,
    count: 1000,
};

const PROPOSED: Rest = Rest {
    proposal: 1000,
    agreed: false,
};

const AGREED: Rest = Rest {
    proposal: 1000,
    agreed: true,
};

const DECLINED: Decline = Decline {
    lane: 2,
    reason: CloseReason::ChannelUnknown,
};

fn encoded(kind: FrameKind, word: u32, body: &[u8]) -> Vec<u8> {
    let mut header = [0; HEADER_BYTES];
    let length = u32::try_from(body.len()).expect("short");
    put_header(&mut header, kind, length, word);
    [&header[..], body].concat()
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
    let words = stream_words().into_iter();
    let words = words.map(|(name, word)| (name, word.encode()));
    for (name, bytes) in frames().into_iter().chain(handshakes).chain(words) {
        let golden = documented.remove(name).unwrap_or_default();
        assert_eq!(hex(&golden), hex(&bytes), "{name}");
    }
    // What this version reads and does not write, and what has a test of its own.
    let others = ["unknown", "extension", "compressed", "fragment"];
    documented.retain(|name, _| others.iter().all(|other| !name.contains(other)));
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
        ("rest", FrameKind::Rest, 2000, b""),
        ("rest agreed", FrameKind::Rest, 2001, b""),
        ("summon", FrameKind::Summon, 2, b"data"),
        ("decline", FrameKind::Decline, 25 << 16 | 2, b"data"),
        ("pong", FrameKind::Pong, 0x0102_0304, b""),
    ] {
        assert_eq!(
            only_frame(&golden(block)),
            Frame {
                kind,
                word,
                extension: Extension::NONE,
                body
            },
            "{block}"
        );
    }
    let ack = golden("ack with refusals");
    assert_eq!(
        Ack::from_frame(&only_frame(&ack)),
        Ack {
            processed: 1002,
            refused: 2,
            late: 0,
        }
    );
    assert_eq!(
        bye_reason(&only_frame(&golden("bye"))),
        CloseReason::PeerStopped
    );
}

#[test]
fn the_documented_fragments_are_a_message() {
    let limits = FrameLimits {
        fragments: true,
        ..FrameLimits::default()
    };
    let begun = golden("first fragment");
    let Ok(Next::Fragment(fragment, consumed)) = next_frame(&begun, &limits) else {
        panic!("a good fragment");
    };
    let first = fragment.first.expect("it begins a message");
    let of_five = FirstFragment {
        message_bytes: 5,
        is_extended: false,
    };
    assert_eq!(begun[8..consumed], of_five.encode());
    let rest = golden("fragment");
    let Ok(Next::Fragment(fragment, header)) = next_frame(&rest, &limits) else {
        panic!("a good fragment");
    };
    assert_eq!(
        (fragment.word, fragment.first, fragment.bytes),
        (3, None, 2)
    );
    let message = [
        &message_header(first, 3)[..],
        &begun[consumed..],
        &rest[header..],
    ]
    .concat();
    assert_eq!(message, golden("message"));
    let ack = golden("fragment ack");
    let ack = only_frame(&ack);
    assert_eq!((ack.kind, ack.word), (FrameKind::FragmentAck, 3));
}

#[test]
fn the_documented_compressed_frame_stands_for_a_message() {
    let bytes = golden("compressed");
    let limits = FrameLimits {
        codec: Some(Codec::Lz4),
        ..FrameLimits::default()
    };
    let Ok(Next::Frame(frame, consumed)) = next_frame(&bytes, &limits) else {
        panic!("a good frame");
    };
    assert_eq!((frame.kind, consumed), (FrameKind::Compressed, bytes.len()));
    let mut batch = vec![0; usize::try_from(frame.word).expect("small")];
    Decompressor::default()
        .decompress(Codec::Lz4, frame.body, &mut batch)
        .expect("it is what it says");
    let message = only_frame(&batch);
    assert_eq!((message.kind, message.word), (FrameKind::Message, 3));
    assert_eq!(message.body, [b'a'; 40]);
    let error = next_frame(&bytes, &FrameLimits::default()).expect_err("no codec is agreed");
    assert_eq!(error.close_reason(), CloseReason::BadCompression);
}

#[test]
fn the_decoders_read_the_documented_extensions() {
    let bytes = golden("message with an extension");
    let frame = only_frame(&bytes);
    assert_eq!((frame.kind, frame.word), (FrameKind::Message, 3));
    assert_eq!(frame.body, b"hello");
    let role = Role::Request;
    assert_eq!(
        frame.extension.correlation(),
        Some(Correlation { id: 7, role })
    );
    assert_eq!(frame.extension.deadline_ms(), Some(250));
    assert_eq!(frame.extension.entries().count(), 3);
    let unknown = golden("message with an unknown mandatory entry");
    let error = next_frame(&unknown, &FrameLimits::default()).expect_err("mandatory");
    assert_eq!(error.close_reason(), CloseReason::UnknownExtension);

    // On a lane of version 1 the flag is part of an unknown kind.
    let version_1 = FrameLimits {
        extensions: false,
        codec: None,
        fragments: false,
        ..FrameLimits::default()
    };
    let error = next_frame(&bytes, &version_1).expect_err("version 1 has no extensions");
    assert_eq!(error.close_reason(), CloseReason::UnknownFrame);
}

#[test]
fn the_documented_causes_are_read_and_written() {
    let bytes = golden("message with an extension of causes");
    let causes: Option<Causes<'_>> = only_frame(&bytes).extension.causes();
    let causes = causes.expect("they are there");
    let need = Cause {
        sender: 42,
        incarnation: 7,
        to: 43,
        count: 1000,
    };
    assert_eq!(causes.number, 5);
    assert!(causes.needs().eq([need]));
    let written = encode_causes(5, [need]).expect("they fit");
    assert_eq!(hex(&written), hex(causes.encoded()));
    // CRC-64/NVME of "123456789", the check value of its catalogue.
    assert_eq!(node_number("123456789"), 0xae8b_1486_0a79_9888);
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
        let answered = |said: Hello| Dialer::new(said).0.receive(&bytes);
        match message {
            HandshakeMessage::Hello(hello) => {
                let done = AcceptProgress::Done {
                    hello,
                    consumed_bytes,
                };
                assert_eq!(Acceptor::new().receive(&bytes), Ok(done), "{block}");
            }
            HandshakeMessage::Welcome(welcome) => {
                let said = match welcome.version {
                    1 => hello_of_version_1(None),
                    _ => hello(),
                };
                let terms = match &welcome.extensible {
                    Some(extensible) => extensible.terms.clone(),
                    None => said.terms.clone(),
                };
                let agreed = Agreed {
                    version: welcome.version,
                    terms,
                };
                let welcomed = DialProgress::Welcomed {
                    welcome,
                    agreed,
                    consumed_bytes,
                };
                assert_eq!(answered(said), Ok(welcomed), "{block}");
            }
            HandshakeMessage::Refuse(refuse) => {
                let refused = DialProgress::Refused {
                    refuse,
                    dial_again_in: None,
                    consumed_bytes,
                };
                assert_eq!(answered(hello()), Ok(refused), "{block}");
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
