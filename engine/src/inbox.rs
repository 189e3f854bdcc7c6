//! Step 9, for application threads: the inbox of a mailbox, a ring from the shards to one reader.
//!
//! Shards push and wake the reader once a turn; a full inbox stops the reading of the lanes that
//! feed it, which is the back-pressure. The reader tells stopped shards when there is room again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event_listener::Listener;

use crate::deadline::deadline_in;
use crate::fabric::Fabric;
use crate::message::{Destination, MailboxId};
use crate::peer::Peer;
use crate::ring::inbox::{InboxSignals, InboxWriter, inbox_ring};
use crate::ring::{Consumer, Payload, Tag};

/// The messages of one mailbox, read by one application thread or task at a time.
///
/// Dropping it ends the mailbox: messages that come later are refused, and so reported to their
/// senders, until the mailbox gets another receiver.
#[doc = include_str!("../doc/inbox.md")]
#[derive(Debug)]
pub struct Inbox {
    consumer: Consumer,
    signals: Arc<InboxSignals>,
    fabric: Arc<Fabric>,
    /// Its name is free again when the inbox is dropped.
    mailbox: Option<MailboxId>,
    /// The record at the front was handed out and is to be freed before the next is: its bytes in
    /// the ring, and outside it.
    lent: Option<(usize, usize)>,
    /// Freed since a shard announced that it waits.
    freed_bytes: usize,
}

/// A message in an inbox: borrowed from it until the next one is asked for.
#[doc = include_str!("../doc/received.md")]
#[derive(Debug)]
pub struct Received<'a> {
    tag: Tag,
    payload: Payload<'a>,
    fabric: &'a Fabric,
}

impl Received<'_> {
    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.as_slice()
    }

    /// The payload to keep: a copy of a small one, a reference to a large one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.payload {
            Payload::Inline(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Shared(bytes) => bytes.clone(),
        }
    }

    /// The node that sent it.
    ///
    /// # Panics
    /// Never: peers are not forgotten while the node runs.
    #[must_use]
    pub fn from(&self) -> Arc<Peer> {
        let routes = self.fabric.routes.snapshot();
        Arc::clone(&routes.routes[self.tag.lane as usize].peer)
    }

    /// The name of the channel it came on.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.fabric.channels[self.tag.extra as usize].name
    }

    /// Where an answer goes: a mailbox on the node this message came from.
    #[must_use]
    pub fn reply_to(&self, mailbox: MailboxId) -> Destination {
        Destination {
            peer: self.from(),
            mailbox,
            key: None,
        }
    }
}

impl std::ops::Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.payload()
    }
}

/// An inbox of `capacity_bytes` and the end that shards push into.
pub(crate) fn inbox(fabric: Arc<Fabric>, capacity_bytes: usize) -> (InboxWriter, Inbox) {
    let (writer, consumer, signals) = inbox_ring(capacity_bytes);
    let inbox = Inbox {
        consumer,
        signals,
        fabric,
        mailbox: None,
        lent: None,
        freed_bytes: 0,
    };
    (writer, inbox)
}

impl Inbox {
    /// It is the inbox of that mailbox from now on.
    pub(crate) fn serve(&mut self, mailbox: MailboxId) {
        self.mailbox = Some(mailbox);
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
        while self.consumer.is_empty() {
            let arrived = self.signals.listen();
            if self.is_over() {
                return None;
            }
            if self.consumer.is_empty() {
                arrived.await;
            }
        }
        self.lend()
    }

    /// The next message, blocking the thread until it comes. `None` once the node has stopped and
    /// everything received has been read.
    pub fn recv_blocking(&mut self) -> Option<Received<'_>> {
        self.free_lent();
        while self.consumer.is_empty() {
            let arrived = self.signals.listen();
            if self.is_over() {
                return None;
            }
            if self.consumer.is_empty() {
                arrived.wait();
            }
        }
        self.lend()
    }

    /// The next message, blocking the thread for `timeout` at most.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Option<Received<'_>> {
        self.free_lent();
        let deadline = deadline_in(timeout);
        while self.consumer.is_empty() {
            let arrived = self.signals.listen();
            if self.is_over() {
                return None;
            }
            if self.consumer.is_empty() && arrived.wait_deadline(deadline).is_none() {
                return self.try_recv();
            }
        }
        self.lend()
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
        Some(Received {
            tag: record.tag,
            payload: record.payload,
            fabric: &self.fabric,
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
        if enough && self.signals.take_block() {
            self.freed_bytes = 0;
            self.fabric.tell_inbox_room();
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Lanes that wait for room here go on and have their messages refused.
        self.consumer.close();
        if let Some(mailbox) = self.mailbox {
            self.fabric.mailboxes.give_back(mailbox);
        }
        self.fabric.tell_inbox_room();
    }
}
