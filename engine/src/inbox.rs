//! Step 9, for application threads: the inbox of a mailbox, a ring from the shards to one reader.
//!
//! Shards push and wake the reader once a turn; a full inbox stops the reading of the lanes that
//! feed it, which is the back-pressure. The reader tells stopped shards when there is room again.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;

use crate::channel::EXTENDED;
use crate::deadline::{Moment, deadline_in};
use crate::error::RecvError;
use crate::fabric::Fabric;
use crate::mailboxes::Mailbox;
use crate::message::{
    Destination, Exchange, OwnedMessage, ReplyHandle, deadline_after, said_by_sender,
};
use crate::peer::Peer;
use crate::receiving::Occupancy;
use crate::request::asked;
use crate::ring::inbox::{InboxSignals, InboxWriter, ShardSet, inbox_ring};
use crate::ring::{Consumer, Payload, Tag};
use crate::spans::place_in;
use crate::threads;
use crate::wire::extension::{Extension, extension_block_bytes};

/// The messages of one mailbox, read by one application thread or task at a time.
///
/// As a [`Stream`] it yields [`OwnedMessage`]s; [`recv`](Self::recv) and its siblings lend each message
/// where it lies, without a copy.
///
/// Dropping it ends the mailbox: messages that come later are refused, and so reported to their
/// senders, until the mailbox gets another receiver.
#[doc = include_str!("../doc/inbox.md")]
#[derive(Debug)]
pub struct Inbox {
    consumer: Consumer,
    signals: Arc<InboxSignals>,
    fabric: Arc<Fabric>,
    occupancy: Occupancy,
    /// The record at the front was handed out and is to be freed before the next is: its bytes in
    /// the ring, and outside it.
    lent: Option<(usize, usize)>,
    /// Freed since a shard announced that it waits.
    freed_bytes: usize,
}

/// A message in an inbox: borrowed from it until the next one is asked for. It derefs to its payload.
#[doc = include_str!("../doc/received.md")]
#[derive(Debug)]
pub struct Received<'a> {
    tag: Tag,
    payload: Payload<'a>,
    fabric: &'a Fabric,
    mailbox: &'a Mailbox,
    from: OnceCell<Arc<Peer>>,
    channel: OnceCell<Arc<str>>,
    /// Bytes of the extension in front of the payload.
    head: usize,
    /// The span of its delivery, if that is recorded.
    span_id: Option<[u8; 8]>,
}

impl<'a> Received<'a> {
    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.payload.as_slice()[self.head..]
    }

    /// The payload to keep: a copy of a small one, a reference to a large one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.payload {
            Payload::Inline(bytes) => Bytes::copy_from_slice(&bytes[self.head..]),
            Payload::Shared(bytes) => bytes.slice(self.head..),
        }
    }

    /// What answers it, if it is a request.
    #[must_use]
    pub fn reply_handle(&self) -> Option<ReplyHandle> {
        let exchange = self.exchange()?;
        let replies = &self.fabric.replies;
        Some(ReplyHandle::new(
            exchange,
            self.from(),
            self.mailbox,
            replies,
        ))
    }

    fn exchange(&self) -> Option<Exchange> {
        asked(self.block(), self.came())
    }

    /// The node that sent it.
    ///
    /// # Panics
    /// Never: a peer keeps its place as long as a message of it is unread.
    #[must_use]
    pub fn from(&self) -> &Arc<Peer> {
        self.from.get_or_init(|| {
            let peer = self.fabric.routes.peer_at(self.tag.lane);
            peer.expect("the place of a peer with unread messages is not given away")
        })
    }

    /// The name of the channel it came on.
    ///
    /// # Panics
    /// Never: a channel that is removed keeps its place as long as a message of it is unread.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.channel_name()
    }

    fn channel_name(&self) -> &Arc<str> {
        self.channel.get_or_init(|| {
            let name = self.fabric.channels.name_at(self.channel_index());
            name.expect("the place of a channel with unread messages is not given away")
        })
    }

    /// A number for the channel it came on: its index among the configuration's channels, those that were
    /// added behind them. Once a channel is removed, another may get its number.
    #[must_use]
    pub fn channel_index(&self) -> usize {
        // What stands above it is not its.
        (self.tag.extra & 0xffff) as usize
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
        deadline_after(self.block(), || self.came())
    }

    /// When it came, if it has an extension.
    fn came(&self) -> Instant {
        let clock = self.fabric.clock;
        clock.before(Instant::now(), Moment(self.tag.mailbox))
    }

    fn extension(&self) -> Extension<'a> {
        Extension::in_block(self.block())
    }

    /// Of its extension; empty without one.
    fn block(&self) -> &'a [u8] {
        &self.payload.as_slice()[..self.head]
    }

    /// Where an answer goes: a mailbox on the node this message came from.
    #[must_use]
    pub fn reply_to(&self, mailbox: &Mailbox) -> Destination {
        Destination::for_answer(Arc::clone(self.from()), self.mailbox, mailbox)
    }

    /// The message to keep, or to hand to another thread.
    #[must_use]
    pub fn to_owned(&self) -> OwnedMessage {
        OwnedMessage {
            from: Arc::clone(self.from()),
            channel: Arc::clone(self.channel_name()),
            channel_index: self.channel_index(),
            mailbox: self.mailbox.clone(),
            payload: self.to_bytes(),
            block: Bytes::copy_from_slice(self.block()),
            deadline: self.deadline(),
            exchange: self.exchange(),
            replies: self.fabric.replies.clone(),
            span_id: self.span_id,
        }
    }
}

