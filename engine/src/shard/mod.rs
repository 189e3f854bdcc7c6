//! A data shard: one pinned thread that owns lanes, rings, buffers, timers and counters.
//!
//! `Core` is everything but the receivers of messages, so that a receiver can be run with `Core` in
//! hand. `turn` is the loop; the steps of a message's way are `dispatch`, `route`, `lane` on the way
//! out and `receive`, `deliver` on the way in. Nothing here is shared with another shard: others
//! reach it through rings, commands and the doorbell.

mod absence;
mod accept;
mod arrival;
mod capped;
mod causes;
mod channels;
pub(crate) mod command;
mod connection;
pub(crate) mod context;
mod control_frames;
pub(crate) mod deliver;
mod dial;
mod dispatch;
mod exchange;
mod expiry;
mod faults;
mod frames;
mod hand_over;
mod handshake;
mod inbound;
mod intake;
mod landing;
mod lane;
mod lane_state;
mod lifecycle;
mod loopback;
mod message_header;
mod newcomers;
mod ordered;
mod ordering;
mod outbox;
mod packing;
mod protection;
mod quiet;
mod reach;
mod reader;
mod reading;
mod receive;
mod recording;
mod renewal;
pub(crate) mod report;
mod rest;
mod retry;
mod rivals;
mod route;
mod segments;
mod sending;
mod spin;
mod start;
mod stop;
mod strangers;
pub(crate) mod streams;
mod stretch;
mod summons;
mod sweep;
pub(crate) mod tally;
mod tasks;
mod timers;
mod turn;
mod waiting;
mod whole;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::control::Control;
use crate::control::link::{ControlLink, Notice};
use crate::delivery::Report;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::io::backend::ShardIo;
use crate::io::completion::Completion;
use crate::io::operation::OperationKind;
use crate::mailboxes::Mailbox;
use crate::wire::Name;
use absence::Absences;
use channels::ShardChannels;
use command::{Command, CommandSender};
use connection::Connections;
use deliver::Receivers;
use dial::Dialing;
use dispatch::ChannelQueue;
use faults::ShardFaults;
use intake::Intake;
use lane::Lane;
use newcomers::Newcomers;
use packing::Packing;
use reach::Reaching;
use recording::ShardRecording;
use renewal::Renewals;
use route::Routing;
use sending::Sending;
use stop::Drain;
use sweep::Sweeper;
use tally::ShardTally;
use tasks::TaskRequests;
use timers::Timers;

pub(crate) use start::{ShardSeat, start};

/// Priorities there are.
const PRIORITIES: usize = 8;

/// This node's own names as they go over the wire.
#[derive(Debug)]
struct OwnNames {
    cluster: Name,
    node: Name,
    /// The kind of session that its lanes have.
    session: Name,
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
    /// To every shard of the node, by its index.
    shards: Vec<CommandSender>,
    control_link: Arc<ControlLink>,
    /// The control shard, when it lives here.
    control: Option<Control>,
    commands: Receiver<Command>,
    /// Closed in `drop`, before `connections` go: the kernel works on their memory.
    io: ShardIo,
    completions: Vec<Completion>,
    intake: Intake,
    connections: Connections,
    newcomers: Newcomers,
    /// Until the node stops.
    listener: Option<OwnedFd>,
    /// The kernel has the listener: it is not paused for want of descriptors.
    accepting: bool,
    /// On shard 0: when requests are looked at next.
    requests_due: Option<Instant>,
    /// When the control shard is stepped next at the latest, if it lives here.
    control_due: Option<Instant>,
    channels: ShardChannels,
    /// As `Fabric::rate_changes` was when caps were looked at last.
    rate_changes_seen: u64,
    faults: ShardFaults,
    /// As `Security::revocations` was when lanes were looked at last.
    revocations_seen: u64,
    renewals: Renewals,
    routing: Routing,
    lanes: Vec<Lane>,
    queues: Vec<ChannelQueue>,
    sending: Sending,
    packing: Packing,
    dialing: Dialing,
    reaching: Reaching,
    absences: Absences,
    tasks: TaskRequests,
    timers: Timers,
    sweeper: Sweeper,
    /// The time of this turn.
    now: Instant,
    /// Causal channels with messages that may be ready.
    ready_channels: Vec<u16>,
    /// By when the message that is being delivered had come, if it has an extension.
    came: Instant,
    recording: ShardRecording,
    /// Once the node stops.
    drain: Option<Drain>,
    tally: ShardTally,
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
        self.io.reap(&mut completions);
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
                self.timers.fired();
                Ok(())
            }
            OperationKind::Doorbell => {
                self.io.heard_bell();
                Ok(())
            }
            OperationKind::Cancel => Ok(()),
            _ if self.connections.of(operation).is_none() => Ok(()),
            OperationKind::Connect => self.connected(index, result),
            OperationKind::ReceiveHandshake => self.handshake_received(index, result),
            OperationKind::Send => self.sent(index, result),
            OperationKind::Receive | OperationKind::Land => {
                self.received(completion);
                Ok(())
            }
        }
    }

    #[cold]
    fn count_handler_panic(&mut self, mailbox: &Mailbox) {
        self.tally.handler_panics += 1;
        self.recording.handler_panicked(mailbox);
        tracing::error!(
            mailbox = mailbox.name(),
            "a handler panicked; its message counts as delivered"
        );
    }

    /// The receiving node refused `messages`, `late` of them because they came too late.
    fn report_refused(&mut self, lane: u32, messages: u64, late: u64) {
        let elsewhere = messages - late;
        if elsewhere > 0 {
            let why = if self.lanes[lane as usize].log.has_numbers() {
                "the receiving node has no such mailbox, or had given them up: see hold_back_wait_ms"
            } else {
                "the receiving node has no such mailbox"
            };
            self.report_undelivered(lane, elsewhere, why);
        }
        if late > 0 {
            let why =
                "the receiving node refused them, because their deadline had passed: see on_late";
            self.report_undelivered(lane, late, why);
        }
    }

    fn report_undelivered(&mut self, lane: u32, undelivered: u64, why: &'static str) {
        let report = Report {
            undelivered,
            unknown: 0,
        };
        self.report_messages(lane, report, why);
    }

    fn report_messages(&mut self, lane: u32, report: Report, why: &'static str) {
        let state = &self.lanes[lane as usize];
        let peer = state.peer.clone();
        let channel = self.channels[state.channel].name.clone();
        self.tell(Notice::Event(Event::Reported {
            peer,
            channel,
            undelivered: report.undelivered,
            unknown: report.unknown,
            why,
        }));
    }
}
