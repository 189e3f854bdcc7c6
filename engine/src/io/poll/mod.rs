//! The backend for where io_uring is forbidden: `epoll` says which sockets are ready, and the
//! operations that wait for them are done here, one system call each.
//!
//! Owned by one data shard. It behaves as a data ring does (`backend.rs` has the rules); what the
//! kernel does there in an `enter`, this does in its own: every operation that is queued is tried, and
//! those that would wait are tried again when their socket is ready. A socket is watched only while an
//! operation waits on it, so nobody has to say that a descriptor is about to be closed.
//!
//! Fairness: in one `enter` a socket gets at most [`RECEIVES_PER_ENTER`] buffers, all sockets their
//! first one before any its second, and those first that were served longest ago.

mod asked;
mod buffers;
mod epoll;
mod link;
mod tried;

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

use super::completion::{Completion, IoCounters};
use super::operation::{Operation, OperationKind};

#[cfg(test)]
mod tests;

pub(super) use buffers::PolledBuffers;
use epoll::{Epoll, Timer};
use link::Link;

/// Buffers that one socket can fill in one `enter`.
const RECEIVES_PER_ENTER: usize = 4;

/// How often a shard asks for news for one look at the kernel: the looks take a small part of a spin,
/// and news waits for less than a microsecond.
const ASKED_PER_LOOK: u32 = 16;

/// What an event is for: a connection's index, or one of these.
const TIMER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const LISTENER: u64 = u64::MAX - 2;

/// How a read went on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    /// There is, for now, no more to read.
    Dry,
    /// It filled a buffer: there may be more.
    On,
    /// There was no buffer to read into.
    Unserved,
}

/// See the module's text.
pub(crate) struct PollSet {
    epoll: Epoll,
    timer: Timer,
    bell: Option<RawFd>,
    listener: Option<(RawFd, Operation)>,
    is_listener_watched: bool,
    /// By the index of the connection.
    links: Vec<Link>,
    /// The provided buffers, by group.
    groups: Vec<Rc<RefCell<PolledBuffers>>>,
    /// What has operations to try in the next `enter`, whether its socket is ready or not.
    queue: Vec<u64>,
    /// What is tried in this `enter`; kept for its memory.
    trying: Vec<u64>,
    completions: Vec<Completion>,
    /// Counts questions for news.
    asked: u32,
    /// Counts `enter`s.
    entered: u64,
    /// Counts buffers filled.
    filled: u64,
    counters: IoCounters,
}

impl PollSet {
    pub(crate) fn new() -> io::Result<Self> {
        let (epoll, timer) = (Epoll::new()?, Timer::new()?);
        epoll.watch(timer.fd(), TIMER, 0, libc::EPOLLIN.cast_unsigned())?;
        Ok(Self {
            epoll,
            timer,
            bell: None,
            listener: None,
            is_listener_watched: false,
            links: Vec::new(),
            groups: Vec::new(),
            queue: Vec::new(),
            trying: Vec::new(),
            completions: Vec::new(),
            asked: 0,
            entered: 0,
            filled: 0,
            counters: IoCounters::default(),
        })
    }

    /// The buffers that receives of the next group fill: groups are numbered in the order of this.
    pub(super) fn add_group(&mut self, count: u16) -> Rc<RefCell<PolledBuffers>> {
        let group = Rc::new(RefCell::new(PolledBuffers::new(count)));
        self.groups.push(Rc::clone(&group));
        group
    }

    /// Asks the kernel now and then only: a spinning shard asks this again and again, and `wait` finds
    /// what was not looked for.
    pub(crate) fn has_news(&mut self) -> bool {
        if !self.completions.is_empty() || !self.queue.is_empty() || self.epoll.has_ready() {
            return true;
        }
        self.asked = self.asked.wrapping_add(1);
        self.asked.is_multiple_of(ASKED_PER_LOOK) && self.has_task_work()
    }

    /// A look that fails finds nothing; the wait after it fails too, and says so.
    pub(crate) fn has_task_work(&mut self) -> bool {
        self.epoll.has_ready() || (self.look(false).is_ok() && self.epoll.has_ready())
    }

    pub(crate) fn queued(&mut self) -> usize {
        self.queue.len()
    }

    pub(crate) fn counters(&self) -> IoCounters {
        self.counters
    }

    /// The doorbell is watched from the first time on; each ring completes once.
    pub(crate) fn listen_to(&mut self, doorbell: BorrowedFd<'_>) -> io::Result<()> {
        if self.bell.is_none() {
            let fd = doorbell.as_raw_fd();
            self.watch(fd, BELL, 0, libc::EPOLLIN.cast_unsigned())?;
            self.bell = Some(fd);
        }
        Ok(())
    }

    /// The doorbell stays watched.
    pub(crate) fn heard_bell(&mut self) {}

    fn look(&mut self, wait: bool) -> io::Result<()> {
        self.counters.calls += 1;
        self.epoll.look(wait)
    }

    fn watch(&mut self, fd: RawFd, token: u64, before: u32, after: u32) -> io::Result<()> {
        self.counters.calls += 1;
        self.epoll.watch(fd, token, before, after)
    }

    pub(crate) fn wait(&mut self) -> io::Result<()> {
        let nothing = self.completions.is_empty() && self.queue.is_empty();
        if nothing && !self.epoll.has_ready() {
            self.look(true)?;
        }
        self.enter()
    }

    /// Tries what is queued, and what the last look found ready.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        self.entered += 1;
        let mut trying = std::mem::take(&mut self.trying);
        trying.extend(self.epoll.take_ready());
        let mut ready = trying.len();
        trying.append(&mut self.queue);
        trying.retain(|&token| {
            let is_ready = ready > 0;
            ready = ready.saturating_sub(1);
            match token {
                TIMER => self.timer_is_ready(),
                BELL => self.bell_is_ready(),
                LISTENER => self.listener_is_ready(),
                _ => self.write_first(token, is_ready),
            }
        });
        // Who was served longest ago is the first, if there are fewer buffers than sockets.
        trying.sort_by_key(|&token| self.links[place(token)].served);
        trying.retain(|&token| self.read_first(token));
        // Who is left has filled a buffer. Who finds none now has had its share.
        for _ in 1..RECEIVES_PER_ENTER {
            trying.retain(|&token| self.read(token) == Went::On);
        }
        trying.clear();
        self.trying = trying;
        Ok(())
    }

    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        self.counters.completions += self.completions.len() as u64;
        into.append(&mut self.completions);
    }

    fn complete(&mut self, operation: Operation, result: i32, buffer: Option<u16>, more: bool) {
        self.completions.push(Completion {
            operation,
            result,
            buffer,
            more,
        });
    }

    fn timer_is_ready(&mut self) -> bool {
        self.counters.calls += 1;
        epoll::take_count(self.timer.fd());
        let timeout = Operation::new(OperationKind::Timeout, 0, 0);
        self.complete(timeout, -libc::ETIME, None, false);
        false
    }

    fn bell_is_ready(&mut self) -> bool {
        if let Some(bell) = self.bell {
            self.counters.calls += 1;
            epoll::take_count(bell);
            let rung = Operation::new(OperationKind::Doorbell, 0, 0);
            self.complete(rung, 8, None, false);
        }
        false
    }
}

/// The place of a token's connection.
fn place(token: u64) -> usize {
    usize::try_from(token).unwrap_or(usize::MAX)
}

impl std::fmt::Debug for PollSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PollSet")
            .field("links", &self.links.len())
            .field("queued", &self.queue.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
