//! What dialling and accepting have in common: the buffer of a handshake, and its deadline.

use std::io;
use std::time::Duration;

use super::Core;
use super::connection::Phase;
use super::timers::Deadline;
use crate::io::operation::{OperationKind, SocketCall};
use crate::io::socket;
use crate::wire::CloseReason;
use crate::wire::layout::{HANDSHAKE_BODY_BYTES_MAX, PREFIX_BYTES};

/// A handshake message is at most this long; more than one never comes before the lane is up.
pub(super) const HANDSHAKE_BUFFER_BYTES: usize = PREFIX_BYTES + HANDSHAKE_BODY_BYTES_MAX;

impl Core {
    /// The deadline for the other end's part of the handshake.
    pub(super) fn await_handshake(&mut self, index: u32) -> io::Result<()> {
        let patience = Duration::from_millis(self.fabric.config.handshake_deadline_ms);
        self.set_handshake_deadline(index, patience);
        self.receive_handshake(index)
    }

    /// The connection has `patience` for what comes next; what it had before counts no more.
    pub(super) fn set_handshake_deadline(&mut self, index: u32, patience: Duration) {
        self.call_off_handshake_deadline(index);
        let at = self.now + patience;
        if let Some(connection) = self.connections.get(index) {
            connection.handshake_by = Some(at);
            let generation = connection.generation;
            self.timers.set(
                at,
                Deadline::Handshake {
                    connection: index,
                    generation,
                },
            );
        }
    }

    /// The connection is a lane by now, or ends.
    pub(super) fn call_off_handshake_deadline(&mut self, index: u32) {
        if let Some(connection) = self.connections.get(index)
            && let Some(at) = connection.handshake_by.take()
        {
            let generation = connection.generation;
            self.timers.take_back(
                at,
                Deadline::Handshake {
                    connection: index,
                    generation,
                },
            );
        }
    }

    pub(super) fn receive_handshake(&mut self, index: u32) -> io::Result<()> {
        let operation = self
            .connections
            .operation(OperationKind::ReceiveHandshake, index);
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        let Some(descriptor) = &connection.socket else {
            return Ok(());
        };
        let raw = socket::raw(descriptor);
        let (Phase::Securing { buffer, .. }
        | Phase::Greeting { buffer, .. }
        | Phase::Greeted { buffer, .. }) = &mut connection.phase
        else {
            return Ok(());
        };
        connection.others += 1;
        self.io
            .queue(raw, SocketCall::ReceiveOnce { buffer }, operation)
    }

    /// Bytes of a handshake have come.
    pub(crate) fn handshake_received(&mut self, index: u32, result: i32) -> io::Result<()> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        connection.others -= 1;
        if connection.closing {
            self.connections.free_if_quiet(index);
            return Ok(());
        }
        match connection.phase {
            Phase::Securing { lane, .. } => self.secured(index, lane, result),
            Phase::Greeting { lane, .. } => self.answered(index, lane, result),
            Phase::Greeted { .. } => self.greeted(index, result),
            Phase::Connecting { .. } | Phase::Lane { .. } => Ok(()),
        }
    }

    /// The deadline of a connection that is not a lane yet has passed.
    pub(crate) fn handshake_deadline(&mut self, index: u32, generation: u32) -> io::Result<()> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        if connection.generation != generation || connection.closing {
            return Ok(());
        }
        match connection.phase {
            Phase::Connecting { lane, .. } => self.give_up_dial(
                index,
                lane,
                CloseReason::ConnectTimeout,
                "nobody answered".to_owned(),
            ),
            Phase::Securing { lane, .. } => {
                let detail = "the peer did not go on with the session".to_owned();
                self.give_up_dial(index, lane, CloseReason::HandshakeTimeout, detail)
            }
            Phase::Greeting { lane, .. } => {
                let detail = "the peer did not answer the Hello".to_owned();
                self.give_up_dial(index, lane, CloseReason::HandshakeTimeout, detail)
            }
            Phase::Greeted { .. } => self.drop_stranger(
                index,
                CloseReason::HandshakeTimeout,
                "it did not say a whole Hello in time",
            ),
            Phase::Lane { .. } => Ok(()),
        }
    }
}
