//! A message with an extension, as it goes through a ring: the extension's block and the payload in one
//! piece.
//!
//! Called by `channel`, `request` and `shard::context` for messages that say more than their payload. It
//! writes bytes; whether and where they are sent is the caller's matter.

use std::cell::RefCell;
use std::sync::Arc;

use crate::attributes::{Attributes, AttributesError, too_large};
use crate::deadline::Moment;
use crate::payload::Payload;
use crate::ring::PayloadPool;
use crate::wire::extension::{Correlation, Extension, ExtensionWriter};
use crate::wire::frame::{EXTENSION_BLOCK_BYTES_MAX, EXTENSION_LENGTH_BYTES};

thread_local! {
    /// Of small messages, until they are in a ring or a lane's log.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The same with their causes, which are added last.
    static WITH_CAUSES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A message in one piece, and how much of it is the extension, its length included.
#[derive(Debug)]
pub(crate) struct Extended<'s> {
    pub(crate) payload: Payload<'s>,
    pub(crate) head: usize,
}

/// Puts a message together for `send`, which may not wait: up to `inline_bytes_max` without an
/// allocation.
pub(crate) fn with_extended<R>(
    pool: &Arc<PayloadPool>,
    inline_bytes_max: usize,
    attributes: &Attributes<'_>,
    due: Option<Moment>,
    payload: &[u8],
    send: impl FnOnce(Extended<'_>) -> R,
) -> Result<R, AttributesError> {
    SCRATCH.with_borrow_mut(|scratch| {
        let head = write_block(scratch, None, attributes, due)?;
        let payload = in_one_piece(pool, inline_bytes_max, scratch, head, payload);
        Ok(send(Extended { payload, head }))
    })
}

/// The first `head` bytes of `scratch`, and behind them `payload`.
fn in_one_piece<'s>(
    pool: &Arc<PayloadPool>,
    inline_bytes_max: usize,
    scratch: &'s mut Vec<u8>,
    head: usize,
    payload: &[u8],
) -> Payload<'s> {
    if head + payload.len() > inline_bytes_max {
        return Payload::Shared(pool.join(&scratch[..head], payload));
    }
    scratch.truncate(head);
    scratch.extend_from_slice(payload);
    Payload::Borrowed(scratch)
}

/// Adds its causes to a message of which the first `head` bytes are an extension, for `send`, which may not wait.
pub(crate) fn with_causes<R>(
    pool: &Arc<PayloadPool>,
    inline_bytes_max: usize,
    (message, head): (&[u8], usize),
    causes: &[u8],
    send: impl FnOnce(Extended<'_>) -> R,
) -> Result<R, AttributesError> {
    let (said, payload) = message.split_at(head);
    WITH_CAUSES.with_borrow_mut(|scratch| {
        let head = write_entries(scratch, |writer| {
            let added = writer.copy(Extension::in_block(said));
            added
                .and_then(|()| writer.causes(causes))
                .map_err(too_large)
        })?;
        let payload = in_one_piece(pool, inline_bytes_max, scratch, head, payload);
        Ok(send(Extended { payload, head }))
    })
}

/// Puts a message together that may wait for its room.
pub(crate) fn extended(
    pool: &Arc<PayloadPool>,
    correlation: Option<Correlation>,
    attributes: &Attributes<'_>,
    due: Option<Moment>,
    payload: &[u8],
) -> Result<Extended<'static>, AttributesError> {
    SCRATCH.with_borrow_mut(|scratch| {
        let head = write_block(scratch, correlation, attributes, due)?;
        let payload = Payload::Shared(pool.join(&scratch[..head], payload));
        Ok(Extended { payload, head })
    })
}

/// Writes the extension and its length to the start of `scratch`; returns how much that is.
fn write_block(
    scratch: &mut Vec<u8>,
    correlation: Option<Correlation>,
    attributes: &Attributes<'_>,
    due: Option<Moment>,
) -> Result<usize, AttributesError> {
    write_entries(scratch, |writer| attributes.write(correlation, due, writer))
}

/// The same for any entries.
fn write_entries(
    scratch: &mut Vec<u8>,
    write: impl FnOnce(&mut ExtensionWriter<'_>) -> Result<(), AttributesError>,
) -> Result<usize, AttributesError> {
    scratch.resize(EXTENSION_BLOCK_BYTES_MAX, 0);
    let (length, entries) = scratch.split_at_mut(EXTENSION_LENGTH_BYTES);
    let mut writer = ExtensionWriter::new(entries);
    write(&mut writer)?;
    let bytes = writer.finish().encoded().len();
    let stated = u16::try_from(bytes).unwrap_or(u16::MAX);
    length.copy_from_slice(&stated.to_le_bytes());
    Ok(EXTENSION_LENGTH_BYTES + bytes)
}
