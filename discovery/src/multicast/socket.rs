//! The sockets of beacons: one that sends, one that hears.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};

use super::packet::PACKET_BYTES_MAX;
use crate::found::Failure;

/// The network that beacons go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The group, or a broadcast address, and the port.
    pub group: SocketAddr,
    /// An interface by its name, or, for version 4, by its address. None: the one that the routes say.
    pub interface: Option<String>,
    /// Routers that a packet passes, plus one. Not for broadcasts, which pass none.
    pub ttl: u8,
    /// The group is a broadcast address.
    pub broadcast: bool,
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.group)?;
        match &self.interface {
            Some(interface) => write!(formatter, " on {interface}"),
            None => Ok(()),
        }
    }
}

/// A packet, and where it comes from.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    pub(super) from: SocketAddr,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Sockets {
    group: SockAddr,
    sender: Socket,
    listener: UdpSocket,
}

/// An interface, as the kernel is told of it.
enum Interface {
    Any,
    Named { name: String, index: u32 },
    At(Ipv4Addr),
}

impl Sockets {
    pub(super) fn open(network: &Network) -> Result<Self, Failure> {
        let interface = interface(network)?;
        let failed = |what: &str, error: io::Error| {
            Failure::new(format!("beacons for {network} cannot be {what}: {error}"))
        };
        let listener = listen(network, &interface).map_err(|error| failed("heard", error))?;
        let sender = send(network, &interface).map_err(|error| failed("sent", error))?;
        Ok(Self {
            group: network.group.into(),
            sender,
            listener: listener.into(),
        })
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.sender.send_to(bytes, &self.group).map(drop)
    }

    /// The next packet, if one comes within that time. One that is too long comes cut, a byte longer than any may be.
    pub(super) fn hear(&self, wait: Duration) -> io::Result<Option<Heard>> {
        // No time at all would be for ever.
        let wait = wait.max(Duration::from_millis(1));
        self.listener.set_read_timeout(Some(wait))?;
        let mut buffer = [0; PACKET_BYTES_MAX + 1];
        match self.listener.recv_from(&mut buffer) {
            Ok((length, from)) => Ok(Some(Heard {
                bytes: buffer[..length].to_vec(),
                from,
            })),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn listen(network: &Network, interface: &Interface) -> io::Result<Socket> {
    let socket = socket(network)?;
    // All nodes of a host hear the group.
    socket.set_reuse_address(true)?;
    if let Interface::Named { name, .. } = interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    let group = network.group;
    match group.ip() {
        IpAddr::V4(_) if network.broadcast => {
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, group.port())).into())?;
        }
        IpAddr::V4(ip) => {
            // To the group itself, so that no other packet for the port comes here; and on the interface where it is joined,
            // not on each where some program of this host has joined it.
            socket.bind(&group.into())?;
            socket.set_multicast_all_v4(false)?;
            let interface = match interface {
                Interface::Any => InterfaceIndexOrAddress::Index(0),
                Interface::Named { index, .. } => InterfaceIndexOrAddress::Index(*index),
                Interface::At(address) => InterfaceIndexOrAddress::Address(*address),
            };
            socket.join_multicast_v4_n(&ip, &interface)?;
        }
        IpAddr::V6(ip) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_all_v6(false)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, group.port())).into())?;
            socket.join_multicast_v6(&ip, index(interface))?;
        }
    }
    Ok(socket)
}

fn send(network: &Network, interface: &Interface) -> io::Result<Socket> {
    let socket = socket(network)?;
    if let Interface::Named { name, .. } = interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    match network.group.ip() {
        IpAddr::V4(_) if network.broadcast => socket.set_broadcast(true)?,
        IpAddr::V4(_) => {
            socket.set_multicast_loop_v4(true)?;
            socket.set_multicast_ttl_v4(network.ttl.into())?;
            if let Interface::At(address) = interface {
                socket.set_multicast_if_v4(address)?;
            }
        }
        IpAddr::V6(_) => {
            socket.set_multicast_loop_v6(true)?;
            socket.set_multicast_hops_v6(network.ttl.into())?;
            socket.set_multicast_if_v6(index(interface))?;
        }
    }
    Ok(socket)
}

fn socket(network: &Network) -> io::Result<Socket> {
    Socket::new(
        Domain::for_address(network.group),
        Type::DGRAM,
        Some(Protocol::UDP),
    )
}

const fn index(interface: &Interface) -> u32 {
    match interface {
        Interface::Named { index, .. } => *index,
        Interface::Any | Interface::At(_) => 0,
    }
}

fn interface(network: &Network) -> Result<Interface, Failure> {
    let Some(text) = &network.interface else {
        return Ok(Interface::Any);
    };
    if let Ok(address) = text.parse() {
        return Ok(Interface::At(address));
    }
    // Looked up each time: an interface that comes later is found then. The kernel is asked, as `/sys` may be that of another
    // network namespace.
    match if_nametoindex(text.as_str()) {
        Ok(index) => Ok(Interface::Named {
            name: text.clone(),
            index,
        }),
        Err(_) => Err(Failure::new(format!(
            "there is no network interface `{text}`; `ip link` lists them"
        ))),
    }
}
