//! The one clock of the harness: `CLOCK_MONOTONIC`, in nanoseconds.
//!
//! It is machine-wide, so a time taken in one process can be subtracted from one taken in another;
//! that is what one-way latencies of the main job rest on. Nothing here sleeps for correctness.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, the same in every process of this machine.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on Linux");
    let whole = Duration::from(time);
    whole.as_secs() * 1_000_000_000 + u64::from(whole.subsec_nanos())
}

/// Sleeps until `due_ns`; returns at once when that is past.
pub(crate) fn sleep_until(due_ns: u64) {
    let now = now_ns();
    if due_ns > now {
        std::thread::sleep(Duration::from_nanos(due_ns - now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_sleep_until_reaches_its_time() {
        let due = now_ns() + 1_000_000;
        sleep_until(due);
        assert!(now_ns() >= due);
        sleep_until(0);
    }
}
