//! Step 8: one message to its receiver: a handler on this shard, or an inbox.
//!
//! Called by `receive` for what came over a socket and by `loopback` for what a node sends to
//! itself. It never looks at frames, and never waits: an inbox without room is the caller's matter.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Core;
use super::context::ShardContext;
use crate::channel::EXTENDED;
use crate::fabric::Fabric;
use crate::io::receive_buffers::{Filled, ReceiveBuffers};
use crate::mailboxes::{ByMailbox, Mailbox, MailboxId};
use crate::message::Message;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::request::asked;
use crate::ring::inbox::InboxWriter;
use crate::ring::{PushError, Tag};
use crate::spans::{SpanStatus, Standing, Subject, place_bits};
use crate::wire::MessageRun;
use crate::wire::extension::extension_block_bytes;

/// A handler, run on the shard with borrowed bytes.
pub(crate) type Handler = Box<dyn FnMut(&mut ShardContext<'_>, Message<'_>) + Send>;

/// What takes the messages of a mailbox on one shard.
pub(crate) enum MailboxReceiver {
    Handler(Handler),
    Inbox(InboxWriter),
}

/// Where the bytes of a message lie, and how to keep them longer than the turn.
pub(crate) trait Source {
    fn bytes(&self) -> &[u8];
    fn keep(&mut self, range: Range<usize>) -> Bytes;
}

/// In a receive buffer.
pub(crate) struct InBuffer<'a> {
    pub(crate) filled: &'a mut Filled,
    pub(crate) buffers: Option<&'a mut ReceiveBuffers>,
}

impl Source for InBuffer<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.filled.bytes()
    }

    fn keep(&mut self, range: Range<usize>) -> Bytes {
        match &mut self.buffers {
            // A buffer is worth pinning for a payload of half its size, not for less.
            Some(buffers) if range.len() * 2 >= self.filled.bytes().len() => {
                buffers.keep(self.filled, range.start, range.end)
            }
            _ => Bytes::copy_from_slice(&self.filled.bytes()[range]),
        }
    }
}

/// In memory of its own (what was put together from several receives, or sent by this process): what is
/// shared is kept as it is, the rest by a copy.
impl Source for Payload<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }

    fn keep(&mut self, range: Range<usize>) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(&bytes[range]),
            Self::Shared(bytes) => bytes.slice(range),
        }
    }
}

/// Where a message lies in its source.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// Bytes of the extension in front of the payload, its length included; 0 without one.
    pub(crate) head: usize,
    pub(crate) payload: Range<usize>,
}

impl Body {
    /// A body that is all of `bytes`.
    pub(crate) fn whole(bytes: &[u8], is_extended: bool) -> Self {
        let head = if is_extended {
            extension_block_bytes(bytes)
        } else {
            0
        };
        Self {
            head,
            payload: head..bytes.len(),
        }
    }

    /// The extension, its length in front; empty without one.
    #[inline]
    pub(crate) fn extension<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.payload.start - self.head..self.payload.start]
    }

    /// Extension and payload.
    pub(crate) fn all(&self) -> Range<usize> {
        self.payload.start - self.head..self.payload.end
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Delivered,
    /// To a handler that panicked.
    Panicked,
    /// There is no such mailbox here.
    NoMailbox,
    /// The inbox has no room now.
    NoRoom,
}

impl Delivery {
    /// What a request that came to this is refused with; `None` if it may be answered still.
    pub(super) fn refusal(self, is_reliable: bool) -> Option<&'static str> {
        match self {
            Self::Delivered => None,
            Self::Panicked => Some("the handler of its mailbox panicked"),
            Self::NoMailbox => Some("there is no such mailbox"),
            // Otherwise it waits.
            Self::NoRoom => (!is_reliable).then_some("the inbox of its mailbox is full"),
        }
    }
}

/// What was handed over of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Handed {
    pub(super) messages: u32,
    pub(super) payload_bytes: u64,
}

impl Handed {
    #[inline]
    fn count(&mut self, payload: &[u8]) {
        self.messages += 1;
        self.payload_bytes += payload.len() as u64;
    }
}

