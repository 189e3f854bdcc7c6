//! The frame: eight bytes of header, then a body. The only format on a lane after the handshake.
//!
//! [`put_header`] writes one, [`next_frame`] reads one in place from a buffer that holds many.
//! Called per message by the shard on both sides, so both are allocation-free and small enough to
//! be inlined; what only concerns control frames is kept out of line. Lengths are checked against
//! [`FrameLimits`] as soon as the header is there, before the caller buffers a byte of the body.
//! This file never looks inside a body: see `control.rs` and `mailbox.rs`.
use std::fmt;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::close::CloseReason;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;

/// The largest body that a header can state: its length has 24 bits.
pub const BODY_BYTES_MAX: usize = (1 << 24) - 1;

/// The largest body of a control frame of unknown, optional kind.
pub const OPTIONAL_BODY_BYTES_MAX: u32 = 4096;

/// Kinds from here up are optional: a receiver that does not know one skips the frame.
pub const OPTIONAL_KIND_BIT: u8 = 0x80;

const MAILBOX_NAME_BYTES_MAX: u32 = 255;
const BODY_BYTES_MASK: u32 = 0x00ff_ffff;
const KIND_SHIFT: u32 = 24;

/// What a frame is. Zero is no kind, so that a run of zero bytes is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A message: the word is the mailbox id on this lane, the body is the payload.
    Message = 1,
    /// A mailbox announced: the word is its id on this lane, the body is its name.
    Mailbox = 2,
    /// Messages acknowledged: the word is their cumulative count modulo 2^32.
    Ack = 3,
    /// The sender will send no more messages: the word is the code of a [`CloseReason`].
    Bye = 4,
    /// Asks for a [`FrameKind::Pong`] with the same word.
    Ping = 5,
    /// Answers a [`FrameKind::Ping`] with its word.
    Pong = 6,
}

impl FrameKind {
    /// The kind that a header's byte stands for, or `None` for one that this version lacks.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Message),
            2 => Some(Self::Mailbox),
            3 => Some(Self::Ack),
            4 => Some(Self::Bye),
            5 => Some(Self::Ping),
            6 => Some(Self::Pong),
            _ => None,
        }
    }

    /// The byte that stands for this kind in a header.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Message => "message",
            Self::Mailbox => "mailbox",
            Self::Ack => "ack",
            Self::Bye => "bye",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}

/// The sizes that a receiver accepts on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The largest payload of a message, in bytes. Default 1 MiB, the payload limit of NATS;
    /// above [`BODY_BYTES_MAX`] it has no further effect.
    pub body_bytes_max: u32,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
        }
    }
}

/// A whole frame, still in the buffer that it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: FrameKind,
    /// The second word of the header; its meaning depends on the kind.
    pub word: u32,
    /// The bytes after the header.
    pub body: &'a [u8],
}

/// What stands at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame, and how many bytes of the buffer it takes, header included.
    Frame(Frame<'a>, usize),
    /// A whole frame of an optional kind that this version does not know: pass over it.
    Skip {
        /// Bytes of the buffer that the frame takes, header included.
        consumed_bytes: usize,
    },
    /// The buffer ends before the frame does.
    Incomplete {
        /// Bytes that the buffer must hold before it is worth asking again: the header while that
        /// is missing, then the whole frame. Never above the limits plus [`HEADER_BYTES`].
        needed_bytes: usize,
    },
}

/// A header that no well-behaved peer sends. The lane has to be closed: there is no way to find
/// the start of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is larger than this lane accepts.
    #[error(
        "a frame of kind {kind:#04x} states {body_bytes} bytes and the limit is {limit_bytes}: \
         raise body_bytes_max of the channel on both nodes, or send smaller messages"
    )]
    TooLarge {
        /// The kind's byte in the header.
        kind: u8,
        /// The stated length of the body.
        body_bytes: u32,
        /// The largest length that would have been accepted.
        limit_bytes: u32,
    },
    /// The kind never has a body of this length.
    #[error("a {kind} frame states a body of {body_bytes} bytes but has {expected}")]
    BodyLength {
        /// What the frame is.
        kind: FrameKind,
        /// The stated length of the body.
        body_bytes: u32,
        /// The lengths that this kind can have, in words.
        expected: &'static str,
    },
    /// The kind is not known and not optional.
    #[error("frames of kind {kind:#04x} are not known here: run the same version on both nodes")]
    UnknownKind {
        /// The kind's byte in the header.
        kind: u8,
    },
}

impl DecodeError {
    /// The reason to close the lane with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        match self {
            Self::TooLarge { .. } => CloseReason::FrameTooLarge,
            Self::BodyLength { .. } => CloseReason::FrameMalformed,
            Self::UnknownKind { .. } => CloseReason::UnknownFrame,
        }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    body_bytes_and_kind: U32,
    word: U32,
}

