//! The one face that a shard does I/O through, and the two backends behind it.
//!
//! A shard queues operations, enters the kernel once or twice a turn, and reaps completions. `uring`
//! (`data_ring.rs`) hands the operations to the kernel; `poll` (`poll/`) waits until a socket is ready
//! and does them itself, where io_uring is forbidden. Both keep the same rules: memory that an
//! operation names stays at its place, unchanged, until the operation's last completion has been
//! reaped; each operation completes once, or, if it goes on (`more`), any number of times before its
//! last; a cancelled one completes with ECANCELED, or as it was about to.
//!
//! Used by `shard/` alone, on the thread that made it.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use super::completion::{Completion, IoCounters};
use super::data_ring::DataRing;
use super::operation::{Operation, SocketCall};
use super::poll::PollSet;

#[cfg(test)]
mod tests;

/// How the shards of a node do their I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// An io_uring instance for each shard.
    #[default]
    Uring,
    /// `epoll`, `recv` and `sendmsg`: what there is where io_uring is forbidden.
    Poll,
}

impl Backend {
    /// Its word in configuration, documentation and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Poll => "poll",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// A shard's backend. See the module's text.
#[derive(Debug)]
pub(crate) enum ShardIo {
    Uring(DataRing),
    Poll(PollSet),
}

/// The same call on whichever backend it is.
macro_rules! either {
    ($self:ident, $backend:ident => $call:expr) => {
        match $self {
            ShardIo::Uring($backend) => $call,
            ShardIo::Poll($backend) => $call,
        }
    };
}

impl ShardIo {
    /// `entries` is the size of a data ring's submission queue; `poll` has no use for it.
    pub(crate) fn new(backend: Backend, entries: u32) -> io::Result<Self> {
        match backend {
            Backend::Uring => DataRing::new(entries).map(Self::Uring),
            Backend::Poll => PollSet::new().map(Self::Poll),
        }
    }

    /// Whether entering the kernel, or reaping, would find something.
    #[inline]
    pub(crate) fn has_news(&mut self) -> bool {
        either!(self, backend => backend.has_news())
    }

    /// For who spins on [`has_news`](Self::has_news), now and then: sees what it may not have seen.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        match self {
            Self::Uring(ring) => ring.look(),
            // Its `has_news` asks the kernel by itself.
            Self::Poll(_) => Ok(()),
        }
    }

    /// Whether there is work that waits for this thread to enter. `uring` sees it in shared memory,
    /// `poll` asks the kernel.
    #[inline]
    pub(crate) fn has_task_work(&mut self) -> bool {
        either!(self, backend => backend.has_task_work())
    }

    /// Operations queued that an `enter` would give to the kernel.
    #[inline]
    pub(crate) fn queued(&mut self) -> usize {
        either!(self, backend => backend.queued())
    }

    pub(crate) fn counters(&self) -> IoCounters {
        either!(self, backend => backend.counters())
    }

    /// A ring at `doorbell` completes an operation here from now on, once.
    pub(crate) fn listen_to(&mut self, doorbell: BorrowedFd<'_>) -> io::Result<()> {
        either!(self, backend => backend.listen_to(doorbell))
    }

    /// The doorbell's operation has completed.
    pub(crate) fn heard_bell(&mut self) {
        either!(self, backend => backend.heard_bell());
    }

    /// Gives what is queued to the kernel and does the work that waits for this thread.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        either!(self, backend => backend.enter())
    }

    /// Sleeps in the kernel until there is a completion, or a signal comes.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        either!(self, backend => backend.wait())
    }

    /// Takes every completion that is there into `into`.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        either!(self, backend => backend.reap(into));
    }

    /// Accepts connections until cancelled or out of descriptors: each completes with its descriptor.
    pub(crate) fn accept(
        &mut self,
        listener: BorrowedFd<'_>,
        operation: Operation,
    ) -> io::Result<()> {
        either!(self, backend => backend.accept(listener, operation))
    }

    /// Queues an operation on a socket.
    pub(crate) fn queue(
        &mut self,
        socket: RawFd,
        call: SocketCall<'_>,
        operation: Operation,
    ) -> io::Result<()> {
        either!(self, backend => backend.queue(socket, call, operation))
    }

    /// Cancels one operation.
    pub(crate) fn cancel(&mut self, operation: Operation) -> io::Result<()> {
        either!(self, backend => backend.cancel(operation))
    }

    /// Completes an operation after `after`, at the latest.
    pub(crate) fn wake_after(&mut self, after: Duration) -> io::Result<()> {
        either!(self, backend => backend.wake_after(after))
    }

    /// Takes back every operation. True if nothing will touch what they named.
    pub(crate) fn close(&mut self) -> bool {
        either!(self, backend => backend.close())
    }
}
