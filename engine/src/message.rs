//! What an application sends and receives: payloads, addresses, messages.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::error::{SendError, Unsent};
use crate::mailboxes::{Home, Mailbox};
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

    /// What was handed over, unchanged.
    fn into_handed_over(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
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

/// What can be sent: bytes of the caller's, or bytes that are handed over, which come back with the
/// error if the message is not accepted.
pub trait IntoPayload<'a>: Sized {
    /// [`SendError`] for borrowed bytes, [`Unsent`] with the bytes for those that were handed over.
    type Error: Into<SendError>;

    /// As a payload.
    fn into_payload(self) -> Payload<'a>;

    /// The error, with the payload that was not sent.
    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error;
}

impl<'a> IntoPayload<'a> for Payload<'a> {
    type Error = Unsent<Self>;

    fn into_payload(self) -> Payload<'a> {
        self
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        unsent
    }
}

impl<'a> IntoPayload<'a> for Bytes {
    type Error = Unsent<Self>;

    fn into_payload(self) -> Payload<'a> {
        self.into()
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        unsent.map(Payload::into_handed_over)
    }
}

impl<'a> IntoPayload<'a> for Vec<u8> {
    type Error = Unsent<Self>;

    fn into_payload(self) -> Payload<'a> {
        self.into()
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        // Nobody else holds it, so this copies nothing.
        unsent.map(|payload| payload.into_handed_over().into())
    }
}

/// Bytes that stay the caller's.
macro_rules! borrowed_payloads {
    ($(($($generics:tt)*) $bytes:ty),+ $(,)?) => {$(
        impl<'a, $($generics)*> IntoPayload<'a> for $bytes {
            type Error = SendError;

            fn into_payload(self) -> Payload<'a> {
                self.into()
            }

            fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
                unsent.error
            }
        }
    )+};
}

borrowed_payloads!(
    () &'a [u8],
    (const N: usize) &'a [u8; N],
    () &'a Vec<u8>,
    () &'a str,
);

/// Where a message goes: a mailbox on a node, and optionally the partition key that picks the lane.
///
/// Made once by [`Node::destination`](crate::Node::destination) or from a received message's
/// [`reply_to`](Message::reply_to), and used for many sends: it holds what a send would otherwise look
/// up. It belongs to the node that made it: channels of another node of the same process refuse it.
#[doc = include_str!("../doc/destination.md")]
#[derive(Clone, Debug)]
pub struct Destination {
    pub(crate) peer: Arc<Peer>,
    pub(crate) mailbox: Mailbox,
    pub(crate) key: Option<u64>,
    /// The node that made it, which is the only one whose channels take it.
    pub(crate) home: Home,
}

impl Destination {
    /// A mailbox on a peer, both of the same node.
    pub(crate) fn new(peer: Arc<Peer>, mailbox: Mailbox) -> Self {
        Self {
            home: mailbox.home(),
            peer,
            mailbox,
            key: None,
        }
    }

    /// For an answer to a message that came to `own`. If the mailbox is of another node, no channel
    /// takes it.
    pub(crate) fn for_answer(peer: Arc<Peer>, own: &Mailbox, mailbox: &Mailbox) -> Self {
        let mut answer = Self::new(peer, mailbox.clone());
        if own.home() != mailbox.home() {
            answer.home = Home::NOWHERE;
        }
        answer
    }

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

    /// The mailbox it leads to.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

/// A message as a handler on the shard sees it: borrowed, valid until the handler returns.
///
/// [`Received`](crate::Received), as inboxes lend it, and [`OwnedMessage`], to keep, say the same in the
/// same words.
#[doc = include_str!("../doc/message.md")]
#[derive(Debug)]
pub struct Message<'a> {
    pub(crate) from: &'a Arc<Peer>,
    pub(crate) channel: &'a Arc<str>,
    pub(crate) channel_index: usize,
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) payload: &'a [u8],
    /// If it is a request.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) replies: &'a Mailbox,
}

