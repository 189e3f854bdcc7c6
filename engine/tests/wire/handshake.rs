//! The handshake through its public state machines: what both sides get, whatever the pieces that
//! the bytes arrive in, and what each bad input is answered with.
use overlane::wire::hello::{LocalNode, REFUSE_TEXT_BYTES_MAX, SESSION_PLAIN};
use overlane::wire::layout::HANDSHAKE_BODY_BYTES_MAX;
use overlane::wire::parameters::PARAMETER_BYTES_MAX;
use overlane::wire::version::VERSION;
use overlane::wire::{
    AcceptProgress, Acceptor, Agreed, ChannelTerms, CloseReason, DialProgress, Dialer, Endings,
    HandshakeError, HandshakeMessage, Hello, Name, Parameter, Parameters, Progress, Refuse,
    VersionRange, Welcome,
};

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn hello() -> Hello {
    Hello {
        versions: VersionRange::OURS,
        cluster: name("prod"),
        node: name("node-a"),
        incarnation: 7,
        expected_node: Some(name("node-b")),
        channel: name("data"),
        lane: 3,
        priority: 4,
        session: name(SESSION_PLAIN),
        progress: Progress::default(),
        terms: ChannelTerms {
            reliability: name("reliable"),
            ordering: name("fifo"),
            compression: name("none"),
            parallelism: 4,
            body_bytes_max: 1 << 20,
            mailboxes_max: 4096,
            fragments: true,
            large_bytes_max: 0,
        },
        unknown: Parameters::default(),
    }
}

const LOCAL: LocalNode<'static> = LocalNode {
    session: SESSION_PLAIN,
    cluster: "prod",
    name: "node-b",
};

fn agreed() -> Agreed {
    Agreed {
        version: VERSION,
        terms: hello().terms,
    }
}

fn welcome(node: &str) -> Welcome {
    hello().welcome(name(node), 9, Progress::default(), &agreed())
}

fn later_parameter(mandatory: bool) -> Parameter {
    Parameter {
        name: name("later"),
        mandatory,
        value: name("1"),
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
            Ok(AcceptProgress::Done { hello: read, .. }) => assert_eq!(*read, hello()),
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
            hello: Box::new(hello()),
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
        agreed: agreed(),
        consumed_bytes,
    };
    assert_eq!(dialer.receive(&rest), Ok(welcomed));
}

