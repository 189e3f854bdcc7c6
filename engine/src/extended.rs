//! A message with an extension, as it goes through a ring: the extension's block and the payload in one
//! piece.
//!
//! Called by `channel`, `request` and `shard::context` for messages that say more than their payload. It
//! writes bytes; whether and where they are sent is the caller's matter.

use std::cell::RefCell;
use std::sync::Arc;

use crate::attributes::{Attributes, AttributesError};
use crate::deadline::Moment;
use crate::payload::Payload;
use crate::ring::PayloadPool;
use crate::wire::extension::{Correlation, ExtensionWriter};
use crate::wire::frame::{EXTENSION_BLOCK_BYTES_MAX, EXTENSION_LENGTH_BYTES};

thread_local! {
    /// Of small messages, until they are in a ring or a lane's log.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
        let payload = if head + payload.len() <= inline_bytes_max {
            scratch.truncate(head);
            scratch.extend_from_slice(payload);
            Payload::Borrowed(scratch)
        } else {
            Payload::Shared(pool.join(&scratch[..head], payload))
        };
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
    scratch.resize(EXTENSION_BLOCK_BYTES_MAX, 0);
    let (length, entries) = scratch.split_at_mut(EXTENSION_LENGTH_BYTES);
    let mut writer = ExtensionWriter::new(entries);
    attributes.write(correlation, due, &mut writer)?;
    let bytes = writer.finish().encoded().len();
    let stated = u16::try_from(bytes).unwrap_or(u16::MAX);
    length.copy_from_slice(&stated.to_le_bytes());
    Ok(EXTENSION_LENGTH_BYTES + bytes)
}
