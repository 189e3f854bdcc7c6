//! `epoll` and the timer beside it, without anything unsafe for the caller.
//!
//! Used by `poll/mod.rs` alone.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Sockets that one look can find ready; the others are found by the next.
const EVENTS_MAX: usize = 256;

/// An epoll instance, and what its last look found.
pub(super) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// A descriptor that the kernel has just made, or its error.
fn made(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = made(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self {
            fd,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// What `fd` is watched for goes from `before` to `after`; 0 is not to be watched. Events of it
    /// are called `token`.
    pub(super) fn watch(&self, fd: RawFd, token: u64, before: u32, after: u32) -> io::Result<()> {
        let operation = match (before, after) {
            (0, _) => libc::EPOLL_CTL_ADD,
            (_, 0) => libc::EPOLL_CTL_DEL,
            _ => libc::EPOLL_CTL_MOD,
        };
        let mut event = libc::epoll_event {
            events: after,
            u64: token,
        };
        // SAFETY: `event` is alive for the call, which copies it.
        let done = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &raw mut event) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Looks for what is ready; waits for it if `wait`, until a signal comes.
    pub(super) fn look(&mut self, wait: bool) -> io::Result<()> {
        let room = i32::try_from(self.events.capacity()).unwrap_or(1);
        let timeout_ms = if wait { -1 } else { 0 };
        self.events.clear();
        // SAFETY: there is room for that many events behind the pointer.
        let found = unsafe {
            libc::epoll_pwait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                room,
                timeout_ms,
                std::ptr::null(),
            )
        };
        let Ok(found) = usize::try_from(found) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            };
        };
        // SAFETY: the kernel has written that many.
        unsafe { self.events.set_len(found) };
        Ok(())
    }

    /// Whether the last look found something that was not taken.
    pub(super) fn has_ready(&self) -> bool {
        !self.events.is_empty()
    }

    /// The tokens of what the last look found.
    pub(super) fn take_ready(&mut self) -> impl Iterator<Item = u64> + '_ {
        self.events.drain(..).map(|event| event.u64)
    }
}

/// A timer that can be watched.
pub(super) struct Timer {
    fd: OwnedFd,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = made(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        Ok(Self { fd })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// It is ready once, after that time, and not when it was to be before.
    pub(super) fn set(&self, after: Duration) -> io::Result<()> {
        // Nothing at all would stop it.
        let after = after.max(Duration::from_nanos(1));
        let never = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = libc::itimerspec {
            it_interval: never,
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: libc::c_long::from(after.subsec_nanos().cast_signed()),
            },
        };
        // SAFETY: `setting` is alive for the call; the old one is not asked for.
        let set = unsafe {
            libc::timerfd_settime(self.fd(), 0, &raw const setting, std::ptr::null_mut())
        };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// Takes the count of an eventfd or timer that is ready, so that it is so no more.
pub(super) fn take_count(fd: RawFd) {
    let mut count = [0_u8; 8];
    // SAFETY: eight writable bytes. There is nothing to do about an error: it is ready again, or not.
    unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
}
