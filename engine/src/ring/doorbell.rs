//! The coalesced wake-up of a parked shard (or of any other single sleeper).
//!
//! Producers call `ring` after each commit; the sleeper calls `announce_sleep`, looks at its rings
//! once more, and sleeps only if they are empty. While it is awake, ringing is a fence and a load;
//! once it has announced sleep, the first to ring makes the one system call. Never loses a
//! wake-up; may give one too many, so the sleeper must cope with waking for nothing.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crossbeam_utils::CachePadded;

use super::sync::{AtomicBool, AtomicU64, Ordering, fence};

/// How a doorbell wakes its sleeper, once that has announced sleep.
pub(crate) trait Wake {
    /// Must end the sleeper's current sleep, or the next one if it is not asleep yet.
    fn wake(&self);
}

/// A doorbell; share it in an `Arc`.
pub(crate) struct Doorbell<W: Wake = EventFd> {
    /// Whether the sleeper has announced sleep and nobody has woken it since.
    sleeping: CachePadded<AtomicBool>,
    wakes: AtomicU64,
    waker: W,
}

impl Doorbell {
    /// A doorbell over a new eventfd.
    ///
    /// # Errors
    /// What the kernel says, typically that the limit of open files is reached.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::with_waker(EventFd::new()?))
    }

    /// The eventfd: readable once rung, until read. Also to be watched by a backend, whose
    /// completions then wake the same sleeper.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.waker.fd.as_fd()
    }
}

impl<W: Wake> Doorbell<W> {
    /// A doorbell over any other way of waking.
    pub(crate) fn with_waker(waker: W) -> Self {
        Self {
            sleeping: CachePadded::new(AtomicBool::new(false)),
            wakes: AtomicU64::new(0),
            waker,
        }
    }

    /// Call after a commit: wakes the sleeper if it has announced sleep.
    #[inline]
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `announce_sleep`: either this load sees the announcement, or the
        // sleeper's second look at its rings sees the commit before this fence.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Call before sleeping. The caller MUST then look at everything that is rung for once more,
    /// and call [`awake`](Self::awake) instead of sleeping if there is anything.
    #[inline]
    pub(crate) fn announce_sleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Call after sleeping, or on deciding not to.
    #[inline]
    pub(crate) fn awake(&self) {
        // An exchange where a store would do: loom does not know that no store can come between
        // the two halves of another thread's exchange, and would see a wake-up lost there.
        self.sleeping.swap(false, Ordering::Relaxed);
    }

    /// How often the sleeper was woken: for an eventfd, the number of writes to it.
    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Of all who saw the announcement, the one that takes it back wakes. It may take back a later
    /// announcement than it saw; then it ends that sleep, which is all that is asked of it.
    #[cold]
    fn wake(&self) {
        let took_back =
            self.sleeping
                .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed);
        if took_back.is_ok() {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            self.waker.wake();
        }
    }
}

impl<W: Wake> fmt::Debug for Doorbell<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell")
            .field("sleeping", &self.sleeping.load(Ordering::Relaxed))
            .field("wakes", &self.wakes())
            .finish_non_exhaustive()
    }
}

/// Wakes through an eventfd: a counter in the kernel that is readable while it is not zero.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// A new eventfd, at zero, and not inherited by programs that are executed.
    ///
    /// It is a blocking one, so that a plain read waits as a read through io_uring does (which
    /// would wait on a non-blocking one too). No write blocks: that takes 2^64 - 2 wakes between
    /// two reads.
    fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and no one else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }
}

impl Wake for EventFd {
    fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        loop {
            // SAFETY: eight readable bytes, and a descriptor that is open while `self` lives.
            let written =
                unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            if written >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // No other error can occur to an eventfd that is open and far from its limit.
                debug_assert_eq!(written, 8);
                return;
            }
        }
    }
}
