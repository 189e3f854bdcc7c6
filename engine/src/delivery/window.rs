//! How much of a lane may be under way: deep enough for the link and what stands behind it, and no deeper.
//!
//! Owned by the lane's log, which says what is handed over and what of it is acknowledged. Once in a round trip
//! it grows, if it is what holds the lane back and acknowledgements take hardly longer than they do with little
//! under way. If they take longer by more than a budget, that is either the lane's own queue, before a slow
//! link or a slow reader, or other work of two busy machines; the times do not tell which. The rate does: a queue
//! can be shorter and the rate the same. So the window is made smaller on trial, and stays so only if as
//! much is acknowledged in a second as before; if not, it is made larger on trial, and stays so only if more is. So bulk leaves room on a link that it shares with other lanes of the
//! same node, whose heartbeats would wait behind it, and is never slower for it. No I/O and no clock: the time is
//! an argument.
//!
//! By the round trip it goes as TCP Vegas does (Brakmo and Peterson, 1995), and it drains now and then to see
//! the link as it is, as BBR does (Cardwell and others, 2016).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The bounds of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// The most that may be under way, whatever the link.
    pub bytes_max: u64,
    /// How much longer than the fastest one an acknowledgement may take before the window shrinks; zero: the
    /// window is `bytes_max`.
    pub budget: Duration,
}

/// The smallest window: a few packets, so that the next acknowledgement comes before the last one is used up.
pub const WINDOW_BYTES_MIN: u64 = 8 << 10;

/// The window of a new connection: little enough that the first acknowledgements tell how fast the link can be;
/// on a fast one it is at its size after some round trips.
pub const WINDOW_BYTES_START: u64 = 16 << 10;

/// Hand-overs that are timed apart; with more under way the newest takes the next one in.
const MARKS_MAX: usize = 64;

/// After so long it is found anew how fast acknowledgements can be: routes change.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Rounds with next to nothing under way that are timed then, after one in which what was under way before drains.
const TIMED_ROUNDS: u32 = 2;

/// A rate is that of so many rounds at least, and of so long: acknowledgements that are put off by a millisecond make less
/// than a tenth of difference.
const RATE_ROUNDS: u32 = 4;
const RATE_FOR: Duration = Duration::from_millis(25);

/// A smaller window that made the lane slower is not tried again for so long; doubled each time, up to `TRUST_MAX`.
const TRUST_FIRST: Duration = Duration::from_millis(100);
const TRUST_MAX: Duration = Duration::from_secs(2);

/// Bytes that were handed over together.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How many had been handed over with them.
    end: u64,
    at: Instant,
}

/// What is seen between the start of a round and the acknowledgement of all that was under way then.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    end: u64,
    fastest: Option<Duration>,
    /// Something waited for the window.
    was_limit: bool,
}

/// Rounds in a row in all of which something waited for the window.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    since: Instant,
    acknowledged: u64,
    rounds: u32,
}

/// What the window is at.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Steady,
    /// Next to nothing is under way, to see how fast acknowledgements can be. Afterwards it is `bytes` again.
    Looking {
        bytes: u64,
        rounds: u32,
        sum: Duration,
    },
    /// It is another one on trial, smaller or larger; it was `bytes`.
    Trying {
        bytes: u64,
        has_drained: bool,
    },
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Window {
    limits: WindowLimits,
    bytes: u64,
    /// It has not shrunk yet on this connection: it doubles.
    is_starting: bool,
    /// Over the connection.
    handed_over: u64,
    acknowledged: u64,
    marks: VecDeque<Mark>,
    round: Round,
    /// How long an acknowledgement takes with little under way, and lately.
    unloaded: Option<Duration>,
    lately: Duration,
    looked_at: Option<Instant>,
    phase: Phase,
    stretch: Option<Stretch>,
    /// The highest rate lately, in bytes in a second: with each one that is lower, a thirtieth is forgotten.
    best: u64,
    /// Until then a queue is taken to be none of the lane's own, and for how long after the next trial.
    trusted_until: Option<Instant>,
    trust: Duration,
    /// And a larger window may be faster.
    may_climb: bool,
}

