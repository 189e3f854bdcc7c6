//! The time that a driver hands to a protocol: microseconds since any fixed moment.
//!
//! A protocol only compares times and adds to them; it never asks for one. The simulator's time is
//! virtual; a driver takes a clock that goes on while the machine is suspended (`CLOCK_BOOTTIME`), as
//! `CLOCK_MONOTONIC` would hide the time that others did not hear of it.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment, in microseconds since a fixed moment that the driver chose. Never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment from which the driver counts.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` microseconds after [`Time::ZERO`].
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since [`Time::ZERO`].
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates: a moment too far away to be told is simply never reached.
    fn add(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}.{:06} s",
            self.0 / 1_000_000,
            self.0 % 1_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_and_subtracting_saturate() {
        let late = Time::from_micros(u64::MAX - 1);
        assert_eq!(late + Duration::MAX, Time::from_micros(u64::MAX));
        assert_eq!(Time::ZERO.since(late), Duration::ZERO);
        assert_eq!((Time::ZERO + Duration::from_millis(3)).as_micros(), 3_000);
    }
}
