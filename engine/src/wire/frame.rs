//! The frame: eight bytes of header, then a body. The only format on a lane after the handshake.
//!
//! [`put_header`] writes one, [`next_frame`] reads one in place from a buffer that holds many.
//! Called per message by the shard on both sides, so both are allocation-free and small enough to
//! be inlined; what concerns control frames and extensions is kept out of line, so a message
//! without an extension pays nothing for them. Lengths are checked against [`FrameLimits`] as soon
//! as the header is there, before the caller buffers a byte of the body. This file never looks
//! inside a body: see `control.rs` and `mailbox.rs`; nor inside an extension: see `extension.rs`.

mod decode_error;
mod header;
mod kind;

pub use decode_error::DecodeError;
pub(crate) use header::EXTENSION_LENGTH_BYTES;
pub use header::{
    BODY_BYTES_MAX, EXTENDED_HEADER_BYTES, EXTENSION_BLOCK_BYTES_MAX, HEADER_BYTES,
    PAYLOAD_BYTES_MAX, mark_extended, message_header, put_extended_header, put_header,
};
pub use kind::{EXTENDED_KIND_BIT, FrameKind, OPTIONAL_KIND_BIT};

use header::{BODY_BYTES_MASK, Header, KIND_SHIFT};
use zerocopy::FromBytes;

use super::causes::is_told;
use super::codec::{Codec, check_expansion};
use super::extension::{EXTENSION_BYTES_MAX, Extension, ExtensionError};
use super::fragment::{FIRST_FRAGMENT_BYTES, FirstFragment, Fragment};

/// The largest body of a control frame of unknown, optional kind.
pub const OPTIONAL_BODY_BYTES_MAX: u32 = 4096;

/// A mailbox's name, or a channel's.
const NAME_BYTES_MAX: u32 = 255;

/// The sizes that a receiver accepts on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The largest payload of a message, in bytes. Default 1 MiB, the payload limit of NATS;
    /// above [`BODY_BYTES_MAX`] it has no further effect.
    pub body_bytes_max: u32,
    /// Whether frames can carry an extension: not on a lane of version 1.
    pub extensions: bool,
    /// How batches are compressed on the lane, if they are.
    pub codec: Option<Codec>,
    /// Whether large messages come in fragments.
    pub fragments: bool,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            extensions: true,
            codec: None,
            fragments: false,
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
    /// What stands between the header and the body, mostly nothing.
    pub extension: Extension<'a>,
    /// The bytes after the header and the extension.
    pub body: &'a [u8],
}

/// What stands at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole frame, and how many bytes of the buffer it takes, header included.
    Frame(Frame<'a>, usize),
    /// The header of a fragment, and how many bytes of the buffer it takes: the fragment's bytes follow, as far
    /// as they have come.
    Fragment(Fragment, usize),
    /// A whole frame of an optional kind that this version does not know: pass over it.
    Skip {
        /// Bytes of the buffer that the frame takes, header included.
        consumed_bytes: usize,
    },
    /// The buffer ends before the frame does.
    Incomplete {
        /// Bytes that the buffer must hold before it is worth asking again: the header while that
        /// is missing, the length of the extension if there is one, then the whole frame. Never above the limits plus [`HEADER_BYTES`] and
        /// [`EXTENSION_BLOCK_BYTES_MAX`].
        needed_bytes: usize,
    },
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
        return next_other_frame(first, word, rest, limits);
    }
    if body_bytes > limits.body_bytes_max {
        return Err(too_large(first, limits.body_bytes_max));
    }
    Ok(match rest.get(..body_bytes as usize) {
        Some(body) => Next::Frame(
            Frame {
                kind: FrameKind::Message,
                word,
                extension: Extension::NONE,
                body,
            },
            HEADER_BYTES + body.len(),
        ),
        None => Next::Incomplete {
            needed_bytes: HEADER_BYTES + body_bytes as usize,
        },
    })
}

/// Messages without an extension, for one mailbox, that follow each other in a buffer: what a busy lane carries most,
/// read by a loop that looks at nothing else.
///
/// It ends ahead of whatever is not such a whole message within the limits; [`next_frame`] tells what that is.
#[derive(Clone, Debug)]
pub struct MessageRun<'a> {
    rest: &'a [u8],
    mailbox: u32,
    body_bytes_max: u32,
}

impl<'a> MessageRun<'a> {
    /// The run that `buffer` begins with; `None` if its first frame is not such a message.
    #[inline]
    #[must_use]
    pub fn begin(buffer: &'a [u8], limits: &FrameLimits) -> Option<Self> {
        let (header, _) = Header::ref_from_prefix(buffer).ok()?;
        let run = Self {
            rest: buffer,
            mailbox: header.word.get(),
            body_bytes_max: limits.body_bytes_max,
        };
        run.payload().map(|_| run)
    }

