//! What one thread did last: entries in a fixed number of places, the newest.
//!
//! Written by its thread, about a thousand times in a second at most; copied out by whoever takes a recording.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Something that the thread did.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// What it did. What is rare is behind a pointer: entries are small.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Turns {
        took_us: u32,
        turns: u32,
        busy_us: u32,
        longest_us: u32,
    },
    LongTurn {
        took_us: u32,
        with_tasks: bool,
    },
    SlowHandler {
        took_us: u32,
        handed: Arc<Handed>,
    },
    Behind(Arc<Handed>),
    UnsentBehind {
        channel: Arc<Arc<str>>,
        bytes: u64,
    },
    HandlerPanic(Arc<Arc<str>>),
    TaskPanic,
}

/// Messages that a mailbox was given.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) mailbox: Arc<str>,
    pub(crate) from: Arc<str>,
    pub(crate) channel: Arc<str>,
    pub(crate) messages: u32,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Track {
    entries_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    entries: VecDeque<Entry>,
    overwritten: u64,
}

impl Track {
    /// All of its memory is there, and resident, from the start: what a node takes does not grow with what it records.
    pub(crate) fn new(entries_max: usize) -> Self {
        let (at, what) = (Instant::now(), What::TaskPanic);
        let mut entries = VecDeque::from(vec![Entry { at, what }; entries_max]);
        entries.clear();
        let overwritten = 0;
        Self {
            entries_max,
            kept: Mutex::new(Kept {
                entries,
                overwritten,
            }),
        }
    }

    pub(crate) fn push(&self, at: Instant, what: What) {
        if self.entries_max == 0 {
            return;
        }
        let mut kept = self.lock();
        if kept.entries.len() >= self.entries_max {
            kept.entries.pop_front();
            kept.overwritten += 1;
        }
        kept.entries.push_back(Entry { at, what });
    }

    /// The newest entries, at most so many, oldest first; and how many are kept no more, or were left out.
    pub(crate) fn newest(&self, entries_max: usize) -> (Vec<Entry>, u64) {
        let kept = self.lock();
        let left_out = kept.entries.len().saturating_sub(entries_max);
        let entries = kept.entries.iter().skip(left_out).cloned().collect();
        (entries, kept.overwritten + left_out as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Short turns are told apart from others at this length, and put together up to this span. A millisecond: ten turns' budgets, and
/// 4,096 entries for some seconds.
pub(crate) const LONG: Duration = Duration::from_millis(1);

/// Turns with work in them, put together as long as they are short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    since: Instant,
    until: Instant,
    turns: u32,
    busy: Duration,
    longest: Duration,
}

impl Turns {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            until: now,
            turns: 0,
            busy: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }

    /// A turn with work began at `began` and took so long.
    #[inline]
    pub(crate) fn add(&mut self, track: &Track, began: Instant, took: Duration, with_tasks: bool) {
        if self.turns > 0 && (took >= LONG || began.saturating_duration_since(self.since) >= LONG) {
            self.close(track);
        }
        if took >= LONG {
            let took_us = micros(took);
            track.push(
                began,
                What::LongTurn {
                    took_us,
                    with_tasks,
                },
            );
            return;
        }
        if self.turns == 0 {
            *self = Self::new(began);
        }
        self.turns += 1;
        self.until = began + took;
        self.busy += took;
        self.longest = self.longest.max(took);
    }

    #[cold]
    fn close(&mut self, track: &Track) {
        let what = What::Turns {
            took_us: micros(self.until.saturating_duration_since(self.since)),
            turns: self.turns,
            busy_us: micros(self.busy),
            longest_us: micros(self.longest),
        };
        track.push(self.since, what);
        *self = Self::new(self.until);
    }
}

/// As many microseconds as an entry can say: an hour and more.
pub(crate) fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn the_newest_entries_are_kept() {
        let (track, now) = (Track::new(4), Instant::now());
        for number in 0..10 {
            let took_us = number;
            track.push(
                now,
                What::LongTurn {
                    took_us,
                    with_tasks: false,
                },
            );
        }
        let numbers = |entries_max| {
            let (entries, overwritten) = track.newest(entries_max);
            let numbers = entries.iter().map(|entry| match entry.what {
                What::LongTurn { took_us, .. } => took_us,
                ref other => panic!("{other:?}"),
            });
            (numbers.collect::<Vec<_>>(), overwritten)
        };
        assert_eq!(numbers(100), (vec![6, 7, 8, 9], 6));
        assert_eq!(numbers(2), (vec![8, 9], 8));
        assert_eq!(
            track.lock().entries.capacity(),
            4,
            "made with all its places"
        );
        let off = Track::new(0);
        off.push(now, What::TaskPanic);
        assert!(off.newest(100).0.is_empty());
    }

    #[test]
    fn short_turns_are_one_entry_and_a_long_one_its_own() {
        let (track, start) = (Track::new(100), Instant::now());
        let mut turns = Turns::new(start);
        // 25 turns of 100 us, one of 5 ms, a short one, and one much later.
        for number in 0..25 {
            turns.add(&track, start + number * 100 * US, 100 * US, false);
        }
        turns.add(&track, start + 2500 * US, 5000 * US, true);
        turns.add(&track, start + 7500 * US, 7 * US, false);
        turns.add(&track, start + 90_000 * US, 50 * US, false);
        let (entries, _) = track.newest(100);
        let told: Vec<_> = entries
            .iter()
            .map(|entry| match entry.what {
                What::Turns {
                    took_us,
                    turns,
                    busy_us,
                    longest_us,
                } => (took_us, turns, busy_us, longest_us),
                What::LongTurn {
                    took_us,
                    with_tasks,
                } => {
                    assert!(with_tasks);
                    (took_us, 0, 0, 0)
                }
                ref other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                (1000, 10, 1000, 100),
                (1000, 10, 1000, 100),
                (500, 5, 500, 100),
                (5000, 0, 0, 0),
                (7, 1, 7, 7)
            ]
        );
    }
}
