//! The handshake through its public state machines: what both sides get, whatever the pieces that
//! the bytes arrive in, and what each bad input is answered with.
use overlane::wire::hello::{HANDSHAKE_BODY_BYTES_MAX, LocalNode, REFUSE_TEXT_BYTES_MAX, VERSION};
use overlane::wire::{
    AcceptProgress, Acceptor, ChannelTerms, CloseReason, DialProgress, Dialer, HandshakeError,
    HandshakeMessage, Hello, Name, Refuse, Welcome,
};

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn hello() -> Hello {
    Hello {
        cluster: name("prod"),
        node: name("node-a"),
        incarnation: 7,
        expected_node: Some(name("node-b")),
        channel: name("data"),
        terms: ChannelTerms {
            priority: 4,
            reliability: name("reliable"),
            ordering: name("fifo"),
            parallelism: 4,
            body_bytes_max: 1 << 20,
            compression: name("none"),
        },
        lane: 3,
    }
}

fn welcome(node: &str) -> Welcome {
    Welcome {
        node: name(node),
        incarnation: 9,
    }
}

fn longest() -> Name {
    name(&"é".repeat(127))
}

/// What an acceptor says to bytes that come in pieces of `piece_bytes`, followed by nothing.
fn accepted(bytes: &[u8], piece_bytes: usize) -> Result<AcceptProgress, HandshakeError> {
    let mut acceptor = Acceptor::new();
    let mut progress = AcceptProgress::NeedMore;
    for piece in bytes.chunks(piece_bytes) {
        assert_eq!(
            progress,
            AcceptProgress::NeedMore,
            "it went on after the end"
        );
        progress = acceptor.receive(piece)?;
    }
    Ok(progress)
}

#[test]
fn a_hello_is_read_whatever_the_pieces() {
    let (_, bytes) = Dialer::new(hello());
    for piece_bytes in 1..=bytes.len() {
        match accepted(&bytes, piece_bytes) {
            Ok(AcceptProgress::Done { hello: read, .. }) => assert_eq!(read, hello()),
            other => panic!("in pieces of {piece_bytes}: {other:?}"),
        }
    }
}

#[test]
fn bytes_after_the_handshake_are_left_to_the_caller() {
    let (mut dialer, mut bytes) = Dialer::new(hello());
    let hello_bytes = bytes.len();
    bytes.extend_from_slice(b"frames");
    let progress = Acceptor::new().receive(&bytes);
    let consumed_bytes = hello_bytes;
    assert_eq!(
        progress,
        Ok(AcceptProgress::Done {
            hello: hello(),
            consumed_bytes
        })
    );

    let mut answer = HandshakeMessage::Welcome(welcome("node-b")).encode();
    let first = answer.split_off(5);
    assert_eq!(dialer.receive(&answer), Ok(DialProgress::NeedMore));
    let rest = [first.as_slice(), b"frames"].concat();
    let consumed_bytes = first.len();
    let welcomed = DialProgress::Welcomed {
        welcome: welcome("node-b"),
        consumed_bytes,
    };
    assert_eq!(dialer.receive(&rest), Ok(welcomed));
}

#[test]
fn the_largest_hello_and_refuse_fit() {
    let mut large = hello();
    large.cluster = longest();
    large.node = longest();
    large.incarnation = u64::MAX;
    large.expected_node = Some(longest());
    large.channel = longest();
    large.terms.reliability = longest();
    large.terms.ordering = longest();
    large.terms.compression = longest();
    large.terms.parallelism = u16::MAX;
    large.terms.body_bytes_max = u32::MAX;
    large.lane = u16::MAX;
    let (_, bytes) = Dialer::new(large.clone());
    assert!(bytes.len() <= 8 + HANDSHAKE_BODY_BYTES_MAX);
    let consumed_bytes = bytes.len();
    let done = AcceptProgress::Done {
        hello: large,
        consumed_bytes,
    };
    assert_eq!(Acceptor::new().receive(&bytes), Ok(done));

    let refuse = Refuse::new(CloseReason::ChannelMismatch, &"é\n".repeat(4000));
    assert!(refuse.text().len() <= REFUSE_TEXT_BYTES_MAX && !refuse.text().contains('\n'));
    let bytes = HandshakeMessage::Refuse(refuse.clone()).encode();
    let consumed_bytes = bytes.len();
    let refused = DialProgress::Refused {
        refuse,
        consumed_bytes,
    };
    assert_eq!(Dialer::new(hello()).0.receive(&bytes), Ok(refused));
}