    /// The id of the mailbox that all of them are for.
    #[must_use]
    pub const fn mailbox(&self) -> u32 {
        self.mailbox
    }

    /// The payload of the next message.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Option<&'a [u8]> {
        let (header, rest) = Header::ref_from_prefix(self.rest).ok()?;
        let first = header.body_bytes_and_kind.get();
        let body_bytes = first & BODY_BYTES_MASK;
        let belongs = first >> KIND_SHIFT == FrameKind::Message as u32
            && header.word.get() == self.mailbox
            && body_bytes <= self.body_bytes_max;
        if belongs {
            rest.get(..body_bytes as usize)
        } else {
            None
        }
    }

    /// What is behind the messages that were skipped.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on behind the message whose payload that is.
    #[inline]
    pub fn skip(&mut self, payload: &[u8]) {
        self.rest = &self.rest[HEADER_BYTES + payload.len()..];
    }
}

/// All but messages without an extension: rarer, so kept out of the hot loop.
#[inline(never)]
fn next_other_frame<'a>(
    first: u32,
    word: u32,
    rest: &'a [u8],
    limits: &FrameLimits,
) -> Result<Next<'a>, DecodeError> {
    let body_bytes = first & BODY_BYTES_MASK;
    let code = kind_code(first);
    let is_optional = code & OPTIONAL_KIND_BIT != 0;
    if is_optional && FrameKind::from_code(code).is_none() {
        return skip(first, rest);
    }
    let extended = limits.extensions && !is_optional && code & EXTENDED_KIND_BIT != 0;
    let plain_code = if extended {
        code & !EXTENDED_KIND_BIT
    } else {
        code
    };
    let Some(kind) = FrameKind::from_code(plain_code) else {
        return Err(DecodeError::UnknownKind { kind: code });
    };
    let is_fragment = matches!(kind, FrameKind::FirstFragment | FrameKind::Fragment);
    if extended && (kind == FrameKind::Compressed || is_fragment) {
        // What is in it may have extensions of its own.
        return Err(DecodeError::UnknownKind { kind: code });
    }
    if is_fragment {
        return next_fragment(kind, word, body_bytes, rest, limits);
    }
    if extended {
        return next_extended_frame(first, kind, word, rest, limits);
    }
    if kind == FrameKind::Compressed {
        check_compressed(word, body_bytes, limits)?;
    } else {
        check_body_length(first, kind, body_bytes, limits)?;
    }
    let needed_bytes = HEADER_BYTES + body_bytes as usize;
    let Some(body) = rest.get(..body_bytes as usize) else {
        return Ok(Next::Incomplete { needed_bytes });
    };
    let frame = Frame {
        kind,
        word,
        extension: Extension::NONE,
        body,
    };
    Ok(Next::Frame(frame, needed_bytes))
}

/// A fragment, by its header alone; of the first, with the length of its message.
fn next_fragment<'a>(
    kind: FrameKind,
    word: u32,
    body_bytes: u32,
    body: &[u8],
    limits: &FrameLimits,
) -> Result<Next<'a>, DecodeError> {
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
        let first = None;
        return Ok(Next::Fragment(
            Fragment { word, first, bytes },
            HEADER_BYTES,
        ));
    }
    let Some(bytes) = bytes.checked_sub(FIRST_FRAGMENT_BYTES) else {
        return Err(body_length("at least the length of its message"));
    };
    let with_length = HEADER_BYTES + FIRST_FRAGMENT_BYTES;
    let Some(stated) = body.first_chunk() else {
        return Ok(Next::Incomplete {
            needed_bytes: with_length,
        });
    };
    let first = FirstFragment::decode(*stated);
    check_first_fragment(kind, first, limits)?;
    if first.message_bytes == 0 || bytes > first.message_bytes as usize {
        return Err(body_length("no more than the message that it begins"));
    }
    let first = Some(first);
    Ok(Next::Fragment(Fragment { word, first, bytes }, with_length))
}

fn check_first_fragment(
    kind: FrameKind,
    first: FirstFragment,
    limits: &FrameLimits,
) -> Result<(), DecodeError> {
    let FirstFragment {
        message_bytes,
        is_extended,
    } = first;
    if is_extended && !limits.extensions {
        return Err(DecodeError::UnknownKind { kind: kind.code() });
    }
    let block_bytes_max = if is_extended {
        EXTENSION_BLOCK_BYTES_MAX
    } else {
        0
    };
    let limit = limits.body_bytes_max as usize + block_bytes_max;
    let limit_bytes = u32::try_from(limit).unwrap_or(u32::MAX);
    if message_bytes <= limit_bytes.min(BODY_BYTES_MASK) {
        return Ok(());
    }
    Err(DecodeError::TooLarge {
        kind: kind.code(),
        body_bytes: message_bytes,
        limit_bytes,
    })
}

