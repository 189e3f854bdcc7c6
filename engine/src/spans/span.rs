//! A span as applications and exporters get it, and what takes spans.
//!
//! Plain values: made by `spans` when they are taken out, handed to each [`SpanSink`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Which part of a message's way a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpanKind {
    /// All of it on the sending node, of a message whose trace that node has begun: the parent of `Queue` and `Lane`.
    Message,
    /// On the sending node, from when it was given to the channel, waiting for room included, until the shard of its lane has taken it.
    Queue,
    /// On the sending node, from there on until it has ended: acknowledged or reported; on a best-effort channel, given to the
    /// kernel or dropped; a request, answered or given up.
    Lane,
    /// On the receiving node: the run of its handler, or from when it was put into its inbox until it was taken.
    Delivery,
}

impl SpanKind {
    /// Its name in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Queue => "queue",
            Self::Lane => "lane",
            Self::Delivery => "delivery",
        }
    }
}

/// How what a span is of has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanStatus {
    /// As it should: acknowledged, given to the kernel, delivered.
    Ok,
    /// Otherwise.
    Failed {
        /// One of few words: `not_accepted`, `given_up`, `dropped`, `undelivered`, `expired`, `refused`, `replaced`, `unknown`, `unanswered`, `panicked`, `unread`.
        what: &'static str,
        /// The reason, a sentence.
        why: Cow<'static, str>,
    },
}

/// A part of a message's way, which has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Span {
    /// Which part.
    pub kind: SpanKind,
    /// The trace that it is in.
    pub trace_id: [u8; 16],
    /// Its own number.
    pub span_id: [u8; 8],
    /// The span that it is a part of; `None` at the root of a trace.
    pub parent: Option<[u8; 8]>,
    /// The flags of the trace; bit 0, that it is sampled, is set.
    pub flags: u8,
    /// When it began, by the clock of the node.
    pub start: SystemTime,
    /// When it ended; not before it began.
    pub end: SystemTime,
    /// Of a `Lane` on a channel that is acknowledged: when the last of its bytes went to the kernel first.
    pub sent: Option<SystemTime>,
    /// The node at the other end.
    pub peer: Arc<str>,
    /// The channel.
    pub channel: Arc<str>,
    /// The mailbox that the message is for.
    pub mailbox: Arc<str>,
    /// Bytes of the payload.
    pub bytes: u64,
    /// How it has ended.
    pub status: SpanStatus,
}

/// Takes the spans of a node, for a program with a tracing library of its own; see
/// [`NodeBuilder::span_sink`](crate::NodeBuilder::span_sink).
///
/// Called on a thread that does nothing else, some times a second: a sink that blocks holds up no message, but meanwhile spans wait, at
/// most `trace_buffer_spans` of them, and what is beyond that is dropped and counted.
pub trait SpanSink: Send {
    /// Takes what has ended since; called with none, too, so that what has failed can be tried again.
    fn take(&mut self, spans: &[Span]);

    /// The node is stopping, and this sink is not called again: hands on what it still has, by `deadline`.
    fn flush(&mut self, deadline: Instant) {
        let _ = deadline;
    }
}
