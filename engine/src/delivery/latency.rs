//! When batches of messages were handed to the kernel, until they are acknowledged: the source of
//! the acknowledgement latency histogram.
//!
//! Owned by `outgoing.rs`. One mark for each batch, not for each message, and at most
//! [`MARKS_MAX`] of them: with more batches under way the newest mark takes the next batch in, so
//! that a latency is then over-stated, never under-stated. No allocation once warm.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most batches of one lane that are timed apart. 64: a guess, some 2 KiB for a busy lane.
pub const MARKS_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Mark {
    handed_over_at: Instant,
    messages: u64,
}

/// The batches of one lane that wait for their acknowledgement, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HandOverMarks {
    marks: VecDeque<Mark>,
}

impl HandOverMarks {
    /// Notes that `messages` were handed over at `now`.
    pub fn push(&mut self, messages: u64, now: Instant) {
        let full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut() {
            Some(newest) if full || newest.handed_over_at == now => newest.messages += messages,
            _ => self.marks.push_back(Mark {
                handed_over_at: now,
                messages,
            }),
        }
    }

    /// Takes the oldest `messages` out and calls `sample` with how long each group of them took.
    pub fn acknowledge(
        &mut self,
        mut messages: u64,
        now: Instant,
        mut sample: impl FnMut(Duration, u64),
    ) {
        while messages > 0 {
            let Some(oldest) = self.marks.front_mut() else {
                return;
            };
            let covered = messages.min(oldest.messages);
            sample(
                now.saturating_duration_since(oldest.handed_over_at),
                covered,
            );
            messages -= covered;
            oldest.messages -= covered;
            if oldest.messages == 0 {
                self.marks.pop_front();
            }
        }
    }

    /// How long the oldest message that is not acknowledged has been under way.
    #[must_use]
    pub fn oldest_age(&self, now: Instant) -> Option<Duration> {
        self.marks
            .front()
            .map(|oldest| now.saturating_duration_since(oldest.handed_over_at))
    }

    /// Forgets all marks.
    pub fn clear(&mut self) {
        self.marks.clear();
    }
}
