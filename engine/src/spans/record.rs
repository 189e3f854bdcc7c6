//! A span as it is noted on the data path, and how its times become those of the wall clock.
//!
//! Made by `open_message`, `deliveries` and `mod`; turned into a [`Span`] when it is taken out. No I/O.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::span::{Span, SpanKind, SpanStatus};

/// What a message is, for all of its spans.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) peer: Arc<str>,
    pub(crate) channel: Arc<str>,
    pub(crate) mailbox: Arc<str>,
    pub(crate) bytes: u64,
}

impl Subject {
    /// A message for that mailbox, with so many bytes of payload; `peer` is the other node.
    pub(crate) fn of(peer: &Arc<str>, channel: &Arc<str>, mailbox: &str, bytes: usize) -> Self {
        Self {
            peer: Arc::clone(peer),
            channel: Arc::clone(channel),
            mailbox: mailbox.into(),
            bytes: bytes as u64,
        }
    }
}

/// Where a span stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) flags: u8,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: SpanKind,
    pub(crate) standing: Standing,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) sent: Option<Instant>,
    pub(crate) subject: Subject,
    pub(crate) status: SpanStatus,
}

impl Record {
    /// Of a delivery, which has ended.
    pub(crate) const fn of_delivery(
        standing: Standing,
        subject: Subject,
        (start, end): (Instant, Instant),
        status: SpanStatus,
    ) -> Self {
        Self {
            kind: SpanKind::Delivery,
            standing,
            start,
            end,
            sent: None,
            subject,
            status,
        }
    }

    /// By the wall clock.
    pub(crate) fn at(self, wall: &Wall) -> Span {
        let Standing {
            trace_id,
            span_id,
            parent,
            flags,
        } = self.standing;
        Span {
            kind: self.kind,
            trace_id,
            span_id,
            parent,
            flags,
            start: wall.of(self.start),
            end: wall.of(self.end.max(self.start)),
            sent: self.sent.map(|sent| wall.of(sent)),
            peer: self.subject.peer,
            channel: self.subject.channel,
            mailbox: self.subject.mailbox,
            bytes: self.subject.bytes,
            status: self.status,
        }
    }
}

/// The wall clock may be set that far without spans following it: two of one message, taken out one after the other, stay nested.
const TOLERANCE: Duration = Duration::from_millis(10);

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    instant: Instant,
    system: SystemTime,
}

impl Wall {
    pub(crate) const fn new(instant: Instant, system: SystemTime) -> Self {
        Self { instant, system }
    }

    /// Both clocks were looked at again: follows the wall clock if it was set.
    pub(crate) fn look(&mut self, instant: Instant, system: SystemTime) {
        let expected = self.of(instant);
        let off = system
            .duration_since(expected)
            .unwrap_or_else(|error| error.duration());
        if off > TOLERANCE {
            *self = Self::new(instant, system);
        }
    }

    pub(crate) fn of(&self, at: Instant) -> SystemTime {
        let moment = match at.checked_duration_since(self.instant) {
            Some(after) => self.system.checked_add(after),
            None => self.system.checked_sub(self.instant - at),
        };
        moment.unwrap_or(self.system)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_wall_clock_when_it_is_set_and_not_when_it_creeps() {
        let (instant, system) = (Instant::now() + Duration::from_secs(9), SystemTime::now());
        let second = Duration::from_secs(1);
        let mut wall = Wall::new(instant, system);
        assert_eq!(wall.of(instant + second), system + second);
        assert_eq!(wall.of(instant - second), system - second);
        wall.look(instant + second, system + second + TOLERANCE);
        assert_eq!(wall.of(instant + second), system + second);
        wall.look(instant + second, system + second * 61);
        assert_eq!(wall.of(instant + second), system + second * 61);
        wall.look(instant + second, system - second);
        assert_eq!(wall.of(instant + second * 2), system);
    }
}
