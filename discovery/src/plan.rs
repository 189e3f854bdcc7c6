//! When a strategy looks, and what came of it: a state machine without I/O.
//!
//! Time is handed in, as a duration since any fixed moment, and so is chance, as a fraction from 0 to 1. An answer is
//! taken as it is, with one exception: one that has lost all its addresses. Whoever answers so has no nodes to offer or
//! is ill itself, and the node is better off with the places of the answer before. Owned by [`task`](crate::task).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::found::{Again, Failure, Found, Place};

/// The longest wait that an answer can ask for. 60 s: a guess; a name server may say a day, and a new node should
/// not wait that long.
const WITHIN_MAX: Duration = Duration::from_secs(60);
/// The shortest, so that an answer that holds for no time is not asked for without end.
const WITHIN_MIN: Duration = Duration::from_secs(1);

/// How often a strategy looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks. None: as the source says.
    pub poll: Option<Duration>,
    /// Between two looks where the source says nothing.
    pub poll_default: Duration,
    /// The first wait after a failure; it doubles with each.
    pub retry_first: Duration,
    /// The longest wait after a failure.
    pub retry_max: Duration,
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// Places that were not there before.
        fresh: Vec<Place>,
        /// Places that are not there any more.
        gone: Vec<Place>,
    },
    /// The answer had no place, and the one before had: that one stays.
    LostAll {
        /// How long until it looks again.
        retry_in: Duration,
    },
    /// It failed.
    Failed {
        /// Why.
        why: Failure,
        /// How long until it is tried again.
        retry_in: Duration,
    },
}

/// See the module's text.
#[derive(Debug)]
pub struct Plan {
    pace: Pace,
    places: BTreeSet<Place>,
    /// In a row.
    failures: u32,
    next: Duration,
}

impl Plan {
    /// Looks at once.
    #[must_use]
    pub const fn new(pace: Pace, now: Duration) -> Self {
        Self {
            pace,
            places: BTreeSet::new(),
            failures: 0,
            next: now,
        }
    }

    /// When it is to look next.
    #[must_use]
    pub const fn next(&self) -> Duration {
        self.next
    }

    /// The places of the last answer that had any.
    #[must_use]
    pub const fn places(&self) -> &BTreeSet<Place> {
        &self.places
    }

    /// A look was answered.
    pub fn answered(&mut self, now: Duration, found: &Found, chance: f64) -> Outcome {
        self.failures = 0;
        let wait = self.wait(found.again, chance);
        self.next = now + wait;
        if found.places().is_empty() && !self.places.is_empty() {
            return Outcome::LostAll { retry_in: wait };
        }
        let only_in = |one: &BTreeSet<Place>, other| one.difference(other).cloned().collect();
        let fresh = only_in(found.places(), &self.places);
        let gone = only_in(&self.places, found.places());
        self.places.clone_from(found.places());
        Outcome::Answered { fresh, gone }
    }

    /// A look failed.
    pub fn failed(&mut self, now: Duration, why: Failure, chance: f64) -> Outcome {
        let doubled = self.pace.retry_first * 2_u32.pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        // Half of it is chance, so that nodes that lost the same server do not come back to it as one.
        let retry_in = doubled.min(self.pace.retry_max).mul_f64(0.5 + 0.5 * chance);
        self.next = now + retry_in;
        Outcome::Failed { why, retry_in }
    }

