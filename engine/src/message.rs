//! What an application sends and receives: payloads, addresses, messages.

use std::sync::Arc;

use bytes::Bytes;

use crate::peer::Peer;
use crate::ring::PayloadPool;

/// The bytes of a message on their way in: borrowed (copied into the ring when they are small), or
/// shared (handed over without a copy).
#[doc = include_str!("../doc/payload.md")]
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Copied when accepted. Above `inline_bytes_max` (default 1 KiB) that costs an allocation.
    Borrowed(&'a [u8]),
    /// Handed over: above `inline_bytes_max` it reaches the socket without a copy; up to it, copying
    /// is cheaper, and it is copied.
    Shared(Bytes),
}

impl Payload<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// To hand over: a copy only if the bytes were borrowed.
    pub(crate) fn into_shared(self, pool: &Arc<PayloadPool>) -> Bytes {
        match self {
            Self::Borrowed(bytes) => pool.copy(bytes),
            Self::Shared(bytes) => bytes,
        }
    }

    /// Whether there is nothing in it. An empty message is a message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(Bytes::from(bytes))
    }
}

/// The number a node gave to a mailbox name. Valid only on the node that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId(pub(crate) u32);

/// Where a message goes: a mailbox on a node, and optionally the partition key that picks the lane.
///
/// Made once by [`Node::destination`](crate::Node::destination) or from a received message's
/// [`from`](Message::from), and used for many sends: it holds what a send would otherwise look up.
#[doc = include_str!("../doc/destination.md")]
#[derive(Clone, Debug)]
pub struct Destination {
    pub(crate) peer: Arc<Peer>,
    pub(crate) mailbox: MailboxId,
    pub(crate) key: Option<u64>,
}

impl Destination {
    /// The same mailbox, with a partition key: on a channel with `parallelism` above 1, messages with
    /// equal keys take the same lane and keep their order. Without a key they all take the first
    /// lane, or, where the channel's ordering is `unordered`, each lane in turn.
    #[must_use]
    pub fn with_key(&self, key: u64) -> Self {
        Self {
            key: Some(key),
            ..self.clone()
        }
    }

    /// The node it leads to.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

/// A message as a handler on the shard sees it: borrowed, valid until the handler returns.
#[doc = include_str!("../doc/message.md")]
#[derive(Debug)]
pub struct Message<'a> {
    pub(crate) from: &'a Arc<Peer>,
    pub(crate) channel: u16,
    pub(crate) mailbox: MailboxId,
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The application's bytes, in place in the receive buffer.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The node that sent it.
    #[must_use]
    pub fn from(&self) -> &'a Arc<Peer> {
        self.from
    }

    /// The channel it came on, as an index into the configuration's channels.
    #[must_use]
    pub fn channel_index(&self) -> usize {
        usize::from(self.channel)
    }

    /// The mailbox it is for.
    #[must_use]
    pub fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// Where an answer goes: a mailbox on the node this message came from.
    #[must_use]
    pub fn reply_to(&self, mailbox: MailboxId) -> Destination {
        Destination {
            peer: Arc::clone(self.from),
            mailbox,
            key: None,
        }
    }
}
