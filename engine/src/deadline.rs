//! Deadlines from durations that a caller chose (any duration is fine, `Duration::MAX` too), and the clock by
//! which a message carries its own within this node.

use std::time::{Duration, Instant};

/// As good as never, and far from where an `Instant` would overflow.
const AGES: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The moment `timeout` from now, or a century from now if there is no such moment.
pub(crate) fn deadline_in(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(AGES)
}

/// The longest deadline of a message, in milliseconds: 24 days. A longer one is taken as this.
pub(crate) const DEADLINE_MS_MAX: u32 = u32::MAX >> 1;

/// `duration` as a message carries it: in whole milliseconds, not less than it.
pub(crate) fn deadline_ms(duration: Duration) -> u32 {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).map_or(DEADLINE_MS_MAX, |ms| ms.min(DEADLINE_MS_MAX))
}

/// The time of one node in milliseconds, modulo 2^32: short enough to stand in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began }
    }

    /// The time of `at`.
    pub(crate) fn ms(self, at: Instant) -> Moment {
        let ms = at.saturating_duration_since(self.began).as_millis();
        Moment(u32::try_from(ms & u128::from(u32::MAX)).unwrap_or(0))
    }

    /// When it was `moment`, at most 49 days before `now`.
    pub(crate) fn before(self, now: Instant, moment: Moment) -> Instant {
        let ago_ms = self.ms(now).0.wrapping_sub(moment.0);
        let ago = Duration::from_millis(ago_ms.into());
        now.checked_sub(ago).unwrap_or(self.began)
    }

    /// When it is `moment`, at most 24 days from `now`; that moment if it has passed.
    pub(crate) fn after(self, now: Instant, moment: Moment) -> Instant {
        let left_ms = moment.left_ms(self.ms(now)).unwrap_or(0);
        now + Duration::from_millis(left_ms.into())
    }
}

/// A time of a node's [`Clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u32);

impl Moment {
    /// So many milliseconds later, [`DEADLINE_MS_MAX`] at most.
    pub(crate) const fn plus(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms))
    }

    /// Milliseconds from `now` until then; `None` if it has come. The two are not further apart than
    /// [`DEADLINE_MS_MAX`], and that much again after it.
    pub(crate) const fn left_ms(self, now: Self) -> Option<u32> {
        let left = self.0.wrapping_sub(now.0);
        if left == 0 || left > DEADLINE_MS_MAX {
            None
        } else {
            Some(left)
        }
    }

    /// Whether it has come.
    pub(crate) const fn has_come(self, now: Self) -> bool {
        self.left_ms(now).is_none()
    }

    /// The earlier of both.
    pub(crate) const fn min(self, other: Self) -> Self {
        if self.has_come(other) { self } else { other }
    }
}

/// The earlier of two deadlines that may not be there.
pub(crate) fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_before_and_after_each_other_also_where_the_clock_wraps() {
        for now in [0, 5, u32::MAX - 2, u32::MAX >> 1].map(Moment) {
            let later = now.plus(10);
            assert_eq!((later.left_ms(now), now.left_ms(later)), (Some(10), None));
            assert!(now.has_come(now) && now.has_come(later) && !later.has_come(now));
            assert_eq!((now.min(later), later.min(now)), (now, now));
            let latest = now.plus(DEADLINE_MS_MAX);
            assert_eq!(latest.left_ms(now), Some(DEADLINE_MS_MAX));
        }
    }

    #[test]
    fn a_clock_tells_moments_and_finds_them_again() {
        let began = Instant::now();
        let clock = Clock::new(began);
        let at = |ms| began + Duration::from_millis(ms);
        let now = at(5_000_000_000);
        assert_eq!(
            clock.before(now, clock.ms(at(4_999_999_000))),
            at(4_999_999_000)
        );
        assert_eq!(clock.after(now, clock.ms(now).plus(70)), at(5_000_000_070));
        assert_eq!(clock.after(now, clock.ms(at(4_999_999_999))), now);
    }

    #[test]
    fn a_deadline_is_never_shorter_than_what_was_asked_for() {
        assert_eq!(deadline_ms(Duration::ZERO), 0);
        assert_eq!(deadline_ms(Duration::from_nanos(1)), 1);
        assert_eq!(deadline_ms(Duration::from_micros(2001)), 3);
        assert_eq!(deadline_ms(Duration::MAX), DEADLINE_MS_MAX);
    }
}
