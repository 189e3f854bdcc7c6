//! Spans that wait to be sent, and when that may be tried: bounded, with a back-off when the receiver cannot take them.
//!
//! A state machine without I/O: time and randomness are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::delivery::{Backoff, BackoffLimits};
use crate::spans::Span;

/// How long to wait before the next attempt: the first time up to a second, as the protocol advises no number; at most half a minute,
/// which is how soon a receiver that is up again has them.
const LIMITS: BackoffLimits = BackoffLimits {
    base: Duration::from_secs(1),
    max: Duration::from_secs(30),
};

/// A receiver may have us wait that long at most: it does not rule this node.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What a receiver said of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has taken the spans, but for so many of them.
    Taken { refused: u64 },
    /// Not now; perhaps it says when.
    Later { wait: Option<Duration>, why: String },
    /// It will never take these.
    Never { why: String },
}

/// What became of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) exported: u64,
    pub(super) failed: u64,
}

/// See the module's text.
pub(super) struct Outgoing {
    waiting: VecDeque<Span>,
    spans_max: usize,
    /// Of those at the front, with the receiver now.
    under_way: usize,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Outgoing {
    pub(super) fn new(spans_max: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            spans_max,
            under_way: 0,
            backoff: Backoff::new(LIMITS),
            not_before: None,
        }
    }

    /// These have ended. The oldest make room for them, and are never sent.
    pub(super) fn add(&mut self, spans: &[Span]) -> Counted {
        self.waiting.extend(spans.iter().cloned());
        let surplus = self.waiting.len().saturating_sub(self.spans_max);
        self.waiting.drain(..surplus);
        Counted {
            exported: 0,
            failed: surplus as u64,
        }
    }

    /// The next to be sent, at most so many; `None` if there are none, or it is too early.
    pub(super) fn next(&mut self, now: Instant, spans_max: usize) -> Option<&[Span]> {
        if self.waiting.is_empty() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.under_way = self.waiting.len().min(spans_max);
        Some(&self.waiting.make_contiguous()[..self.under_way])
    }

    /// What the receiver said of them.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant, random: u64) -> Counted {
        let spans = std::mem::take(&mut self.under_way);
        if let Answer::Later { wait, .. } = answer {
            let delay = self.backoff.next_delay(random);
            let wait = wait.unwrap_or_default().min(WAIT_MAX);
            self.not_before = Some(now + delay.max(wait));
            return Counted::default();
        }
        self.waiting.drain(..spans);
        self.backoff = Backoff::new(LIMITS);
        self.not_before = None;
        let failed = match answer {
            Answer::Taken { refused } => refused.min(spans as u64),
            Answer::Later { .. } | Answer::Never { .. } => spans as u64,
        };
        Counted {
            exported: spans as u64 - failed,
            failed,
        }
    }

    /// There is no later: what has to wait may be tried once more.
    pub(super) fn try_now(&mut self) {
        self.not_before = None;
    }

    /// There is no more time.
    pub(super) fn give_up(&mut self) -> Counted {
        Counted {
            exported: 0,
            failed: std::mem::take(&mut self.waiting).len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::tests::span;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn with(spans: usize, spans_max: usize) -> (Outgoing, Counted) {
        let mut outgoing = Outgoing::new(spans_max);
        let counted = outgoing.add(&vec![span(); spans]);
        (outgoing, counted)
    }

    fn later(wait: Option<Duration>) -> Answer {
        let why = "503".to_owned();
        Answer::Later { wait, why }
    }

    #[test]
    fn what_is_taken_is_gone_and_what_was_refused_is_counted() {
        let (mut outgoing, _) = with(5, 100);
        let now = Instant::now();
        assert_eq!(outgoing.next(now, 3).map(<[_]>::len), Some(3));
        let counted = outgoing.answered(Answer::Taken { refused: 1 }, now, 0);
        assert_eq!((counted.exported, counted.failed), (2, 1));
        assert_eq!(outgoing.next(now, 3).map(<[_]>::len), Some(2));
        // It says more than there were.
        let counted = outgoing.answered(Answer::Taken { refused: 9 }, now, 0);
        assert_eq!((counted.exported, counted.failed), (0, 2));
        assert!(outgoing.next(now, 3).is_none());
    }

    #[test]
    fn what_cannot_be_taken_now_waits_longer_each_time_and_at_least_as_long_as_was_asked() {
        let (mut outgoing, _) = with(5, 100);
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            outgoing.try_now();
            assert!(outgoing.next(now, 3).is_some());
            let counted = outgoing.answered(later(None), now, u64::MAX);
            assert_eq!(counted, Counted::default());
            let wait = outgoing.not_before.expect("it waits") - now;
            // Just short of the ceiling.
            waits.push((wait + Duration::from_nanos(1)).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        outgoing.try_now();
        assert!(outgoing.next(now, 3).is_some());
        outgoing.answered(later(Some(9 * SECOND)), now, 0);
        assert!(outgoing.next(now + 8 * SECOND, 3).is_none());
        assert_eq!(outgoing.next(now + 9 * SECOND, 9).map(<[_]>::len), Some(5));
        outgoing.answered(later(Some(SECOND * 86_400)), now, 0);
        assert_eq!(outgoing.not_before, Some(now + WAIT_MAX));
        outgoing.try_now();
        assert!(outgoing.next(now, 9).is_some());
        outgoing.answered(Answer::Taken { refused: 0 }, now, 0);
        assert_eq!(outgoing.backoff.failures(), 0);
    }

    #[test]
    fn what_will_never_be_taken_is_gone_and_counted() {
        let (mut outgoing, _) = with(5, 100);
        let now = Instant::now();
        assert!(outgoing.next(now, 3).is_some());
        let why = "400".to_owned();
        let counted = outgoing.answered(Answer::Never { why }, now, 0);
        assert_eq!((counted.exported, counted.failed), (0, 3));
        assert_eq!(outgoing.give_up().failed, 2);
        assert!(outgoing.next(now, 3).is_none());
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_stay() {
        let (mut outgoing, counted) = with(7, 5);
        assert_eq!((counted.failed, outgoing.waiting.len()), (2, 5));
        assert_eq!(outgoing.add(&[span()]).failed, 1);
    }
}
