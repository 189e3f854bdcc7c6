//! What a node shows over HTTP, on real sockets: what it tells, whom it tells, and clients that break its rules.

mod hostile;
mod metrics;
mod shown;
mod totals;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use overlane::Node;
use overlane::config::{ConfigBuilder, Http};

use crate::support;

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Any free port of this host.
pub(crate) fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

pub(crate) fn config(name: &str) -> ConfigBuilder {
    support::config(name).http(Http::At(anywhere()))
}

pub(crate) fn address(node: &Node) -> SocketAddr {
    node.http_addr().expect("it shows itself")
}

/// Sends those bytes and reads to the end.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Got {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(support::GENEROUS))
        .expect("a socket");
    stream.write_all(request).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Got {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> Got {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    exchange(address, request.as_bytes())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Got {
    get_with(address, path, "")
}
