//! What must hold for any bytes at all that a peer can send: one function for each decoder.
//!
//! Used by the fuzz targets beside this file, and by `tests/wire_corpus.rs`, which replays the
//! corpus and mutations of it in the normal test run. The functions panic where a promise is
//! broken: a decoder never panics, never asks for more than its limit, says the same whatever
//! the pieces that bytes arrive in, and whatever it takes has exactly one encoding.
use overlane::wire::control::bye_reason;
use overlane::wire::hello::{HANDSHAKE_BODY_BYTES_MAX, PREFIX_BYTES};
use overlane::wire::mailbox::AnnouncedMailboxes;
use overlane::wire::{
    AcceptProgress, Acceptor, Ack, ChannelTerms, DecodeError, DialProgress, Dialer, Frame,
    FrameKind, FrameLimits, HEADER_BYTES, HandshakeError, HandshakeMessage, Hello, Name, Next,
    next_frame, put_header,
};

/// A stream of frames. The first byte chooses the limit, and the pieces for the second reading.
pub(crate) fn frames(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let limits = FrameLimits {
        body_bytes_max: 1 << (choice % 21),
    };
    let (whole, consumed_bytes, whole_end) = read_frames(bytes, &limits);
    let (in_pieces, end) = read_frames_in_pieces(bytes, &limits, usize::from(choice) + 1);
    assert_eq!(whole, in_pieces);
    assert_eq!(whole_end.is_err(), end.is_err());
    assert!(consumed_bytes <= bytes.len());

    let mut mailboxes = AnnouncedMailboxes::new(4);
    for (kind, word, body) in &whole {
        check_contents(
            &Frame {
                kind: *kind,
                word: *word,
                body,
            },
            &mut mailboxes,
        );
    }
}

type OwnedFrame = (FrameKind, u32, Vec<u8>);

/// All frames at the start of `bytes`, how far they go, and what comes after them.
fn read_frames(
    bytes: &[u8],
    limits: &FrameLimits,
) -> (Vec<OwnedFrame>, usize, Result<usize, DecodeError>) {
    let mut frames = Vec::new();
    let mut consumed_total = 0;
    loop {
        let rest = &bytes[consumed_total..];
        match next_frame(rest, limits) {
            Ok(Next::Frame(frame, consumed_bytes)) => {
                assert_eq!(encode(&frame), rest[..consumed_bytes]);
                frames.push((frame.kind, frame.word, frame.body.to_vec()));
                consumed_total += consumed_bytes;
            }
            Ok(Next::Skip { consumed_bytes }) => {
                assert!((HEADER_BYTES..=rest.len()).contains(&consumed_bytes));
                consumed_total += consumed_bytes;
            }
            Ok(Next::Incomplete { needed_bytes }) => {
                assert!(needed_bytes > rest.len(), "it waits for what is there");
                let body_bytes_max = limits.body_bytes_max.max(4096) as usize;
                assert!(
                    needed_bytes <= HEADER_BYTES + body_bytes_max,
                    "over the limit"
                );
                return (frames, consumed_total, Ok(needed_bytes));
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                let _ = error.close_reason();
                return (frames, consumed_total, Err(error));
            }
        }
    }
}

/// The same as a receiver does it whose socket gives `piece_bytes` at a time.
fn read_frames_in_pieces(
    bytes: &[u8],
    limits: &FrameLimits,
    piece_bytes: usize,
) -> (Vec<OwnedFrame>, Result<usize, DecodeError>) {
    let mut frames = Vec::new();
    let mut kept = Vec::new();
    let mut end = Ok(HEADER_BYTES);
    for piece in bytes.chunks(piece_bytes) {
        kept.extend_from_slice(piece);
        if end
            .as_ref()
            .is_ok_and(|needed_bytes| kept.len() < *needed_bytes)
        {
            continue;
        }
        let (read, consumed_bytes, next) = read_frames(&kept, limits);
        frames.extend(read);
        kept.drain(..consumed_bytes);
        end = next;
        if end.is_err() {
            break;
        }
    }
    (frames, end)
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut header = [0; HEADER_BYTES];
    let body_bytes = u32::try_from(frame.body.len()).expect("a decoded body is below 2^24");
    put_header(&mut header, frame.kind, body_bytes, frame.word);
    [&header, frame.body].concat()
}

