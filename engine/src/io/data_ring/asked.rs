//! What a shard asks of a data ring: operations, each one entry of the submission queue.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::{opcode, squeue, types};

use super::DataRing;
use crate::io::operation::{Operation, OperationKind};

impl DataRing {
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

    /// One receive into one provided buffer: a connection that shares its buffers with others takes
    /// one in a turn.
    pub(crate) fn receive_some(
        &mut self,
        socket: RawFd,
        group: u16,
        bytes_max: usize,
        operation: Operation,
    ) -> io::Result<()> {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        let entry = opcode::Recv::new(types::Fd(socket), std::ptr::null_mut(), bytes_max)
            .buf_group(group)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        self.push(entry, operation)
    }

    /// One receive into the pieces that `header` names; they, the header and its vectors stay at their
    /// place until the operation completes.
    pub(crate) fn land(
        &mut self,
        socket: RawFd,
        header: &mut libc::msghdr,
        operation: Operation,
    ) -> io::Result<()> {
        self.push(
            opcode::RecvMsg::new(types::Fd(socket), header).build(),
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
        // An earlier one that the kernel has not taken yet comes at this time as well, which is before
        // its own: the shard asks for earlier deadlines only.
        self.words.wake_after = types::Timespec::from(after);
        let operation = Operation::new(OperationKind::Timeout, 0, 0);
        let entry = opcode::Timeout::new(&raw const self.words.wake_after).build();
        self.push(entry, operation)
    }
}
