//! The frame: eight bytes of header, then a body. The only format on a lane after the handshake.
//!
//! [`put_header`] writes one, [`next_frame`] reads one in place from a buffer that holds many.
//! Called per message by the shard on both sides, so both are allocation-free and small enough to
//! be inlined; what concerns control frames and extensions is kept out of line, so a message
//! without an extension pays nothing for them. Lengths are checked against [`FrameLimits`] as soon
//! as the header is there, before the caller buffers a byte of the body. This file never looks
//! inside a body: see `control.rs` and `mailbox.rs`; nor inside an extension: see `extension.rs`.
use std::fmt;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::causes::is_told;
use super::close::CloseReason;
use super::codec::{Codec, check_expansion};
use super::extension::{EXTENSION_BYTES_MAX, Extension, ExtensionError};
use super::fragment::{FIRST_FRAGMENT_BYTES, FirstFragment, Fragment};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;

/// The largest body that a header can state: its length has 24 bits.
pub const BODY_BYTES_MAX: usize = (1 << 24) - 1;

/// The largest body of a control frame of unknown, optional kind.
pub const OPTIONAL_BODY_BYTES_MAX: u32 = 4096;

/// Kinds from here up are optional: a receiver that does not know one skips the frame.
pub const OPTIONAL_KIND_BIT: u8 = 0x80;

/// Set in the kind of a frame whose body begins with an extension. Optional kinds have it without a
/// meaning: a receiver that does not know the kind skips the extension with the rest.
pub const EXTENDED_KIND_BIT: u8 = 0x40;

/// Bytes of a frame's header and of the length of its extension.
pub const EXTENDED_HEADER_BYTES: usize = HEADER_BYTES + EXTENSION_LENGTH_BYTES;

/// The most bytes that an extension adds to a frame, its length included.
pub const EXTENSION_BLOCK_BYTES_MAX: usize = EXTENSION_LENGTH_BYTES + EXTENSION_BYTES_MAX;

/// The largest payload that has room for an extension beside it, whatever that is.
pub const PAYLOAD_BYTES_MAX: usize = BODY_BYTES_MAX - EXTENSION_BLOCK_BYTES_MAX;

pub(crate) const EXTENSION_LENGTH_BYTES: usize = 2;

/// A mailbox's name, or a channel's.
const NAME_BYTES_MAX: u32 = 255;
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
    /// Some whole frames, compressed: the word is how many bytes they take, the body is what the lane's codec
    /// makes of them. Only on a lane that has one ([`super::compression`]).
    Compressed = 7,
    /// A large message begins: the word is the mailbox id on this lane, the body its length and the first of
    /// its bytes ([`super::fragment`]). Only on a lane that has fragments.
    FirstFragment = 8,
    /// It goes on: the word is as in its first fragment, the body is what follows.
    Fragment = 9,
    /// The lane is idle: the sender proposes to close it, or agrees ([`super::control::Rest`]).
    Rest = 0x81,
    /// On the control lane: the sender needs another lane and cannot dial it. The word is the lane's
    /// index, the body the name of its channel.
    Summon = 0x82,
    /// On the control lane: the lane that the other side needs cannot be made
    /// ([`super::control::Decline`]).
    Decline = 0x83,
    /// Fragments of messages that are not complete yet have come: the word is the cumulative count of their
    /// bytes modulo 2^32.
    FragmentAck = 0x84,
    /// On a causal channel: messages up to a number come no more, of the sender to the receiver of this frame, or of
    /// others to its sender ([`super::causes::Told`]).
    Settled = 0x85,
    /// On a causal channel: asks which messages of others the receiver of this frame has.
    AskSettled = 0x86,
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
            7 => Some(Self::Compressed),
            8 => Some(Self::FirstFragment),
            9 => Some(Self::Fragment),
            0x81 => Some(Self::Rest),
            0x82 => Some(Self::Summon),
            0x83 => Some(Self::Decline),
            0x84 => Some(Self::FragmentAck),
            0x85 => Some(Self::Settled),
            0x86 => Some(Self::AskSettled),
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
            Self::Compressed => "compressed",
            Self::FirstFragment => "first fragment",
            Self::Fragment => "fragment",
            Self::Rest => "rest",
            Self::Summon => "summon",
            Self::Decline => "decline",
            Self::FragmentAck => "fragment ack",
            Self::Settled => "settled",
            Self::AskSettled => "ask settled",
        })
    }
}

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
    /// The frame is compressed, and the lane has no codec, or what the frame stands for is no frame of it.
    #[error(
        "a compressed frame where none can be: the lane's terms have no compression, or it is in another one"
    )]
    NotCompressed,
    /// The frame stands for more than its length allows.
    #[error(
        "a compressed frame of {compressed_bytes} bytes states that it stands for {batch_bytes}"
    )]
    Expansion {
        /// Its length.
        compressed_bytes: u32,
        /// What it says that it stands for.
        batch_bytes: u32,
    },
    /// The extension cannot be read.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

