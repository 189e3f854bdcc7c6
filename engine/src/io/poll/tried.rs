//! What `poll` does in an `enter`: tries the operations of a listener or connection, one system call
//! each, and keeps the socket watched for those that have to wait.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::link::{self, Read};
use super::{LISTENER, PollSet, Went, place};
use crate::io::operation::Operation;

/// Connections taken from the listening socket in one `enter`.
const ACCEPTS_PER_ENTER: usize = 64;

impl PollSet {
    pub(super) fn listener_is_ready(&mut self) -> bool {
        for _ in 0..ACCEPTS_PER_ENTER {
            let Some((listener, operation)) = self.listener else {
                return false;
            };
            self.counters.calls += 1;
            match link::accept(listener) {
                Some(result) if result < 0 => {
                    self.listener = None;
                    // If even this fails, the next accept fails too, and says why.
                    drop(self.unwatch_listener(listener));
                    self.complete(operation, result, None, false);
                }
                Some(accepted) => self.complete(operation, accepted, None, true),
                None => break,
            }
        }
        self.watch_listener();
        false
    }

    fn watch_listener(&mut self) {
        let Some((listener, operation)) = self.listener else {
            return;
        };
        if self.is_listener_watched {
            return;
        }
        match self.watch(listener, LISTENER, 0, libc::EPOLLIN.cast_unsigned()) {
            Ok(()) => self.is_listener_watched = true,
            Err(error) => {
                self.listener = None;
                self.complete(operation, negated(&error), None, false);
            }
        }
    }

    pub(super) fn unwatch_listener(&mut self, listener: RawFd) -> io::Result<()> {
        if std::mem::take(&mut self.is_listener_watched) {
            self.watch(listener, LISTENER, libc::EPOLLIN.cast_unsigned(), 0)?;
        }
        Ok(())
    }

    /// A connection's turn begins with its write. True if it is to read as well: if its socket is
    /// ready, or is not watched, so that nobody knows.
    pub(super) fn write_first(&mut self, token: u64, is_ready: bool) -> bool {
        let Some(link) = self.links.get_mut(place(token)) else {
            return false;
        };
        // It can be ready and queued, or queued twice.
        if std::mem::replace(&mut link.seen, self.entered) == self.entered {
            return false;
        }
        let is_watched = link.watched & libc::EPOLLIN.cast_unsigned() != 0;
        let reads = link.reader.is_some() && (is_ready || !is_watched);
        self.write(place(token));
        reads
    }

    /// A connection's first read. True if there may be more.
    pub(super) fn read_first(&mut self, token: u64) -> bool {
        let went = self.read(token);
        let index = place(token);
        if let (Went::Unserved, Some((operation, _))) = (went, self.links[index].reader) {
            // As io_uring does: a socket that stayed watched would end every wait until there are
            // buffers again, and whoever has them may keep them for long.
            self.finish_read(index, operation, Some(-libc::ENOBUFS));
            self.rewatch(index);
        }
        went == Went::On
    }

    fn write(&mut self, index: usize) {
        let link = &mut self.links[index];
        let Some((operation, what)) = link.writer else {
            return;
        };
        self.counters.calls += 1;
        if let Some(result) = link::write(link.socket, what) {
            link.writer = None;
            self.complete(operation, result, None, false);
        }
        self.rewatch(index);
    }

    pub(super) fn read(&mut self, token: u64) -> Went {
        let index = place(token);
        let link = &self.links[index];
        let Some((operation, what)) = link.reader else {
            return Went::Dry;
        };
        let went = match what {
            Read::Once { buffer, bytes } => {
                self.counters.calls += 1;
                let result = link::receive(link.socket, buffer, bytes);
                self.finish_read(index, operation, result)
            }
            Read::Landing { header } => {
                self.counters.calls += 1;
                let result = link::land(link.socket, header);
                self.finish_read(index, operation, result)
            }
            Read::Provided { group } => self.fill(index, operation, group, usize::MAX, true),
            Read::ProvidedOnce { group, bytes_max } => {
                self.fill(index, operation, group, bytes_max, false)
            }
        };
        if went != Went::Unserved {
            self.rewatch(index);
        }
        went
    }

    /// Receives into the next provided buffer, after which the operation goes on if `more`.
    fn fill(
        &mut self,
        index: usize,
        operation: Operation,
        group: u16,
        bytes_max: usize,
        more: bool,
    ) -> Went {
        let Some(group) = self.groups.get(usize::from(group)).map(Rc::clone) else {
            return self.finish_read(index, operation, Some(-libc::EINVAL));
        };
        let mut group = group.borrow_mut();
        let Some((bid, mut memory)) = group.lend() else {
            return Went::Unserved;
        };
        self.counters.calls += 1;
        let (socket, room) = (self.links[index].socket, memory.len().min(bytes_max));
        match link::receive(socket, memory.as_mut_ptr(), room) {
            Some(bytes) if bytes > 0 => {
                group.keep(bid, memory);
                self.filled += 1;
                let link = &mut self.links[index];
                link.served = self.filled;
                link.reader = link.reader.filter(|_| more);
                self.complete(operation, bytes, Some(bid), more);
                // Less than there was room for: nothing was left.
                let is_full = usize::try_from(bytes) == Ok(room);
                if is_full { Went::On } else { Went::Dry }
            }
            result => {
                group.provide(bid, memory);
                self.finish_read(index, operation, result)
            }
        }
    }

    /// A read that ends with that result, unless there is none yet.
    fn finish_read(&mut self, index: usize, operation: Operation, result: Option<i32>) -> Went {
        if let Some(result) = result {
            self.links[index].reader = None;
            self.complete(operation, result, None, false);
        }
        Went::Dry
    }

    /// Its socket is watched for what its operations wait for.
    pub(super) fn rewatch(&mut self, index: usize) {
        let link = &mut self.links[index];
        let (socket, before, after) = (link.socket, link.watched, link.wanted());
        if before == after {
            return;
        }
        link.watched = after;
        if let Err(error) = self.watch(socket, index as u64, before, after) {
            self.fail(index, negated(&error));
        }
    }

    /// A socket cannot be watched: what waits on it ends with that error.
    fn fail(&mut self, index: usize, result: i32) {
        let link = &mut self.links[index];
        link.watched = 0;
        let (reader, writer) = (link.reader.take(), link.writer.take());
        let operations = [reader.map(|(of, _)| of), writer.map(|(of, _)| of)];
        for operation in operations.into_iter().flatten() {
            self.complete(operation, result, None, false);
        }
    }
}

fn negated(error: &io::Error) -> i32 {
    -error.raw_os_error().unwrap_or(libc::EIO)
}
