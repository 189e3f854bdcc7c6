//! One connection that passes through the proxy: its two sockets, its two directions, and its end.
//!
//! Made by proxy.rs; pipe.rs moves its bytes. It starts no thread and counts nothing.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::line::Line;

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who dialled the proxy to the target.
    ToTarget = 0,
    /// The way back.
    FromTarget = 1,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::ToTarget, Self::FromTarget];
}

/// The two sockets of a connection that passes through the proxy.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    client: TcpStream,
    target: TcpStream,
    pub(crate) lines: [Line; 2],
    over: AtomicBool,
    /// One of its directions has ended.
    half_ended: AtomicBool,
}

impl Connection {
    pub(crate) fn new(number: u64, client: TcpStream, target: TcpStream) -> Self {
        // Pieces are as large as they are; nothing is gained by waiting.
        drop((client.set_nodelay(true), target.set_nodelay(true)));
        Self {
            number,
            client,
            target,
            lines: Default::default(),
            over: AtomicBool::new(false),
            half_ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn sockets(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToTarget => (&self.client, &self.target),
            Direction::FromTarget => (&self.target, &self.client),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Ends both directions now; what is on its way is lost. Whoever waits out a stall has to be woken besides.
    /// Says whether it had not ended before.
    pub(crate) fn end(&self) -> bool {
        let is_first = !self.over.swap(true, Ordering::AcqRel);
        self.lines.iter().for_each(Line::over);
        for socket in [&self.client, &self.target] {
            // It fails where the other end was faster.
            drop(socket.shutdown(Shutdown::Both));
        }
        is_first
    }

    /// One direction has ended; says whether both have.
    pub(crate) fn is_second_end(&self) -> bool {
        self.half_ended.swap(true, Ordering::AcqRel)
    }
}
