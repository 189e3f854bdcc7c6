//! Clients that are slow, stuck, many, or speak something else: others are answered all the same.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use overlane::http::HEAD_BYTES_MAX;

use super::{address, config, exchange, get};
use crate::support::{self, ends};

#[test]
fn what_is_no_request_is_refused_and_the_node_goes_on() {
    let node = support::start(config("a"));
    let at = address(&node);
    let long = [b"GET /".as_slice(), &vec![b'a'; 2 * HEAD_BYTES_MAX]].concat();
    for (request, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00"[..], 400),
        (
            b"POST /api/status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            405,
        ),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /api/leave HTTP/1.1\r\n\r\n", 404),
    ] {
        assert_eq!(exchange(at, request).status, status, "{request:?}");
    }
    // Bytes that nobody read may end the connection before its answer is read.
    let mut stream = TcpStream::connect(at).expect("it listens");
    let _ = stream.write_all(&long);
    let _ = stream.read_to_end(&mut Vec::new());
    let head = exchange(at, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(get(at, "/healthz").status, 200);
}

#[test]
fn a_head_that_does_not_end_is_let_go_in_time() {
    let node = support::start(config("a"));
    let mut stream = TcpStream::connect(address(&node)).expect("it listens");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nX: ")
        .expect("it reads");
    let mut answer = String::new();
    stream
        .set_read_timeout(Some(support::GENEROUS))
        .expect("a socket");
    stream.read_to_string(&mut answer).expect("its end");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn hundreds_of_silent_connections_keep_nobody_out() {
    let node = support::start(config("a"));
    let at = address(&node);
    let crowd: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(at).expect("it listens"))
        .collect();
    let status = support::wait_until("it answers", || get_or_busy(at), |status| *status == 200);
    assert_eq!(status, 200);
    drop(crowd);
}

/// One that is displaced by others of the crowd sees its connection end.
fn get_or_busy(at: std::net::SocketAddr) -> u16 {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().unwrap_or_default();
    let status = answer.split(' ').nth(1);
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Whether the other end of a connection was accepted, and has read all that was said to it, as the kernel tells.
fn has_read(client: &TcpStream) -> bool {
    let port = |address: std::io::Result<std::net::SocketAddr>| {
        format!(":{:04X}", address.expect("it is connected").port())
    };
    let (theirs, ours) = (port(client.peer_addr()), port(client.local_addr()));
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("there is /proc");
    let mut lines = sockets
        .lines()
        .map(|line| line.split_whitespace().collect());
    let is_so = |words: Vec<&str>| {
        // Its place, address here and there, state, what is to be sent and read, ..., and its file once it was accepted.
        matches!(words[..], [_, here, there, _, queues, _, _, _, _, file, ..]
            if here.ends_with(&theirs)
                && there.ends_with(&ours)
                && queues.ends_with(":00000000")
                && file != "0")
    };
    lines.any(is_so)
}

#[test]
fn a_stop_does_not_wait_for_clients() {
    let node = support::start(config("a"));
    let silent = TcpStream::connect(address(&node)).expect("it listens");
    let mut half = TcpStream::connect(address(&node)).expect("it listens");
    half.write_all(b"GET /").expect("it reads");
    for client in [&silent, &half] {
        let has_read = || has_read(client);
        support::wait_until("the server waits for more", has_read, |has_read| *has_read);
    }
    let report = ends("the stop", move || node.stop(support::GENEROUS));
    assert!(report.drained);
    drop(silent);
    drop(half.shutdown(Shutdown::Both));
}
