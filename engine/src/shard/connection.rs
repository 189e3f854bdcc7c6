//! The connections of a shard: sockets, what each is at, and the memory the kernel works on.
//!
//! A connection is freed only when none of its operations is under way: its handshake buffer and its
//! batch are named in them. Slots are reused; the generation tells a late completion from a new one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::landing::Landing;
use super::message_header::MessageHeader;
use super::outbox::{Batch, ChunkPool, Load};
use super::segments::Segments;
use super::strangers::Strangers;
use crate::io::operation::{Operation, OperationKind};
use crate::io::receive_buffers::Filled;
use crate::io::socket;
use crate::session::Session;
use crate::wire::{Acceptor, CloseReason, Dialer};

/// What a connection is at.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Connecting on behalf of a lane. The address is named in the operation.
    Connecting {
        lane: u32,
        address: Box<socket2::SockAddr>,
    },
    /// The session's handshake is under way; the Hello waits for its end.
    Securing { lane: u32, buffer: Box<[u8]> },
    /// Hello sent, waiting for the answer.
    Greeting {
        lane: u32,
        dialer: Dialer,
        buffer: Box<[u8]>,
    },
    /// Accepted, waiting for the Hello.
    Greeted {
        acceptor: Acceptor,
        buffer: Box<[u8]>,
    },
    /// Carries a lane.
    Lane { lane: u32 },
}

/// What a connection brought.
#[derive(Debug)]
pub(super) enum Inflow {
    /// Bytes from `at` on, in a buffer of that class.
    Filled {
        class: usize,
        filled: Filled,
        at: usize,
    },
    /// Plain bytes from `at` on: a session has opened them.
    Opened { plain: Vec<u8>, at: usize },
    /// Bytes in the connection's landing.
    Landed { bytes: usize },
    /// It has ended.
    End(CloseReason),
}

impl Phase {
    /// Whether this node dials on it, and has no lane yet.
    fn is_dial(&self) -> bool {
        matches!(
            self,
            Self::Connecting { .. } | Self::Securing { .. } | Self::Greeting { .. }
        )
    }
}

/// One socket and what is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) generation: u32,
    /// What it is at, or was at when it was closed: operations may still work on its memory.
    pub(crate) phase: Phase,
    /// Shut down, or its socket handed over; freed with its last operation.
    pub(crate) closing: bool,
    pub(crate) address: Option<SocketAddr>,
    /// What protects it; `None` where it is plain.
    pub(super) session: Option<Box<Session>>,
    /// When it must have become a lane, while it has not.
    pub(super) handshake_by: Option<Instant>,
    /// The batch being sent, when `sending`.
    pub(crate) batch: Batch,
    /// The message header of a scattered send: the kernel reads it until the send completes.
    pub(crate) send_header: Box<MessageHeader>,
    pub(crate) sending: bool,
    /// In what pieces the kernel sends its bytes.
    segments: Segments,
    /// The receive under way: into provided buffers, or into `landing`.
    pub(crate) receiving: Option<OperationKind>,
    /// It counts among those that receive into the buffers of its class.
    pub(super) shares_buffers: bool,
    /// The class of buffers that its last receive was armed with.
    pub(super) class: Option<usize>,
    /// Where a large payload lands; there while the peer sends large ones.
    pub(super) landing: Option<Box<Landing>>,
    /// Received and not read yet, in order.
    pub(super) input: VecDeque<Inflow>,
    /// Other operations under way: a connect, a handshake receive.
    pub(crate) others: u32,
    /// The receive is to be armed again when buffers are there (and the lane is not blocked).
    pub(crate) starving: bool,
}

impl Connection {
    fn new(socket: OwnedFd, generation: u32, phase: Phase, address: Option<SocketAddr>) -> Self {
        Self {
            socket: Some(socket),
            generation,
            phase,
            closing: false,
            address,
            session: None,
            handshake_by: None,
            batch: Batch::default(),
            send_header: Box::default(),
            sending: false,
            segments: Segments::new(),
            receiving: None,
            shares_buffers: false,
            class: None,
            landing: None,
            input: VecDeque::new(),
            others: 0,
            starving: false,
        }
    }

    /// How much of what is left of the batch goes out in one operation. While more waits, it is whole segments: the rest goes
    /// with that. Not where a session has made records of it, which go out whole.
    pub(super) fn send_bytes_max(&mut self, more_waits: bool) -> usize {
        let remaining = self.batch.remaining();
        match &self.socket {
            Some(socket) if more_waits && self.session.is_none() => {
                self.segments.whole(socket, remaining)
            }
            _ => remaining,
        }
    }

