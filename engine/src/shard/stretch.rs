//! How long a shard keeps its core before it lets other threads have it.
//!
//! Under load a shard does not sleep, and the kernel leaves it the core for a time slice: milliseconds in
//! which the threads that it has woken, and other shards with urgent messages, wait beside it. So it asks
//! for slices as short as a turn's budget, and offers the core after each such stretch of work. Who asks
//! for short slices and yields loses nothing to threads with long ones: it is behind by one short slice,
//! and has its turn before them. Called by the turn and by the start of a shard's thread; what the
//! kernel refuses is left as it is.

use std::io;
use std::time::{Duration, Instant};

/// A stretch of work without sleep.
#[derive(Debug)]
pub(super) struct Stretch {
    max: Duration,
    since: Instant,
}

impl Stretch {
    pub(super) fn new(max: Duration, now: Instant) -> Self {
        Self { max, since: now }
    }

    /// The thread has slept: a new stretch begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    /// Whether to offer the core; if so, a new stretch begins.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let is_over = now.saturating_duration_since(self.since) >= self.max;
        if is_over {
            self.since = now;
        }
        is_over
    }
}

/// The kernel's bounds of a slice (SCHED_OTHER, since 6.12; ignored before).
const SLICE_MIN: Duration = Duration::from_micros(100);
const SLICE_MAX: Duration = Duration::from_millis(100);

/// Asks for time slices of that length for this thread. A thread whose scheduling class an operator has
/// changed keeps what it was given.
///
/// # Errors
/// The kernel refuses it: forbidden by a filter of system calls.
pub(super) fn ask_for_slices(length: Duration) -> io::Result<()> {
    let length = length.clamp(SLICE_MIN, SLICE_MAX);
    let size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
    // SAFETY: all fields are integers, for which zero is a value.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attributes` has `size` bytes and is alive for the call.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    attributes.sched_runtime = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn a_stretch_is_over_after_its_time_and_begins_anew() {
        let start = Instant::now();
        let mut stretch = Stretch::new(100 * MICROSECOND, start);
        assert!(!stretch.is_over(start + 99 * MICROSECOND));
        assert!(stretch.is_over(start + 100 * MICROSECOND));
        assert!(!stretch.is_over(start + 199 * MICROSECOND));
        stretch.begin(start + 199 * MICROSECOND);
        assert!(!stretch.is_over(start + 200 * MICROSECOND), "it slept");
        assert!(stretch.is_over(start + 299 * MICROSECOND));
    }

    #[test]
    fn a_thread_keeps_its_class_and_niceness() {
        let thread = std::thread::spawn(|| {
            // SAFETY: no memory is passed; 0 is this thread.
            let niced = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 3) };
            assert_eq!(niced, 0);
            ask_for_slices(100 * MICROSECOND).expect("the kernel takes it");
            // SAFETY: no memory is passed.
            let (class, niceness) = unsafe {
                (
                    libc::sched_getscheduler(0),
                    libc::getpriority(libc::PRIO_PROCESS, 0),
                )
            };
            assert_eq!((class, niceness), (libc::SCHED_OTHER, 3));
        });
        thread.join().expect("it keeps them");
    }
}
