//! Sockets: the shared listening port, the dialling socket, and what a channel asks of its lanes.

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// What a channel's parameters ask of the socket of each of its lanes. `None` leaves the kernel's
/// default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketOptions {
    pub(crate) priority: Option<u8>,
    pub(crate) dscp: Option<u8>,
    pub(crate) notsent_lowat_bytes: Option<u32>,
    pub(crate) send_buffer_bytes: Option<u32>,
    pub(crate) receive_buffer_bytes: Option<u32>,
}

/// Connections the kernel completes before the shard has taken them; beyond, it drops the SYN and
/// the peer tries again. The kernel's own ceiling (somaxconn) is 4096 since Linux 5.4.
const BACKLOG: i32 = 1024;

/// A further listening socket; several shards listen on the same port (SO_REUSEPORT), and the kernel
/// spreads connections over them.
pub(crate) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream_socket(address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(OwnedFd::from(socket))
}

/// How long a port may stay taken by who has left it, or is about to.
const PORT_PATIENCE: Duration = Duration::from_secs(1);
const PORT_LOOK_EVERY: Duration = Duration::from_millis(10);

/// The first listening socket of a node, and its address. Waits a moment for a port that is taken: the kernel takes the
/// rings of a killed process apart after it has reported its end, and until then its listening sockets live on, so a
/// supervisor that starts it again at once would find its own port taken; and a socket that was closed lives on in a
/// child that any thread of this process is just starting, until that executes its program.
pub(crate) fn listen_first(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let deadline = Instant::now() + PORT_PATIENCE;
    loop {
        let claimed = claim(address);
        let taken = claimed.as_ref().err();
        let is_taken = taken.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        if !is_taken || Instant::now() >= deadline {
            return claimed;
        }
        std::thread::sleep(PORT_LOOK_EVERY);
    }
}

/// SO_REUSEPORT would let two nodes of one user share a port in silence, so this socket is bound without it, and lets
/// the node's other shards in afterwards. It listens from here on: a port that is only bound can be taken by others.
fn claim(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = stream_socket(address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_reuse_port(true)?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket();
    let bound = bound
        .ok_or_else(|| io::Error::other("the listening address is not an internet address"))?;
    Ok((OwnedFd::from(socket), bound))
}

/// A socket to dial `address` with. The kernel may give it the very port of a node that is to start
/// later on this host: with SO_REUSEADDR on both, that node can listen there nevertheless.
pub(crate) fn dialing_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream_socket(address)?;
    socket.set_reuse_address(true)?;
    Ok(OwnedFd::from(socket))
}