fn check_contents(frame: &Frame<'_>, mailboxes: &mut AnnouncedMailboxes<String>) {
    match frame.kind {
        FrameKind::Ack => {
            let ack = Ack::from_frame(frame);
            let mut bytes = Vec::new();
            ack.append_to(&mut bytes);
            match next_frame(&bytes, &FrameLimits::default()) {
                Ok(Next::Frame(frame, _)) => assert_eq!(Ack::from_frame(&frame), ack),
                other => panic!("an acknowledgement was written badly: {other:?}"),
            }
        }
        FrameKind::Bye => {
            let _ = bye_reason(frame);
        }
        FrameKind::Mailbox => {
            let before = mailboxes.announced();
            match mailboxes.announce(frame, str::to_owned) {
                Ok(()) => {
                    let name = mailboxes.get(before).expect("it was just announced");
                    assert_eq!(name.as_bytes(), frame.body);
                    assert!(Name::new(name).is_ok());
                    assert!(mailboxes.announced() <= 4);
                }
                Err(error) => {
                    let _ = error.close_reason();
                    assert_eq!(mailboxes.announced(), before);
                }
            }
        }
        FrameKind::Message => {
            let announced = frame.word < mailboxes.announced();
            assert_eq!(mailboxes.get(frame.word).is_ok(), announced);
        }
        FrameKind::Ping | FrameKind::Pong => {}
    }
}

/// The acceptor's side of a handshake. The first byte chooses the pieces of the second reading.
pub(crate) fn hello(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let whole = Acceptor::new().receive(bytes);
    let mut acceptor = Acceptor::new();
    let in_pieces = in_pieces(bytes, usize::from(choice) + 1, |piece| {
        acceptor.receive(piece).map(|progress| match progress {
            AcceptProgress::NeedMore => None,
            AcceptProgress::Done {
                hello,
                consumed_bytes,
            } => Some((HandshakeMessage::Hello(hello), consumed_bytes)),
        })
    });
    let whole = whole.map(|progress| match progress {
        AcceptProgress::NeedMore => None,
        AcceptProgress::Done {
            hello,
            consumed_bytes,
        } => Some((HandshakeMessage::Hello(hello), consumed_bytes)),
    });
    check_handshake(bytes, &whole, &in_pieces);
}

/// The dialer's side of a handshake. The first byte chooses the pieces of the second reading, and
/// whether the dialer expects a certain node.
pub(crate) fn answer(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let expected_node = (choice & 1 == 1).then(|| name("b"));
    let read = |dialer: &mut Dialer, piece: &[u8]| {
        dialer.receive(piece).map(|progress| match progress {
            DialProgress::NeedMore => None,
            DialProgress::Welcomed {
                welcome,
                consumed_bytes,
            } => Some((HandshakeMessage::Welcome(welcome), consumed_bytes)),
            DialProgress::Refused {
                refuse,
                consumed_bytes,
            } => {
                let _ = refuse.reason();
                assert!(!refuse.text().contains(char::is_control));
                Some((HandshakeMessage::Refuse(refuse), consumed_bytes))
            }
        })
    };
    let whole = read(
        &mut Dialer::new(sample_hello(expected_node.clone())).0,
        bytes,
    );
    let mut dialer = Dialer::new(sample_hello(expected_node)).0;
    let in_pieces = in_pieces(bytes, usize::from(choice) + 1, |piece| {
        read(&mut dialer, piece)
    });
    check_handshake(bytes, &whole, &in_pieces);
}

type Read = Result<Option<(HandshakeMessage, usize)>, HandshakeError>;

/// Gives bytes in pieces until there is a result; the consumed bytes count from the start.
fn in_pieces(bytes: &[u8], piece_bytes: usize, mut read: impl FnMut(&[u8]) -> Read) -> Read {
    let mut before = 0;
    for piece in bytes.chunks(piece_bytes) {
        match read(piece)? {
            Some((message, consumed_bytes)) => return Ok(Some((message, before + consumed_bytes))),
            None => before += piece.len(),
        }
    }
    Ok(None)
}

fn check_handshake(bytes: &[u8], whole: &Read, in_pieces: &Read) {
    assert_eq!(whole, in_pieces);
    match whole {
        Ok(None) => assert!(bytes.len() < PREFIX_BYTES + HANDSHAKE_BODY_BYTES_MAX),
        Ok(Some((message, consumed_bytes))) => {
            assert_eq!(message.encode(), bytes[..*consumed_bytes]);
        }
        Err(error) => {
            let refusal = HandshakeMessage::Refuse(error.refusal()).encode();
            match Dialer::new(sample_hello(None)).0.receive(&refusal) {
                Ok(DialProgress::Refused { refuse, .. }) => {
                    assert_eq!(refuse.reason(), error.close_reason());
                }
                other => panic!("a refusal was written badly: {other:?}"),
            }
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn sample_hello(expected_node: Option<Name>) -> Hello {
    Hello {
        cluster: name("c"),
        node: name("a"),
        incarnation: 1,
        expected_node,
        channel: name("data"),
        terms: ChannelTerms {
            priority: 4,
            reliability: name("reliable"),
            ordering: name("fifo"),
            parallelism: 1,
            body_bytes_max: 1024,
            compression: name("none"),
        },
        lane: 0,
    }
}