/// Writes a frame's header.
///
/// # Panics
/// If `body_bytes` is above [`BODY_BYTES_MAX`]: senders check payloads against the limit of their
/// channel long before this, and a wrapped length would corrupt the whole lane.
#[inline]
pub fn put_header(out: &mut [u8; HEADER_BYTES], kind: FrameKind, body_bytes: u32, word: u32) {
    assert!(
        body_bytes <= BODY_BYTES_MASK,
        "a frame's body is at most 2^24 - 1 bytes"
    );
    let header = Header {
        body_bytes_and_kind: U32::new(body_bytes | u32::from(kind.code()) << KIND_SHIFT),
        word: U32::new(word),
    };
    *out = zerocopy::transmute!(header);
}

/// Reads the frame at the start of `buffer`, in place.
///
/// Call it again on the rest of the buffer until it says [`Next::Incomplete`]; keep that rest and
/// let at least `needed_bytes` of it come together.
///
/// # Errors
/// [`DecodeError`] as soon as a header shows that the peer breaks the rules, even if the body has
/// not arrived. The lane has to be closed with its [`DecodeError::close_reason`].
#[inline]
pub fn next_frame<'a>(buffer: &'a [u8], limits: &FrameLimits) -> Result<Next<'a>, DecodeError> {
    let Ok((header, rest)) = Header::ref_from_prefix(buffer) else {
        return Ok(Next::Incomplete {
            needed_bytes: HEADER_BYTES,
        });
    };
    let first = header.body_bytes_and_kind.get();
    let body_bytes = first & BODY_BYTES_MASK;
    let word = header.word.get();
    if first >> KIND_SHIFT != FrameKind::Message as u32 {
        return next_control_frame(first, word, rest);
    }
    if body_bytes > limits.body_bytes_max {
        return Err(too_large(first, limits.body_bytes_max));
    }
    Ok(match rest.get(..body_bytes as usize) {
        Some(body) => Next::Frame(
            Frame {
                kind: FrameKind::Message,
                word,
                body,
            },
            HEADER_BYTES + body.len(),
        ),
        None => Next::Incomplete {
            needed_bytes: HEADER_BYTES + body_bytes as usize,
        },
    })
}

/// All but messages: rare, so kept out of the hot loop.
#[inline(never)]
fn next_control_frame(first: u32, word: u32, rest: &[u8]) -> Result<Next<'_>, DecodeError> {
    let body_bytes = first & BODY_BYTES_MASK;
    let code = kind_code(first);
    let kind = FrameKind::from_code(code);
    match kind {
        Some(kind) => check_control_length(kind, body_bytes)?,
        None if code & OPTIONAL_KIND_BIT == 0 => {
            return Err(DecodeError::UnknownKind { kind: code });
        }
        None if body_bytes > OPTIONAL_BODY_BYTES_MAX => {
            return Err(too_large(first, OPTIONAL_BODY_BYTES_MAX));
        }
        None => {}
    }
    let whole_bytes = HEADER_BYTES + body_bytes as usize;
    Ok(match (rest.get(..body_bytes as usize), kind) {
        (Some(body), Some(kind)) => Next::Frame(Frame { kind, word, body }, whole_bytes),
        (Some(_), None) => Next::Skip {
            consumed_bytes: whole_bytes,
        },
        (None, _) => Next::Incomplete {
            needed_bytes: whole_bytes,
        },
    })
}

fn check_control_length(kind: FrameKind, body_bytes: u32) -> Result<(), DecodeError> {
    let (fits, expected) = match kind {
        FrameKind::Message => (true, "any length within the limit"),
        FrameKind::Mailbox => (
            (1..=MAILBOX_NAME_BYTES_MAX).contains(&body_bytes),
            "1 to 255 bytes",
        ),
        FrameKind::Ack => (body_bytes == 0 || body_bytes == 4, "0 or 4 bytes"),
        FrameKind::Bye | FrameKind::Ping | FrameKind::Pong => (body_bytes == 0, "0 bytes"),
    };
    if fits {
        Ok(())
    } else {
        Err(DecodeError::BodyLength {
            kind,
            body_bytes,
            expected,
        })
    }
}

#[cold]
fn too_large(first: u32, limit_bytes: u32) -> DecodeError {
    DecodeError::TooLarge {
        kind: kind_code(first),
        body_bytes: first & BODY_BYTES_MASK,
        limit_bytes,
    }
}

/// The kind is the most significant byte of the first word.
const fn kind_code(first: u32) -> u8 {
    first.to_be_bytes()[0]
}

#[cfg(test)]
mod tests;