    /// Leaves the rest of the batch to the next one, if it is less than a segment ([`Batch::carry`]).
    pub(super) fn carry_rest(&mut self, pool: &mut ChunkPool) -> Option<Load> {
        let is_part = self.segments.is_part(self.batch.remaining());
        is_part.then(|| self.batch.carry(pool))?
    }

    /// The lane it carries.
    pub(crate) fn lane(&self) -> Option<u32> {
        match self.phase {
            Phase::Lane { lane } if !self.closing => Some(lane),
            _ => None,
        }
    }

    /// Whether it is to receive into its landing: not where a session has to open the bytes first.
    pub(super) fn lands(&self) -> bool {
        self.session.is_none() && self.landing.as_ref().is_some_and(|landing| landing.lands())
    }

    fn is_quiet(&self) -> bool {
        !self.sending && self.receiving.is_none() && self.others == 0
    }
}

/// All connections of a shard.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Connection>>,
    generations: Vec<u32>,
    free: VecDeque<u32>,
    count: usize,
    strangers: Strangers,
    /// Dials under way.
    dials: usize,
}

impl Connections {
    /// Connections there are, closing ones included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Accepted connections that have not said Hello yet.
    pub(super) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// Connections that this node dials and that are no lanes yet.
    pub(super) fn dials(&self) -> usize {
        self.dials
    }

    pub(crate) fn insert(
        &mut self,
        socket: OwnedFd,
        phase: Phase,
        address: Option<SocketAddr>,
    ) -> u32 {
        let index = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.count += 1;
        self.dials += usize::from(phase.is_dial());
        if matches!(phase, Phase::Greeted { .. }) {
            self.strangers
                .add(index, address.map(|address| address.ip()));
        }
        let generation = self.generations[place(index)];
        self.slots[place(index)] = Some(Connection::new(socket, generation, phase, address));
        index
    }

    pub(crate) fn get(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots.get_mut(place(index))?.as_mut()
    }

    /// The connection an operation was for, if it is still that one.
    pub(crate) fn of(&mut self, operation: Operation) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(place(operation.index))?.as_mut()?;
        (connection.generation == operation.generation).then_some(connection)
    }

    /// An operation of that kind for this connection.
    pub(crate) fn operation(&self, kind: OperationKind, index: u32) -> Operation {
        Operation::new(
            kind,
            index,
            self.generations.get(place(index)).copied().unwrap_or(0),
        )
    }

    /// A connection goes on to its next phase. Nothing is under way on the last one.
    pub(crate) fn set_phase(&mut self, index: u32, phase: Phase) {
        if let Some(connection) = self.slots.get_mut(place(index)).and_then(Option::as_mut) {
            self.strangers.remove(index);
            self.dials += usize::from(phase.is_dial());
            self.dials -= usize::from(connection.phase.is_dial());
            connection.phase = phase;
        }
    }

    /// Marks a connection as closing; false if it was already, or is gone.
    pub(crate) fn set_closing(&mut self, index: u32) -> bool {
        let Some(connection) = self.slots.get_mut(place(index)).and_then(Option::as_mut) else {
            return false;
        };
        let was_open = !std::mem::replace(&mut connection.closing, true);
        self.dials -= usize::from(was_open && connection.phase.is_dial());
        self.strangers.remove(index);
        was_open
    }

    /// Frees a closing connection if nothing is under way on it any more.
    pub(crate) fn free_if_quiet(&mut self, index: u32) -> Option<Connection> {
        let slot = self.slots.get_mut(place(index))?;
        let done = slot
            .as_ref()
            .is_some_and(|connection| connection.is_quiet() && connection.closing);
        if !done {
            return None;
        }
        self.count -= 1;
        // 24 bits travel with an operation.
        let generation = &mut self.generations[place(index)];
        *generation = (*generation + 1) & 0x00FF_FFFF;
        self.free.push_back(index);
        slot.take()
    }

    /// The indexes of all connections.
    pub(crate) fn indexes(&self) -> Vec<u32> {
        let taken = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.is_some());
        taken
            .filter_map(|(index, _)| u32::try_from(index).ok())
            .collect()
    }

    /// Ends all connections, and leaves their memory to the kernel, which did not let go of it.
    pub(crate) fn abandon(&mut self) {
        for mut connection in self.slots.drain(..).flatten() {
            if let Some(descriptor) = connection.socket.take() {
                socket::shut_down(&descriptor);
            }
            std::mem::forget(connection);
        }
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
