//! A shard's own io_uring instance: queue operations, enter the kernel, reap completions.
//!
//! Owned by one data shard, made on its thread (SINGLE_ISSUER). With DEFER_TASKRUN the kernel does
//! the work of a ready socket only while this thread is inside `enter`, so a turn that finds
//! [`DataRing::has_news`] must enter. TASKRUN_FLAG makes that visible in shared memory: a spinning
//! shard looks for work without a system call.
//!
//! Safety rule of the whole engine: memory named in an operation (send buffers, handshake buffers)
//! belongs to its connection, and a connection is freed only when none of its operations is under
//! way. This module queues what it is given and never frees anything.
//!
//! The same rule at the end of a ring. The kernel takes a closed ring apart after `close` has
//! returned, and works on its operations until then; so whoever frees what they name calls
//! [`DataRing::close`] first. It counts what is under way, takes all of it back, and says whether
//! nothing is left. If it is not so, the memory is leaked instead of freed.
//!
//! Queueing never waits for the kernel: what the submission queue has no room for goes to a backlog,
//! which holds no more than the shard's connections have operations.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::buffer_ring::BufferRing;
use super::completion::{Completion, IoCounters};
use super::operation::{Operation, OperationKind};

mod asked;
#[cfg(test)]
mod tests;

/// The ring and the file descriptor to enter it by.
pub(crate) struct DataRing {
    ring: IoUring,
    /// The ring once more, for buffers that may go after it.
    own_fd: Rc<OwnedFd>,
    enter_fd: RawFd,
    enter_flags: u32,
    counters: IoCounters,
    /// What found no room in the submission queue, in order.
    backlog: VecDeque<squeue::Entry>,
    /// Operations queued or with the kernel whose last completion has not been reaped.
    under_way: usize,
    /// What operations of the ring itself name.
    words: Box<Words>,
    listens: bool,
    /// The last `enter` found no work, and the kernel's flag of work is up all the same.
    flag_is_stale: bool,
}

/// Memory of the ring's own operations, at a fixed place until the ring is closed.
#[derive(Default)]
struct Words {
    /// Where the doorbell's count is read to.
    bell_count: [u8; 8],
    /// When the ring wakes the shard. The kernel copies it when it takes the entry, which may be
    /// later than the call that queued it.
    wake_after: types::Timespec,
}

/// How long [`DataRing::close`] waits for operations that were cancelled. All of them are on sockets,
/// eventfds and timers, which the kernel lets go of within the calls that cancel them.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

// From the kernel's interface (linux/io_uring.h); the crate keeps them private.
const ENTER_GETEVENTS: u32 = 1;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: libc::c_uint = 20;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RegisterUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// Completions that a ring of the kernel can have at most (IORING_MAX_CQ_ENTRIES).
const COMPLETIONS_MAX: u32 = 65_536;

/// The kernel's ring under a data ring of `entries` submissions, with four times as many
/// completions, as far as the kernel has them: one multishot operation can complete many times in a
/// turn. The checks before a start make the same one.
pub(crate) fn make_ring(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        // An entry that the kernel refuses completes with its error and holds up no other.
        .setup_submit_all()
        .setup_cqsize(entries.saturating_mul(4).min(COMPLETIONS_MAX))
        .build(entries)
}

impl DataRing {
    pub(crate) fn new(entries: u32) -> io::Result<Self> {
        let ring = make_ring(entries)?;
        // SAFETY: the ring is open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
        let own_fd = Rc::new(borrowed.try_clone_to_owned()?);
        let mut made = Self {
            own_fd,
            enter_fd: ring.as_raw_fd(),
            enter_flags: 0,
            ring,
            counters: IoCounters::default(),
            backlog: VecDeque::new(),
            under_way: 0,
            words: Box::default(),
            listens: false,
            flag_is_stale: false,
        };
        made.register_own_fd();
        Ok(made)
    }

