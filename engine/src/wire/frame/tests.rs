//! What the frame decoder takes, what it waits for, and what it refuses.
mod fragments;

use super::*;
use crate::wire::CloseReason;

const SMALL: FrameLimits = FrameLimits {
    body_bytes_max: 100,
    extensions: true,
    codec: None,
    fragments: false,
};

fn header(kind: u8, body_bytes: u32, word: u32) -> Vec<u8> {
    let first = body_bytes | u32::from(kind) << KIND_SHIFT;
    [first.to_le_bytes(), word.to_le_bytes()].concat()
}

fn decoded(bytes: &[u8]) -> Result<Next<'_>, DecodeError> {
    next_frame(bytes, &SMALL)
}

#[test]
fn one_buffer_holds_many_frames() {
    let mut buffer = Vec::new();
    for word in 0..5 {
        let mut header = [0; HEADER_BYTES];
        put_header(&mut header, FrameKind::Message, word * 20, word);
        buffer.extend_from_slice(&header);
        buffer.resize(buffer.len() + word as usize * 20, b'x');
    }
    let mut rest = buffer.as_slice();
    for word in 0..5 {
        let Ok(Next::Frame(frame, consumed_bytes)) = decoded(rest) else {
            panic!("frame {word} is missing")
        };
        assert_eq!((frame.kind, frame.word), (FrameKind::Message, word));
        assert_eq!(frame.body, vec![b'x'; word as usize * 20]);
        rest = &rest[consumed_bytes..];
    }
    assert_eq!(
        decoded(rest),
        Ok(Next::Incomplete {
            needed_bytes: HEADER_BYTES
        })
    );
}

