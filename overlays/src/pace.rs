//! How long things take in this cluster, as this node sees it: what every timer of the broadcast layers
//! [`crate::plumtree`] and [`crate::direct`] is made of.
//!
//! Owns three measures. *Spread*: by how much the copies of one message, or a message and the first word
//! of it, are apart that reach this node over different links, at most; senders sit anywhere, so this
//! comes close to the time that a message takes to all. *Answer*: how long a neighbor takes to send a
//! payload that it was asked for, at most. *Marks*: how long after the first mark of a round another one
//! came, at most. All are the greatest of lately, so that a timer made of one
//! does not run out while all is well; all forget, so that a better network is noticed. Must never
//! measure what waited for a repair: timers would then grow with themselves.

use std::time::Duration;

use crate::time::Time;

/// Spread before anything was measured. 400 ms: a message through 1,000 nodes of one continent.
const SPREAD_FIRST: Duration = Duration::from_millis(400);

/// Answer before anything was measured. 200 ms: a round trip between near continents.
const ANSWER_FIRST: Duration = Duration::from_millis(200);

/// Bounds of both measures: a turn of a busy driver, and ten times what a tree around the world takes.
pub(crate) const LEAST: Duration = Duration::from_millis(10);
/// See [`LEAST`].
pub(crate) const MOST: Duration = Duration::from_secs(10);

/// What was measured is forgotten after one to two of these spans. 30 s: a guess.
const SPAN: Duration = Duration::from_secs(30);

/// Samples that a span must have before the one before it is forgotten. 64: a guess.
const SAMPLES_LEAST: u32 = 64;

/// The greatest of the samples of this span and the last one.
#[derive(Clone, Copy, Debug)]
struct Greatest {
    before: Duration,
    now: Duration,
    samples: u32,
    since: Time,
}

impl Greatest {
    const fn new(first: Duration) -> Self {
        Self {
            before: first,
            now: Duration::ZERO,
            samples: 0,
            since: Time::ZERO,
        }
    }

    fn get(self) -> Duration {
        self.before.max(self.now).clamp(LEAST, MOST)
    }

    /// Takes a sample. One alone at most doubles the measure: it may be a pause of this node.
    fn sample(&mut self, now: Time, sample: Duration) {
        if self.samples == 0 {
            self.since = now;
        }
        if now.since(self.since) >= SPAN && self.samples >= SAMPLES_LEAST {
            *self = Self {
                before: self.now,
                now: Duration::ZERO,
                samples: 0,
                since: now,
            };
        }
        self.samples = self.samples.saturating_add(1);
        self.now = self.now.max(sample.min(self.get() * 2));
    }
}

/// The measures of one node, and the timers made of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    spread: Greatest,
    answer: Greatest,
    marks: Greatest,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Self {
            spread: Greatest::new(SPREAD_FIRST),
            answer: Greatest::new(ANSWER_FIRST),
            marks: Greatest::new(SPREAD_FIRST),
        }
    }

    /// Two copies of a message, or its announcement and itself, came this far apart.
    pub(crate) fn copies_apart(&mut self, now: Time, by: Duration) {
        self.spread.sample(now, by);
    }

    /// A payload came this long after it was asked for.
    pub(crate) fn answered(&mut self, now: Time, after: Duration) {
        self.answer.sample(now, after);
    }

    /// A mark came this long after the first of its round.
    pub(crate) fn marks_apart(&mut self, now: Time, by: Duration) {
        self.marks.sample(now, by);
    }

    /// How long a round of marks takes to spread.
    pub(crate) fn marks_spread(&self) -> Duration {
        self.spread().max(self.marks.get())
    }

    /// How long a message takes to all nodes.
    pub(crate) fn spread(&self) -> Duration {
        self.spread.get()
    }

    /// How long to wait for the payload of an announced message.
    pub(crate) fn graft_after(&self) -> Duration {
        self.spread() * 5 / 4
    }

    /// How long to wait for an answer before another neighbor is asked, and how long what was sent
    /// before a link changed may still be under way on it.
    pub(crate) fn answer_within(&self) -> Duration {
        self.answer.get() * 2
    }

    /// How long an announced payload must be kept: a node waits, asks, and asks others.
    pub(crate) fn repaired_within(&self) -> Duration {
        self.graft_after() * 2 + self.answer_within() * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_measure_grows_at_once_and_forgets_slowly() {
        let mut pace = Pace::new();
        pace.copies_apart(Time::ZERO, ms(5_000));
        assert_eq!(pace.spread(), ms(800), "one sample at most doubles it");
        for _ in 0..4 {
            pace.copies_apart(Time::ZERO, ms(5_000));
        }
        assert_eq!(pace.spread(), ms(5_000));
        let mut now = Time::ZERO;
        for _ in 0..600 {
            now = now + ms(100);
            pace.copies_apart(now, ms(30));
            assert!(now.since(Time::ZERO) > SPAN || pace.spread() == ms(5_000));
        }
        assert_eq!(pace.spread(), ms(30), "two spans later it is forgotten");
    }

    #[test]
    fn the_first_guess_lasts_a_span_of_samples_however_late_they_begin() {
        let mut pace = Pace::new();
        let begin = Time::ZERO + Duration::from_secs(3_600);
        for sample in 0..1_000 {
            pace.copies_apart(begin + ms(sample), ms(1));
        }
        assert_eq!(pace.spread(), SPREAD_FIRST);
        pace.copies_apart(begin + SPAN, ms(1));
        assert_eq!(pace.spread(), LEAST, "1 ms was the greatest for a span");
    }

    #[test]
    fn few_samples_forget_nothing_and_bounds_hold() {
        let mut pace = Pace::new();
        for minute in 1..20 {
            let now = Time::ZERO + Duration::from_secs(60 * minute);
            pace.copies_apart(now, ms(1));
            pace.answered(now, Duration::MAX);
        }
        assert_eq!(pace.spread(), SPREAD_FIRST);
        assert_eq!(pace.answer_within(), MOST * 2);
        let later = Time::ZERO + Duration::from_secs(3_600);
        for second in 0..200 {
            let now = later + Duration::from_secs(second);
            pace.copies_apart(now, Duration::ZERO);
        }
        assert_eq!(pace.spread(), LEAST);
    }
}
