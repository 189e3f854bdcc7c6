//! Asking name servers, over sockets that wait, in pieces short enough to be stopped.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::Rtype;

use super::message::{DnsName, Records, Reply, UDP_BYTES, question, reply};
use super::servers::Servers;
use super::{ANSWER_BYTES_MAX, Answer, Resolver};
use crate::found::Failure;
use crate::stop::Stop;

/// How long a socket waits before it is looked whether to stop.
const PIECE: Duration = Duration::from_millis(200);

impl Resolver {
    /// Asks one server after the other, each some times, and the first again by TCP if its answer does not fit. A
    /// name that is not there has no records.
    pub(super) fn ask(
        &mut self,
        servers: &Servers,
        name: &DnsName,
        kind: Rtype,
        stop: &Stop,
    ) -> Result<Records, Failure> {
        let mut failure = String::new();
        for server in (0..servers.tries).flat_map(|_| &servers.addresses) {
            if stop.is_stopped() {
                break;
            }
            match self.ask_one(*server, servers.patience, name, kind, stop) {
                Ok(Reply::Records(records)) => return Ok(records),
                Ok(Reply::NoName) => return Ok(nothing(kind)),
                Ok(Reply::Truncated) => {
                    failure = format!("{server} cut its answer off, by TCP too");
                }
                Ok(Reply::Refused(word)) => failure = format!("{server} answered {word}"),
                Err(error) => failure = format!("{server}: {error}"),
            }
        }
        Err(Failure::new(format!(
            "no name server said what {name} stands for: {failure}"
        )))
    }

    fn ask_one(
        &mut self,
        server: SocketAddr,
        patience: Duration,
        name: &DnsName,
        kind: Rtype,
        stop: &Stop,
    ) -> io::Result<Reply> {
        let deadline = Instant::now() + patience;
        let id = self.random.u16(..);
        let too_long = || io::Error::new(ErrorKind::InvalidInput, "the name is too long");
        let bytes = question(id, name, kind).ok_or_else(too_long)?;
        let read = |bytes: &[u8]| reply(bytes, id, name, kind);
        match by_udp(server, &bytes, deadline, stop, read)? {
            Reply::Truncated => by_tcp(server, &bytes, Instant::now() + patience, stop, read),
            reply => Ok(reply),
        }
    }
}

fn nothing(kind: Rtype) -> Records {
    match kind {
        Rtype::SRV => Records::Services(Answer::default()),
        _ => Records::Addresses(Answer::default()),
    }
}

/// Sends the question from a port of its own, and waits for what answers it; anything else is passed over.
fn by_udp(
    server: SocketAddr,
    question: &[u8],
    deadline: Instant,
    stop: &Stop,
    read: impl Fn(&[u8]) -> Option<Reply>,
) -> io::Result<Reply> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    // From here on the kernel drops what others send.
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = vec![0; usize::from(UDP_BYTES) * 4];
    while !stop.is_stopped() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left.min(PIECE)))?;
        match socket.recv(&mut buffer) {
            Ok(bytes) => {
                if let Some(reply) = read(&buffer[..bytes]) {
                    return Ok(reply);
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "it did not answer"))
}

/// The whole exchange takes no longer than until `deadline`, however slowly the server speaks.
fn by_tcp(
    server: SocketAddr,
    question: &[u8],
    deadline: Instant,
    stop: &Stop,
    read: impl Fn(&[u8]) -> Option<Reply>,
) -> io::Result<Reply> {
    let left = deadline.saturating_duration_since(Instant::now());
    // No time at all would be refused as an argument.
    let left = left.max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&server, left)?;
    stream.set_write_timeout(Some(left))?;
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    fill(&mut stream, &mut length, deadline, stop)?;
    // Two bytes of length bound it to ANSWER_BYTES_MAX.
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length)).min(ANSWER_BYTES_MAX)];
    fill(&mut stream, &mut bytes, deadline, stop)?;
    let no_answer = || io::Error::new(ErrorKind::InvalidData, "it sent no answer to the question");
    read(&bytes).ok_or_else(no_answer)
}

/// Fills `buffer`, until then and unless it is to stop.
fn fill(
    stream: &mut TcpStream,
    mut buffer: &mut [u8],
    deadline: Instant,
    stop: &Stop,
) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || stop.is_stopped() {
            let why = "its answer by TCP did not come to its end";
            return Err(io::Error::new(ErrorKind::TimedOut, why));
        }
        stream.set_read_timeout(Some(left.min(PIECE)))?;
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => buffer = &mut buffer[bytes..],
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
