//! When batches of messages were handed to the kernel, until they are acknowledged: the source of
//! the acknowledgement latency histogram, and of how many bytes are under way.
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
    bytes: u64,
}

/// The batches of one lane that wait for their acknowledgement, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HandOverMarks {
    marks: VecDeque<Mark>,
    /// The sum of all marks.
    bytes: u64,
}

impl HandOverMarks {
    /// Notes that `messages` with `bytes` of payload were handed over at `now`.
    pub fn push(&mut self, messages: u64, bytes: u64, now: Instant) {
        self.bytes += bytes;
        let full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut() {
            Some(newest) if full || newest.handed_over_at == now => {
                newest.messages += messages;
                newest.bytes += bytes;
            }
            _ => self.marks.push_back(Mark {
                handed_over_at: now,
                messages,
                bytes,
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
            // A batch that is covered in part gives its bytes back in the same proportion.
            let bytes = share(oldest.bytes, covered, oldest.messages);
            self.bytes -= bytes;
            oldest.bytes -= bytes;
            messages -= covered;
            oldest.messages -= covered;
            if oldest.messages == 0 {
                self.marks.pop_front();
            }
        }
    }

    /// Bytes of the batches that are not acknowledged, exact to a batch.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
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
        self.bytes = 0;
    }
}

/// `part` of `whole`, applied to `bytes`; all of them for the whole.
fn share(bytes: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(marks: &mut HandOverMarks, messages: u64, now: Instant) -> Vec<(u128, u64)> {
        let mut samples = Vec::new();
        marks.acknowledge(messages, now, |elapsed, count| {
            samples.push((elapsed.as_millis(), count));
        });
        samples
    }

    #[test]
    fn each_batch_is_timed_from_its_own_hand_over() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut marks = HandOverMarks::default();
        marks.push(3, 300, at(0));
        marks.push(2, 50, at(10));
        assert_eq!(samples(&mut marks, 1, at(20)), [(20, 1)]);
        assert_eq!(marks.bytes(), 250);
        assert_eq!(marks.oldest_age(at(20)), Some(Duration::from_millis(20)));
        assert_eq!(samples(&mut marks, 3, at(30)), [(30, 2), (20, 1)]);
        assert_eq!(marks.bytes(), 25);
        assert_eq!(samples(&mut marks, 5, at(40)), [(30, 1)]);
        assert_eq!((marks.oldest_age(at(50)), marks.bytes()), (None, 0));
    }

    #[test]
    fn batches_beyond_the_bound_join_the_newest_and_none_is_lost() {
        let start = Instant::now();
        let mut marks = HandOverMarks::default();
        let batches = u64::try_from(MARKS_MAX).expect("small") * 3;
        for batch in 0..batches {
            marks.push(2, 7, start + Duration::from_millis(batch));
        }
        let samples = samples(
            &mut marks,
            2 * batches,
            start + Duration::from_millis(batches),
        );
        assert_eq!((samples.len(), marks.bytes()), (MARKS_MAX, 0));
        assert_eq!(
            samples.iter().map(|(_, count)| count).sum::<u64>(),
            2 * batches
        );
        // Never under-stated: the last group counts from its oldest batch.
        assert_eq!(samples.last(), Some(&(129, 2 * (batches - 63))));
    }
}
