//! Names in what nodes of a cluster send each other: the length in one byte, then the name.
//!
//! Used by `payload` and `relay::envelope`. Read within bounds, without allocating for what a length claims.

use bytes::{BufMut, BytesMut};

use crate::wire::name::check_name;

/// Appends a name, of at most 255 bytes.
pub(super) fn put_name(bytes: &mut BytesMut, name: &str) {
    bytes.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.put_slice(name.as_bytes());
}

/// The name at the start of `bytes`, and what is behind it. None if there is none, or no valid one.
pub(super) fn take_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let name = str::from_utf8(name).ok()?;
    check_name(name).ok()?;
    Some((name, rest))
}
