//! Fragments: a message that is too large to go out at once, in pieces between which other frames go.
//!
//! The first states how large the message is, its extension included, and begins with that; the others are the
//! bytes that follow. At most one message of a lane is in fragments at a time. Only on a lane both of whose
//! ends take them ([`ChannelTerms::fragments`](super::ChannelTerms)). Called by `frame.rs` to read a header, and
//! by the shard's outbox to write one; the bytes themselves are for the shard to put together.

use super::frame::{
    BODY_BYTES_MAX, DecodeError, EXTENSION_BLOCK_BYTES_MAX, FrameKind, FrameLimits, HEADER_BYTES,
    mark_extended, put_header,
};

/// What the first fragment says ahead of its bytes.
pub const FIRST_FRAGMENT_BYTES: usize = 4;

/// In the first word: the message begins with an extension.
const EXTENDED_BIT: u32 = 1 << 31;

/// The header of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The mailbox id of the message.
    pub word: u32,
    /// Of the first: what it says of the message.
    pub first: Option<FirstFragment>,
    /// Bytes of the message that follow.
    pub bytes: usize,
}

/// What the first fragment says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFragment {
    /// All bytes of it, with the extension if there is one.
    pub message_bytes: u32,
    /// Whether it begins with an extension.
    pub is_extended: bool,
}

impl FirstFragment {
    /// The header of a frame with the whole message, which is for the mailbox with that id.
    #[must_use]
    pub fn message_header(&self, word: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        put_header(&mut header, FrameKind::Message, self.message_bytes, word);
        if self.is_extended {
            mark_extended(&mut header);
        }
        header
    }
}

/// What stands ahead of the first bytes of a message.
///
/// # Panics
/// If the message is above [`BODY_BYTES_MAX`], which no channel takes.
#[must_use]
pub fn first_fragment(message_bytes: usize, is_extended: bool) -> [u8; FIRST_FRAGMENT_BYTES] {
    assert!(
        message_bytes <= BODY_BYTES_MAX,
        "a frame's body is at most 2^24 - 1 bytes"
    );
    let bytes = u32::try_from(message_bytes).unwrap_or(0);
    let word = if is_extended {
        bytes | EXTENDED_BIT
    } else {
        bytes
    };
    word.to_le_bytes()
}

/// What follows a header of kind [`FrameKind::FirstFragment`] or [`FrameKind::Fragment`] that states
/// `body_bytes`; `None` while the first four bytes of the body are missing, of which the first needs to say how
/// large the message is. Nothing of the message need be there.
///
/// # Errors
/// [`DecodeError`] if the lane has no fragments, or no message could be so.
pub(super) fn fragment(
    kind: FrameKind,
    word: u32,
    body_bytes: u32,
    body: &[u8],
    limits: &FrameLimits,
) -> Result<Option<Fragment>, DecodeError> {
    if !limits.fragments {
        return Err(DecodeError::UnknownKind { kind: kind.code() });
    }
    let body_length = |expected| DecodeError::BodyLength {
        kind,
        body_bytes,
        expected,
    };
    let bytes = body_bytes as usize;
    if kind == FrameKind::Fragment {
        if bytes == 0 {
            return Err(body_length("at least one byte of its message"));
        }
        return Ok(Some(Fragment {
            word,
            first: None,
            bytes,
        }));
    }
    let Some(bytes) = bytes.checked_sub(FIRST_FRAGMENT_BYTES) else {
        return Err(body_length("at least the length of its message"));
    };
    let Some(stated) = body.first_chunk() else {
        return Ok(None);
    };
    let stated = u32::from_le_bytes(*stated);
    let is_extended = stated & EXTENDED_BIT != 0;
    let message_bytes = stated & !EXTENDED_BIT;
    let extension_bytes_max = match is_extended {
        true if limits.extensions => EXTENSION_BLOCK_BYTES_MAX,
        _ => 0,
    };
    let limit = limits.body_bytes_max as usize + extension_bytes_max;
    if message_bytes as usize > limit {
        return Err(DecodeError::TooLarge {
            kind: kind.code(),
            body_bytes: message_bytes,
            limit_bytes: u32::try_from(limit).unwrap_or(u32::MAX),
        });
    }
    if message_bytes == 0 || bytes > message_bytes as usize || is_extended && !limits.extensions {
        return Err(body_length("no more than the message that it begins"));
    }
    let first = Some(FirstFragment {
        message_bytes,
        is_extended,
    });
    Ok(Some(Fragment { word, first, bytes }))
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Next, next_frame};
    use super::*;

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
        let mut body = first_fragment(message_bytes, is_extended).to_vec();
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
}
