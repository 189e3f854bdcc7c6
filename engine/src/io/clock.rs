//! The time that goes on while the machine is suspended, for what others measure meanwhile.

use std::time::Duration;

/// Time since the machine started, suspended or not (`CLOCK_BOOTTIME`).
pub(crate) fn since_boot() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec, to where one is.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(result, 0, "Linux has had this clock since 2.6.39");
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
