//! A data shard: one pinned thread that owns lanes, rings, buffers, timers and counters.
//!
//! `Core` is everything but the receivers of messages, so that a receiver can be run with `Core` in
//! hand. `turn` is the loop; the steps of a message's way are `dispatch`, `route`, `lane` on the way
//! out and `receive`, `deliver` on the way in. Nothing here is shared with another shard: others
//! reach it through rings, commands and the doorbell.

mod accept;
pub(crate) mod command;
mod connection;
pub(crate) mod context;
pub(crate) mod deliver;
mod dial;
mod dispatch;
mod handshake;
mod inbound;
mod lane;
mod link;
mod loopback;
mod outbox;
mod receive;
pub(crate) mod report;
mod route;
mod start;
mod stop;
mod sweep;
pub(crate) mod tally;
mod tasks;
mod timers;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use crate::control::{Control, ControlLink, Notice};
use crate::delivery::BackoffLimits;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::io::data_ring::{Completion, DataRing};
use crate::io::operation::{Operation, OperationKind};
use crate::io::receive_buffers::{Filled, ReceiveBuffers};
use crate::io::socket;
use crate::message::MailboxId;
use crate::ring::inbox::{InboxSignals, InboxWriter};
use crate::wire::{CloseReason, Name};
use command::{Command, CommandSender, TaskMaker};
use connection::Connections;
use deliver::Receivers;
use dispatch::ChannelQueue;
use lane::{Lane, LaneState};
use outbox::ChunkPool;
use report::ShardReport;
use tally::ShardTally;
use timers::Timers;

pub(crate) use start::{ShardSeat, ShardThread, start};

/// Priorities there are.
const PRIORITIES: usize = 8;

/// What a connection brought in this turn.
#[derive(Debug)]
enum Inflow {
    /// Bytes, in a buffer of that class.
    Filled { class: usize, filled: Filled },
    /// It has ended.
    End(CloseReason),
}

/// This node's own names as they go over the wire.
#[derive(Debug)]
struct OwnNames {
    cluster: Name,
    node: Name,
}

/// A shard. See the module's text.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) core: Core,
    receivers: Receivers,
}

/// A shard without the receivers of its messages.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) index: usize,
    fabric: Arc<Fabric>,
    names: OwnNames,
    /// Before `buffers` and `connections`: dropped first, so that the kernel lets go of them.
    ring: DataRing,
    /// One set for each priority in use; `class_of_priority` says which.
    buffers: Vec<ReceiveBuffers>,
    class_of_priority: [usize; PRIORITIES],
    connections: Connections,
    /// Until the node stops.
    listener: Option<OwnedFd>,
    lanes: Vec<Lane>,
    /// Those to this node itself.
    loop_lanes: Vec<u32>,
    lane_of_number: Vec<u32>,
    peers_known: usize,
    epoch: u64,
    queues: Vec<ChannelQueue>,
    /// Lanes with something to send, by priority.
    ready: [VecDeque<u32>; PRIORITIES],
    /// Lanes that owe an acknowledgement.
    owing: Vec<u32>,
    /// Lanes stopped by a full inbox.
    blocked: Vec<u32>,
    /// Lanes that came up with bytes in hand.
    early: Vec<u32>,
    /// Lanes with messages that did not even reach their outbox, to be told at the end of the turn.
    strays: Vec<u32>,
    /// Connections whose receive waits for buffers, by class.
    starving: Vec<VecDeque<u32>>,
    /// Received this turn, by priority; the operation tells a connection from the next in its place.
    inflow: [VecDeque<(Operation, Inflow)>; PRIORITIES],
    /// Inboxes pushed to this turn.
    touched: Vec<Arc<InboxSignals>>,
    pool: ChunkPool,
    timers: Timers,
    /// The deadline that the ring wakes the shard for.
    timer_armed_for: Option<Instant>,
    commands: Receiver<Command>,
    /// To every shard of the node, by its index.
    shards: Vec<CommandSender>,
    control_link: Arc<ControlLink>,
    /// Tasks asked for in this turn.
    newborn: Vec<TaskMaker>,
    /// Tasks that wait for the end of a turn.
    turn_waiters: Vec<Waker>,
    /// Tasks that wait for a deadline.
    sleepers: BTreeMap<u64, Waker>,
    sleepers_made: u64,
    /// The control shard, when it lives here.
    control: Option<Control>,
    random: fastrand::Rng,
    backoff_limits: BackoffLimits,
    now: Instant,
    inline_bytes_max: usize,
    turn_bytes_max: usize,
    draining: Option<Instant>,
    /// Where the final counters go.
    reports: Option<Sender<ShardReport>>,
    tally: ShardTally,
    starved: Vec<u64>,
    refusals: Vec<u64>,
    completions: Vec<Completion>,
}

impl Core {
    /// Tells the control shard.
    fn tell(&mut self, notice: Notice) {
        if !self.control_link.tell(notice) {
            self.tally.events_lost += 1;
        }
    }

    /// Takes the completions that are there; what was received is sorted by priority.
    fn reap(&mut self) -> io::Result<bool> {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        let any = !completions.is_empty();
        for completion in completions.drain(..) {
            self.complete(completion)?;
        }
        self.completions = completions;
        Ok(any)
    }

