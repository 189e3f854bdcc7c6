//! The rate of a link: when bytes that enter it have left it.
//!
//! All connections of a proxy share one in each direction. Arithmetic alone: the reading threads of pipe.rs
//! ask, and wait until then.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// A thread that woke late may catch up with so much: timers are late by some 100 us as a rule, on a loaded
/// machine by more, and the rate should hold all the same.
const CATCH_UP: Duration = Duration::from_millis(5);

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// When everything that has entered has left.
    free_at: Option<Instant>,
}

impl Link {
    /// `bytes` enter at `now`: when the last of them has left, at `bytes_per_s`.
    pub(crate) fn enter(&mut self, now: Instant, bytes: usize, bytes_per_s: NonZeroU64) -> Instant {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let begin = self.free_at.map_or(now, |free_at| free_at.max(earliest));
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(bytes_per_s.get());
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let left = begin.checked_add(takes).unwrap_or(begin);
        self.free_at = Some(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: NonZeroU64 = NonZeroU64::new(1_000_000).unwrap();

    #[test]
    fn bytes_leave_one_after_the_other_at_the_rate() {
        let (mut link, now) = (Link::default(), Instant::now());
        assert_eq!(link.enter(now, 1_000, RATE), now + Duration::from_millis(1));
        assert_eq!(link.enter(now, 2_000, RATE), now + Duration::from_millis(3));
        // An idle link starts when the next bytes come.
        let later = now + Duration::from_secs(1);
        let left = link.enter(later, 1_000, RATE);
        assert!(left <= later + Duration::from_millis(1), "no debt");
        assert!(
            left + CATCH_UP >= later + Duration::from_millis(1),
            "no credit from before"
        );
    }

    #[test]
    fn who_always_wakes_late_still_gets_the_rate() {
        let (mut link, begin) = (Link::default(), Instant::now());
        let mut now = begin;
        for _ in 0..1_000 {
            now = link.enter(now, 1_000, RATE) + Duration::from_micros(300);
        }
        let lasted = now - begin;
        assert!(lasted < Duration::from_millis(1_010), "{lasted:?}");
        assert!(lasted >= Duration::from_millis(1_000), "{lasted:?}");
    }
}
