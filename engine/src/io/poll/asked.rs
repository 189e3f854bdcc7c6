//! What a shard asks of `poll`: operations, which are noted here and tried in the next `enter`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::link::{Link, Read, Write};
use super::{LISTENER, PollSet};
use crate::io::completion::Completion;
use crate::io::operation::{Operation, SocketCall};

impl PollSet {
    pub(crate) fn accept(
        &mut self,
        listener: BorrowedFd<'_>,
        operation: Operation,
    ) -> io::Result<()> {
        self.listener = Some((listener.as_raw_fd(), operation));
        self.queue.push(LISTENER);
        Ok(())
    }

    pub(crate) fn queue(
        &mut self,
        socket: RawFd,
        call: SocketCall<'_>,
        operation: Operation,
    ) -> io::Result<()> {
        match call {
            SocketCall::Connect { address } => {
                let (bytes, address) = (address.len(), address.as_ptr().cast());
                self.queue_write(socket, operation, Write::Connect { address, bytes });
            }
            SocketCall::ReceiveOnce { buffer } => {
                let (bytes, buffer) = (buffer.len(), buffer.as_mut_ptr());
                self.queue_read(socket, operation, Read::Once { buffer, bytes });
            }
            SocketCall::Receive { group } => {
                self.queue_read(socket, operation, Read::Provided { group });
            }
            SocketCall::ReceiveSome { group, bytes_max } => {
                self.queue_read(socket, operation, Read::ProvidedOnce { group, bytes_max });
            }
            SocketCall::Land { header } => {
                self.queue_read(socket, operation, Read::Landing { header });
            }
            SocketCall::Send { bytes } => {
                let (buffer, bytes) = (bytes.as_ptr(), bytes.len());
                self.queue_write(socket, operation, Write::Send { buffer, bytes });
            }
            SocketCall::SendVectored { header } => {
                self.queue_write(socket, operation, Write::SendVectored { header });
            }
        }
        // As a data ring's, which can fail.
        Ok(())
    }

    pub(crate) fn wake_after(&mut self, after: Duration) -> io::Result<()> {
        self.counters.calls += 1;
        self.timer.set(after)
    }

    pub(crate) fn cancel(&mut self, operation: Operation) -> io::Result<()> {
        if let Some((listener, _)) = self.listener.take_if(|(_, of)| *of == operation) {
            self.unwatch_listener(listener)?;
            self.complete(operation, -libc::ECANCELED, None, false);
            return Ok(());
        }
        let index = operation.index as usize;
        let Some(link) = self.links.get_mut(index) else {
            return Ok(());
        };
        let read = link.reader.take_if(|(of, _)| *of == operation).is_some();
        let write = link.writer.take_if(|(of, _)| *of == operation).is_some();
        if read || write {
            self.complete(operation, -libc::ECANCELED, None, false);
            self.rewatch(index);
        }
        Ok(())
    }

    /// It does its operations within its own calls: nothing works on anybody's memory now.
    pub(crate) fn close(&mut self) -> bool {
        self.queue.clear();
        self.links.clear();
        self.completions.drain(..).for_each(Completion::discard);
        true
    }

    fn queue_read(&mut self, socket: RawFd, operation: Operation, what: Read) {
        let link = self.link_of(operation, socket);
        debug_assert!(link.reader.is_none(), "one operation reads at a time");
        link.reader = Some((operation, what));
    }

    fn queue_write(&mut self, socket: RawFd, operation: Operation, what: Write) {
        let link = self.link_of(operation, socket);
        debug_assert!(link.writer.is_none(), "one operation writes at a time");
        link.writer = Some((operation, what));
    }

    /// The link that a new operation is for; it gets its turn in the next `enter`.
    fn link_of(&mut self, operation: Operation, socket: RawFd) -> &mut Link {
        self.queue.push(u64::from(operation.index));
        let index = operation.index as usize;
        if self.links.len() <= index {
            self.links.resize_with(index + 1, Link::default);
        }
        let link = &mut self.links[index];
        // Without operations it is not watched, and may be another connection's by now.
        link.socket = socket;
        link
    }
}
