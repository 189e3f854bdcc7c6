//! The time of the cluster's protocols: microseconds since the node's protocols were made, suspended or not, so
//! that a node that slept knows it.

use std::time::{Duration, Instant};

use overlane_overlays::Time;

use crate::io::clock::since_boot;

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Duration,
    /// By the clock that threads wait by.
    made: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            began: since_boot(),
            made: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Time {
        let since = since_boot().saturating_sub(self.began);
        Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// When it is `at`, by the clock that threads wait by: one microsecond late rather than early, and what is due
    /// by now is a moment that has passed, also for a shard that looks at the time once in a turn.
    pub(super) fn instant(self, at: Time) -> Instant {
        let left = at.since(self.now());
        if left.is_zero() {
            return self.made;
        }
        Instant::now() + left.min(LONGEST) + Duration::from_micros(1)
    }
}

/// No wait is longer: far below what an `Instant` can hold, and looked at again after it.
const LONGEST: Duration = Duration::from_secs(3_600);