    fn complete(&mut self, completion: Completion) -> io::Result<()> {
        let Completion {
            operation,
            result,
            more,
            ..
        } = completion;
        let index = operation.index;
        match operation.kind {
            OperationKind::Accept => self.accepted(result, more),
            OperationKind::Timeout => {
                self.timer_fired();
                Ok(())
            }
            OperationKind::Doorbell => {
                self.ring.heard_bell();
                Ok(())
            }
            OperationKind::Cancel => Ok(()),
            _ if self.connections.of(operation).is_none() => Ok(()),
            OperationKind::Connect => self.connected(index, result),
            OperationKind::ReceiveHandshake => self.handshake_received(index, result),
            OperationKind::Send => self.sent(index, result),
            OperationKind::Receive => {
                self.received(completion);
                Ok(())
            }
        }
    }

    /// A receive completed: a filled buffer, an end, or a lack of buffers.
    fn received(&mut self, completion: Completion) {
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
            self.class_of_priority[self.lanes[lane as usize].priority]
        });
        if let (Some(bid), Ok(bytes)) = (buffer, usize::try_from(result)) {
            // A closing connection's class is found by its group: it kept its phase.
            let class = self.class_of_connection(index).unwrap_or(class);
            if let Some(filled) = self.buffers[class].take(bid, bytes) {
                self.inflow[priority].push_back((operation, Inflow::Filled { class, filled }));
            }
        }
        if lane.is_none() {
            self.connections.free_if_quiet(index);
        } else if result == 0 {
            let reason = self.reason_of_end(index);
            self.inflow[priority].push_back((operation, Inflow::End(reason)));
        } else if result > 0 || result == -libc::ENOBUFS {
            if !more {
                self.starve(index, class);
            }
        } else if result == -libc::ECANCELED {
            // Called off because an inbox was full. If it has room again by now, the receive was
            // still running when the lane went on, and is armed again only here.
            self.starve(index, class);
        } else {
            self.inflow[priority].push_back((operation, Inflow::End(lane::reason_of(result))));
        }
    }

    /// The class of buffers that a connection receives into, closing or not.
    fn class_of_connection(&mut self, index: u32) -> Option<usize> {
        match self.connections.get(index)?.phase {
            connection::Phase::Lane { lane } => {
                Some(self.class_of_priority[self.lanes[lane as usize].priority])
            }
            _ => None,
        }
    }

    /// A connection's receive is to be armed again when its turn comes.
    fn starve(&mut self, index: u32, class: usize) {
        if let Some(connection) = self.connections.get(index)
            && !connection.starving
        {
            connection.starving = true;
            self.starving[class].push_back(index);
        }
    }

    /// Arms as many waiting receives as there are buffers, in the order in which they ran out: more
    /// would only run out again. True if some wait for the next turn.
    fn feed_starving(&mut self) -> io::Result<bool> {
        let mut waiting = false;
        for class in 0..self.buffers.len() {
            let mut buffers = self.buffers[class].in_kernel();
            while buffers > 0 {
                let Some(index) = self.starving[class].pop_front() else {
                    break;
                };
                let Some(connection) = self.connections.get(index) else {
                    continue;
                };
                connection.starving = false;
                buffers -= usize::from(self.arm_receive(index)?);
            }
            waiting |= !self.starving[class].is_empty();
        }
        Ok(waiting)
    }

    /// Starts the receive of a connection that carries a lane, unless it runs or an inbox is full.
    /// True if it started.
    fn arm_receive(&mut self, index: u32) -> io::Result<bool> {
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
        let group = self.buffers[self.class_of_priority[state.priority]].group();
        self.ring.receive(raw, group, operation)?;
        Ok(true)
    }

    /// An inbox was full: the lane is not read until there is room. Unread bytes stay in the socket,
    /// which is the back-pressure the peer feels.
    fn note_blocked(&mut self, lane: u32) {
        if self.blocked.contains(&lane) {
            return;
        }
        self.blocked.push(lane);
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
    fn resume_receiving(&mut self, lane: u32) {
        if let LaneState::Up { connection, .. } = self.lanes[lane as usize].state {
            let class = self.class_of_priority[self.lanes[lane as usize].priority];
            self.starve(connection, class);
        }
    }

    /// Remembers to wake an inbox's reader at the end of the turn: once, however many messages came.
    #[inline]
    fn touch_inbox(&mut self, inbox: &mut InboxWriter) {
        if inbox.touch(self.tally.turns) {
            self.touched.push(Arc::clone(inbox.signals()));
        }
    }

    fn wake_inboxes(&mut self) {
        for inbox in self.touched.drain(..) {
            inbox.wake();
        }
    }

    #[cold]
    fn count_handler_panic(&mut self, mailbox: MailboxId) {
        self.tally.handler_panics += 1;
        let name = self.fabric.mailboxes.name(mailbox);
        tracing::error!(
            mailbox = name.as_deref(),
            "a handler panicked; its message counts as delivered"
        );
    }

    /// The receiver has no such mailbox: its messages were not delivered, and the sender is told.
    fn report_refused(&mut self, lane: u32, messages: u64) {
        self.report_undelivered(lane, messages, "the receiving node has no such mailbox");
    }

    fn report_undelivered(&mut self, lane: u32, undelivered: u64, why: &'static str) {
        let state = &self.lanes[lane as usize];
        let peer = state.peer.clone();
        let channel = self.fabric.channels[state.channel].name.clone();
        self.tell(Notice::Event(Event::Reported {
            peer,
            channel,
            undelivered,
            why,
        }));
    }
}
