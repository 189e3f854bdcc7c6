//! Which addresses a node can listen on, and which can be a peer's.
//!
//! Called when a value is read, and when an application names a peer. Asks the machine nothing:
//! whether an address is one of this host's is asked by `preflight`.

use std::net::{IpAddr, SocketAddr};

/// Checks an address to listen on; the error says what is wrong with it.
pub(super) fn check_listen(address: SocketAddr) -> Result<(), String> {
    check_host(address)
}

/// Checks the address of a peer.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check_peer_address(address: SocketAddr) -> Result<(), String> {
    if address.port() == 0 {
        return Err("port 0 stands for any free port, which no peer can be found at".to_string());
    }
    if address.ip().to_canonical().is_unspecified() {
        return Err(format!(
            "{} stands for all addresses of a host, and a peer has one",
            address.ip()
        ));
    }
    check_host(address)
}

/// An address of one host, on one of its interfaces.
fn check_host(address: SocketAddr) -> Result<(), String> {
    let ip = address.ip().to_canonical();
    if ip.is_multicast() {
        return Err(format!(
            "{ip} is a multicast address, and a lane has one host at each end"
        ));
    }
    match (ip, address) {
        (IpAddr::V4(ip), _) if ip.is_broadcast() => Err(format!(
            "{ip} is the broadcast address, and a lane has one host at each end"
        )),
        (IpAddr::V6(ip), SocketAddr::V6(whole))
            if ip.is_unicast_link_local() && whole.scope_id() == 0 =>
        {
            Err(format!(
                "{ip} is a link-local address, which needs the number of its interface, as in \
                 [{ip}%2]:{}",
                whole.port()
            ))
        }
        _ => Ok(()),
    }
}