#[test]
fn an_unfinished_frame_says_how_many_bytes_it_needs() {
    let mut bytes = header(1, 100, 0);
    assert_eq!(
        decoded(&bytes[..7]),
        Ok(Next::Incomplete { needed_bytes: 8 })
    );
    assert_eq!(decoded(&bytes), Ok(Next::Incomplete { needed_bytes: 108 }));
    bytes.resize(107, 0);
    assert_eq!(decoded(&bytes), Ok(Next::Incomplete { needed_bytes: 108 }));
    bytes.push(0);
    assert!(matches!(decoded(&bytes), Ok(Next::Frame(_, 108))));
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header_alone() {
    for body_bytes in [101, BODY_BYTES_MASK] {
        let error = DecodeError::TooLarge {
            kind: 1,
            body_bytes,
            limit_bytes: 100,
        };
        assert_eq!(decoded(&header(1, body_bytes, 0)), Err(error));
        assert_eq!(error.close_reason(), CloseReason::FrameTooLarge);
    }
    let limits = FrameLimits {
        body_bytes_max: u32::MAX,
        extensions: true,
        codec: None,
        fragments: false,
    };
    let needed_bytes = HEADER_BYTES + BODY_BYTES_MAX;
    let largest = header(1, BODY_BYTES_MASK, 0);
    assert_eq!(
        next_frame(&largest, &limits),
        Ok(Next::Incomplete { needed_bytes })
    );
}

#[test]
fn control_frames_have_the_bodies_of_their_kind_and_no_others() {
    let good: [(u8, &[u32]); 5] = [
        (2, &[1, 255]),
        (3, &[0, 4]),
        (4, &[0]),
        (5, &[0]),
        (6, &[0]),
    ];
    for (kind, lengths) in good {
        for body_bytes in [0, 1, 3, 4, 5, 255, 256, BODY_BYTES_MASK] {
            let fits =
                lengths.contains(&body_bytes) || (kind == 2 && (1..=255).contains(&body_bytes));
            let bytes = header(kind, body_bytes, 0);
            let result = decoded(&bytes).map_err(|error| error.close_reason());
            match result {
                Ok(_) => assert!(fits, "kind {kind} of {body_bytes} bytes was taken"),
                Err(reason) => {
                    assert!(!fits, "kind {kind} of {body_bytes} bytes was refused");
                    assert_eq!(reason, CloseReason::FrameMalformed);
                }
            }
        }
    }
}

#[test]
fn unknown_kinds_are_skipped_if_optional_and_refused_if_mandatory() {
    let version_1 = FrameLimits {
        extensions: false,
        codec: None,
        fragments: false,
        ..SMALL
    };
    for kind in 0..=u8::MAX {
        let mut bytes = header(kind, 3, 9);
        bytes.extend_from_slice(b"abc");
        match next_frame(&bytes, &version_1) {
            Ok(Next::Skip { consumed_bytes: 11 }) => assert!(kind >= OPTIONAL_KIND_BIT),
            Err(DecodeError::UnknownKind { kind: refused }) => {
                assert_eq!(refused, kind);
                let known = FrameKind::from_code(kind);
                let is_fragment =
                    matches!(known, Some(FrameKind::FirstFragment | FrameKind::Fragment));
                assert!(kind < OPTIONAL_KIND_BIT && (known.is_none() || is_fragment));
            }
            _ => assert!(FrameKind::from_code(kind).is_some(), "kind {kind:#x}"),
        }
    }
    let limit_bytes = OPTIONAL_BODY_BYTES_MAX;
    let largest = header(0x80, limit_bytes, 0);
    assert_eq!(
        decoded(&largest),
        Ok(Next::Incomplete {
            needed_bytes: 8 + 4096
        })
    );
    let error = DecodeError::TooLarge {
        kind: 0x80,
        body_bytes: 4097,
        limit_bytes,
    };
    assert_eq!(decoded(&header(0x80, 4097, 0)), Err(error));
}

#[test]
fn zero_bytes_are_no_frame() {
    assert_eq!(decoded(&[0; 64]), Err(DecodeError::UnknownKind { kind: 0 }));
}

#[test]
fn the_largest_length_that_fits_is_written() {
    let mut bytes = [0; HEADER_BYTES];
    put_header(&mut bytes, FrameKind::Message, BODY_BYTES_MASK, 7);
    assert_eq!(bytes, [0xff, 0xff, 0xff, 1, 7, 0, 0, 0]);
}

#[test]
#[should_panic(expected = "at most 2^24 - 1 bytes")]
fn a_length_that_does_not_fit_is_never_written() {
    put_header(&mut [0; HEADER_BYTES], FrameKind::Message, 1 << 24, 0);
}

/// An extension of one entry: a deadline of 250 milliseconds.
const DEADLINE: [u8; 7] = [0x81, 4, 0, 250, 0, 0, 0];

/// A frame of that kind with an extension that states its length truly.
fn extended(kind: FrameKind, entries: &[u8], body: &[u8]) -> Vec<u8> {
    let block_bytes = u16::try_from(entries.len()).expect("short").to_le_bytes();
    let stated = u32::try_from(2 + entries.len() + body.len()).expect("short");
    let mut bytes = header(kind.code() | EXTENDED_KIND_BIT, stated, 3);
    bytes.extend([&block_bytes, entries, body].concat());
    bytes
}

#[test]
fn an_extension_stands_in_front_of_the_body_of_any_kind() {
    for (kind, body) in [
        (FrameKind::Message, &b"hello"[..]),
        (FrameKind::Message, b""),
        (FrameKind::Mailbox, b"inbox"),
        (FrameKind::Ack, b"\x02\0\0\0"),
        (FrameKind::Ping, b""),
    ] {
        let bytes = extended(kind, &DEADLINE, body);
        let Ok(Next::Frame(frame, consumed_bytes)) = decoded(&bytes) else {
            panic!("a {kind} frame with an extension: {:?}", decoded(&bytes))
        };
        assert_eq!((frame.kind, frame.word, frame.body), (kind, 3, body));
        assert_eq!(frame.extension.deadline_ms(), Some(250));
        assert_eq!(consumed_bytes, bytes.len());
        for cut in HEADER_BYTES..bytes.len() {
            let needed_bytes = match cut {
                ..EXTENDED_HEADER_BYTES => EXTENDED_HEADER_BYTES,
                _ => bytes.len(),
            };
            assert_eq!(
                decoded(&bytes[..cut]),
                Ok(Next::Incomplete { needed_bytes })
            );
        }
        let mut written = [0; EXTENDED_HEADER_BYTES];
        let body_bytes = u32::try_from(body.len()).expect("short");
        put_extended_header(&mut written, kind, frame.extension, body_bytes, 3);
        assert_eq!(written, bytes[..EXTENDED_HEADER_BYTES]);
    }
}

#[test]
fn a_lane_of_version_1_knows_no_extensions() {
    let version_1 = FrameLimits {
        extensions: false,
        codec: None,
        fragments: false,
        ..SMALL
    };
    let bytes = extended(FrameKind::Message, &DEADLINE, b"hello");
    let error = DecodeError::UnknownKind { kind: 0x41 };
    assert_eq!(next_frame(&bytes, &version_1), Err(error));
}

#[test]
fn an_extension_that_cannot_be_is_refused_as_soon_as_its_length_is_there() {
    let extended_header = |body_bytes, block_bytes: u16| {
        let header = header(0x41, body_bytes, 0);
        [&header[..], &block_bytes.to_le_bytes()].concat()
    };
    for (what, bytes, reason) in [
        ("no length", header(0x41, 1, 0), CloseReason::FrameMalformed),
        (
            "the flag and no entries",
            extended_header(7, 0),
            CloseReason::FrameMalformed,
        ),
        (
            "longer than the frame",
            extended_header(8, 7),
            CloseReason::FrameMalformed,
        ),
        (
            "over its limit",
            extended_header(2100, 2049),
            CloseReason::FrameTooLarge,
        ),
        (
            "a payload over the limit",
            extended_header(2 + 7 + 101, 7),
            CloseReason::FrameTooLarge,
        ),
        (
            "both over their limits",
            header(0x41, 100 + 2 + 2048 + 1, 0),
            CloseReason::FrameTooLarge,
        ),
        (
            "an ack of 3 bytes",
            {
                let mut bytes = extended_header(2 + 7 + 3, 7);
                bytes[3] = 0x43;
                bytes
            },
            CloseReason::FrameMalformed,
        ),
        (
            "a mandatory entry",
            extended(FrameKind::Message, &[0x7f, 0, 0], b""),
            CloseReason::UnknownExtension,
        ),
        (
            "an unknown kind",
            header(0x47, 3, 0),
            CloseReason::UnknownFrame,
        ),
    ] {
        let error = decoded(&bytes).expect_err(what);
        assert_eq!(error.close_reason(), reason, "{what}: {error}");
    }
    let largest = extended_header(2 + 7 + 100, 7);
    let needed_bytes = HEADER_BYTES + 109;
    assert_eq!(decoded(&largest), Ok(Next::Incomplete { needed_bytes }));
}

#[test]
fn the_largest_payload_has_room_for_the_largest_extension() {
    let entries = [&[0x83, 0xfd, 7, 1, b'k'][..], &[0; 2043]].concat();
    let extension = Extension::check(&entries).expect("it is within the limit");
    assert_eq!(extension.encoded().len(), EXTENSION_BYTES_MAX);
    let mut bytes = [0; EXTENDED_HEADER_BYTES];
    let payload_bytes = u32::try_from(PAYLOAD_BYTES_MAX).expect("below 2^24");
    put_extended_header(&mut bytes, FrameKind::Message, extension, payload_bytes, 0);
    assert_eq!(bytes[..4], [0xff, 0xff, 0xff, 0x41]);
}