    /// How long until the next look. A tenth of a pace is chance, for the same reason, and never longer.
    fn wait(&self, again: Again, chance: f64) -> Duration {
        let pace = match (again, self.pace.poll) {
            (Again::AtOnce, _) => return Duration::ZERO,
            (_, Some(poll)) => poll,
            (Again::Within(within), None) => within.clamp(WITHIN_MIN, WITHIN_MAX),
            (Again::ByPace, None) => self.pace.poll_default,
        };
        pace.mul_f64(1.0 - 0.1 * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        poll: None,
        poll_default: Duration::from_secs(5),
        retry_first: Duration::from_secs(1),
        retry_max: Duration::from_secs(30),
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn found(hosts: &[&str]) -> Found {
        Found::of(hosts.iter().filter_map(|host| Place::of_host(host, 1)))
    }

    fn texts(places: &[Place]) -> Vec<&str> {
        places.iter().map(Place::text).collect()
    }

    #[test]
    fn what_is_new_and_what_is_gone_is_told() {
        let mut plan = Plan::new(PACE, at(7));
        assert_eq!(plan.next(), at(7), "it looks at once");
        for (hosts, new, old) in [
            (&["a", "b"][..], &["a:1", "b:1"][..], &[][..]),
            (&["b", "c"], &["c:1"], &["a:1"]),
            (&["b", "c"], &[], &[]),
        ] {
            let Outcome::Answered { fresh, gone } = plan.answered(at(7), &found(hosts), 0.0) else {
                panic!("it was answered");
            };
            assert_eq!((texts(&fresh), texts(&gone)), (new.to_vec(), old.to_vec()));
        }
        assert_eq!(plan.next(), at(12));
    }

    #[test]
    fn an_answer_that_lost_all_its_places_leaves_those_of_the_one_before() {
        let mut plan = Plan::new(PACE, at(0));
        plan.answered(at(0), &found(&[]), 0.0);
        assert!(plan.places().is_empty(), "there were none yet");
        plan.answered(at(5), &found(&["a", "b"]), 0.0);
        let lost = Outcome::LostAll { retry_in: at(5) };
        assert_eq!(plan.answered(at(10), &found(&[]), 0.0), lost);
        assert_eq!(plan.places(), found(&["a", "b"]).places());
        assert_eq!(plan.next(), at(15), "it goes on looking at its pace");
        let answered = plan.answered(at(15), &found(&["b"]), 0.0);
        assert!(matches!(answered, Outcome::Answered { gone, .. } if texts(&gone) == ["a:1"]));
    }

    #[test]
    fn failures_are_spaced_out_and_an_answer_ends_that() {
        let mut plan = Plan::new(PACE, at(0));
        plan.answered(at(0), &found(&["a"]), 0.0);
        let mut waits = Vec::new();
        for _ in 0..7 {
            let now = plan.next();
            let Outcome::Failed { retry_in, .. } = plan.failed(now, Failure::new("x"), 1.0) else {
                panic!("it failed");
            };
            assert_eq!(plan.next(), now + retry_in);
            waits.push(retry_in.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(plan.places().len(), 1, "what was found stays");
        plan.answered(at(200), &found(&["a"]), 0.0);
        plan.failed(at(205), Failure::new("x"), 0.0);
        assert_eq!(plan.next(), at(205) + Duration::from_millis(500));
        for _ in 0..200 {
            plan.failed(at(300), Failure::new("x"), 1.0);
        }
        assert_eq!(plan.next(), at(330));
    }

    #[test]
    fn the_pace_is_the_configured_one_or_as_the_source_says() {
        let wait = |poll, again, chance| {
            let mut plan = Plan::new(Pace { poll, ..PACE }, at(0));
            plan.answered(at(0), &found(&["a"]).again(again), chance);
            plan.next()
        };
        let two = Some(at(2));
        assert_eq!(wait(None, Again::ByPace, 0.0), at(5));
        assert_eq!(wait(None, Again::Within(at(20)), 0.0), at(20));
        assert_eq!(wait(None, Again::Within(at(0)), 0.0), at(1));
        assert_eq!(wait(None, Again::Within(at(86_400)), 0.0), at(60));
        assert_eq!(wait(two, Again::Within(at(20)), 0.0), at(2));
        assert_eq!(wait(two, Again::AtOnce, 0.0), at(0));
        let with_chance = wait(two, Again::ByPace, 1.0);
        assert_eq!(with_chance, Duration::from_millis(1_800));
    }
}
