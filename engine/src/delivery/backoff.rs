//! How long to wait before dialling a peer again: exponential with full jitter.
//!
//! Owned by whoever dials a lane. Full jitter (uniform between nothing and the ceiling) spreads
//! the nodes of a cluster that all lost the same peer at once. Randomness is an argument, so the
//! simulator can repeat a run.
use std::time::Duration;

/// The bounds of a [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffLimits {
    /// The ceiling of the first wait. Default 100 ms: a guess, a few round trips in any region.
    pub base: Duration,
    /// The ceiling of every wait. Default 10 s: a guess, what an operator will wait for a heal.
    pub max: Duration,
}

impl Default for BackoffLimits {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            max: Duration::from_secs(10),
        }
    }
}

/// The row of failed attempts to reach one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    limits: BackoffLimits,
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    #[must_use]
    pub const fn new(limits: BackoffLimits) -> Self {
        Self {
            limits,
            failures: 0,
        }
    }

    /// Counts a failed attempt and says how long to wait before the next. `random` is 64 uniform
    /// random bits.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        let nanos = (ceiling.as_nanos() * u128::from(random)) >> u64::BITS;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Tells that a connection came up and ended after `up_time`. One that lived at least as long as the
    /// next wait can be clears the failures: a network that cuts now and then costs a short wait each time,
    /// and no more than half of the time goes to waiting. One that dies sooner does not bring the short
    /// waits back.
    pub fn connection_ended(&mut self, up_time: Duration) {
        if up_time >= self.ceiling() {
            self.failures = 0;
        }
    }

    /// The most that the next wait can be.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.limits.base.saturating_mul(factor).min(self.limits.max)
    }

    /// Failed attempts in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BackoffLimits = BackoffLimits {
        base: Duration::from_millis(100),
        max: Duration::from_secs(3),
    };

    #[test]
    fn ceilings_double_up_to_the_maximum_and_stay_there() {
        let mut backoff = Backoff::new(LIMITS);
        let mut ceilings_ms = Vec::new();
        for _ in 0..7 {
            ceilings_ms.push(backoff.ceiling().as_millis());
            backoff.next_delay(0);
        }
        assert_eq!(ceilings_ms, [100, 200, 400, 800, 1600, 3000, 3000]);
        for _ in 0..1000 {
            assert!(backoff.next_delay(u64::MAX) <= LIMITS.max);
        }
    }

    #[test]
    fn the_jitter_spans_from_nothing_to_the_ceiling() {
        let delay = |random| Backoff::new(LIMITS).next_delay(random);
        assert_eq!(delay(0), Duration::ZERO);
        assert_eq!(delay(1 << 63), Duration::from_millis(50));
        assert_eq!(delay(u64::MAX), Duration::from_nanos(99_999_999));
    }

    #[test]
    fn only_a_connection_that_outlives_the_next_wait_clears_the_failures() {
        for failures in [0, 1, 2, 9] {
            let mut backoff = Backoff::new(LIMITS);
            for _ in 0..failures {
                backoff.next_delay(0);
            }
            let wait = backoff.ceiling();
            backoff.connection_ended(wait - Duration::from_nanos(1));
            assert_eq!(backoff.failures(), failures);
            backoff.connection_ended(wait);
            assert_eq!(backoff.ceiling(), LIMITS.base);
        }
    }
}
