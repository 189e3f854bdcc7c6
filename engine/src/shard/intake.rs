//! What a shard receives into, and what has come: which receives are armed, which wait for buffers or
//! for room in an inbox, and whose input is not read yet.
//!
//! Each priority in use has a class of receive buffers, which is what it can receive in a turn. A
//! connection that is alone in its class receives with a multishot operation; where there are several,
//! each gets one buffer at a time, so that a flood on one lane cannot take the buffers of a heartbeat
//! of the same priority on another. A connection that carries large payloads receives into their own
//! memory (`landing`).
//!
//! Called for completions of receives (`mod`), by the turn, and by `receive` when an inbox is full.
//! It arms and sorts; it never reads a byte of what came: `receive` does that.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::connection::{Inflow, Phase};
use super::lane::reason_of;
use super::waiting::WaitingLanes;
use super::{Core, PRIORITIES};
use crate::config::Priority;
use crate::fabric::Fabric;
use crate::io::backend::ShardIo;
use crate::io::completion::Completion;
use crate::io::operation::{Operation, OperationKind, SocketCall};
use crate::io::receive_buffers::ReceiveBuffers;
use crate::io::socket;
use crate::mailboxes::MailboxId;
use crate::ring::inbox::{InboxSignals, InboxWriter};

/// The least that one receive of a large payload asks for, however many connections share the turn.
const LAND_BYTES_MIN: usize = 16 << 10;

/// A receive buffer of the engine's own channel.
const CONTROL_BUFFER_BYTES: usize = 4 << 10;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Intake {
    /// One set for each priority in use; `class_of_priority` says which.
    pub(super) buffers: Vec<ReceiveBuffers>,
    class_of_priority: [Option<usize>; PRIORITIES],
    /// Of what size they are, and how many there are in a set.
    buffer_bytes: usize,
    buffers_count: u16,
    /// Connections that receive into the buffers of each class.
    sharing: Vec<usize>,
    /// Connections whose receive waits for buffers, by class.
    starving: Vec<VecDeque<u32>>,
    /// Bytes that large payloads may receive in a turn, shared by those that do.
    quantum_bytes: usize,
    /// How long a turn may read and deliver.
    pub(super) budget: Duration,
    /// Connections with input that is not read yet, by priority; the operation tells a connection from
    /// the next in its place.
    pub(super) inflow: [VecDeque<Operation>; PRIORITIES],
    /// Lanes that came up with bytes already received.
    pub(super) early: Vec<u32>,
    /// Lanes stopped by a full inbox.
    pub(super) waiting: WaitingLanes,
    /// Memory for what sessions open.
    pub(super) plain: Vec<u8>,
    /// Inboxes pushed to this turn.
    touched: Vec<Arc<InboxSignals>>,
}

impl Intake {
    /// One set of receive buffers for each priority that a channel uses.
    pub(super) fn new(fabric: &Fabric, backend: &mut ShardIo) -> io::Result<Self> {
        let config = &fabric.config;
        let (_, plans) = fabric.channels.snapshot();
        let wanted = config.receive_quantum_bytes / config.receive_buffer_bytes;
        let count = u16::try_from(wanted.clamp(1, 1 << 15))
            .unwrap_or(1 << 15)
            .next_power_of_two();
        let mut made = Self {
            sharing: Vec::new(),
            starving: Vec::new(),
            buffers: Vec::new(),
            class_of_priority: [None; PRIORITIES],
            buffer_bytes: config.receive_buffer_bytes,
            buffers_count: count,
            quantum_bytes: config.receive_quantum_bytes,
            budget: Duration::from_micros(config.turn_budget_us),
            inflow: Default::default(),
            early: Vec::new(),
            waiting: WaitingLanes::default(),
            plain: Vec::new(),
            touched: Vec::new(),
        };
        let mut priorities: Vec<_> = plans.iter().flatten().map(|plan| plan.priority).collect();
        priorities.sort_unstable();
        for priority in priorities {
            made.need_class(priority, backend)?;
        }
        Ok(made)
    }

    /// A set of buffers for that priority, if there is none yet.
    fn need_class(&mut self, priority: usize, backend: &mut ShardIo) -> io::Result<()> {
        if self.class_of_priority[priority].is_some() {
            return Ok(());
        }
        let class = self.buffers.len();
        let group = u16::try_from(class).unwrap_or(0);
        // The engine's own frames are small.
        let bytes = if priority == usize::from(Priority::ENGINE.0) {
            CONTROL_BUFFER_BYTES.min(self.buffer_bytes)
        } else {
            self.buffer_bytes
        };
        let buffers = ReceiveBuffers::new(backend, group, self.buffers_count, bytes)?;
        self.buffers.push(buffers);
        self.sharing.push(0);
        self.starving.push(VecDeque::new());
        self.class_of_priority[priority] = Some(class);
        Ok(())
    }

