//! What must hold for any bytes at all that a peer, or a client of the admin socket, can send: one function for each decoder.
//!
//! Used by the fuzz targets beside this file, and by `tests/wire_corpus.rs`, which replays the
//! corpus and mutations of it in the normal test run. The functions panic where a promise is
//! broken: a decoder never panics, never asks for more than its limit, says the same whatever
//! the pieces that bytes arrive in, and whatever it takes has exactly one encoding.

use std::sync::OnceLock;

use overlane::admin::{Lines, Reply, Request};
use overlane::config::{Config, Secrets, SecurityMode, TlsConfig};
use overlane::delivery::stream::{Receiving, Sending, Stated, WINDOW_BYTES_MAX};
use overlane::delivery::{Met, Resume};
use overlane::wire::causes::Told;
use overlane::wire::codec::{Codec, check_expansion};
use overlane::wire::compression::Decompressor;
use overlane::wire::control::{Decline, Rest, bye_reason};
use overlane::wire::endings::ENDINGS_RUNS_MAX;
use overlane::wire::extension::{EXTENSION_BYTES_MAX, EXTENSION_ENTRIES_MAX};
use overlane::wire::fragment::Fragment;
use overlane::wire::frame::{EXTENDED_HEADER_BYTES, EXTENSION_BLOCK_BYTES_MAX, message_header};
use overlane::wire::hello::SESSION_PLAIN;
use overlane::wire::layout::{HANDSHAKE_BODY_BYTES_MAX, PREFIX_BYTES};
use overlane::wire::mailbox::{Announced, AnnouncedMailboxes};
use overlane::wire::stream::{Word, fuzz_word};
use overlane::wire::{
    AcceptProgress, Acceptor, Ack, ChannelTerms, DecodeError, DialProgress, Dialer, Endings, Entry,
    Extension, ExtensionError, ExtensionWriter, Frame, FrameKind, FrameLimits, HEADER_BYTES,
    HandshakeError, HandshakeMessage, Hello, MessageRun, Name, Next, Parameters, Progress,
    VersionRange, next_frame, put_extended_header, put_header,
};
use overlane::{Recording, SessionFuzz};

