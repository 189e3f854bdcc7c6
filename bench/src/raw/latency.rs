//! There and back: one frame to a peer that sends it back, over blocking and over spinning sockets.
//!
//! `blocking` sleeps in the kernel for each frame: the limit of a parked shard. `busy` asks again and
//! again without sleeping: the limit of a spinning one. Called by raw/process.rs.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use super::frame;
use crate::error::{BenchError, Outcome};
use crate::heartbeat::Heartbeat;
use crate::payloads::{Payloads, Place};
use crate::ping;

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

    /// Waits until there is something to read, at most `within`.
    fn is_readable(&self, within: Duration) -> Outcome<bool> {
        let mut wanted = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut wanted, Some(within.into()), None) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(BenchError::system("waiting for a raw frame")(errno.into())),
        }
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

/// The ping thread's hold on a connection.
#[derive(Debug)]
pub(crate) struct Pinger {
    exchange: Exchange,
    payloads: Payloads,
    place: Place,
}

impl Pinger {
    /// Sends `payloads` in turn over `exchange`.
    pub(crate) fn new(exchange: Exchange, payloads: Payloads) -> Self {
        let place = Place::default();
        Self {
            exchange,
            payloads,
            place,
        }
    }
}

impl ping::Exchange for Pinger {
    fn send(&mut self, _: Heartbeat) -> Outcome<()> {
        let sent = self.exchange.send(self.payloads.at(self.place));
        self.place.advance(1);
        sent
    }

    fn receive(&mut self, within: Option<Duration>) -> Outcome<bool> {
        if let Some(within) = within
            && !self.exchange.is_readable(within)?
        {
            return Ok(false);
        }
        if self.exchange.receive()? {
            return Ok(true);
        }
        Err(BenchError::Engine(
            "the raw echo closed its connection".into(),
        ))
    }
}
