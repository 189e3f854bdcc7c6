//! How much of a lane may be under way: deep enough for the link and what stands behind it, and no deeper.
//!
//! Owned by the lane's log, which says what is handed over and what of it is acknowledged. Additive increase,
//! multiplicative decrease, once in a round trip: while acknowledgements take hardly longer than the fastest
//! did, and the window is what holds the lane back, it grows; when they take longer by more than a budget,
//! bytes wait somewhere on the way, and it shrinks, but never below what the acknowledged rate needs. Until the
//! first time it shrinks it doubles. So bulk leaves room on a link that it shares with other lanes of the
//! same node, whose heartbeats would wait behind it; a receiver that pauses is treated as a slow link is.
//! No I/O and no clock: the time is an argument.
//!
//! The scheme is that of TCP Vegas (Brakmo and Peterson, 1995), the estimates are those of BBR (Cardwell and others,
//! 2016): the fastest round trip of some seconds, the highest rate of some rounds.

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

/// Rounds after which a rate that was not seen again is forgotten, at the latest after twice as many.
const RATE_ROUNDS: u32 = 10;

/// After so long the fastest round trip is found anew, with little under way for two rounds: routes change, and
/// a queue that always stands looks like a longer link.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Bytes that were handed over together.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How many had been handed over with them.
    end: u64,
    at: Instant,
    /// What was acknowledged before, and since when.
    acknowledged: u64,
    acknowledged_at: Instant,
}

/// The highest rate of this period of rounds and the last, in bytes in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    now: u64,
    before: u64,
}

/// The fastest round trip is being found anew.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The window to go back to.
    bytes: u64,
    /// The round has begun in which all was handed over with little under way.
    has_drained: bool,
}

/// What is seen between the start of a round and the acknowledgement of all that was under way then.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    end: u64,
    fastest: Option<Duration>,
    /// Something waited for the window.
    was_limit: bool,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Window {
    limits: WindowLimits,
    bytes: u64,
    /// It has not shrunk yet on this connection.
    is_starting: bool,
    /// Over the connection.
    handed_over: u64,
    acknowledged: u64,
    acknowledged_at: Option<Instant>,
    marks: VecDeque<Mark>,
    round: Round,
    rounds: u32,
    rate: Rate,
    /// Since it was found last.
    fastest: Option<Duration>,
    fastest_since: Option<Instant>,
    probe: Option<Probe>,
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
            acknowledged_at: None,
            marks: VecDeque::new(),
            round: Round::default(),
            rounds: 0,
            rate: Rate::default(),
            fastest: None,
            fastest_since: None,
            probe: None,
        }
    }

    /// A new connection: what the last one was like says little of it.
    pub fn start_link(&mut self) {
        *self = Self::new(self.limits);
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
        let was_idle = self.handed_over == self.acknowledged;
        self.handed_over += bytes;
        let acknowledged_at = match self.acknowledged_at {
            Some(at) if !was_idle => at,
            _ => now,
        };
        let is_full = self.marks.len() == MARKS_MAX;
        match self.marks.back_mut() {
            Some(newest) if is_full || newest.at == now => {
                newest.end = self.handed_over;
            }
            _ => self.marks.push_back(Mark {
                end: self.handed_over,
                at: now,
                acknowledged: self.acknowledged,
                acknowledged_at,
            }),
        }
    }

    /// All but the last `under_way` bytes are acknowledged.
    pub fn acknowledged(&mut self, under_way: u64, now: Instant) {
        let acknowledged = self.handed_over.saturating_sub(under_way);
        if self.is_fixed() || acknowledged <= self.acknowledged {
            return;
        }
        self.acknowledged = acknowledged;
        self.acknowledged_at = Some(now);
        let mut newest = None;
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.end <= acknowledged) {
            newest = Some(mark);
        }
        if let Some(mark) = newest {
            self.note(&mark, now);
        }
        if acknowledged >= self.round.end {
            self.end_round(now);
        }
    }

    fn note(&mut self, mark: &Mark, now: Instant) {
        let took = now.saturating_duration_since(mark.at);
        self.fastest_since.get_or_insert(now);
        for fastest in [&mut self.fastest, &mut self.round.fastest] {
            *fastest = Some(fastest.map_or(took, |fastest| fastest.min(took)));
        }
        let interval = now.saturating_duration_since(mark.acknowledged_at);
        let rate = per_second(self.acknowledged - mark.acknowledged, interval);
        // What a lane does that has nothing to send says nothing of the link, unless it is more.
        if self.probe.is_none() && (self.round.was_limit || rate > self.rate()) {
            self.rate.now = self.rate.now.max(rate);
        }
    }

    fn rate(&self) -> u64 {
        self.rate.now.max(self.rate.before)
    }

    fn end_round(&mut self, now: Instant) {
        let round = std::mem::take(&mut self.round);
        self.round.end = self.handed_over;
        if let Some(took) = round.fastest {
            if self.probe.is_some() {
                self.go_on_probing(took, now);
            } else {
                self.adapt(&round, took);
                self.probe_if_due(now);
            }
        }
    }

    fn probe_if_due(&mut self, now: Instant) {
        let since = self.fastest_since.unwrap_or(now);
        if now.saturating_duration_since(since) >= PROBE_EVERY {
            self.probe = Some(Probe {
                bytes: self.bytes,
                has_drained: false,
            });
            self.bytes = WINDOW_BYTES_MIN;
        }
    }

    fn go_on_probing(&mut self, took: Duration, now: Instant) {
        let Some(probe) = &mut self.probe else {
            return;
        };
        if !probe.has_drained {
            probe.has_drained = true;
            return;
        }
        self.bytes = probe.bytes;
        self.probe = None;
        self.fastest = Some(took);
        self.fastest_since = Some(now);
    }

    /// A round has ended, in which the fastest acknowledgement took so long.
    fn adapt(&mut self, round: &Round, took: Duration) {
        let fastest = self.fastest.unwrap_or(took);
        let waited = took.saturating_sub(fastest);
        if waited > self.limits.budget {
            self.is_starting = false;
            let least = fastest + self.limits.budget / 2;
            let needed = in_time(self.rate(), least);
            self.bytes = (self.bytes * 7 / 10).max(needed).min(self.bytes);
        } else if round.was_limit {
            let more = if self.is_starting {
                self.bytes
            } else {
                (self.bytes / 16).max(WINDOW_BYTES_MIN / 4)
            };
            self.bytes += more;
        }
        self.bytes = self.bytes.max(WINDOW_BYTES_MIN).min(self.limits.bytes_max);
        if round.was_limit {
            self.rounds += 1;
            if self.rounds.is_multiple_of(RATE_ROUNDS) {
                self.rate.before = std::mem::take(&mut self.rate.now);
            }
        }
    }
}

fn per_second(bytes: u64, interval: Duration) -> u64 {
    let interval_ns = interval.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / interval_ns).unwrap_or(u64::MAX)
}

fn in_time(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