impl Window {
    /// That of a lane without a connection.
    #[must_use]
    pub fn new(limits: WindowLimits) -> Self {
        let bytes = if limits.budget.is_zero() {
            limits.bytes_max
        } else {
            WINDOW_BYTES_START.min(limits.bytes_max)
        };
        Self {
            limits,
            bytes,
            is_starting: true,
            handed_over: 0,
            acknowledged: 0,
            marks: VecDeque::new(),
            round: Round::default(),
            unloaded: None,
            lately: Duration::ZERO,
            looked_at: None,
            phase: Phase::Steady,
            stretch: None,
            best: 0,
            trusted_until: None,
            trust: TRUST_FIRST,
            may_climb: false,
        }
    }

    /// A new connection: what the last one was like says little of it.
    pub fn start_link(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Other bounds from now on.
    pub fn retune(&mut self, limits: WindowLimits) {
        self.limits = limits;
        if self.is_fixed() {
            self.phase = Phase::Steady;
            self.bytes = limits.bytes_max;
        } else {
            self.set(self.bytes);
        }
    }

    /// What may be under way, in bytes.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_fixed(&self) -> bool {
        self.limits.budget.is_zero()
    }

    /// Something waits for it.
    #[inline]
    pub fn holds_back(&mut self) {
        self.round.was_limit = true;
    }

    /// `bytes` were handed over.
    #[inline]
    pub fn handed_over(&mut self, bytes: u64, now: Instant) {
        if bytes == 0 || self.is_fixed() {
            return;
        }
        self.handed_over += bytes;
        let end = self.handed_over;
        let is_full = self.marks.len() == MARKS_MAX;
        match self.marks.back_mut() {
            Some(newest) if is_full || newest.at == now => newest.end = end,
            _ => self.marks.push_back(Mark { end, at: now }),
        }
    }