/// The error, which has to come with the `after`-th byte and not later.
fn error_after(bytes: &[u8], after: usize) -> HandshakeError {
    let mut acceptor = Acceptor::new();
    for (count, byte) in bytes.iter().enumerate() {
        match acceptor.receive(&[*byte]) {
            Ok(progress) => assert_eq!(progress, AcceptProgress::NeedMore),
            Err(error) => {
                assert_eq!(count + 1, after, "{error}");
                return error;
            }
        }
    }
    panic!("no error in {bytes:?}")
}

#[test]
fn what_cannot_be_a_hello_fails_at_its_first_wrong_byte() {
    let http = error_after(b"GET / HTTP/1.1\r\n", 1);
    assert_eq!(
        http,
        HandshakeError::WrongMagic {
            came: b"G".to_vec()
        }
    );
    let almost = error_after(b"OVLx....", 4);
    assert!(almost.to_string().contains("OVLx"), "{almost}");

    let (_, good) = Dialer::new(hello());
    let mut bytes = good.clone();
    bytes[4..6].copy_from_slice(&(VERSION + 1).to_le_bytes());
    assert_eq!(
        error_after(&bytes, 6),
        HandshakeError::WrongVersion { came: VERSION + 1 }
    );

    bytes.clone_from(&good);
    bytes[6..8].copy_from_slice(&4096_u16.to_le_bytes());
    assert_eq!(
        accepted(&bytes[..8], 1),
        Ok(AcceptProgress::NeedMore),
        "4096 is within the limit"
    );
    for body_bytes in [4097, u16::MAX] {
        bytes.clone_from(&good);
        bytes[6..8].copy_from_slice(&body_bytes.to_le_bytes());
        let body_bytes = usize::from(body_bytes);
        assert_eq!(
            error_after(&bytes, 8),
            HandshakeError::TooLarge { body_bytes }
        );
    }
}

