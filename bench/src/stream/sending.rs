//! The sending end, both ways: from the first write until the other application has read the last byte.
//!
//! Called by process.rs. Chunks are written as they are: a `write` of a slice, and a stream's `write_bytes`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use overlane::{Channel, Destination, Node};

use super::content::{Content, Hashing};
use super::protocol::{Addresses, CHANNEL, Order, RECEIVER, Reply, Way};
use super::receiving::{MAILBOX, WHOLE};
use crate::error::{BenchError, Outcome};

/// Lanes come up within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// What is open to the receiver during the whole run: a connection each way.
#[derive(Debug)]
pub(super) struct Sending {
    raw: TcpStream,
    channel: Channel,
    to: Destination,
    content: Content,
}

fn engine(error: impl std::error::Error) -> BenchError {
    BenchError::Engine(error.to_string())
}

impl Sending {
    pub(super) fn connect(node: &Node, to: &Addresses, chunk_bytes: usize) -> Outcome<Self> {
        node.connect(RECEIVER, to.node).map_err(engine)?;
        node.wait_connected(RECEIVER, CONNECT_WITHIN)
            .map_err(engine)?;
        let raw = TcpStream::connect(to.raw).and_then(|raw| {
            raw.set_nodelay(true)?;
            Ok(raw)
        });
        Ok(Self {
            raw: raw.map_err(BenchError::system("connecting to the raw receiver"))?,
            channel: node.channel(CHANNEL).map_err(engine)?,
            to: node.destination(RECEIVER, MAILBOX).map_err(engine)?,
            content: Content::in_chunks_of(chunk_bytes),
        })
    }

    pub(super) fn send(&mut self, order: &Order) -> Outcome<Reply> {
        let Self {
            raw,
            channel,
            to,
            content,
        } = self;
        let mut hashing = Hashing::of(order);
        let chunks = content.chunks(order.bytes);
        let chunks = chunks.inspect(|chunk| hashing.take(chunk));
        let began = Instant::now();
        match order.way {
            Way::Raw => send_raw(raw, chunks)?,
            Way::Stream => send_stream(channel, to, chunks)?,
        }
        Ok(Reply::Sent {
            took: began.elapsed(),
            hash: hashing.end(),
        })
    }
}

fn send_raw(
    connection: &mut (impl Read + Write),
    chunks: impl Iterator<Item = Bytes>,
) -> Outcome<()> {
    for chunk in chunks {
        let written = connection.write_all(&chunk);
        written.map_err(BenchError::system("writing to the raw connection"))?;
    }
    let mut said = [0];
    let read = connection.read_exact(&mut said);
    read.map_err(BenchError::system("waiting for the raw receiver"))?;
    if said == WHOLE {
        return Ok(());
    }
    Err(BenchError::Engine(
        "the raw receiver said something else than that all has come".to_owned(),
    ))
}

fn send_stream(
    channel: &Channel,
    to: &Destination,
    chunks: impl Iterator<Item = Bytes>,
) -> Outcome<()> {
    let mut writer = channel.open_stream(to).map_err(engine)?;
    for chunk in chunks {
        writer.write_bytes_blocking(chunk).map_err(engine)?;
    }
    writer.finish_blocking().map_err(engine)
}
