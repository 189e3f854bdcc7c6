//! Fragments are read by their headers, before their bytes come.

use super::super::*;

const LIMITS: FrameLimits = FrameLimits {
    body_bytes_max: 100,
    extensions: true,
    codec: None,
    fragments: true,
};

fn frame(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let mut header = [0; HEADER_BYTES];
    let length = u32::try_from(body.len()).expect("short");
    put_header(&mut header, kind, length, 7);
    [&header[..], body].concat()
}

fn first(message_bytes: usize, is_extended: bool, bytes: usize) -> Vec<u8> {
    let mut body = {
        let message_bytes = u32::try_from(message_bytes).expect("24 bits");
        FirstFragment {
            message_bytes,
            is_extended,
        }
        .encode()
        .to_vec()
    };
    body.resize(FIRST_FRAGMENT_BYTES + bytes, 1);
    frame(FrameKind::FirstFragment, &body)
}

#[test]
fn a_header_is_enough_and_its_bytes_are_left() {
    let bytes = first(100, false, 60);
    for length in 0..HEADER_BYTES + FIRST_FRAGMENT_BYTES {
        let next = next_frame(&bytes[..length], &LIMITS);
        assert!(matches!(next, Ok(Next::Incomplete { needed_bytes }) if needed_bytes > length));
    }
    let begun = Fragment {
        word: 7,
        first: Some(FirstFragment {
            message_bytes: 100,
            is_extended: false,
        }),
        bytes: 60,
    };
    for length in HEADER_BYTES + FIRST_FRAGMENT_BYTES..=bytes.len() {
        let next = next_frame(&bytes[..length], &LIMITS);
        assert_eq!(
            next,
            Ok(Next::Fragment(begun, HEADER_BYTES + FIRST_FRAGMENT_BYTES))
        );
    }
    let rest = Fragment {
        word: 7,
        first: None,
        bytes: 40,
    };
    let bytes = frame(FrameKind::Fragment, &[0; 40]);
    let next = next_frame(&bytes[..HEADER_BYTES], &LIMITS);
    assert_eq!(next, Ok(Next::Fragment(rest, HEADER_BYTES)));
}

#[test]
fn what_no_message_could_be_is_refused_before_its_bytes_come() {
    let is_too_large = |bytes: &[u8]| {
        matches!(
            next_frame(bytes, &LIMITS),
            Err(DecodeError::TooLarge { .. })
        )
    };
    assert!(is_too_large(&first(101, false, 1)));
    assert!(is_too_large(&first(
        101 + EXTENSION_BLOCK_BYTES_MAX,
        true,
        1
    )));
    let is_malformed = |bytes: &[u8]| {
        matches!(
            next_frame(bytes, &LIMITS),
            Err(DecodeError::BodyLength { .. })
        )
    };
    assert!(is_malformed(&first(0, false, 0)));
    assert!(is_malformed(&first(5, false, 6)));
    assert!(is_malformed(&frame(FrameKind::FirstFragment, &[1, 0, 0])));
    assert!(is_malformed(&frame(FrameKind::Fragment, &[])));
    let without = FrameLimits {
        fragments: false,
        ..LIMITS
    };
    for bytes in [first(5, false, 5), frame(FrameKind::Fragment, &[1])] {
        let next = next_frame(&bytes, &without);
        assert!(matches!(next, Err(DecodeError::UnknownKind { .. })));
    }
    let old = FrameLimits {
        extensions: false,
        ..LIMITS
    };
    assert!(next_frame(&first(50, true, 5), &old).is_err());
}
