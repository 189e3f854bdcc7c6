//! What a shard receives into, and what has come: which receives are armed, which wait for buffers or
//! for room in an inbox, and what the kernel filled in this turn.
//!
//! Called for completions of receives (`mod`), by the turn, and by `receive` when an inbox is full.
//! It arms and sorts; it never reads a byte of what came: `receive` does that.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::connection::Phase;
use super::lane::{LaneState, reason_of};
use super::{Core, PRIORITIES};
use crate::fabric::Fabric;
use crate::io::data_ring::{Completion, DataRing};
use crate::io::operation::{Operation, OperationKind};
use crate::io::receive_buffers::{Filled, ReceiveBuffers};
use crate::io::socket;
use crate::ring::inbox::{InboxSignals, InboxWriter};
use crate::wire::CloseReason;

/// What a connection brought in this turn.
#[derive(Debug)]
pub(super) enum Inflow {
    /// Bytes, in a buffer of that class.
    Filled { class: usize, filled: Filled },
    /// It has ended.
    End(CloseReason),
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Intake {
    /// One set for each priority in use; `class_of_priority` says which.
    pub(super) buffers: Vec<ReceiveBuffers>,
    class_of_priority: [usize; PRIORITIES],
    /// Connections whose receive waits for buffers, by class.
    starving: Vec<VecDeque<u32>>,
    /// Received this turn, by priority; the operation tells a connection from the next in its place.
    pub(super) inflow: [VecDeque<(Operation, Inflow)>; PRIORITIES],
    /// Lanes that came up with bytes in hand.
    pub(super) early: Vec<u32>,
    /// Lanes stopped by a full inbox.
    pub(super) blocked: Vec<u32>,
    /// Inboxes pushed to this turn.
    touched: Vec<Arc<InboxSignals>>,
}

impl Intake {
    /// One set of receive buffers for each priority that a channel uses.
    pub(super) fn new(fabric: &Fabric, ring: &DataRing) -> io::Result<Self> {
        let config = &fabric.config;
        let wanted = config.receive_quantum_bytes / config.receive_buffer_bytes;
        let count = u16::try_from(wanted.clamp(1, 1 << 15))
            .unwrap_or(1 << 15)
            .next_power_of_two();
        let mut class_of_priority = [0; PRIORITIES];
        let mut buffers = Vec::new();
        for (priority, class) in class_of_priority.iter_mut().enumerate() {
            if !fabric.channels.iter().any(|plan| plan.priority == priority) {
                continue;
            }
            *class = buffers.len();
            let group = u16::try_from(buffers.len()).unwrap_or(0);
            buffers.push(ReceiveBuffers::new(
                ring,
                group,
                count,
                config.receive_buffer_bytes,
            )?);
        }
        Ok(Self {
            starving: buffers.iter().map(|_| VecDeque::new()).collect(),
            buffers,
            class_of_priority,
            inflow: Default::default(),
            early: Vec::new(),
            blocked: Vec::new(),
            touched: Vec::new(),
        })
    }
}

impl Core {
    /// A receive completed: a filled buffer, an end, or a lack of buffers.
    pub(super) fn received(&mut self, completion: Completion) {
        let Completion {
            operation,
            result,
            buffer,
            more,
            ..
        } = completion;
        let index = operation.index;
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        connection.receiving = more;
        let lane = connection.lane();
        let priority = lane.map_or(PRIORITIES - 1, |lane| self.lanes[lane as usize].priority);
        let class = lane.map_or(0, |lane| {
            self.intake.class_of_priority[self.lanes[lane as usize].priority]
        });
        if let (Some(bid), Ok(bytes)) = (buffer, usize::try_from(result)) {
            // A closing connection's class is found by its group: it kept its phase.
            let class = self.class_of_connection(index).unwrap_or(class);
            if let Some(filled) = self.intake.buffers[class].take(bid, bytes) {
                self.intake.inflow[priority]
                    .push_back((operation, Inflow::Filled { class, filled }));
            }
        }
        if lane.is_none() {
            self.connections.free_if_quiet(index);
        } else if result == 0 {
            let reason = self.reason_of_end(index);
            self.intake.inflow[priority].push_back((operation, Inflow::End(reason)));
        } else if result > 0 || result == -libc::ENOBUFS {
            if !more {
                self.starve(index, class);
            }
        } else if result == -libc::ECANCELED {
            // Called off because an inbox was full. If it has room again by now, the receive was
            // still running when the lane went on, and is armed again only here.
            self.starve(index, class);
        } else {
            self.intake.inflow[priority].push_back((operation, Inflow::End(reason_of(result))));
        }
    }

