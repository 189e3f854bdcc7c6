//! The time that goes on while the machine is suspended, for what others measure meanwhile, and the time that
//! this process has had of processors.

use std::time::Duration;

/// Time since the machine started, suspended or not (`CLOCK_BOOTTIME`).
pub(crate) fn since_boot() -> Duration {
    read(libc::CLOCK_BOOTTIME)
}

/// Processor time of all threads of this process (`CLOCK_PROCESS_CPUTIME_ID`).
pub(crate) fn of_process() -> Duration {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec, to where one is.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "Linux has had these clocks since 2.6.39");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on() {
        let first = since_boot();
        std::thread::sleep(Duration::from_millis(1));
        assert!(since_boot() > first && first > Duration::ZERO);
    }
}
