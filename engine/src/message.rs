//! What an application sends to and receives: addresses, messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::mailboxes::{Home, Mailbox};
use crate::peer::Peer;
use crate::wire::extension::{Extension, deadline_of};

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

/// What the sender said besides the payload, for each form of a received message: all of them read it in
/// `self.extension()`, whose bytes live as long as `$life`.
macro_rules! said_by_sender {
    ($life:lifetime) => {
        /// The key of its destination, on a monotonic channel: newer messages with this key stand for it.
        #[must_use]
        pub fn key(&self) -> Option<u64> {
            self.extension().key()
        }

        /// What its sender says that the payload is; see [`Envelope`](crate::Envelope).
        #[must_use]
        pub fn message_type(&self) -> Option<&$life str> {
            self.extension().message_type()
        }

        /// The value of a key, the first if its sender gave several.
        #[must_use]
        pub fn metadata(&self, key: &str) -> Option<&$life [u8]> {
            self.extension().value_of(key)
        }

        /// Where it stands in a trace, if its sender said so; see [`Attributes::trace`](crate::Attributes::trace). Where this node
        /// records spans and the trace is sampled, that is at the span of its delivery: what is sent with it follows from that.
        #[must_use]
        pub fn trace(&self) -> Option<$crate::wire::TraceContext> {
            let trace = self.extension().trace()?;
            Some(match self.span_id {
                Some(span_id) => trace.at(span_id),
                None => trace,
            })
        }

        /// All keys and values, in the sender's order.
        pub fn all_metadata(&self) -> impl Iterator<Item = (&$life str, &$life [u8])> + use<$life> {
            self.extension().metadata()
        }
    };
}
pub(crate) use said_by_sender;

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
    /// Of its extension; empty without one.
    pub(crate) block: &'a [u8],
    /// It had come by then.
    pub(crate) came: Instant,
    /// If it is a request.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) replies: &'a Mailbox,
    /// The span of its delivery, if that is recorded.
    pub(crate) span_id: Option<[u8; 8]>,
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

    /// A number for the channel it came on: its index among the configuration's channels, those that were
    /// added behind them. Once a channel is removed, another may get its number.
    #[must_use]
    pub fn channel_index(&self) -> usize {
        self.channel_index
    }

    /// The mailbox it is for.
    #[must_use]
    pub fn mailbox(&self) -> &'a Mailbox {
        self.mailbox
    }

    said_by_sender!('a);

    /// When it is worth nothing any more, if its sender said so; see
    /// [`Envelope::deadline`](crate::Envelope::deadline). Not later than the truth by more than it was on
    /// its way.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        deadline_after(self.block, || self.came)
    }

    fn extension(&self) -> Extension<'a> {
        Extension::in_block(self.block)
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
            block: Bytes::copy_from_slice(self.block),
            deadline: self.deadline(),
            exchange: self.exchange,
            replies: self.replies.clone(),
            span_id: self.span_id,
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
    /// Of its extension; empty without one.
    pub(crate) block: Bytes,
    pub(crate) deadline: Option<Instant>,
    /// If it is a request.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) replies: Mailbox,
    /// The span of its delivery, if that is recorded.
    pub(crate) span_id: Option<[u8; 8]>,
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

    /// A number for the channel it came on: its index among the configuration's channels, those that were
    /// added behind them. Once a channel is removed, another may get its number.
    #[must_use]
    pub fn channel_index(&self) -> usize {
        self.channel_index
    }

    /// The mailbox it is for.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    said_by_sender!('_);

    /// When it is worth nothing any more, if its sender said so; see
    /// [`Envelope::deadline`](crate::Envelope::deadline). Not later than the truth by more than it was on
    /// its way.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn extension(&self) -> Extension<'_> {
        Extension::in_block(&self.block)
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

/// When a message with that extension is worth nothing any more, if it says so.
pub(crate) fn deadline_after(block: &[u8], came: impl FnOnce() -> Instant) -> Option<Instant> {
    let left_ms = deadline_of(block)?;
    Some(came() + Duration::from_millis(left_ms.into()))
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