    /// The class of buffers that a connection receives into, closing or not.
    fn class_of_connection(&mut self, index: u32) -> Option<usize> {
        match self.connections.get(index)?.phase {
            Phase::Lane { lane } => {
                Some(self.intake.class_of_priority[self.lanes[lane as usize].priority])
            }
            _ => None,
        }
    }

    /// A connection's receive is to be armed again when its turn comes.
    pub(super) fn starve(&mut self, index: u32, class: usize) {
        if let Some(connection) = self.connections.get(index)
            && !connection.starving
        {
            connection.starving = true;
            self.intake.starving[class].push_back(index);
        }
    }

    /// Arms as many waiting receives as there are buffers, in the order in which they ran out: more
    /// would only run out again. True if some wait for the next turn.
    pub(super) fn feed_starving(&mut self) -> io::Result<bool> {
        let mut waiting = false;
        for class in 0..self.intake.buffers.len() {
            let mut buffers = self.intake.buffers[class].in_kernel();
            while buffers > 0 {
                let Some(index) = self.intake.starving[class].pop_front() else {
                    break;
                };
                let Some(connection) = self.connections.get(index) else {
                    continue;
                };
                connection.starving = false;
                buffers -= usize::from(self.arm_receive(index)?);
            }
            waiting |= !self.intake.starving[class].is_empty();
        }
        Ok(waiting)
    }

    /// Starts the receive of a connection that carries a lane, unless it runs or an inbox is full.
    /// True if it started.
    pub(super) fn arm_receive(&mut self, index: u32) -> io::Result<bool> {
        let operation = self.connections.operation(OperationKind::Receive, index);
        let Some(connection) = self.connections.get(index) else {
            return Ok(false);
        };
        let (Some(lane), Some(descriptor)) = (connection.lane(), &connection.socket) else {
            return Ok(false);
        };
        let state = &self.lanes[lane as usize];
        let blocked = state
            .inbound
            .as_ref()
            .is_some_and(|inbound| inbound.blocked);
        if connection.receiving || blocked {
            return Ok(false);
        }
        connection.receiving = true;
        let raw = socket::raw(descriptor);
        let group = self.intake.buffers[self.intake.class_of_priority[state.priority]].group();
        self.ring.receive(raw, group, operation)?;
        Ok(true)
    }

    /// An inbox was full: the lane is not read until there is room. Unread bytes stay in the socket,
    /// which is the back-pressure the peer feels.
    pub(super) fn note_blocked(&mut self, lane: u32) {
        if self.intake.blocked.contains(&lane) {
            return;
        }
        self.intake.blocked.push(lane);
        let LaneState::Up { connection, .. } = self.lanes[lane as usize].state else {
            return;
        };
        if self
            .connections
            .get(connection)
            .is_some_and(|connection| connection.receiving)
        {
            let operation = self
                .connections
                .operation(OperationKind::Receive, connection);
            if let Err(error) = self.ring.cancel(operation) {
                tracing::error!(%error, "a cancellation could not be queued");
            }
        }
    }

    /// The inbox has room again.
    pub(super) fn resume_receiving(&mut self, lane: u32) {
        if let LaneState::Up { connection, .. } = self.lanes[lane as usize].state {
            let class = self.intake.class_of_priority[self.lanes[lane as usize].priority];
            self.starve(connection, class);
        }
    }

    /// Remembers to wake an inbox's reader at the end of the turn: once, however many messages came.
    #[inline]
    pub(super) fn touch_inbox(&mut self, inbox: &mut InboxWriter) {
        if inbox.touch(self.tally.turns) {
            self.intake.touched.push(Arc::clone(inbox.signals()));
        }
    }

    pub(super) fn wake_inboxes(&mut self) {
        for inbox in self.intake.touched.drain(..) {
            inbox.wake();
        }
    }
}