impl std::ops::Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.payload()
    }
}

/// The inbox of a mailbox, of `capacity_bytes`, and the end that shards push into.
pub(crate) fn inbox(
    fabric: Arc<Fabric>,
    occupancy: Occupancy,
    capacity_bytes: usize,
) -> (InboxWriter, Inbox) {
    let (writer, consumer, signals) = inbox_ring(capacity_bytes);
    fabric.inboxes.add(&signals);
    let inbox = Inbox {
        consumer,
        signals,
        fabric,
        occupancy,
        lent: None,
        freed_bytes: 0,
    };
    (writer, inbox)
}

impl Inbox {
    /// The mailbox whose messages come here.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        self.occupancy.mailbox()
    }

    pub(crate) fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    /// The next message if there is one.
    pub fn try_recv(&mut self) -> Option<Received<'_>> {
        self.free_lent();
        if self.consumer.is_empty() {
            return None;
        }
        self.lend()
    }

    /// The next message, waiting for it without blocking the thread. Runs on any async runtime.
    /// `None` once the node has stopped and everything received has been read.
    pub async fn recv(&mut self) -> Option<Received<'_>> {
        self.free_lent();
        if poll_fn(|context| self.poll_arrival(context.waker())).await {
            self.lend()
        } else {
            None
        }
    }

    /// The next message, blocking the thread until it comes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the node has stopped and everything received has been read,
    /// [`RecvError::WouldDeadlock`] on a thread of the engine.
    pub fn recv_blocking(&mut self) -> Result<Received<'_>, RecvError> {
        self.recv_by(None)
    }

    /// The next message, blocking the thread for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`]; besides, as [`recv_blocking`](Self::recv_blocking).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received<'_>, RecvError> {
        self.recv_by(Some(deadline_in(timeout)))
    }

    fn recv_by(&mut self, deadline: Option<Instant>) -> Result<Received<'_>, RecvError> {
        self.free_lent();
        if threads::is_own() {
            return Err(RecvError::WouldDeadlock);
        }
        let reader = threads::waker();
        loop {
            match self.poll_arrival(&reader) {
                Poll::Ready(true) => return self.lend().ok_or(RecvError::Closed),
                Poll::Ready(false) => return Err(RecvError::Closed),
                Poll::Pending => {}
            }
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.try_recv().ok_or(RecvError::TimedOut);
            }
            thread::park_timeout(left);
        }
    }

    /// Whether there is a message; false once there never will be. `reader` is woken when that may
    /// have changed.
    fn poll_arrival(&self, reader: &Waker) -> Poll<bool> {
        if !self.consumer.is_empty() {
            return Poll::Ready(true);
        }
        self.signals.register(reader);
        if self.is_over() {
            Poll::Ready(false)
        } else if self.consumer.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(true)
        }
    }

    /// No shard will push any more, and nothing is left.
    fn is_over(&self) -> bool {
        self.fabric.has_ended() && self.consumer.is_empty()
    }

    fn lend(&mut self) -> Option<Received<'_>> {
        let record = self.consumer.peek()?;
        self.lent = Some(match record.payload {
            Payload::Inline(bytes) => (bytes.len(), 0),
            Payload::Shared(bytes) => (0, bytes.len()),
        });
        let is_extended = record.tag.extra & EXTENDED != 0;
        let place = is_extended.then(|| place_in(record.tag.extra)).flatten();
        Some(Received {
            span_id: place.and_then(|place| self.fabric.spans.read(place)),
            tag: record.tag,
            payload: record.payload,
            fabric: &self.fabric,
            mailbox: self.occupancy.mailbox(),
            from: OnceCell::new(),
            channel: OnceCell::new(),
            head: if is_extended {
                extension_block_bytes(record.payload.as_slice())
            } else {
                0
            },
        })
    }

    /// Frees the message lent last, and rings the shards if one of them waits for room.
    fn free_lent(&mut self) {
        let Some((inline_bytes, shared_bytes)) = self.lent.take() else {
            return;
        };
        self.consumer.advance();
        if self.signals.freed(shared_bytes) {
            self.unblock(inline_bytes + shared_bytes);
        }
    }

    /// Wakes stopped shards once a quarter of the inbox is free: each wake costs a system call, and
    /// waking them for one message at a time would make that the price of a message.
    #[cold]
    fn unblock(&mut self, bytes: usize) {
        self.freed_bytes += bytes;
        let enough =
            self.consumer.is_empty() || self.freed_bytes >= self.signals.capacity_bytes() / 4;
        if enough {
            self.freed_bytes = 0;
            self.fabric.tell_inbox_room(self.signals.take_blocked());
        }
    }
}

impl Stream for Inbox {
    type Item = OwnedMessage;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<OwnedMessage>> {
        let inbox = self.get_mut();
        inbox.free_lent();
        if !ready!(inbox.poll_arrival(context.waker())) {
            return Poll::Ready(None);
        }
        let message = inbox.lend().map(|received| received.to_owned());
        // It is a copy, or holds its bytes itself: the next one need not be asked for first.
        inbox.free_lent();
        Poll::Ready(message)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Lanes that wait for room here go on and have their messages refused.
        self.consumer.close();
        self.fabric.spans.inbox_gone(self.mailbox().id());
        self.signals.note_room();
        self.fabric.tell_inbox_room(ShardSet::ALL);
    }
}