/// Adds parameters as long as they fit beside the longest terms.
fn fill(unknown: &mut Parameters) {
    // Three words, three numbers, that there are fragments, and the names of all seven.
    let terms_bytes = 3 * longest().len() + 5 + 10 + 10 + 1 + 71 + 9;
    let mut left = PARAMETER_BYTES_MAX - terms_bytes;
    for number in 0.. {
        let parameter = Parameter {
            name: name(&format!("unknown-{number:02}")),
            mandatory: false,
            value: name(&"v".repeat(255.min(left.saturating_sub(10)).max(1))),
        };
        let bytes = parameter.name.len() + parameter.value.len();
        if bytes > left {
            return;
        }
        left -= bytes;
        unknown.insert(parameter).expect("there is room");
    }
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
    large.terms.mailboxes_max = u32::MAX;
    large.lane = u16::MAX;
    large.session = longest();
    large.progress = Progress {
        log: u64::MAX,
        peer_log: u64::MAX,
        processed: u64::MAX,
        refused: u64::MAX,
        endings: Endings::NONE,
    };
    fill(&mut large.unknown);
    let (_, bytes) = Dialer::new(large.clone());
    assert!(bytes.len() <= 8 + HANDSHAKE_BODY_BYTES_MAX);
    let consumed_bytes = bytes.len();
    let done = AcceptProgress::Done {
        hello: Box::new(large),
        consumed_bytes,
    };
    assert_eq!(Acceptor::new().receive(&bytes), Ok(done));

    let refuse = Refuse::new(CloseReason::ChannelMismatch, &"é\n".repeat(4000));
    assert!(refuse.text().len() <= REFUSE_TEXT_BYTES_MAX && !refuse.text().contains('\n'));
    let bytes = HandshakeMessage::Refuse(refuse.clone()).encode();
    let consumed_bytes = bytes.len();
    let refused = DialProgress::Refused {
        refuse,
        dial_again_in: None,
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
    control_character[4] = b'\n';
    let mut unknown_kind = body.to_vec();
    unknown_kind[0] = 3;
    let mut long_number = body.to_vec();
    long_number[0] = 0x80;
    long_number.insert(1, 0);
    let answer = HandshakeMessage::Welcome(welcome("node-b")).encode()[8..].to_vec();
    let cut_off = body[..body.len() - 1].to_vec();
    let huge_name = vec![0, 1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f];
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
        HandshakeError::WrongVersion { came: 3 },
        HandshakeError::TooLarge { body_bytes: 65535 },
        accepted(b"OVLN\x02\x00\x00\x00", 1).expect_err("an empty body"),
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
fn a_hello_is_judged_by_what_must_agree() {
    let terms = hello().terms;
    assert_eq!(hello().judge(LOCAL, Some(&terms)), Ok(agreed()));
    type Change = fn(&mut Hello);
    let changes: [(Change, CloseReason, [&str; 2]); 9] = [
        (
            |hello| hello.versions = VersionRange { min: 3, max: 9 },
            CloseReason::WrongVersion,
            ["versions 3 to 9", "1 to 2"],
        ),
        (
            |hello| hello.cluster = name("test"),
            CloseReason::WrongCluster,
            ["test", "prod"],
        ),
        (
            |hello| hello.expected_node = Some(name("node-c")),
            CloseReason::WrongNode,
            ["node-c", "node-b"],
        ),
        (
            |hello| hello.session = name("psk"),
            CloseReason::SessionUnknown,
            ["psk", "plain"],
        ),
        (
            |hello| hello.unknown.insert(later_parameter(true)).expect("room"),
            CloseReason::ParameterUnknown,
            ["later", "mandatory"],
        ),
        (
            |hello| hello.terms.ordering = name("causal"),
            CloseReason::ChannelMismatch,
            [
                "data",
                "ordering is fifo at the acceptor, causal at the dialer",
            ],
        ),
        (
            |hello| hello.lane = 4,
            CloseReason::LaneOutOfRange,
            ["data", "4 lanes"],
        ),
        (
            |hello| {
                hello.versions = VersionRange::only(1);
                hello.terms.body_bytes_max += 1;
            },
            CloseReason::ChannelMismatch,
            [
                "data",
                "body_bytes_max is 1048576 at the acceptor, 1048577 at the dialer",
            ],
        ),
        (
            |hello| {
                hello.versions = VersionRange::only(1);
                hello.terms.compression = name("zstd");
            },
            CloseReason::ChannelMismatch,
            [
                "data",
                "compression is none at the acceptor, zstd at the dialer",
            ],
        ),
    ];
    for (change, reason, words) in changes {
        let mut hello = hello();
        change(&mut hello);
        let refuse = hello.judge(LOCAL, Some(&terms)).expect_err("refused");
        assert_eq!(refuse.reason(), reason, "{}", refuse.text());
        assert_eq!(refuse.version(), hello.layout_version());
        let names_both = words.iter().all(|word| refuse.text().contains(word));
        assert!(names_both, "{}", refuse.text());
    }
    let refuse = hello().judge(LOCAL, None).expect_err("no such channel");
    assert_eq!(refuse.reason(), CloseReason::ChannelUnknown);
}

#[test]
fn what_need_not_agree_is_welcome_and_sizes_take_the_smaller() {
    let terms = hello().terms;
    let changes: [fn(&mut Hello); 4] = [
        |hello| hello.priority = 7,
        |hello| hello.terms.body_bytes_max = u32::MAX,
        |hello| hello.versions.max = u16::MAX,
        |hello| hello.unknown.insert(later_parameter(false)).expect("room"),
    ];
    for change in changes {
        let mut hello = hello();
        change(&mut hello);
        assert_eq!(hello.judge(LOCAL, Some(&terms)), Ok(agreed()), "{hello:?}");
    }
    let mut small = hello();
    small.terms.body_bytes_max = 100;
    small.terms.mailboxes_max = 1;
    let judged = small.judge(LOCAL, Some(&terms)).expect("it is welcome");
    assert_eq!(judged.terms, small.terms);

    // The dialer hears of it.
    let answer = hello().welcome(name("node-b"), 9, Progress::default(), &judged);
    let bytes = HandshakeMessage::Welcome(answer).encode();
    match Dialer::new(hello()).0.receive(&bytes) {
        Ok(DialProgress::Welcomed { agreed, .. }) => assert_eq!(agreed, judged),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_welcome_that_does_not_answer_the_hello_is_refused() {
    type Change = fn(&mut Welcome);
    let changes: [(Change, CloseReason); 5] = [
        (
            |welcome| parts(welcome).session = name("tls"),
            CloseReason::SessionUnknown,
        ),
        (
            |welcome| parts(welcome).terms.reliability = name("guaranteed"),
            CloseReason::ChannelMismatch,
        ),
        (
            |welcome| parts(welcome).terms.body_bytes_max += 1,
            CloseReason::ChannelMismatch,
        ),
        (
            |welcome| parts(welcome).terms.mailboxes_max += 1,
            CloseReason::ChannelMismatch,
        ),
        (
            |welcome| {
                let later = later_parameter(true);
                parts(welcome).unknown.insert(later).expect("room");
            },
            CloseReason::ParameterUnknown,
        ),
    ];
    for (change, reason) in changes {
        let mut answer = welcome("node-b");
        change(&mut answer);
        let bytes = HandshakeMessage::Welcome(answer).encode();
        let error = Dialer::new(hello()).0.receive(&bytes).expect_err("refused");
        assert_eq!(error.close_reason(), reason, "{error}");
    }
    let mut answer = welcome("node-b");
    parts(&mut answer)
        .unknown
        .insert(later_parameter(false))
        .expect("room");
    let bytes = HandshakeMessage::Welcome(answer).encode();
    let progress = Dialer::new(hello()).0.receive(&bytes);
    assert!(matches!(progress, Ok(DialProgress::Welcomed { .. })));
}

fn parts(welcome: &mut Welcome) -> &mut overlane::wire::hello::WelcomeExtensible {
    welcome.extensible.as_mut().expect("it is of version 2")
}

#[test]
fn a_refusal_of_the_version_says_in_which_to_dial_again() {
    let refusal = |reason, version| {
        let refuse = Refuse::new(reason, "no").in_version(version);
        HandshakeMessage::Refuse(refuse).encode()
    };
    let old = Hello {
        versions: VersionRange::only(1),
        ..hello()
    };
    for (said, reason, version, expected) in [
        (hello(), CloseReason::WrongVersion, 1, Some(1)),
        (hello(), CloseReason::WrongVersion, 2, None),
        (hello(), CloseReason::TooManyPeers, 1, None),
        (old, CloseReason::WrongVersion, 1, None),
    ] {
        match Dialer::new(said).0.receive(&refusal(reason, version)) {
            Ok(DialProgress::Refused { dial_again_in, .. }) => assert_eq!(dial_again_in, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_bad_hello_of_version_1_is_refused_in_version_1() {
    let mut acceptor = Acceptor::new();
    let error = acceptor
        .receive(b"OVLN\x01\x00\x00\x00")
        .expect_err("an empty body");
    assert_eq!(acceptor.refusal(&error).version(), 1);
    let mut acceptor = Acceptor::new();
    let error = acceptor.receive(b"GET / HTTP/1.1").expect_err("no Hello");
    assert_eq!(acceptor.refusal(&error).version(), VERSION);
}

#[test]
fn counts_that_contradict_each_other_are_malformed() {
    let mut said = hello();
    said.progress = Progress {
        log: 1,
        peer_log: 2,
        processed: 5,
        refused: 6,
        endings: Endings::NONE,
    };
    let (_, bytes) = Dialer::new(said);
    let error = accepted(&bytes, usize::MAX).expect_err("more refused than processed");
    assert_eq!(error.close_reason(), CloseReason::HandshakeMalformed);
}