    /// The class of buffers of a priority; where none could be made for it, that of the nearest that is
    /// served later, or of any.
    fn class_of(&self, priority: usize) -> usize {
        let classes = &self.class_of_priority;
        let later = classes[priority..].iter().flatten().next();
        let any = classes.iter().flatten().next_back();
        later.or(any).copied().unwrap_or(0)
    }

    /// Its slot is another lane's from now on.
    pub(super) fn forget_lane(&mut self, index: u32) {
        self.early.retain(|lane| *lane != index);
    }
}

impl Core {
    /// A channel of that priority is there from now on.
    pub(super) fn need_buffers_for(&mut self, priority: usize) {
        if let Err(error) = self.intake.need_class(priority, &mut self.io) {
            tracing::warn!(%error, priority, "no receive buffers could be made for a priority: it shares those of another");
        }
    }

    /// A receive completed: bytes, an end, or a lack of buffers.
    pub(super) fn received(&mut self, completion: Completion) {
        let Completion {
            operation,
            result,
            buffer,
            more,
        } = completion;
        let index = operation.index;
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        connection.receiving = more.then_some(operation.kind);
        let is_closing = connection.lane().is_none();
        let class = self.class_of_connection(index);
        if let (Some(bid), Ok(bytes), Some(class)) = (buffer, usize::try_from(result), class)
            && let Some(filled) = self.intake.buffers[class].take(bid, bytes)
        {
            let at = 0;
            self.bring(index, Inflow::Filled { class, filled, at });
        }
        if is_closing {
            self.connections.free_if_quiet(index);
            return;
        }
        if result > 0 {
            self.note_heard(index);
        }
        match result {
            0 => {
                let reason = self.reason_of_end(index);
                self.bring(index, Inflow::End(reason));
            }
            1.. if operation.kind == OperationKind::Land => {
                let bytes = usize::try_from(result).unwrap_or(0);
                self.bring(index, Inflow::Landed { bytes });
            }
            1.. if more => {}
            1.. => self.starve(index),
            _ if result == -libc::ENOBUFS => self.starve(index),
            // Called off, because an inbox was full or a large payload is to land. If the inbox has
            // room again by now, the receive was still running when the lane went on, and is armed
            // again only here.
            _ if result == -libc::ECANCELED => self.starve(index),
            _ => self.bring(index, Inflow::End(reason_of(result))),
        }
    }

    /// The peer has said something, whenever it will be read.
    fn note_heard(&mut self, index: u32) {
        let connection = self.connections.get(index);
        let lane = connection.and_then(|connection| connection.lane());
        if let Some(lane) = lane
            && let Some(inbound) = &mut self.lanes[lane as usize].link.inbound
        {
            inbound.liveness.heard(self.now);
        }
    }

    /// Queues input, or drops it if nobody will read it.
    fn bring(&mut self, index: u32, inflow: Inflow) {
        let operation = self.connections.operation(OperationKind::Receive, index);
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        match (connection.lane(), inflow) {
            (None, Inflow::Filled { class, filled, .. }) => {
                self.intake.buffers[class].give_back(filled)
            }
            (None, _) => {}
            (Some(lane), inflow) => {
                let was_empty = connection.input.is_empty();
                connection.input.push_back(inflow);
                if was_empty {
                    self.intake.inflow[self.lanes[lane as usize].priority].push_back(operation);
                }
            }
        }
    }

    /// The connection closes: its input will not be read.
    pub(super) fn let_go_of_input(&mut self, index: u32) {
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        let shares = std::mem::take(&mut connection.shares_buffers);
        for inflow in std::mem::take(&mut connection.input) {
            if let Inflow::Filled { class, filled, .. } = inflow {
                self.intake.buffers[class].give_back(filled);
            }
        }
        if let Some(class) = self.class_of_connection(index).filter(|_| shares) {
            self.intake.sharing[class] -= 1;
        }
    }

    /// The class of buffers that a connection receives into, closing or not.
    fn class_of_connection(&mut self, index: u32) -> Option<usize> {
        let connection = self.connections.get(index)?;
        match (&connection.phase, connection.class) {
            (Phase::Lane { .. }, Some(class)) => Some(class),
            (Phase::Lane { lane }, None) => {
                Some(self.intake.class_of(self.lanes[*lane as usize].priority))
            }
            _ => None,
        }
    }

