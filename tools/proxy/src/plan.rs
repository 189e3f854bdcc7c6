//! When a proxy cuts and stalls: an endless plan that follows from a seed. Without I/O and without a clock.
//!
//! Time is divided into slots; each has one cut, or one stall, somewhere in it. So a run of S seconds with a
//! slot of S / C has exactly C of them. `Proxy::play` carries it out.

use std::iter::Peekable;
use std::time::Duration;

/// What a proxy does at a moment of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Passes on again what was stalled.
    Resume,
    /// Ends every connection.
    Cut,
    /// Passes nothing on, until it resumes.
    Stall,
}

/// An endless iterator over (time since the begin, what to do), in order of time.
#[derive(Debug, Clone)]
pub struct Plan {
    cuts: Peekable<Slots>,
    stalls: Peekable<Slots>,
    /// When the stall that has begun ends.
    resume_at: Option<Duration>,
}

impl Plan {
    /// A cut in each slot of `cut_every`, and in each of `stall_every` a stall of a tenth of `stall_max` to all
    /// of it, which ends before its slot does. Without a length there are none; so are slots of no length.
    #[must_use]
    pub fn new(
        seed: u64,
        cut_every: Option<Duration>,
        stall_every: Option<Duration>,
        stall_max: Duration,
    ) -> Self {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let mut slots = |every: Option<Duration>, longest| Slots {
            random: seeds.fork(),
            every: every.unwrap_or_default(),
            longest,
            begin: Duration::ZERO,
        };
        Self {
            cuts: slots(cut_every, Duration::ZERO).peekable(),
            stalls: slots(stall_every, stall_max).peekable(),
            resume_at: None,
        }
    }
}

impl Iterator for Plan {
    type Item = (Duration, Act);

    fn next(&mut self) -> Option<Self::Item> {
        let cut = self.cuts.peek().map(|(at, _)| (*at, Act::Cut));
        let stall = self.stalls.peek().map(|(at, _)| (*at, Act::Stall));
        let resume = self.resume_at.map(|at| (at, Act::Resume));
        let first = [cut, stall, resume].into_iter().flatten().min()?;
        match first.1 {
            Act::Cut => drop(self.cuts.next()),
            Act::Resume => self.resume_at = None,
            Act::Stall => {
                let stall = self.stalls.next();
                self.resume_at = stall.map(|(at, lasts)| at + lasts);
            }
        }
        Some(first)
    }
}

/// One moment in each slot, with a length that ends within the slot.
#[derive(Debug, Clone)]
struct Slots {
    random: fastrand::Rng,
    every: Duration,
    longest: Duration,
    begin: Duration,
}

impl Iterator for Slots {
    type Item = (Duration, Duration);

    fn next(&mut self) -> Option<Self::Item> {
        if self.every.is_zero() {
            return None;
        }
        let lasts = self.longest.mul_f64(0.1 + 0.9 * self.random.f64());
        let lasts = lasts.min(self.every / 2);
        let at = self.begin + (self.every - lasts).mul_f64(self.random.f64());
        self.begin += self.every;
        Some((at, lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(seed: u64) -> Vec<(Duration, Act)> {
        let plan = Plan::new(seed, Some(SECOND / 10), Some(SECOND), SECOND * 9 / 10);
        plan.take_while(|(at, _)| *at < 20 * SECOND).collect()
    }

    #[test]
    fn each_slot_has_its_cut_and_its_stall_and_time_goes_forward() {
        for seed in 0..50 {
            let acts = plan(seed);
            let count = |wanted| acts.iter().filter(|(_, act)| *act == wanted).count();
            assert_eq!(
                (count(Act::Cut), count(Act::Stall)),
                (200, 20),
                "seed {seed}"
            );
            assert!(acts.is_sorted_by_key(|(at, _)| *at), "seed {seed}");
            let mut stalled = None;
            for (at, act) in &acts {
                match (act, stalled) {
                    (Act::Stall, None) => stalled = Some(*at),
                    (Act::Resume, Some(since)) => {
                        assert!(*at - since <= SECOND / 2, "seed {seed}");
                        stalled = None;
                    }
                    (Act::Cut, _) => {}
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_plan_follows_from_its_seed() {
        assert_eq!(plan(3), plan(3));
        assert_ne!(plan(3), plan(4));
    }

    #[test]
    fn without_lengths_nothing_happens() {
        assert_eq!(Plan::new(1, None, None, SECOND).next(), None);
        let none = Some(Duration::ZERO);
        assert_eq!(Plan::new(1, none, none, SECOND).next(), None);
    }
}
