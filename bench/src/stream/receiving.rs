//! The receiving end, both ways: what comes is read, hashed where the order asks for it, and let go.
//!
//! Called by process.rs. A socket is read into one buffer, a stream gives its chunks without a copy.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use overlane::{Node, Streams};

use super::content::Hashing;
use super::protocol::{Order, Reply, Way};
use crate::error::{BenchError, Outcome};

/// Where streams are accepted.
pub(super) const MAILBOX: &str = "streams";
/// What a raw receiver says once it has read all of it.
pub(super) const WHOLE: [u8; 1] = *b"w";

/// A stream that was ordered is there within this.
const ACCEPT_WITHIN: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Receiving {
    listener: TcpListener,
    /// The one connection of the run, once it is taken.
    raw: Option<TcpStream>,
    buffer: Vec<u8>,
    streams: Streams,
}

impl Receiving {
    pub(super) fn start(node: &Node, chunk_bytes: usize) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let streams = node.streams(MAILBOX);
        Ok(Self {
            listener: listener.map_err(BenchError::system("listening for a raw connection"))?,
            raw: None,
            buffer: vec![0; chunk_bytes],
            streams: streams.map_err(|error| BenchError::Engine(error.to_string()))?,
        })
    }

    /// Where it takes a raw connection.
    pub(super) fn address(&self) -> Outcome<SocketAddr> {
        let address = self.listener.local_addr();
        address.map_err(BenchError::system("asking where this process listens"))
    }

    pub(super) fn receive(&mut self, order: &Order) -> Outcome<Reply> {
        let mut hashing = Hashing::of(order);
        let bytes = match order.way {
            Way::Raw => {
                let Self {
                    listener,
                    raw,
                    buffer,
                    ..
                } = self;
                let connection = match raw {
                    Some(connection) => connection,
                    none => none.insert(taken(listener)?),
                };
                receive_raw(connection, buffer, order.bytes, &mut hashing)?
            }
            Way::Stream => receive_stream(&mut self.streams, &mut hashing)?,
        };
        Ok(Reply::Received {
            bytes,
            hash: hashing.end(),
        })
    }
}

fn taken(listener: &TcpListener) -> Outcome<TcpStream> {
    let connection = listener.accept().and_then(|(connection, _)| {
        connection.set_nodelay(true)?;
        Ok(connection)
    });
    connection.map_err(BenchError::system("accepting the raw connection"))
}

/// Reads `bytes`, or less where the other side closes before, and says so.
fn receive_raw(
    connection: &mut (impl Read + Write),
    buffer: &mut [u8],
    bytes: u64,
    hashing: &mut Hashing,
) -> Outcome<u64> {
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let read = connection.read(&mut buffer[..most]);
        let count = read.map_err(BenchError::system("reading from the raw connection"))?;
        if count == 0 {
            return Ok(bytes - left);
        }
        hashing.take(&buffer[..count]);
        left -= count as u64;
    }
    let said = connection.write_all(&WHOLE);
    said.map_err(BenchError::system("answering the raw sender"))?;
    Ok(bytes)
}

/// Reads one stream to its end, which the engine tells once its checksum is right.
fn receive_stream(streams: &mut Streams, hashing: &mut Hashing) -> Outcome<u64> {
    let engine = |error: &dyn std::error::Error| BenchError::Engine(error.to_string());
    let accepted = streams.accept_timeout(ACCEPT_WITHIN);
    let mut reader = accepted.map_err(|error| engine(&error))?;
    let mut bytes = 0;
    while let Some(chunk) = reader
        .read_chunk_blocking()
        .map_err(|error| engine(&error))?
    {
        hashing.take(&chunk);
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const ORDER: Order = Order {
        way: Way::Raw,
        bytes: 10_000,
        hashed: true,
    };

    /// What comes of it when `sent` is sent and the connection closed.
    fn received(sent: &[u8]) -> (u64, Option<String>, Vec<u8>) {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.write_all(sent).unwrap();
        near.shutdown(std::net::Shutdown::Write).unwrap();
        let mut hashing = Hashing::of(&ORDER);
        let bytes = receive_raw(&mut far, &mut [0; 512], ORDER.bytes, &mut hashing).unwrap();
        drop(far);
        let mut said = Vec::new();
        near.read_to_end(&mut said).unwrap();
        (bytes, hashing.end(), said)
    }

    #[test]
    fn what_was_read_is_what_was_hashed() {
        let sent = vec![7; 10_000];
        let hash = blake3::hash(&sent).to_hex().to_string();
        assert_eq!(received(&sent), (10_000, Some(hash), WHOLE.to_vec()));
    }

    #[test]
    fn a_changed_byte_is_another_hash() {
        let mut sent = vec![7; 10_000];
        let (_, before, _) = received(&sent);
        sent[9_999] ^= 1;
        let (bytes, after, _) = received(&sent);
        assert_eq!((bytes, before == after), (10_000, false));
    }

    #[test]
    fn what_breaks_off_is_told_as_short_and_not_as_whole() {
        let (bytes, _, said) = received(&[7; 9_000]);
        assert_eq!((bytes, said), (9_000, Vec::new()));
    }
}
