//! One byte in front of a broadcast payload, so that a layer and those above it can share the
//! broadcast below.

use bytes::{BufMut, Bytes, BytesMut};

/// `kind`, then the payload.
pub(crate) fn mark(kind: u8, payload: &[u8]) -> Bytes {
    let mut marked = BytesMut::with_capacity(1 + payload.len());
    marked.put_u8(kind);
    marked.put_slice(payload);
    marked.freeze()
}

/// The kind of a payload, and the payload itself. None for an empty one, which nobody marked.
pub(crate) fn unmark(marked: &Bytes) -> Option<(u8, Bytes)> {
    let kind = *marked.first()?;
    Some((kind, marked.slice(1..)))
}