/// A frame of an optional kind that this version does not know.
fn skip(first: u32, rest: &[u8]) -> Result<Next<'_>, DecodeError> {
    let body_bytes = first & BODY_BYTES_MASK;
    if body_bytes > OPTIONAL_BODY_BYTES_MAX {
        return Err(too_large(first, OPTIONAL_BODY_BYTES_MAX));
    }
    let consumed_bytes = HEADER_BYTES + body_bytes as usize;
    Ok(if rest.len() < body_bytes as usize {
        Next::Incomplete {
            needed_bytes: consumed_bytes,
        }
    } else {
        Next::Skip { consumed_bytes }
    })
}

/// The stated length bounds extension and body together until the extension's own is there.
fn next_extended_frame<'a>(
    first: u32,
    kind: FrameKind,
    word: u32,
    rest: &'a [u8],
    limits: &FrameLimits,
) -> Result<Next<'a>, DecodeError> {
    let block_and_body = (first & BODY_BYTES_MASK) as usize;
    let body_bytes_max = match kind {
        FrameKind::Message => limits.body_bytes_max,
        _ => NAME_BYTES_MAX,
    };
    let limit_bytes = body_bytes_max as usize + EXTENSION_BLOCK_BYTES_MAX;
    if block_and_body > limit_bytes {
        return Err(too_large(
            first,
            u32::try_from(limit_bytes).unwrap_or(u32::MAX),
        ));
    }
    let Some(entries_bytes) = block_and_body.checked_sub(EXTENSION_LENGTH_BYTES) else {
        return Err(ExtensionError::CutOff.into());
    };
    let Some((length, after)) = rest.split_first_chunk() else {
        return Ok(Next::Incomplete {
            needed_bytes: EXTENDED_HEADER_BYTES,
        });
    };
    let length = usize::from(u16::from_le_bytes(*length));
    if length > EXTENSION_BYTES_MAX {
        return Err(ExtensionError::TooLarge { bytes: length }.into());
    }
    let Some(body_bytes) = entries_bytes.checked_sub(length) else {
        return Err(ExtensionError::CutOff.into());
    };
    if length == 0 {
        return Err(ExtensionError::Empty.into());
    }
    let body_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
    check_body_length(first, kind, body_bytes, limits)?;
    let needed_bytes = HEADER_BYTES + block_and_body;
    let Some(after) = after.get(..entries_bytes) else {
        return Ok(Next::Incomplete { needed_bytes });
    };
    let (entries, body) = after.split_at(length);
    let extension = Extension::check(entries)?;
    let frame = Frame {
        kind,
        word,
        extension,
        body,
    };
    Ok(Next::Frame(frame, needed_bytes))
}

fn check_compressed(
    batch_bytes: u32,
    compressed_bytes: u32,
    limits: &FrameLimits,
) -> Result<(), DecodeError> {
    if limits.codec.is_none() {
        return Err(DecodeError::NotCompressed);
    }
    let (compressed, batch) = (compressed_bytes as usize, batch_bytes as usize);
    if check_expansion(compressed, batch, limits.body_bytes_max) {
        Ok(())
    } else {
        Err(DecodeError::Expansion {
            compressed_bytes,
            batch_bytes,
        })
    }
}

fn check_body_length(
    first: u32,
    kind: FrameKind,
    body_bytes: u32,
    limits: &FrameLimits,
) -> Result<(), DecodeError> {
    match kind {
        FrameKind::Message if body_bytes > limits.body_bytes_max => {
            Err(too_large(first, limits.body_bytes_max))
        }
        FrameKind::Message => Ok(()),
        kind => check_control_length(kind, body_bytes),
    }
}

fn check_control_length(kind: FrameKind, body_bytes: u32) -> Result<(), DecodeError> {
    let (fits, expected) = match kind {
        FrameKind::Message => (true, "any length within the limit"),
        FrameKind::Compressed | FrameKind::FirstFragment | FrameKind::Fragment => {
            (false, "no extension")
        }
        FrameKind::Mailbox | FrameKind::Summon | FrameKind::Decline => {
            ((1..=NAME_BYTES_MAX).contains(&body_bytes), "1 to 255 bytes")
        }
        FrameKind::Ack => (matches!(body_bytes, 0 | 4 | 8), "0, 4 or 8 bytes"),
        FrameKind::Settled | FrameKind::AskSettled => {
            (is_told(body_bytes), "1 to 170 times 24 bytes")
        }
        FrameKind::Bye
        | FrameKind::Ping
        | FrameKind::Pong
        | FrameKind::Rest
        | FrameKind::FragmentAck => (body_bytes == 0, "0 bytes"),
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