/// The receivers of a shard's mailboxes.
pub(crate) struct Receivers {
    fabric: Arc<Fabric>,
    by_mailbox: ByMailbox<(Mailbox, MailboxReceiver)>,
    /// By number: the channels that messages come on, as of that epoch of the channel table.
    names: Vec<Arc<str>>,
    names_epoch: u64,
}

impl Receivers {
    pub(crate) fn new(fabric: Arc<Fabric>) -> Self {
        Self {
            fabric,
            by_mailbox: ByMailbox::default(),
            names: Vec::new(),
            names_epoch: 0,
        }
    }

    pub(crate) fn put(&mut self, mailbox: Mailbox, receiver: MailboxReceiver) {
        self.by_mailbox.insert(mailbox.id(), (mailbox, receiver));
    }

    pub(crate) fn remove(&mut self, mailbox: MailboxId) {
        self.by_mailbox.remove(&mailbox);
    }

    /// Whether a lane that waits for the inbox of a mailbox is to try again: room was made in it since
    /// this was asked last, or there is no such inbox any more.
    pub(super) fn has_made_room(&mut self, mailbox: MailboxId) -> bool {
        match self.by_mailbox.get_mut(&mailbox) {
            Some((_, MailboxReceiver::Inbox(inbox))) => inbox.has_made_room(),
            _ => true,
        }
    }

    /// Hands over the message that `body` says where it lies in `source`. If it has an extension, it had
    /// come by `Core::came`.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        core: &mut Core,
        from: &Arc<Peer>,
        channel: u16,
        mailbox: MailboxId,
        source: &mut impl Source,
        body: Body,
    ) -> Delivery {
        self.follow_names(core);
        let Some((mailbox, receiver)) = self.by_mailbox.get_mut(&mailbox) else {
            return Delivery::NoMailbox;
        };
        match receiver {
            MailboxReceiver::Handler(handler) => {
                let channel_index = usize::from(channel);
                let block = body.extension(source.bytes());
                let standing = self.fabric.spans.arriving(block);
                let recorded = standing.map(|standing| (standing, Instant::now()));
                let message = Message {
                    from,
                    channel: &self.names[channel_index],
                    channel_index,
                    mailbox,
                    payload: &source.bytes()[body.payload.clone()],
                    block,
                    exchange: asked(block, core.came),
                    came: core.came,
                    replies: &self.fabric.replies,
                    span_id: recorded.map(|(standing, _)| standing.span_id),
                };
                let mut context = ShardContext { core };
                // A handler that panics must not take the lanes of this shard with it.
                let run = catch_unwind(AssertUnwindSafe(|| handler(&mut context, message)));
                if let Some((standing, began)) = recorded {
                    let channel = &self.names[channel_index];
                    let subject = subject(from, channel, mailbox, &body);
                    note_run(&self.fabric, standing, subject, began, run.is_ok());
                }
                if run.is_err() {
                    core.count_handler_panic(mailbox);
                    return Delivery::Panicked;
                }
                let channel = &self.names[channel_index];
                core.recording.handed(mailbox, from, channel, 1, true);
                Delivery::Delivered
            }
            MailboxReceiver::Inbox(inbox) => {
                let mut tag = plain_tag(from, channel);
                if body.head > 0 {
                    tag.extra |= EXTENDED;
                    tag.mailbox = self.fabric.clock.ms(core.came).0;
                }
                let block = body.extension(source.bytes());
                let standing = self.fabric.spans.arriving(block);
                let place = standing.and_then(|standing| {
                    let channel = &self.names[usize::from(channel)];
                    let subject = subject(from, channel, mailbox, &body);
                    self.fabric.spans.put(standing, mailbox.id(), subject)
                });
                tag.extra |= place_bits(place);
                let delivery = push(inbox, tag, source, body.all(), &self.fabric);
                if delivery == Delivery::Delivered {
                    core.touch_inbox(inbox);
                    let channel = &self.names[usize::from(channel)];
                    core.recording.handed(mailbox, from, channel, 1, false);
                } else if let Some(place) = place {
                    self.fabric.spans.take_back(place);
                }
                delivery
            }
        }
    }

    /// Hands over messages without an extension that follow each other and are for one mailbox: as
    /// [`deliver`](Self::deliver) does with each, at most `messages_max` of them. It stops ahead of the first one that
    /// it cannot hand over, and behind one whose handler panicked.
    #[inline]
    pub(super) fn deliver_run(
        &mut self,
        core: &mut Core,
        from: &Arc<Peer>,
        channel: u16,
        mailbox: MailboxId,
        run: &mut MessageRun<'_>,
        messages_max: u32,
    ) -> Handed {
        let mut handed = Handed::default();
        self.follow_names(core);
        let Some((mailbox, receiver)) = self.by_mailbox.get_mut(&mailbox) else {
            return handed;
        };
        match receiver {
            MailboxReceiver::Handler(handler) => {
                let channel_index = usize::from(channel);
                let channel = &self.names[channel_index];
                let came = core.came;
                let replies = &self.fabric.replies;
                let mut context = ShardContext { core };
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    while handed.messages < messages_max
                        && let Some(payload) = run.payload()
                    {
                        run.skip(payload);
                        handed.count(payload);
                        let message = Message {
                            from,
                            channel,
                            channel_index,
                            mailbox,
                            payload,
                            block: &[],
                            exchange: None,
                            came,
                            replies,
                            span_id: None,
                        };
                        handler(&mut context, message);
                    }
                }));
                if outcome.is_err() {
                    core.count_handler_panic(mailbox);
                }
                core.recording
                    .handed(mailbox, from, channel, handed.messages, true);
            }
            MailboxReceiver::Inbox(inbox) => {
                let tag = plain_tag(from, channel);
                while handed.messages < messages_max
                    && let Some(payload) = run.payload()
                    && payload.len() <= self.fabric.config.inline_bytes_max
                    && inbox.takes_inline(payload.len())
                    && inbox.push(tag, payload).is_ok()
                {
                    run.skip(payload);
                    handed.count(payload);
                }
                if handed.messages > 0 {
                    core.touch_inbox(inbox);
                    let channel = &self.names[usize::from(channel)];
                    core.recording
                        .handed(mailbox, from, channel, handed.messages, false);
                }
            }
        }
        handed
    }

    /// The names of the channels are those of the shard's table.
    #[inline]
    fn follow_names(&mut self, core: &Core) {
        if self.names_epoch != core.channels.epoch() {
            self.names_epoch = core.channels.epoch();
            core.channels.names_into(&mut self.names);
        }
    }
}