#[test]
fn a_body_that_is_not_the_one_encoding_is_malformed() {
    let (_, good) = Dialer::new(hello());
    let with_body = |body: &[u8]| {
        let length = u16::try_from(body.len()).expect("small").to_le_bytes();
        [&good[..6], &length, body].concat()
    };
    let body = &good[8..];
    let mut left_over = body.to_vec();
    left_over.push(0);
    let mut control_character = body.to_vec();
    control_character[2] = b'\n';
    let mut unknown_kind = body.to_vec();
    unknown_kind[0] = 3;
    let mut long_number = body.to_vec();
    long_number[0] = 0x80;
    long_number.insert(1, 0);
    let answer = HandshakeMessage::Welcome(welcome("node-b")).encode()[8..].to_vec();
    let cut_off = body[..body.len() - 1].to_vec();
    let huge_name = vec![0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for (what, body) in [
        ("nothing", vec![]),
        ("a byte left over", left_over),
        ("a control character in a name", control_character),
        ("an unknown kind", unknown_kind),
        ("a number longer than need be", long_number),
        ("an answer instead of a Hello", answer),
        ("a field cut off", cut_off),
        ("a name of 4 GiB", huge_name),
    ] {
        let error = accepted(&with_body(&body), usize::MAX).expect_err(what);
        assert_eq!(
            error.close_reason(),
            CloseReason::HandshakeMalformed,
            "{what}: {error}"
        );
    }
}

#[test]
fn every_error_reaches_the_other_side_with_its_reason() {
    let errors = [
        HandshakeError::WrongMagic {
            came: b"\x16\x03".to_vec(),
        },
        HandshakeError::WrongVersion { came: 2 },
        HandshakeError::TooLarge { body_bytes: 65535 },
        accepted(b"OVLN\x01\x00\x00\x00", 1).expect_err("an empty body"),
        HandshakeError::WrongNode {
            came: name("node-c"),
            expected: name("node-b"),
        },
    ];
    for error in errors {
        let bytes = HandshakeMessage::Refuse(error.refusal()).encode();
        match Dialer::new(hello()).0.receive(&bytes) {
            Ok(DialProgress::Refused { refuse, .. }) => {
                assert_eq!(refuse.reason(), error.close_reason());
                assert_eq!(refuse.text(), error.to_string());
            }
            other => panic!("{error}: {other:?}"),
        }
    }
}

#[test]
fn a_dialer_takes_no_welcome_from_another_node() {
    let answer = HandshakeMessage::Welcome(welcome("node-c")).encode();
    let error = Dialer::new(hello())
        .0
        .receive(&answer)
        .expect_err("another node");
    assert_eq!(error.close_reason(), CloseReason::WrongNode);

    let to_a_seed = Hello {
        expected_node: None,
        ..hello()
    };
    let progress = Dialer::new(to_a_seed).0.receive(&answer);
    assert!(matches!(progress, Ok(DialProgress::Welcomed { .. })));
}

#[test]
fn a_handshake_is_over_after_one_message() {
    let (mut dialer, bytes) = Dialer::new(hello());
    let mut acceptor = Acceptor::new();
    assert!(acceptor.receive(&bytes).is_ok());
    assert!(acceptor.receive(&bytes).is_err());
    assert!(dialer.receive(&bytes).is_err(), "a Hello is no answer");
}

#[test]
fn a_refusal_with_a_reason_of_a_later_version_is_still_readable() {
    let mut bytes = HandshakeMessage::Refuse(Refuse::new(CloseReason::Io, "later")).encode();
    assert_eq!(bytes[9], 104, "the code is one byte long");
    bytes[9] = 127;
    match Dialer::new(hello()).0.receive(&bytes) {
        Ok(DialProgress::Refused { refuse, .. }) => {
            assert_eq!(
                (refuse.reason(), refuse.code()),
                (CloseReason::Unrecognised, 127)
            );
            assert_eq!(refuse.text(), "later");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_is_judged_by_cluster_node_channel_terms_and_lane() {
    let local = LocalNode {
        cluster: "prod",
        name: "node-b",
    };
    let terms = hello().terms;
    assert_eq!(hello().judge(local, Some(&terms)), Ok(()));

    let refused = |hello: Hello, local, terms: Option<&ChannelTerms>| {
        let refuse = hello.judge(local, terms).expect_err("refused");
        (refuse.reason(), refuse.text().to_owned())
    };
    let other_cluster = LocalNode {
        cluster: "test",
        ..local
    };
    let other_node = LocalNode {
        name: "node-c",
        ..local
    };
    let other_terms = ChannelTerms {
        priority: 1,
        ..terms.clone()
    };
    let lane_4 = Hello { lane: 4, ..hello() };
    for ((reason, text), expected, words) in [
        (
            refused(hello(), other_cluster, Some(&terms)),
            CloseReason::WrongCluster,
            ["test", "prod"],
        ),
        (
            refused(hello(), other_node, Some(&terms)),
            CloseReason::WrongNode,
            ["node-c", "node-b"],
        ),
        (
            refused(hello(), local, None),
            CloseReason::ChannelUnknown,
            ["node-b", "data"],
        ),
        (
            refused(hello(), local, Some(&other_terms)),
            CloseReason::ChannelMismatch,
            ["data", "priority is 1 at the acceptor, 4 at the dialer"],
        ),
        (
            refused(lane_4, local, Some(&terms)),
            CloseReason::LaneOutOfRange,
            ["data", "4 lanes"],
        ),
    ] {
        assert_eq!(reason, expected, "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}
