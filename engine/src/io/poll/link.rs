//! One connection as `poll` sees it: what is to be done on its socket, and the calls that try it.
//!
//! At most one operation reads and one writes at a time, which is what a shard does. Nothing here
//! waits: a call that would is tried again when the socket is ready.

use std::io;
use std::os::fd::RawFd;

use super::super::operation::Operation;

/// What an operation that reads is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    /// Once, into that memory.
    Once { buffer: *mut u8, bytes: usize },
    /// Once, into the pieces that a header names.
    Landing { header: *mut libc::msghdr },
    /// Into the provided buffers of that group, again and again.
    Provided { group: u16 },
    /// Once, into a provided buffer of that group.
    ProvidedOnce { group: u16, bytes_max: usize },
}

/// What an operation that writes is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    Connect {
        address: *const libc::sockaddr,
        bytes: libc::socklen_t,
    },
    Send {
        buffer: *const u8,
        bytes: usize,
    },
    SendVectored {
        header: *const libc::msghdr,
    },
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) socket: RawFd,
    pub(super) reader: Option<(Operation, Read)>,
    pub(super) writer: Option<(Operation, Write)>,
    /// What the socket is watched for.
    pub(super) watched: u32,
    /// The `enter` in which it had its turn last.
    pub(super) seen: u64,
    /// When it filled a provided buffer last: the number of that buffer in the order of all.
    pub(super) served: u64,
}

impl Link {
    /// What the socket is to be watched for while its operations wait.
    pub(super) fn wanted(&self) -> u32 {
        let reads = self.reader.is_some().then_some(libc::EPOLLIN);
        let writes = self.writer.is_some().then_some(libc::EPOLLOUT);
        (reads.unwrap_or(0) | writes.unwrap_or(0)).cast_unsigned()
    }
}

/// Receives into `buffer` what there is. `None` if there is nothing yet, otherwise bytes or a negated
/// errno.
pub(super) fn receive(socket: RawFd, buffer: *mut u8, bytes: usize) -> Option<i32> {
    // SAFETY: by the rule of `backend.rs` the memory is the operation's until it has completed.
    unless_waiting(result(|| unsafe {
        libc::recv(socket, buffer.cast(), bytes, libc::MSG_DONTWAIT)
    }))
}

/// Receives into the pieces that `header` names; as `receive` otherwise.
pub(super) fn land(socket: RawFd, header: *mut libc::msghdr) -> Option<i32> {
    // SAFETY: as for `receive`.
    unless_waiting(result(|| unsafe {
        libc::recvmsg(socket, header, libc::MSG_DONTWAIT)
    }))
}

/// Tries what a writing operation is for. `None` if it has to wait.
pub(super) fn write(socket: RawFd, what: Write) -> Option<i32> {
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    match what {
        Write::Send { buffer, bytes } => {
            // SAFETY: as for `receive`.
            unless_waiting(result(|| unsafe {
                libc::send(socket, buffer.cast(), bytes, FLAGS)
            }))
        }
        Write::SendVectored { header } => {
            // SAFETY: as for `receive`.
            unless_waiting(result(|| unsafe { libc::sendmsg(socket, header, FLAGS) }))
        }
        Write::Connect { address, bytes } => {
            // SAFETY: as for `receive`. Asked again, the kernel says how the connecting has ended.
            match -result(|| unsafe { libc::connect(socket, address, bytes) as isize }) {
                libc::EINPROGRESS | libc::EALREADY => None,
                0 | libc::EISCONN => Some(0),
                error => Some(-error),
            }
        }
    }
}

/// Takes a connection that waits at `listener`.
pub(super) fn accept(listener: RawFd) -> Option<i32> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let no_address = std::ptr::null_mut();
    // SAFETY: the peer's address is not asked for.
    unless_waiting(result(|| unsafe {
        libc::accept4(listener, no_address, std::ptr::null_mut(), flags) as isize
    }))
}

/// What a call came to, or a negated errno. A signal in between does not count.
fn result(call: impl Fn() -> isize) -> i32 {
    loop {
        let value = call();
        if value >= 0 {
            return i32::try_from(value).unwrap_or(i32::MAX);
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            error => return -error.unwrap_or(libc::EIO),
        }
    }
}

fn unless_waiting(result: i32) -> Option<i32> {
    (result != -libc::EAGAIN).then_some(result)
}
