//! Whether the other end of a lane is alive: when to ask it with a Ping, and when to give it up.
//!
//! One [`Liveness`] for each connection that carries a lane, owned by its shard, which tells it when
//! bytes came ([`Liveness::heard`]) and went ([`Liveness::said`]), and looks at it several times within
//! the idle timeout ([`Liveness::look`]). Anything that comes is proof of life. So each end says
//! something now and then although the other does not ask: a Ping behind more data than a slow reader
//! takes in the idle timeout would be answered too late. And each end asks when it has heard nothing,
//! although it says enough: data alone need not be answered.
//! No I/O and no clock: the time and the randomness are arguments.
use std::time::{Duration, Instant};

/// The durations that follow from the idle timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessLimits {
    /// A lane on which nothing was heard for so long is given up.
    pub idle_timeout: Duration,
    /// A Ping goes out at the latest after so long without a word, of either end: a third of the idle
    /// timeout, so that two can be lost.
    pub ask_after: Duration,
    /// A lane that is in doubt is given up after so long without a word: a quarter of the idle
    /// timeout, far above any round trip.
    pub doubt_patience: Duration,
    /// How often lanes are looked at: a lane ends by so much later than it could.
    pub look_every: Duration,
}

/// Other things are looked after together with liveness, and not later than this.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(2);

impl LivenessLimits {
    /// The limits for that idle timeout.
    #[must_use]
    pub fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            ask_after: idle_timeout / 3,
            doubt_patience: idle_timeout / 4,
            look_every: (idle_timeout / 16).min(LOOK_EVERY_MAX),
        }
    }

    /// How long a lane may be silent before it is asked: up to a quarter sooner than the latest, so
    /// that lanes made in one moment are not all asked in one moment. `random` is 64 uniform bits.
    fn jittered(&self, random: u64) -> Duration {
        let quarter = u64::try_from(self.ask_after.as_nanos() / 4).unwrap_or(u64::MAX);
        let sooner = (u128::from(quarter) * u128::from(random)) >> u64::BITS;
        self.ask_after - Duration::from_nanos(u64::try_from(sooner).unwrap_or(0))
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be done.
    Alive,
    /// Send a Ping.
    Ask,
    /// Nothing was heard for too long: end the lane.
    Dead,
}

/// What is known of the other end of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    heard_at: Instant,
    /// When the peer's host, not the peer itself, is known to have answered.
    host_answered_at: Instant,
    said_at: Instant,
    asked_at: Instant,
    ask_after: Duration,
    /// Somebody says that this connection is not the peer's any more.
    doubted_at: Option<Instant>,
}

impl Liveness {
    /// The handshake was the last word heard.
    #[must_use]
    pub fn new(now: Instant, limits: &LivenessLimits, random: u64) -> Self {
        Self {
            heard_at: now,
            host_answered_at: now,
            said_at: now,
            asked_at: now,
            ask_after: limits.jittered(random),
            doubted_at: None,
        }
    }

    /// Bytes came.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Bytes went out.
    #[inline]
    pub fn said(&mut self, now: Instant) {
        self.said_at = now;
    }

    /// The peer's host answered so long before `now`. For a lane that is not read: what the peer says
    /// is not seen there, so its host has to vouch for it.
    pub fn host_answered(&mut self, now: Instant, ago: Duration) {
        if let Some(at) = now.checked_sub(ago) {
            self.host_answered_at = self.host_answered_at.max(at);
        }
    }

    /// The peer acts as if it did not have this connection: it has to speak within
    /// [`LivenessLimits::doubt_patience`]. True if the caller is to send a Ping at once: not if the
    /// connection is in doubt already, so that whoever casts doubt cannot make this end flood the peer.
    pub fn doubt(&mut self, now: Instant) -> bool {
        if self.doubted_at.is_some() {
            return false;
        }
        self.doubted_at = Some(now);
        self.asked_at = now;
        true
    }

    /// The observer itself was away for so long (its thread was stopped, or busy): what came meanwhile
    /// is not read yet, so that time does not count as silence.
    pub fn forgive(&mut self, now: Instant, away: Duration) {
        let later = |at: Instant| (at + away).min(now);
        self.heard_at = later(self.heard_at);
        self.host_answered_at = later(self.host_answered_at);
        self.said_at = later(self.said_at);
        self.asked_at = later(self.asked_at);
        self.doubted_at = self.doubted_at.map(later);
    }

    /// What is to be done at `now`. `random` is 64 uniform random bits.
    pub fn look(&mut self, now: Instant, limits: &LivenessLimits, random: u64) -> Verdict {
        if let Some(doubted_at) = self.doubted_at {
            if self.alive_at() > doubted_at {
                self.doubted_at = None;
            } else if now.saturating_duration_since(doubted_at) >= limits.doubt_patience {
                return Verdict::Dead;
            }
        }
        if self.silence(now) >= limits.idle_timeout {
            return Verdict::Dead;
        }
        let quiet_since = self.said_at.min(self.heard_at).max(self.asked_at);
        if now.saturating_duration_since(quiet_since) < self.ask_after {
            return Verdict::Alive;
        }
        self.asked_at = now;
        self.ask_after = limits.jittered(random);
        Verdict::Ask
    }

    /// For how long there has been no sign of life.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.alive_at())
    }

    fn alive_at(&self) -> Instant {
        self.heard_at.max(self.host_answered_at)
    }
}

/// Tells time that was watched from time in which the observer was away.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    looked_at: Instant,
}

impl Watch {
    /// Watching begins.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { looked_at: now }
    }

    /// A look that was due `look_every` after the last one; by how much it is late.
    pub fn look(&mut self, now: Instant, look_every: Duration) -> Duration {
        let since = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        since.saturating_sub(look_every)
    }
}

#[cfg(test)]
mod tests;
