//! One message of this node's own that is recorded: which spans it has had, and which are still open.
//!
//! A state machine without I/O, kept by `mod`: given, taken by its shard, sent, ended. Time is an argument.

use std::time::Instant;

use super::record::{Record, Standing, Subject};
use super::span::{SpanKind, SpanStatus};
use crate::wire::TraceContext;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct OpenMessage {
    trace_id: [u8; 16],
    flags: u8,
    /// The parent of its spans.
    parent: [u8; 8],
    /// This node has begun the trace: the parent is to be recorded, too.
    is_root_here: bool,
    subject: Subject,
    given: Instant,
    taken: Option<Instant>,
    sent: Option<Instant>,
}

/// What a message's end closes: its last span, and the root.
pub(crate) type Ended = (Record, Option<Record>);

impl OpenMessage {
    /// The application has given it to a channel; `parent` is its place in the trace.
    pub(crate) fn new(
        parent: TraceContext,
        is_root_here: bool,
        subject: Subject,
        given: Instant,
    ) -> Self {
        Self {
            trace_id: parent.trace_id,
            flags: parent.flags,
            parent: parent.span_id,
            is_root_here,
            subject,
            given,
            taken: None,
            sent: None,
        }
    }

    /// Its shard has it. The span of its wait, the first time.
    pub(crate) fn taken(&mut self, span_id: [u8; 8], now: Instant) -> Option<Record> {
        if self.taken.is_some() {
            return None;
        }
        self.taken = Some(now);
        Some(self.record(SpanKind::Queue, span_id, (self.given, now), SpanStatus::Ok))
    }

    /// Its last byte goes to the kernel; what counts is the first time.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent.get_or_insert(now);
    }

    /// It has ended: on its lane, whose span is `lane`, or ahead of that, in the queue.
    pub(crate) fn ended(self, lane: [u8; 8], now: Instant, status: SpanStatus) -> Ended {
        let root = self.is_root_here.then(|| Record {
            standing: Standing {
                parent: None,
                ..self.standing(self.parent)
            },
            ..self.record(
                SpanKind::Message,
                self.parent,
                (self.given, now),
                status.clone(),
            )
        });
        let last = match self.taken {
            Some(taken) => Record {
                sent: self.sent,
                ..self.record(SpanKind::Lane, lane, (taken, now), status)
            },
            None => self.record(SpanKind::Queue, lane, (self.given, now), status),
        };
        (last, root)
    }

    fn standing(&self, span_id: [u8; 8]) -> Standing {
        Standing {
            trace_id: self.trace_id,
            span_id,
            parent: Some(self.parent),
            flags: self.flags,
        }
    }

    fn record(
        &self,
        kind: SpanKind,
        span_id: [u8; 8],
        (start, end): (Instant, Instant),
        status: SpanStatus,
    ) -> Record {
        Record {
            kind,
            standing: self.standing(span_id),
            start,
            end,
            sent: None,
            subject: self.subject.clone(),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LANE: [u8; 8] = [9; 8];
    const MS: Duration = Duration::from_millis(1);

    fn open(is_root_here: bool, given: Instant) -> OpenMessage {
        let parent = TraceContext {
            trace_id: [1; 16],
            span_id: [2; 8],
            flags: 1,
        };
        let subject = Subject {
            peer: "b".into(),
            channel: "data".into(),
            mailbox: "in".into(),
            bytes: 3,
        };
        OpenMessage::new(parent, is_root_here, subject, given)
    }

    #[test]
    fn it_waits_and_then_it_is_on_its_lane_until_it_ends() {
        let now = Instant::now();
        let mut message = open(false, now);
        let queue = message.taken([3; 8], now + MS).expect("the first time");
        assert_eq!(
            (queue.kind, queue.start, queue.end),
            (SpanKind::Queue, now, now + MS)
        );
        assert_eq!(queue.standing.parent, Some([2; 8]));
        assert!(message.taken([4; 8], now + 2 * MS).is_none());
        message.sent(now + 3 * MS);
        message.sent(now + 4 * MS);
        let (lane, root) = message.ended(LANE, now + 5 * MS, SpanStatus::Ok);
        assert_eq!(
            (lane.kind, lane.start, lane.end),
            (SpanKind::Lane, now + MS, now + 5 * MS)
        );
        assert_eq!(
            (lane.standing.span_id, lane.standing.parent),
            (LANE, Some([2; 8]))
        );
        assert_eq!(lane.sent, Some(now + 3 * MS));
        assert!(root.is_none());
    }

    #[test]
    fn what_no_shard_has_taken_ends_in_the_queue() {
        let now = Instant::now();
        let why = SpanStatus::Failed {
            what: "not_accepted",
            why: "full".into(),
        };
        let (queue, _) = open(false, now).ended(LANE, now + MS, why.clone());
        assert_eq!((queue.kind, &queue.status), (SpanKind::Queue, &why));
    }

    #[test]
    fn a_trace_that_was_begun_here_has_its_root() {
        let now = Instant::now();
        let mut message = open(true, now);
        message.taken([3; 8], now + MS).expect("the first time");
        let (lane, root) = message.ended(LANE, now + 2 * MS, SpanStatus::Ok);
        let root = root.expect("it was begun here");
        assert_eq!(
            (root.kind, root.start, root.end),
            (SpanKind::Message, now, now + 2 * MS)
        );
        assert_eq!(
            (root.standing.span_id, root.standing.parent),
            ([2; 8], None)
        );
        assert_eq!(lane.standing.parent, Some(root.standing.span_id));
    }
}
