//! What the engine reads in the extension of a message of this node's own: who waits to hear of it (a request,
//! or a message with a receipt), its key, and its number on a causal channel.
//!
//! Which they are stands in the extension in front of their payload, so that whatever settles a message
//! (a lane that ends, an overflow policy, an acknowledgement) finds whom to tell. The books of the node
//! (`request_book`, `receipt_book`) know who waits.

use crate::wire::Extension;
use crate::wire::extension::{Role, extension_block_bytes};

/// By what number a message of this node's own is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A reply to this request.
    Request(u64),
    /// What becomes of the message with this receipt.
    Receipt(u64),
}

/// The key of a message that begins with an extension, if it has one.
pub(crate) fn key(bytes: &[u8]) -> Option<u64> {
    Extension::in_block(bytes.get(..extension_block_bytes(bytes))?).key()
}

/// The number on its causal channel of a message that begins with an extension, if it has one.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let causes = Extension::in_block(bytes.get(..extension_block_bytes(bytes))?).causes()?;
    Some(causes.number)
}

/// Who waits for a message of this node's own that begins with an extension, if anybody does.
pub(crate) fn awaited(bytes: &[u8]) -> Option<Awaited> {
    let extension = Extension::in_block(bytes.get(..extension_block_bytes(bytes))?);
    if let Some(number) = extension.receipt() {
        return Some(Awaited::Receipt(number));
    }
    let correlation = extension.correlation()?;
    (correlation.role == Role::Request).then_some(Awaited::Request(correlation.id))
}
