//! What the frame decoder takes, what it waits for, and what it refuses.
use super::*;

const SMALL: FrameLimits = FrameLimits {
    body_bytes_max: 100,
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
    for kind in 0..=u8::MAX {
        let mut bytes = header(kind, 3, 9);
        bytes.extend_from_slice(b"abc");
        match decoded(&bytes) {
            Ok(Next::Skip { consumed_bytes: 11 }) => assert!(kind >= OPTIONAL_KIND_BIT),
            Err(DecodeError::UnknownKind { kind: refused }) => {
                assert_eq!(refused, kind);
                assert!(kind < OPTIONAL_KIND_BIT && FrameKind::from_code(kind).is_none());
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