impl DecodeError {
    /// The reason to close the lane with.
    #[must_use]
    pub const fn close_reason(&self) -> CloseReason {
        match self {
            Self::TooLarge { .. } => CloseReason::FrameTooLarge,
            Self::BodyLength { .. } => CloseReason::FrameMalformed,
            Self::UnknownKind { .. } => CloseReason::UnknownFrame,
            Self::NotCompressed | Self::Expansion { .. } => CloseReason::BadCompression,
            Self::Extension(error) => error.close_reason(),
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
    *out = header(kind.code(), body_bytes, word);
}

/// Says in a header that the body, whose length it states, begins with an extension and its length.
#[inline]
pub fn mark_extended(header: &mut [u8; HEADER_BYTES]) {
    // The kind is the most significant byte of the first word, which is little-endian.
    header[3] |= EXTENDED_KIND_BIT;
}

/// Writes the header of a frame with an extension, which is not empty, and the extension's length.
/// After it go [`Extension::encoded`] and the body. Not for a lane of version 1.
///
/// # Panics
/// If extension and body are above [`BODY_BYTES_MAX`] together: a body of [`PAYLOAD_BYTES_MAX`]
/// always has room.
#[inline]
pub fn put_extended_header(
    out: &mut [u8; EXTENDED_HEADER_BYTES],
    kind: FrameKind,
    extension: Extension<'_>,
    body_bytes: u32,
    word: u32,
) {
    let entries = extension.encoded().len();
    debug_assert!(entries > 0, "without entries the flag has to be unset");
    let length = u16::try_from(entries).unwrap_or(u16::MAX);
    let all_bytes = EXTENSION_LENGTH_BYTES + entries + body_bytes as usize;
    let all_bytes = u32::try_from(all_bytes).unwrap_or(u32::MAX);
    let code = kind.code() | EXTENDED_KIND_BIT;
    let (first, last) = out.split_at_mut(HEADER_BYTES);
    first.copy_from_slice(&header(code, all_bytes, word));
    last.copy_from_slice(&length.to_le_bytes());
}

#[inline]
fn header(code: u8, body_bytes: u32, word: u32) -> [u8; HEADER_BYTES] {
    assert!(
        body_bytes <= BODY_BYTES_MASK,
        "a frame's body is at most 2^24 - 1 bytes"
    );
    zerocopy::transmute!(Header {
        body_bytes_and_kind: U32::new(body_bytes | u32::from(code) << KIND_SHIFT),
        word: U32::new(word),
    })
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

/// The header of a frame with the whole message that begins with that fragment, for the mailbox with the id
/// `word`.
#[must_use]
pub fn message_header(first: FirstFragment, word: u32) -> [u8; HEADER_BYTES] {
    let mut out = header(FrameKind::Message.code(), first.message_bytes, word);
    if first.is_extended {
        mark_extended(&mut out);
    }
    out
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