    /// All but the last `under_way` bytes are acknowledged.
    pub fn acknowledged(&mut self, under_way: u64, now: Instant) {
        let acknowledged = self.handed_over.saturating_sub(under_way);
        if self.is_fixed() || acknowledged <= self.acknowledged {
            return;
        }
        self.acknowledged = acknowledged;
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.end <= acknowledged) {
            let took = now.saturating_duration_since(mark.at);
            let fastest = self.round.fastest.get_or_insert(took);
            *fastest = took.min(*fastest);
        }
        // With two acknowledgements for one batch, the first may time nothing.
        if acknowledged >= self.round.end
            && let Some(took) = self.round.fastest
        {
            self.end_round(took, now);
        }
    }

    fn end_round(&mut self, took: Duration, now: Instant) {
        let round = std::mem::take(&mut self.round);
        self.round.end = self.handed_over;
        match self.phase {
            Phase::Steady => self.go_on(&round, took, now),
            Phase::Looking { bytes, rounds, sum } => {
                let sum = if rounds > 0 { sum + took } else { sum };
                let rounds = rounds + 1;
                self.phase = Phase::Looking { bytes, rounds, sum };
                if rounds > TIMED_ROUNDS {
                    self.end_look(bytes, sum / TIMED_ROUNDS, now);
                }
            }
            Phase::Trying { bytes, .. } if !round.was_limit => {
                // The lane has little to send, which says nothing.
                self.set(bytes);
                self.phase = Phase::Steady;
            }
            Phase::Trying { bytes, has_drained } => {
                if !has_drained {
                    let has_drained = true;
                    self.phase = Phase::Trying { bytes, has_drained };
                } else if let Some(rate) = self.rate_of(&round, now) {
                    self.end_trial(bytes, rate, now);
                }
            }
        }
    }

    /// The rate of the rounds in a row that end here, once there are enough.
    fn rate_of(&mut self, round: &Round, now: Instant) -> Option<u64> {
        if !round.was_limit {
            self.stretch = None;
            return None;
        }
        let acknowledged = self.acknowledged;
        let stretch = self.stretch.get_or_insert(Stretch {
            since: now,
            acknowledged,
            rounds: 0,
        });
        let time = now.saturating_duration_since(stretch.since);
        if stretch.rounds < RATE_ROUNDS || time < RATE_FOR {
            stretch.rounds += 1;
            return None;
        }
        let bytes = u128::from(acknowledged - stretch.acknowledged);
        self.stretch = None;
        u64::try_from(bytes * 1_000_000_000 / time.as_nanos()).ok()
    }

    fn go_on(&mut self, round: &Round, took: Duration, now: Instant) {
        if let Some(rate) = self.rate_of(round, now) {
            self.note_rate(rate);
        }
        let unloaded = self.unloaded.map_or(took, |unloaded| unloaded.min(took));
        if self.unloaded.replace(unloaded).is_none() {
            self.lately = took;
        }
        self.lately = (self.lately + took) / 2;
        let is_slow = self.lately > unloaded + self.limits.budget * 5 / 4;
        let is_trusted = self.trusted_until.is_some_and(|until| now < until);
        let looked_at = *self.looked_at.get_or_insert(now);
        if now.saturating_duration_since(looked_at) >= LOOK_EVERY {
            self.look();
        } else if !round.was_limit || (is_slow && self.best == 0) {
            // What it is at is enough, or nothing is known to hold a trial against.
        } else if !is_slow {
            self.grow();
        } else if !is_trusted {
            let wanted = unloaded + self.limits.budget;
            self.try_bytes(part(self.bytes, wanted, self.lately));
        } else if self.may_climb {
            self.try_bytes(self.bytes / 4 * 5);
        }
    }

    fn note_rate(&mut self, rate: u64) {
        self.best = rate.max(self.best - self.best / 30);
    }

    fn grow(&mut self) {
        let more = if self.is_starting {
            self.bytes
        } else {
            (self.bytes / 16).max(WINDOW_BYTES_MIN / 4)
        };
        self.set(self.bytes + more);
    }

    fn try_bytes(&mut self, bytes: u64) {
        self.phase = Phase::Trying {
            bytes: self.bytes,
            has_drained: false,
        };
        self.stretch = None;
        self.set(bytes);
    }

    /// The window was `before`, and has had that rate since. A tenth is what rates differ by for no reason.
    fn end_trial(&mut self, before: u64, rate: u64, now: Instant) {
        self.phase = Phase::Steady;
        let (is_larger, tenth) = (self.bytes > before, self.best / 10);
        if is_larger && rate < self.best + tenth {
            self.set(before);
            self.may_climb = false;
        } else if !is_larger && rate < self.best - tenth {
            self.set(before);
            self.may_climb = true;
            self.trusted_until = Some(now + self.trust);
            self.trust = (2 * self.trust).min(TRUST_MAX);
        } else if !is_larger {
            self.is_starting = false;
            // As it is to be from here on.
            self.lately = self.unloaded.unwrap_or_default() + self.limits.budget;
            self.trust = (self.trust / 2).max(TRUST_FIRST);
        }
        self.note_rate(rate);
    }

    fn look(&mut self) {
        self.phase = Phase::Looking {
            bytes: self.bytes,
            rounds: 0,
            sum: Duration::ZERO,
        };
        self.stretch = None;
        self.bytes = WINDOW_BYTES_MIN.min(self.limits.bytes_max);
    }

    fn end_look(&mut self, bytes: u64, unloaded: Duration, now: Instant) {
        self.phase = Phase::Steady;
        self.looked_at = Some(now);
        self.unloaded = Some(unloaded);
        self.lately = unloaded;
        self.set(bytes);
    }

    fn set(&mut self, bytes: u64) {
        self.bytes = bytes.max(WINDOW_BYTES_MIN).min(self.limits.bytes_max);
    }
}

/// `bytes`, in the proportion of two times; never more than they are.
fn part(bytes: u64, time: Duration, of: Duration) -> u64 {
    let part = u128::from(bytes) * time.as_nanos() / of.as_nanos().max(1);
    u64::try_from(part).unwrap_or(u64::MAX).min(bytes)
}

#[cfg(test)]
mod tests;