    /// A registered descriptor saves a look-up in each `enter`. Without it (the per-thread table is
    /// full) the ring works all the same.
    fn register_own_fd(&mut self) {
        let fd = self.ring.as_raw_fd();
        let mut update = RegisterUpdate {
            offset: u32::MAX,
            reserved: 0,
            data: u64::from(fd.unsigned_abs()),
        };
        // SAFETY: `update` is the structure this registration reads and writes, alive for the call.
        let registered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                fd,
                REGISTER_RING_FDS,
                &raw mut update,
                1,
            )
        };
        if let (1, Ok(index)) = (registered, RawFd::try_from(update.offset)) {
            self.enter_fd = index;
            self.enter_flags = ENTER_REGISTERED_RING;
        }
    }

    /// Whether entering the kernel, or reaping, would find something. No system call.
    ///
    /// The kernel raises its flag of work after it has queued the work, so that an `enter` in between
    /// does the work and leaves a flag that nothing is behind, until there is work again. A flag that
    /// outlived an `enter` is therefore no news: [`wait`](Self::wait) looks at the work itself.
    pub(crate) fn has_news(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.has_task_work() && !self.flag_is_stale
    }

    /// For who spins on [`has_news`](Self::has_news): a stale flag hides what comes, so ask the kernel.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        if self.flag_is_stale {
            self.enter()?;
        }
        Ok(())
    }

    /// Whether the kernel has work that waits for this thread to enter: that of a ready socket, or
    /// completions that the queue had no room for. No system call.
    pub(crate) fn has_task_work(&mut self) -> bool {
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Operations queued and not yet given to the kernel.
    pub(crate) fn queued(&mut self) -> usize {
        self.ring.submission().len() + self.backlog.len()
    }

    pub(crate) fn counters(&self) -> IoCounters {
        self.counters
    }

    /// A ring of `count` receive buffers (a power of two, at most 32,768) for receives of `group`.
    pub(super) fn buffer_ring(&self, group: u16, count: u16) -> io::Result<BufferRing> {
        BufferRing::new(
            &self.ring.submitter(),
            Rc::clone(&self.own_fd),
            group,
            count,
        )
    }

    /// A ring at `doorbell` completes an operation here from now on, once.
    pub(crate) fn listen_to(&mut self, doorbell: BorrowedFd<'_>) -> io::Result<()> {
        if self.listens {
            return Ok(());
        }
        self.listens = true;
        let fd = types::Fd(doorbell.as_raw_fd());
        let entry = opcode::Read::new(fd, self.words.bell_count.as_mut_ptr(), 8).build();
        // The bell's count stays until it is read: a ring before the kernel has the entry counts.
        self.push(entry, Operation::new(OperationKind::Doorbell, 0, 0))
    }

    /// The doorbell's operation has completed.
    pub(crate) fn heard_bell(&mut self) {
        self.listens = false;
    }

    /// Gives what is queued to the kernel and lets it do the work that waits for this thread.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        self.enter_for(0)
    }

    /// Sleeps in the kernel until there is a completion, or a signal comes.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        self.enter_for(1)
    }

    fn enter_for(&mut self, completions_min: u32) -> io::Result<()> {
        self.refill();
        // What the kernel does not have cannot complete: as it does itself when it leaves entries in
        // the queue, no wait over a backlog.
        let completions_min = completions_min * u32::from(self.backlog.is_empty());
        let queued = u32::try_from(self.ring.submission().len()).unwrap_or(u32::MAX);
        self.counters.calls += 1;
        // SAFETY: an enter without arguments; the entries queued keep to this module's safety rule.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                queued,
                completions_min,
                ENTER_GETEVENTS | self.enter_flags,
                std::ptr::null::<libc::c_void>(),
                0,
            )
        };
        self.flag_is_stale = self.has_task_work() && self.ring.completion().is_empty();
        if outcome >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Completions have to be reaped first, or a signal came: the next turn enters again.
            Some(libc::EBUSY | libc::EAGAIN | libc::EINTR) => Ok(()),
            _ => Err(error),
        }
    }

    /// Takes every completion that is there into `into`.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        for entry in self.ring.completion() {
            self.counters.completions += 1;
            self.under_way -= usize::from(!cqueue::more(entry.flags()));
            let Some(operation) = Operation::from_user_data(entry.user_data()) else {
                continue;
            };
            let flags = entry.flags();
            into.push(Completion {
                operation,
                result: entry.result(),
                buffer: cqueue::buffer_select(flags),
                more: cqueue::more(flags),
            });
        }
    }

    /// Queues an operation. If there is no room even after the kernel was offered what is queued
    /// (it refuses while completions have to be reaped, or for want of memory), the backlog keeps it
    /// for a later `enter`: to try until there is room could go on for ever.
    fn push(&mut self, entry: squeue::Entry, operation: Operation) -> io::Result<()> {
        let entry = entry.user_data(operation.to_user_data());
        self.under_way += 1;
        if self.backlog.is_empty() {
            // SAFETY: by this module's rule the memory the entry names outlives the operation.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.enter()?;
        }
        self.backlog.push_back(entry);
        self.refill();
        Ok(())
    }

    /// From the backlog into the submission queue, as far as there is room.
    fn refill(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: as in `push`.
            if unsafe { submission.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Takes back every operation, on the thread that made the ring. True if none is under way any
    /// more: the kernel will touch nothing that one of them named.
    pub(crate) fn close(&mut self) -> bool {
        self.under_way -= self.backlog.len();
        self.backlog.clear();
        let deadline = Instant::now() + CLOSE_PATIENCE;
        let mut reaped = Vec::new();
        while self.under_way > 0 && Instant::now() < deadline {
            // Submits what is queued: only what the kernel has can be cancelled.
            if self.enter().is_err() {
                return false;
            }
            let all = types::CancelBuilder::any().all();
            // It fails if there is nothing to cancel; what is under way is counted, not believed.
            drop(self.ring.submitter().register_sync_cancel(None, all));
            if self.enter().is_err() {
                return false;
            }
            self.reap(&mut reaped);
            reaped.drain(..).for_each(Completion::discard);
        }
        self.under_way == 0
    }
}

impl Drop for DataRing {
    fn drop(&mut self) {
        if !self.close() {
            std::mem::forget(std::mem::take(&mut self.words));
        }
    }
}

impl std::fmt::Debug for DataRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DataRing")
            .field("counters", &self.counters)
            .field("under_way", &self.under_way)
            .finish_non_exhaustive()
    }
}
