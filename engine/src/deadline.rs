//! Deadlines from durations that a caller chose: any duration is fine, `Duration::MAX` too.

use std::time::{Duration, Instant};

/// As good as never, and far from where an `Instant` would overflow.
const AGES: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The moment `timeout` from now, or a century from now if there is no such moment.
pub(crate) fn deadline_in(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(AGES)
}
