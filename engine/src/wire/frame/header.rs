//! The header of a frame: eight bytes, and two more for the length of an extension. Its sizes, and how it is written.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::kind::{EXTENDED_KIND_BIT, FrameKind};
use crate::wire::extension::{EXTENSION_BYTES_MAX, Extension};
use crate::wire::fragment::FirstFragment;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;

/// The largest body that a header can state: its length has 24 bits.
pub const BODY_BYTES_MAX: usize = (1 << 24) - 1;

/// Bytes of a frame's header and of the length of its extension.
pub const EXTENDED_HEADER_BYTES: usize = HEADER_BYTES + EXTENSION_LENGTH_BYTES;

/// The most bytes that an extension adds to a frame, its length included.
pub const EXTENSION_BLOCK_BYTES_MAX: usize = EXTENSION_LENGTH_BYTES + EXTENSION_BYTES_MAX;

/// The largest payload that has room for an extension beside it, whatever that is.
pub const PAYLOAD_BYTES_MAX: usize = BODY_BYTES_MAX - EXTENSION_BLOCK_BYTES_MAX;

pub(crate) const EXTENSION_LENGTH_BYTES: usize = 2;

pub(super) const BODY_BYTES_MASK: u32 = 0x00ff_ffff;
pub(super) const KIND_SHIFT: u32 = 24;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) body_bytes_and_kind: U32,
    pub(super) word: U32,
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
