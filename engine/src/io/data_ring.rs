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

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::operation::{Operation, OperationKind};

/// One finished (or, for a multishot, continuing) operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) operation: Operation,
    /// Bytes, a file descriptor, or a negated errno.
    pub(crate) result: i32,
    /// The provided buffer the kernel chose.
    pub(crate) buffer: Option<u16>,
    /// A multishot operation goes on.
    pub(crate) more: bool,
}

/// Counters of one ring, since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingCounters {
    /// `io_uring_enter` calls.
    pub(crate) enters: u64,
    /// Completions reaped.
    pub(crate) completions: u64,
}

/// The ring and the file descriptor to enter it by.
pub(crate) struct DataRing {
    ring: IoUring,
    enter_fd: RawFd,
    enter_flags: u32,
    counters: RingCounters,
    /// Where the doorbell's count is read to; after `ring`, which lets go of it first.
    bell_count: Box<[u8; 8]>,
    listens: bool,
}

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

impl DataRing {
    /// A ring of `entries` submissions and four times as many completions: one multishot operation
    /// can complete many times in a turn.
    pub(crate) fn new(entries: u32) -> io::Result<Self> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(entries * 4)
            .build(entries)?;
        let mut made = Self {
            enter_fd: ring.as_raw_fd(),
            enter_flags: 0,
            ring,
            counters: RingCounters::default(),
            bell_count: Box::new([0; 8]),
            listens: false,
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
    pub(crate) fn has_news(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.has_task_work()
    }

    /// Whether the kernel has work that waits for this thread to enter: that of a ready socket, or
    /// completions that the queue had no room for. No system call.
    pub(crate) fn has_task_work(&mut self) -> bool {
        let submission = self.ring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Operations queued and not yet given to the kernel.
    pub(crate) fn queued(&mut self) -> usize {
        self.ring.submission().len()
    }

    pub(crate) fn counters(&self) -> RingCounters {
        self.counters
    }

    pub(crate) fn registered_by(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// A ring at `doorbell` completes an operation here from now on, once.
    pub(crate) fn listen_to(&mut self, doorbell: BorrowedFd<'_>) -> io::Result<()> {
        if self.listens {
            return Ok(());
        }
        self.listens = true;
        let fd = types::Fd(doorbell.as_raw_fd());
        let entry = opcode::Read::new(fd, self.bell_count.as_mut_ptr(), 8).build();
        self.push(entry, Operation::new(OperationKind::Doorbell, 0, 0))?;
        // Given to the kernel before the caller announces that it sleeps.
        self.enter()
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
        let queued = u32::try_from(self.queued()).unwrap_or(u32::MAX);
        self.counters.enters += 1;
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

    fn push(&mut self, entry: squeue::Entry, operation: Operation) -> io::Result<()> {
        let entry = entry.user_data(operation.to_user_data());
        loop {
            // SAFETY: by this module's rule the memory the entry names outlives the operation.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.enter()?;
        }
    }

    pub(crate) fn accept(
        &mut self,
        listener: BorrowedFd<'_>,
        operation: Operation,
    ) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
            .build();
        self.push(entry, operation)
    }

    /// `address` stays at its place until the operation completes.
    pub(crate) fn connect(
        &mut self,
        socket: RawFd,
        address: &socket2::SockAddr,
        operation: Operation,
    ) -> io::Result<()> {
        let pointer = address.as_ptr().cast();
        self.push(
            opcode::Connect::new(types::Fd(socket), pointer, address.len()).build(),
            operation,
        )
    }

    /// `buffer` stays at its place until the operation completes.
    pub(crate) fn receive_once(
        &mut self,
        socket: RawFd,
        buffer: &mut [u8],
        operation: Operation,
    ) -> io::Result<()> {
        let bytes = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        self.push(
            opcode::Recv::new(types::Fd(socket), buffer.as_mut_ptr(), bytes).build(),
            operation,
        )
    }

    pub(crate) fn receive(
        &mut self,
        socket: RawFd,
        group: u16,
        operation: Operation,
    ) -> io::Result<()> {
        self.push(
            opcode::RecvMulti::new(types::Fd(socket), group).build(),
            operation,
        )
    }

    /// One contiguous batch. MSG_WAITALL lets the kernel finish a short send by itself.
    /// `bytes` stay at their place, unchanged, until the operation completes.
    pub(crate) fn send(
        &mut self,
        socket: RawFd,
        bytes: &[u8],
        operation: Operation,
    ) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(types::Fd(socket), bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        self.push(entry, operation)
    }

    /// A batch of several pieces; `header`, its vectors and the bytes they name stay at their place,
    /// unchanged, until the operation completes.
    pub(crate) fn send_vectored(
        &mut self,
        socket: RawFd,
        header: &libc::msghdr,
        operation: Operation,
    ) -> io::Result<()> {
        let flags = u32::try_from(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).unwrap_or(0);
        self.push(
            opcode::SendMsg::new(types::Fd(socket), header)
                .flags(flags)
                .build(),
            operation,
        )
    }

    /// Cancels one operation; its completion comes with ECANCELED, or as it was about to.
    pub(crate) fn cancel(&mut self, operation: Operation) -> io::Result<()> {
        let cancel = Operation::new(OperationKind::Cancel, operation.index, operation.generation);
        self.push(
            opcode::AsyncCancel::new(operation.to_user_data()).build(),
            cancel,
        )
    }

    /// Wakes the ring after `after`, at the latest.
    pub(crate) fn wake_after(&mut self, after: Duration) -> io::Result<()> {
        let timespec = types::Timespec::from(after);
        let operation = Operation::new(OperationKind::Timeout, 0, 0);
        self.push(opcode::Timeout::new(&raw const timespec).build(), operation)?;
        // The kernel copies the time when it takes the entry: enter while `timespec` is alive.
        self.enter()
    }
}

impl std::fmt::Debug for DataRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DataRing")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
