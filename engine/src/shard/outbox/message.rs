//! A message on its way into a lane's outbox and out of it again.

use crate::awaited::{Awaited, awaited};
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::wire::extension::extension_block_bytes;

/// A message on its way into a lane.
#[derive(Debug)]
pub(crate) struct OutgoingMessage<'a> {
    pub(crate) mailbox: MailboxId,
    /// Messages with the same tag keep their order.
    pub(crate) order: OrderTag,
    /// The payload begins with an extension.
    pub(crate) is_extended: bool,
    /// What is borrowed is copied into a chunk, what is shared is sent by reference.
    pub(crate) payload: Payload<'a>,
}

impl OutgoingMessage<'_> {
    /// Who waits to hear of it, if anybody does.
    pub(crate) fn awaited(&self) -> Option<Awaited> {
        let is_extended = self.is_extended;
        is_extended.then(|| awaited(self.payload.as_slice()))?
    }

    /// Bytes of the application's own.
    #[inline]
    pub(crate) fn payload_bytes(&self) -> usize {
        let bytes = self.payload.len();
        if self.is_extended {
            bytes - extension_block_bytes(self.payload.as_slice())
        } else {
            bytes
        }
    }
}

/// A message as it lies in a chunk.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    /// The payload begins with an extension.
    pub(crate) is_extended: bool,
    /// If it was noted.
    pub(crate) mailbox: Option<MailboxId>,
    pub(crate) payload: Payload<'a>,
}

/// A message that was removed at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// What it was charged for at the gate.
    pub(crate) bytes: u64,
    /// Who waits to hear of it, if anybody does.
    pub(crate) awaited: Option<Awaited>,
}