#[cold]
fn subject(from: &Peer, channel: &Arc<str>, mailbox: &Mailbox, body: &Body) -> Subject {
    Subject::of(
        from.shared_name(),
        channel,
        mailbox.name(),
        body.payload.len(),
    )
}

/// A handler has run for a message that is recorded.
#[cold]
fn note_run(fabric: &Fabric, standing: Standing, subject: Subject, began: Instant, is_ok: bool) {
    let status = if is_ok {
        SpanStatus::Ok
    } else {
        SpanStatus::Failed {
            what: "panicked",
            why: "its handler panicked".into(),
        }
    };
    let spans = &fabric.spans;
    spans.delivered(standing, subject, began, status);
}

/// What an inbox is told beside a message without an extension.
#[inline]
fn plain_tag(from: &Peer, channel: u16) -> Tag {
    Tag {
        lane: from.place().unwrap_or(u32::MAX),
        mailbox: 0,
        extra: u32::from(channel),
    }
}

#[inline]
fn push(
    inbox: &mut InboxWriter,
    tag: Tag,
    source: &mut impl Source,
    range: Range<usize>,
    fabric: &Fabric,
) -> Delivery {
    let bytes = range.len();
    let pushed = if bytes <= fabric.config.inline_bytes_max && inbox.takes_inline(bytes) {
        inbox.push(tag, &source.bytes()[range])
    } else if inbox.has_room_for(bytes) {
        inbox.push_shared(tag, source.keep(range))
    } else {
        Err(PushError::Full)
    };
    match pushed {
        Ok(()) => Delivery::Delivered,
        Err(PushError::Full) => Delivery::NoRoom,
        // What is too large by copy is pushed by reference.
        Err(PushError::Closed | PushError::TooLarge) => Delivery::NoMailbox,
    }
}

impl std::fmt::Debug for Receivers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Receivers")
            .field("mailboxes", &self.by_mailbox.len())
            .finish()
    }
}