    /// A connection's receive is to be armed again when its turn comes.
    pub(super) fn starve(&mut self, index: u32) {
        let Some(class) = self.class_of_connection(index) else {
            return;
        };
        if let Some(connection) = self.connections.get(index)
            && !connection.starving
        {
            connection.starving = true;
            self.intake.starving[class].push_back(index);
        }
    }

    /// Arms the receives that wait, in the order in which they ran out, as far as there are buffers:
    /// more would only run out again. True if some wait for the next turn.
    pub(super) fn feed_starving(&mut self) -> io::Result<bool> {
        let mut waiting = false;
        for class in 0..self.intake.buffers.len() {
            let mut buffers = self.intake.buffers[class].unfilled();
            let hungry = self.intake.starving[class].len();
            for _ in 0..hungry {
                let Some(index) = self.intake.starving[class].pop_front() else {
                    break;
                };
                let Some(connection) = self.connections.get(index) else {
                    continue;
                };
                let lands = connection.lands();
                if !connection.input.is_empty() || (buffers == 0 && !lands) {
                    self.intake.starving[class].push_back(index);
                    continue;
                }
                connection.starving = false;
                let is_armed = self.arm_receive(index, hungry)?;
                buffers -= usize::from(is_armed && !lands);
            }
            waiting |= !self.intake.starving[class].is_empty();
        }
        Ok(waiting)
    }

    /// Starts the receive of a connection that carries a lane, unless it runs or an inbox is full.
    /// `hungry` connections of its class start to receive in this turn. True if it started.
    pub(super) fn arm_receive(&mut self, index: u32, hungry: usize) -> io::Result<bool> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(false);
        };
        let kind = if connection.lands() {
            OperationKind::Land
        } else {
            OperationKind::Receive
        };
        let operation = self.connections.operation(kind, index);
        let Some(connection) = self.connections.get(index) else {
            return Ok(false);
        };
        let (Some(lane), Some(descriptor)) = (connection.lane(), &connection.socket) else {
            return Ok(false);
        };
        let state = &self.lanes[lane as usize];
        let blocked = state
            .link
            .inbound
            .as_ref()
            .is_some_and(|inbound| inbound.blocked.is_some());
        if connection.receiving.is_some() || blocked {
            return Ok(false);
        }
        connection.receiving = Some(kind);
        let class = self.intake.class_of(state.priority);
        let before = connection.class.replace(class);
        if std::mem::replace(&mut connection.shares_buffers, true)
            && let Some(before) = before
        {
            self.intake.sharing[before] -= 1;
        }
        self.intake.sharing[class] += 1;
        let raw = socket::raw(descriptor);
        if let (OperationKind::Land, Some(landing)) = (kind, &mut connection.landing) {
            let share = self.intake.quantum_bytes / hungry.max(1);
            let header = landing.ask(share.max(LAND_BYTES_MIN));
            self.io.queue(raw, SocketCall::Land { header }, operation)?;
            return Ok(true);
        }
        let buffers = &self.intake.buffers[class];
        let (group, bytes_max) = (buffers.group(), buffers.buffer_bytes());
        let call = if self.intake.sharing[class] > 1 {
            SocketCall::ReceiveSome { group, bytes_max }
        } else {
            SocketCall::Receive { group }
        };
        self.io.queue(raw, call, operation)?;
        Ok(true)
    }

    /// Calls a multishot receive off; its connection is armed anew when that has ended.
    pub(super) fn call_off_receive(&mut self, index: u32) {
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        let Some(kind) = connection.receiving else {
            return;
        };
        let operation = self.connections.operation(kind, index);
        if let Err(error) = self.io.cancel(operation) {
            tracing::error!(%error, "a cancellation could not be queued");
        }
    }

    /// An inbox was full: the lane is not read until there is room. Unread bytes stay in the socket,
    /// which is the back-pressure the peer feels.
    pub(super) fn note_blocked(&mut self, lane: u32, mailbox: MailboxId) {
        let Some(inbound) = &mut self.lanes[lane as usize].link.inbound else {
            return;
        };
        if inbound.ticket.is_some() {
            return;
        }
        inbound.ticket = Some(self.intake.waiting.join(mailbox, lane));
        if let Some(connection) = self.lanes[lane as usize].state.connection() {
            self.call_off_receive(connection);
        }
    }

    /// The inbox has room again.
    pub(super) fn resume_receiving(&mut self, lane: u32) {
        if let Some(connection) = self.lanes[lane as usize].state.connection() {
            self.starve(connection);
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