impl<'a> Message<'a> {
    /// The application's bytes, in place in the receive buffer.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload to keep: a copy.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.payload)
    }

    /// The node that sent it.
    #[must_use]
    pub fn from(&self) -> &'a Arc<Peer> {
        self.from
    }

    /// The name of the channel it came on.
    #[must_use]
    pub fn channel(&self) -> &'a str {
        self.channel
    }

    /// The channel it came on, as an index into the configuration's channels.
    #[must_use]
    pub fn channel_index(&self) -> usize {
        self.channel_index
    }

    /// The mailbox it is for.
    #[must_use]
    pub fn mailbox(&self) -> &'a Mailbox {
        self.mailbox
    }

    /// Where an answer goes: a mailbox on the node this message came from.
    #[must_use]
    pub fn reply_to(&self, mailbox: &Mailbox) -> Destination {
        Destination::for_answer(Arc::clone(self.from), self.mailbox, mailbox)
    }

    /// The message to keep, or to hand to another thread.
    #[must_use]
    pub fn to_owned(&self) -> OwnedMessage {
        OwnedMessage {
            from: Arc::clone(self.from),
            channel: Arc::clone(self.channel),
            channel_index: self.channel_index,
            mailbox: self.mailbox.clone(),
            payload: self.to_bytes(),
            exchange: self.exchange,
            replies: self.replies.clone(),
        }
    }

    /// What answers it, if it is a request.
    #[must_use]
    pub fn reply_handle(&self) -> Option<ReplyHandle> {
        let exchange = self.exchange?;
        Some(ReplyHandle::new(
            exchange,
            self.from,
            self.mailbox,
            self.replies,
        ))
    }
}

/// A message to keep: what [`Inbox`](crate::Inbox) yields as a stream, and what
/// [`Message::to_owned`] and [`Received::to_owned`](crate::Received::to_owned) make. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OwnedMessage {
    pub(crate) from: Arc<Peer>,
    pub(crate) channel: Arc<str>,
    pub(crate) channel_index: usize,
    pub(crate) mailbox: Mailbox,
    pub(crate) payload: Bytes,
    /// If it is a request.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) replies: Mailbox,
}

impl OwnedMessage {
    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload to keep: a reference to the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.payload.clone()
    }

    /// The payload, without the rest.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// The node that sent it.
    #[must_use]
    pub fn from(&self) -> &Arc<Peer> {
        &self.from
    }

    /// The name of the channel it came on.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The channel it came on, as an index into the configuration's channels.
    #[must_use]
    pub fn channel_index(&self) -> usize {
        self.channel_index
    }

    /// The mailbox it is for.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Where an answer goes: a mailbox on the node this message came from.
    #[must_use]
    pub fn reply_to(&self, mailbox: &Mailbox) -> Destination {
        Destination::for_answer(Arc::clone(&self.from), &self.mailbox, mailbox)
    }

    /// What answers it, if it is a request.
    #[must_use]
    pub fn reply_handle(&self) -> Option<ReplyHandle> {
        let exchange = self.exchange?;
        Some(ReplyHandle::new(
            exchange,
            &self.from,
            &self.mailbox,
            &self.replies,
        ))
    }
}

/// The mailbox that replies name. No receiver is looked for: a reply goes to whoever asked.
pub(crate) const REPLIES: &str = "overlane.replies";

/// The request that a message is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// What the node that asks knows it by.
    pub(crate) id: u64,
    /// Until when somebody waits for the reply.
    pub(crate) deadline: Option<Instant>,
}

/// What a request is answered with: see [`Channel::reply`](crate::Channel::reply) and its siblings. It
/// can be kept, and used from any thread; only the first reply counts.
#[derive(Clone, Debug)]
pub struct ReplyHandle {
    pub(crate) to: Destination,
    pub(crate) id: u64,
    deadline: Option<Instant>,
}

impl ReplyHandle {
    pub(crate) fn new(
        exchange: Exchange,
        from: &Arc<Peer>,
        own: &Mailbox,
        replies: &Mailbox,
    ) -> Self {
        Self {
            to: Destination::for_answer(Arc::clone(from), own, replies),
            id: exchange.id,
            deadline: exchange.deadline,
        }
    }

    /// The node that asks.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.to.peer
    }

    /// Until when somebody waits for the reply, if the request said so. Not later than the truth by more
    /// than the request was on its way.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