/// Whether a connected socket is connected to itself, as happens when a dial to a port of the range
/// that dials come from is given that port.
pub(crate) fn is_its_own_peer(socket: &OwnedFd) -> bool {
    let socket = SockRef::from(socket);
    let ends = (socket.local_addr(), socket.peer_addr());
    matches!(ends, (Ok(own), Ok(peer)) if own.as_socket() == peer.as_socket())
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // From the first byte on, and for what a listening socket accepts: the last message of a session's handshake and the Hello go
    // out one after the other, and the kernel would hold the second back until the first is acknowledged, 40 ms.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

impl SocketOptions {
    /// What is to be set on a socket on which `before` was: what is left to the kernel now is what the kernel
    /// gives new sockets. The sizes of its buffers stay: setting them once has turned the kernel's tuning off.
    pub(crate) fn changed_from(&self, before: &Self) -> Self {
        fn change<T: Copy + PartialEq>(now: Option<T>, before: Option<T>, none: T) -> Option<T> {
            (now != before).then_some(now.unwrap_or(none))
        }
        let mut changed = Self {
            dscp: change(self.dscp, before.dscp, 0),
            priority: change(self.priority, before.priority, 0),
            notsent_lowat_bytes: change(
                self.notsent_lowat_bytes,
                before.notsent_lowat_bytes,
                u32::MAX,
            ),
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
        };
        if changed.dscp.is_some() && changed.priority.is_none() {
            // Which setting the type of service resets.
            changed.priority = self.priority;
        }
        changed
    }
}

/// Sets what the channel asks for. Called once the lane's channel is known. Neither keep-alive nor
/// TCP_USER_TIMEOUT: they tell a dead host, not a dead process, and the latter ends the connection of
/// a reader that is only slow, because it counts a closed window. `delivery::Liveness` is for that.
pub(crate) fn apply(socket: &OwnedFd, options: &SocketOptions) -> io::Result<()> {
    let reference = SockRef::from(socket);
    // The type of service goes first: on Linux, setting it also resets the socket's priority.
    if let Some(dscp) = options.dscp {
        set_type_of_service(socket, u32::from(dscp) << 2)?;
    }
    if let Some(priority) = options.priority {
        reference.set_priority(u32::from(priority))?;
    }
    if let Some(bytes) = options.notsent_lowat_bytes {
        reference.set_tcp_notsent_lowat(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        reference.set_send_buffer_size(bytes as usize)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        reference.set_recv_buffer_size(bytes as usize)?;
    }
    Ok(())
}

fn set_type_of_service(socket: &OwnedFd, service: u32) -> io::Result<()> {
    let reference = SockRef::from(socket);
    match reference.domain()? {
        Domain::IPV6 => reference.set_tclass_v6(service),
        _ => reference.set_tos_v4(service),
    }
}

/// The address at the other end.
pub(crate) fn peer_address(socket: &OwnedFd) -> Option<SocketAddr> {
    SockRef::from(socket).peer_addr().ok()?.as_socket()
}

/// What the kernel knows of the other end of a connection, without a byte being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The kernel has given the connection up: it was reset, or nobody answered.
    Aborted,
    /// The other end has closed its side; what it sent before can still be read.
    Closed,
    /// The other host owes no answer: it has acknowledged all that was sent to it.
    Answered,
    /// The other host has not acknowledged everything; it was heard last so long ago.
    Unanswered { heard_ago: Duration },
}

/// The largest packet in which the kernel sends bytes of this connection now, without headers; 0 where it does not say.
pub(crate) fn packet_bytes(socket: &OwnedFd) -> usize {
    let bytes = SockRef::from(socket).tcp_mss().unwrap_or(0);
    usize::try_from(bytes).unwrap_or(0)
}

/// See [`Standing`]. A connection of which the kernel says nothing has been given up.
pub(crate) fn standing(socket: &OwnedFd) -> Standing {
    /// The kernel's names and numbers of the states that matter (net/tcp_states.h).
    const TCP_CLOSE: u8 = 7;
    const TCP_CLOSE_WAIT: u8 = 8;
    // SAFETY: plain numbers, for all of which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: at most `length` bytes are written to `info`, which is as large.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    match info.tcpi_state {
        _ if got != 0 => Standing::Aborted,
        TCP_CLOSE => Standing::Aborted,
        TCP_CLOSE_WAIT => Standing::Closed,
        // Segments under way, or a probe of a closed window that nobody has answered yet.
        _ if info.tcpi_unacked > 0 || info.tcpi_probes > 0 => Standing::Unanswered {
            heard_ago: Duration::from_millis(u64::from(info.tcpi_last_ack_recv)),
        },
        _ => Standing::Answered,
    }
}

/// Why the kernel gave a connection up, if it has not told yet: as an errno, 0 for none.
pub(crate) fn pending_error(socket: &OwnedFd) -> i32 {
    let error = SockRef::from(socket).take_error().ok().flatten();
    error.and_then(|error| error.raw_os_error()).unwrap_or(0)
}

/// Sends a handshake message: at most a few KiB into an empty socket buffer, so it goes whole or the
/// connection is of no use.
pub(crate) fn send_now(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let reference = SockRef::from(socket);
    let sent = reference.send_with_flags(bytes, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::WriteZero))
    }
}

/// Ends both directions at once; operations under way on the socket complete.
pub(crate) fn shut_down(socket: &OwnedFd) {
    // A socket that is not connected any more has nothing to shut down.
    drop(SockRef::from(socket).shutdown(std::net::Shutdown::Both));
}

/// A socket the kernel handed over in an accept completion.
pub(crate) fn accepted(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process and told nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The raw descriptor for the backend.
pub(crate) fn raw(socket: &OwnedFd) -> RawFd {
    ManuallyDrop::new(socket).as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a session's handshake and the Hello are two sends: the kernel must not hold the second back.
    #[test]
    fn what_is_said_goes_out_at_once_on_either_end_of_a_connection() {
        let (listening, address) =
            listen_first("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let dialing = Socket::from(dialing_socket(address).expect("a socket"));
        dialing.set_nonblocking(false).expect("a socket");
        dialing
            .connect(&SockAddr::from(address))
            .expect("it listens");
        let listening = Socket::from(listening);
        listening.set_nonblocking(false).expect("a socket");
        let (accepted, _) = listening.accept().expect("it came");
        for end in [dialing, accepted] {
            assert!(end.tcp_nodelay().expect("a socket"));
        }
    }
}
