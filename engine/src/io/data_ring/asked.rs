//! What a shard asks of a data ring: operations, each one entry of the submission queue.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::{opcode, squeue, types};

use super::DataRing;
use crate::io::operation::{Operation, OperationKind, SocketCall};

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

    pub(crate) fn queue(
        &mut self,
        socket: RawFd,
        call: SocketCall<'_>,
        operation: Operation,
    ) -> io::Result<()> {
        self.push(entry(types::Fd(socket), call), operation)
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

/// One entry of the submission queue. MSG_WAITALL lets the kernel finish a short send by itself.
fn entry(socket: types::Fd, call: SocketCall<'_>) -> squeue::Entry {
    match call {
        SocketCall::Connect { address } => {
            opcode::Connect::new(socket, address.as_ptr().cast(), address.len()).build()
        }
        SocketCall::ReceiveOnce { buffer } => {
            opcode::Recv::new(socket, buffer.as_mut_ptr(), length(buffer.len())).build()
        }
        SocketCall::Receive { group } => opcode::RecvMulti::new(socket, group).build(),
        SocketCall::ReceiveSome { group, bytes_max } => {
            opcode::Recv::new(socket, std::ptr::null_mut(), length(bytes_max))
                .buf_group(group)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        }
        SocketCall::Land { header } => opcode::RecvMsg::new(socket, header).build(),
        SocketCall::Send { bytes } => {
            opcode::Send::new(socket, bytes.as_ptr(), length(bytes.len()))
                .flags(SEND_FLAGS)
                .build()
        }
        SocketCall::SendVectored { header } => opcode::SendMsg::new(socket, header)
            .flags(SEND_FLAGS.cast_unsigned())
            .build(),
    }
}

const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
