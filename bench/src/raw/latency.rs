//! There and back: one frame to a peer that sends it back, over blocking and over spinning sockets.
//!
//! `blocking` sleeps in the kernel for each frame: the limit of a parked shard. `busy` asks again and
//! again without sleeping: the limit of a spinning one. Called by raw/process.rs on pinned threads.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::frame;
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::payloads::{Payloads, Place};

/// A stream that waits for bytes by sleeping, or by asking again and again.
///
/// Which of the two is a property of the socket: blocking or not.
#[derive(Debug)]
pub(crate) struct Exchange {
    stream: TcpStream,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Exchange {
    /// An exchange of frames with `payload_bytes`.
    pub(crate) fn over(stream: TcpStream, busy: bool, payload_bytes: usize) -> Outcome<Self> {
        stream
            .set_nodelay(true)
            .map_err(BenchError::system("setting TCP_NODELAY"))?;
        stream
            .set_nonblocking(busy)
            .map_err(BenchError::system("making a socket spin"))?;
        let frame_bytes = frame::HEADER_BYTES + payload_bytes;
        let sent = Vec::with_capacity(frame_bytes);
        Ok(Self {
            stream,
            sent,
            received: vec![0; frame_bytes],
        })
    }

    /// Encodes `payload` and writes the frame.
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.sent.clear();
        frame::encode(&mut self.sent, payload);
        self.write_out()
    }

    /// Encodes the payload that was received last and writes the frame.
    fn send_back(&mut self) -> Outcome<()> {
        self.sent.clear();
        frame::encode(&mut self.sent, &self.received[frame::HEADER_BYTES..]);
        self.write_out()
    }

    fn write_out(&mut self) -> Outcome<()> {
        let mut rest = self.sent.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if may_go_on(error.kind()) => std::hint::spin_loop(),
                Err(error) => return Err(BenchError::system("writing a raw frame")(error)),
            }
        }
        Ok(())
    }

    /// Reads one whole frame and decodes it; false when the other side closed.
    fn receive(&mut self) -> Outcome<bool> {
        let mut filled = 0;
        while filled < self.received.len() {
            match self.stream.read(&mut self.received[filled..]) {
                Ok(0) => return Ok(false),
                Ok(count) => filled += count,
                Err(error) if may_go_on(error.kind()) => std::hint::spin_loop(),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(BenchError::system("reading a raw frame")(error)),
            }
        }
        let mut bytes = self.received.as_slice();
        Ok(frame::decode(&mut bytes)?.is_some())
    }
}

fn may_go_on(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Sends back each frame until the other side closes.
pub(crate) fn echo(mut exchange: Exchange) -> Outcome<()> {
    while exchange.receive()? {
        exchange.send_back()?;
    }
    Ok(())
}

/// Plays ping-pong for `warm_up_ns`, then `measure_ns`; what is recorded are whole round trips.
pub(crate) fn ping(
    mut exchange: Exchange,
    payloads: &Payloads,
    warm_up_ns: u64,
    measure_ns: u64,
) -> Outcome<Latencies> {
    let mut latencies = Latencies::default();
    let mut place = Place::default();
    let begin = clock::now_ns() + warm_up_ns;
    let end = begin + measure_ns;
    loop {
        let sent_at = clock::now_ns();
        exchange.send(payloads.at(place))?;
        if !exchange.receive()? {
            return Err(BenchError::Engine(
                "the raw echo closed its connection".into(),
            ));
        }
        place.advance(1);
        let received_at = clock::now_ns();
        if sent_at >= begin {
            latencies.record(received_at - sent_at);
        }
        if received_at >= end {
            return Ok(latencies);
        }
    }
}