/// Words of streams, each behind a byte with its length; the first byte of all chooses the reader's window. Both ends of a
/// stream hear them.
pub(crate) fn stream(bytes: &[u8]) {
    let Some((&window, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut writer = Sending::default();
    let mut reader = Receiving::new(u64::from(window) * 97 + 1);
    while let Some((&length, after)) = rest.split_first() {
        let (word, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        fuzz_word(word);
        if let Some(word) = Word::decode(word) {
            hear_word(&mut writer, &mut reader, &word);
        }
        assert!(writer.room() <= WINDOW_BYTES_MAX);
        assert!(writer.bytes_read() <= writer.bytes_received());
        assert!(writer.bytes_received() <= writer.bytes_sent());
        assert!(reader.bytes_read() <= reader.bytes_received());
        if let Some(length) = reader.length() {
            assert_eq!(
                length,
                reader.bytes_received(),
                "it ends where it is said to"
            );
        }
    }
}

/// What is refused changes nothing; what is taken goes on as an end would that has bytes.
fn hear_word(writer: &mut Sending, reader: &mut Receiving, word: &Word) {
    match *word {
        Word::Window {
            granted,
            received,
            read,
            ..
        } => {
            if writer.window(granted, received, read).is_ok() {
                writer.sent(writer.room().min(1 + received % 4096));
            }
        }
        Word::Finish {
            bytes, checksum, ..
        } => {
            let before = reader.bytes_received();
            if reader.came(bytes).is_err() {
                assert_eq!(reader.bytes_received(), before);
            }
            let stated = Stated { bytes, checksum };
            if reader.finish(stated).is_ok() {
                reader.read(reader.bytes_received() - reader.bytes_read());
                assert!(reader.completion(checksum).is_some(), "all of it was read");
            }
        }
        Word::Done { .. } => {
            if writer.done().is_err() {
                let stated = writer.finish(0);
                assert_eq!(stated.bytes, writer.bytes_sent());
                assert_eq!(writer.room(), 0, "nothing follows the end");
            }
        }
        Word::Message { bytes, .. } => {
            if (1..=WINDOW_BYTES_MAX).contains(&bytes) {
                *reader = Receiving::new(bytes);
            }
        }
        Word::Open { .. } | Word::Cancel { .. } => {}
    }
}

/// A stream of frames. The first byte chooses the limit, the version, the codec, and the pieces for the
/// second reading.
pub(crate) fn frames(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let limits = FrameLimits {
        body_bytes_max: 1 << (choice % 21),
        extensions: choice < 0x80,
        codec: match choice & 0x60 {
            0x40 => Some(Codec::Lz4),
            0x60 => Some(Codec::Zstd),
            _ => None,
        },
        fragments: choice & 0x10 != 0,
    };
    let (whole, consumed_bytes, whole_end) = read_frames(bytes, &limits);
    let (in_pieces, end) = read_frames_in_pieces(bytes, &limits, usize::from(choice) + 1);
    assert_eq!(whole, in_pieces);
    assert_eq!(whole_end.is_err(), end.is_err());
    assert!(consumed_bytes <= bytes.len());

    let mut mailboxes = AnnouncedMailboxes::new(4, limits.extensions);
    for (kind, word, entries, body) in &whole {
        assert!(entries.is_empty() || limits.extensions);
        let frame = Frame {
            kind: *kind,
            word: *word,
            extension: extension_of(entries).expect("it was read before"),
            body,
        };
        check_contents(&frame, &mut mailboxes, &limits);
    }
}

/// A run holds the frames that reading one by one finds, up to the first that is no plain message for its mailbox.
fn check_run(bytes: &[u8], limits: &FrameLimits) {
    let mut rest = bytes;
    let mut plain = || match next_frame(rest, limits) {
        Ok(Next::Frame(frame, consumed_bytes))
            if frame.kind == FrameKind::Message && frame.extension == Extension::NONE =>
        {
            rest = &rest[consumed_bytes..];
            Some((frame.word, frame.body))
        }
        _ => None,
    };
    let Some(mut run) = MessageRun::begin(bytes, limits) else {
        assert_eq!(plain(), None);
        return;
    };
    let mailbox = run.mailbox();
    while let Some(payload) = run.payload() {
        assert_eq!(plain(), Some((mailbox, payload)));
        run.skip(payload);
    }
    assert!(plain().is_none_or(|(word, _)| word != mailbox));
}

/// Kind, word, extension, body.
type OwnedFrame = (FrameKind, u32, Vec<u8>, Vec<u8>);

/// All frames at the start of `bytes`, how far they go, and what comes after them.
fn read_frames(
    bytes: &[u8],
    limits: &FrameLimits,
) -> (Vec<OwnedFrame>, usize, Result<usize, DecodeError>) {
    let mut frames = Vec::new();
    let mut consumed_total = 0;
    loop {
        let rest = &bytes[consumed_total..];
        check_run(rest, limits);
        match next_frame(rest, limits) {
            Ok(Next::Frame(frame, consumed_bytes)) => {
                assert_eq!(encode(&frame), rest[..consumed_bytes]);
                let entries = frame.extension.encoded().to_vec();
                frames.push((frame.kind, frame.word, entries, frame.body.to_vec()));
                consumed_total += consumed_bytes;
            }
            Ok(Next::Fragment(fragment, consumed_bytes)) => {
                assert!((HEADER_BYTES..=rest.len()).contains(&consumed_bytes));
                consumed_total += consumed_bytes;
                frames.push(check_fragment(&fragment, limits));
            }
            Ok(Next::Skip { consumed_bytes }) => {
                assert!((HEADER_BYTES..=rest.len()).contains(&consumed_bytes));
                consumed_total += consumed_bytes;
            }
            Ok(Next::Incomplete { needed_bytes }) => {
                assert!(needed_bytes > rest.len(), "it waits for what is there");
                let body_bytes_max = limits.body_bytes_max.max(4096) as usize;
                let bytes_max = HEADER_BYTES + EXTENSION_BLOCK_BYTES_MAX + body_bytes_max;
                assert!(needed_bytes <= bytes_max, "over the limit");
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

/// As a frame: what it says of its message, without its bytes, which are read as frames.
fn check_fragment(fragment: &Fragment, limits: &FrameLimits) -> OwnedFrame {
    assert!(limits.fragments);
    let Some(first) = fragment.first else {
        let length = u64::try_from(fragment.bytes)
            .expect("24 bits")
            .to_le_bytes();
        return (
            FrameKind::Fragment,
            fragment.word,
            Vec::new(),
            length.to_vec(),
        );
    };
    let message_bytes = first.message_bytes as usize;
    assert!(fragment.bytes <= message_bytes);
    let block_bytes_max = if first.is_extended {
        EXTENSION_BLOCK_BYTES_MAX
    } else {
        0
    };
    assert!(message_bytes <= limits.body_bytes_max as usize + block_bytes_max);
    let header = message_header(first, fragment.word);
    match next_frame(&header, limits) {
        Ok(Next::Incomplete { .. }) => {}
        Err(DecodeError::Extension(_)) => assert!(first.is_extended),
        other => panic!("a message was announced that none can be: {other:?}"),
    }
    (
        FrameKind::FirstFragment,
        fragment.word,
        Vec::new(),
        header.to_vec(),
    )
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
    let body_bytes = u32::try_from(frame.body.len()).expect("a decoded body is below 2^24");
    let extension = frame.extension;
    if !extension.is_none() {
        let mut header = [0; EXTENDED_HEADER_BYTES];
        put_extended_header(&mut header, frame.kind, extension, body_bytes, frame.word);
        return [&header, extension.encoded(), frame.body].concat();
    }
    let mut header = [0; HEADER_BYTES];
    put_header(&mut header, frame.kind, body_bytes, frame.word);
    [&header, frame.body].concat()
}

/// What a member says of what it counts, which others add up.
pub(crate) fn summary(data: &[u8]) {
    overlane::fuzz_summary(data);
}

/// The entries of an extension, without the length in front.
pub(crate) fn extension(data: &[u8]) {
    match extension_of(data) {
        Ok(extension) => check_extension(extension),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let _ = error.close_reason();
        }
    }
}

fn extension_of(entries: &[u8]) -> Result<Extension<'_>, ExtensionError> {
    Extension::check(entries)
}

/// What was taken is within its bounds, and is written the same way again.
fn check_extension(extension: Extension<'_>) {
    assert!(extension.encoded().len() <= EXTENSION_BYTES_MAX);
    assert!(extension.entries().count() <= EXTENSION_ENTRIES_MAX);
    let mut buffer = [0; EXTENSION_BYTES_MAX];
    let mut writer = ExtensionWriter::new(&mut buffer);
    for entry in extension.entries() {
        let written = match entry {
            Entry::Correlation(correlation) => writer.correlation(correlation),
            Entry::DeadlineMs(deadline_ms) => writer.deadline_ms(deadline_ms),
            Entry::MessageType(message_type) => writer.message_type(message_type),
            Entry::Metadata { key, value } => writer.metadata(key, value),
            Entry::Trace(trace) => writer.trace(&trace),
            Entry::Receipt(number) => writer.receipt(number),
            Entry::Key(key) => writer.key(key),
            Entry::Causes(causes) => writer.causes(causes.encoded()),
            // This version writes none of a later one.
            Entry::Unknown { .. } => return,
        };
        assert_eq!(written, Ok(()));
    }
    assert_eq!(writer.finish(), extension);
}

fn check_contents(
    frame: &Frame<'_>,
    mailboxes: &mut AnnouncedMailboxes<String>,
    limits: &FrameLimits,
) {
    let reuses = limits.extensions;
    check_extension(frame.extension);
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
        FrameKind::Compressed => {
            let codec = limits.codec.expect("the lane has one");
            let bytes = usize::try_from(frame.word).expect("32 bits");
            assert!(check_expansion(
                frame.body.len(),
                bytes,
                limits.body_bytes_max
            ));
            let _ = Decompressor::default().decompress(codec, frame.body, &mut vec![0; bytes]);
        }
        FrameKind::Bye => {
            let _ = bye_reason(frame);
        }
        FrameKind::Mailbox => {
            let before = mailboxes.announced();
            match mailboxes.announce(frame, str::to_owned) {
                Ok(announced) => {
                    let is_new = announced == Announced::New;
                    assert_eq!(is_new, frame.word == before, "a new id is the next one");
                    assert!(is_new || (reuses && frame.word < before));
                    assert_eq!(mailboxes.announced(), before + u32::from(is_new));
                    let name = mailboxes.get(frame.word).expect("it was just announced");
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
        FrameKind::Rest => assert_eq!(Rest::from_frame(frame).word(), frame.word),
        FrameKind::Decline => {
            // The reason is read from the other view, and an unknown one is not kept.
            let lane = Decline::from_frame(frame).lane;
            assert_eq!(u32::from(lane), frame.word & 0xFFFF);
        }
        FrameKind::FirstFragment | FrameKind::Fragment => assert!(limits.fragments),
        FrameKind::Settled | FrameKind::AskSettled => {
            assert_eq!(Told::read(frame.body).count() * 24, frame.body.len());
        }
        FrameKind::Ping | FrameKind::Pong | FrameKind::Summon | FrameKind::FragmentAck => {}
    }
}

/// How messages ended, as a peer states it, behind three bytes: how many it has processed and refused, and how many are
/// open here. Whatever is said, each open message ends at most once.
pub(crate) fn endings(data: &[u8]) {
    let Some((&[processed, refused, open], text)) = data.split_first_chunk() else {
        return;
    };
    let Ok(endings) = std::str::from_utf8(text).map_err(|_| ()).and_then(|text| {
        let read = Endings::read(text).map_err(|_| ());
        read.inspect(|read| assert_eq!(read.to_string(), text, "there is one text for each"))
    }) else {
        return;
    };
    assert!(endings.runs().count() <= ENDINGS_RUNS_MAX);
    assert!(endings.refused() <= endings.messages());
    let latest = endings.of_latest(open.into());
    assert_eq!(latest.messages(), endings.messages().min(open.into()));
    let theirs = Progress {
        log: 2,
        peer_log: 1,
        processed: processed.into(),
        refused: refused.into(),
        endings,
    };
    let is_consistent = theirs.is_consistent();
    let mut resume = Resume::new(1);
    match resume.meet(Progress::default(), 5, 0, true, 2) {
        Ok(Met::Fresh) => {}
        other => panic!("nothing was sent: {other:?}"),
    }
    resume.acknowledged(1, u64::from(refused % 2));
    match resume.meet(theirs, 5, open.into(), true, 3) {
        Ok(Met::Known(runs)) => {
            assert!(is_consistent && runs.len() <= ENDINGS_RUNS_MAX + 1);
            let messages: u64 = runs.iter().map(|run| run.messages).sum();
            assert!(messages <= open.into());
            for run in runs {
                assert!(run.late <= run.refused && run.refused <= run.messages);
            }
        }
        Ok(Met::Fresh | Met::Lost) => assert_eq!(processed, 0, "less than was acknowledged"),
        Err(_) => {}
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
                agreed,
                consumed_bytes,
            } => {
                let offered = sample_hello(None);
                assert!(offered.versions.contains(agreed.version));
                assert_eq!(offered.terms.agree(&agreed.terms), Ok(agreed.terms));
                Some((HandshakeMessage::Welcome(welcome), consumed_bytes))
            }
            DialProgress::Refused {
                refuse,
                dial_again_in,
                consumed_bytes,
            } => {
                assert!(dial_again_in.is_none_or(|version| version == refuse.version()));
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
        versions: VersionRange::OURS,
        cluster: name("c"),
        node: name("a"),
        incarnation: 1,
        expected_node,
        channel: name("data"),
        lane: 0,
        priority: 4,
        session: name(SESSION_PLAIN),
        progress: Progress::default(),
        terms: ChannelTerms {
            reliability: name("reliable"),
            ordering: name("fifo"),
            compression: name("none"),
            parallelism: 1,
            body_bytes_max: 1024,
            mailboxes_max: 16,
            fragments: true,
            large_bytes_max: 0,
        },
        unknown: Parameters::default(),
    }
}

/// What a client sends to the admin socket. The first byte chooses the longest line and the pieces that it comes in.
pub(crate) fn admin(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let bytes_max = 1 << (choice % 16);
    let (whole, end) = read_lines(bytes, bytes.len().max(1), bytes_max);
    assert_eq!(
        read_lines(bytes, usize::from(choice) + 1, bytes_max),
        (whole.clone(), end)
    );
    for line in &whole {
        assert!(line.len() <= bytes_max && !line.contains(&b'\n'));
        match Request::read(line) {
            Ok(request) => {
                let again = request.line();
                assert!(!again.contains('\n'));
                assert_eq!(Request::read(again.as_bytes()), Ok(request), "{again}");
            }
            Err(refusal) => {
                assert!(!refusal.text.is_empty() && !refusal.text.contains(char::is_control));
                let line = Reply::Refused(refusal.clone()).line();
                assert_eq!(Reply::read(line.as_bytes()), Ok(Reply::Refused(refusal)));
            }
        }
    }
}

/// The whole lines of bytes that come in pieces, and whether one was too long.
fn read_lines(bytes: &[u8], piece_bytes: usize, bytes_max: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut lines, mut whole) = (Lines::new(bytes_max), Vec::new());
    for piece in bytes.chunks(piece_bytes) {
        lines.push(piece);
        loop {
            match lines.next_line() {
                Ok(Some(line)) => whole.push(line),
                Ok(None) => break,
                Err(_) => return (whole, true),
            }
        }
    }
    (whole, false)
}

/// A file with a recording.
pub(crate) fn recording(data: &[u8]) {
    // Whatever it takes, it gives back; what is refused says why in a line.
    match Recording::decode(data) {
        Ok(recording) => {
            let again = recording.encode();
            assert_eq!(Recording::decode(&again), Ok(recording));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(
                !text.is_empty() && !text.contains(char::is_control),
                "{text:?}"
            );
        }
    }
}

fn node(name: &str, security: SecurityMode) -> Config {
    Config {
        node_name: name.to_owned(),
        security,
        ..Config::default()
    }
}

/// The bytes of connections with a shared secret; see [`SessionFuzz::check`].
pub(crate) fn psk(data: &[u8]) {
    static NODES: OnceLock<SessionFuzz> = OnceLock::new();
    let nodes = NODES.get_or_init(|| {
        let node = |name| Config {
            secrets: Secrets::read("a secret that the fuzzer does not know").expect("a secret"),
            ..node(name, SecurityMode::Psk)
        };
        SessionFuzz::new(&node("a"), &node("b")).expect("it can be used")
    });
    nodes.check(data);
}

/// The same with certificates.
pub(crate) fn tls(data: &[u8]) {
    static NODES: OnceLock<SessionFuzz> = OnceLock::new();
    NODES.get_or_init(with_certificates).check(data);
}

/// Two nodes with certificates of one authority. The files are gone again once they were read.
fn with_certificates() -> SessionFuzz {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    let folder = std::env::temp_dir().join(format!("overlane-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let write = |name: String, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the temporary folder can be written");
        path
    };
    let authority = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&authority).expect("a certificate");
    let authorities = write("authorities".to_owned(), certificate.pem());
    let issuer = Issuer::new(params, authority);
    let nodes = ["a", "b"].map(|name| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("it signs");
        Config {
            tls: TlsConfig {
                certificate: write(format!("{name}.crt"), certificate.pem()),
                key: write(format!("{name}.key"), key.serialize_pem()),
                authorities: authorities.clone(),
                ..TlsConfig::default()
            },
            ..node(name, SecurityMode::Tls)
        }
    });
    let both = SessionFuzz::new(&nodes[0], &nodes[1]).unwrap_or_else(|error| panic!("{error}"));
    // What stays behind harms nobody.
    drop(std::fs::remove_dir_all(&folder));
    both
}
