//! The one clock of the harness: `CLOCK_MONOTONIC`, in nanoseconds.
//!
//! It is machine-wide, so a time taken in one process can be subtracted from one taken in another;
//! that is what one-way latencies of the main job rest on.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, the same in every process of this machine.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on Linux");
    let whole = Duration::from(time);
    whole.as_secs() * 1_000_000_000 + u64::from(whole.subsec_nanos())
}

/// A length of time in the unit of [`now_ns`].
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward() {
        let before = now_ns();
        assert!(before > 0 && now_ns() >= before);
    }
}
