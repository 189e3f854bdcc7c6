//! Step 6: a lane, and how the frames of a turn become one send.
//!
//! A lane is made by its first use and owned by one shard for as long as its peer has its place. It has
//! two halves: its log outlives connections, its link is one of them; its state says where it stands. This is the only place that
//! writes to a socket once the handshake is over. It never decides whose turn it is (`dispatch`) and
//! never reads (`receive`).

pub(in crate::shard) mod fault;
mod held;
mod kept;
mod latest;
pub(crate) mod link;
pub(crate) mod log;
pub(super) mod pace;
pub(super) mod streams;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Core;
use super::lane_state::{LaneState, Stage};
use super::outbox::{ChunkPool, Dropped, Load, OutgoingMessage, Shape};
use super::quiet::Quiet;
use crate::awaited::Awaited;
use crate::channel_plan::ChannelPlan;
use crate::config::Overflow;
use crate::error::Reported;
use crate::fabric::Fabric;
use crate::io::operation::{OperationKind, SocketCall};
use crate::io::socket::{self, Standing};
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::peer::{LaneAddress, Peer};
use crate::ring::gate::GateState;
use crate::wire::mailbox_ids::Assigned;
use crate::wire::{CloseReason, FrameKind};
use fault::LaneFaults;
use link::Link;
use log::{Log, Unsendable};
use pace::{Allowance, Pace};
use streams::LaneStreams;

/// Why a message was not sent, for whoever is told of it.
pub(crate) const ENDED_BEFORE: &str = "the lane ended before it was sent";
pub(crate) const REPLACED: &str = "a newer message with its key was accepted before it was sent";
pub(crate) const OVERFLOWED: &str = "the queue of the lane was full: see overflow";

/// A quantum that one chunk uses up.
const ONE_CHUNK: usize = 1;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) peer: Arc<Peer>,
    pub(crate) offset: usize,
    pub(crate) channel: usize,
    pub(crate) priority: usize,
    /// Its peer has no place any more: what is here waits for another lane to take its slot.
    pub(crate) retired: bool,
    /// In which session of its peer it ended, or was dialled in vain, last.
    pub(super) failed_in: u64,
    /// Where it stands between wanted and up.
    pub(super) state: LaneState,
    /// What outlives connections.
    pub(crate) log: Log,
    /// What belongs to the current connection.
    pub(crate) link: Link,
    /// How long it has been idle.
    pub(super) quiet: Quiet,
    /// When what it holds is to be looked at for deadlines, if that is set, and when it was last.
    pub(super) expiry: Option<Instant>,
    pub(super) expiry_seen: Instant,
    /// What streams have to send on it.
    pub(super) streams: LaneStreams,
    /// How it keeps to the caps of its channel.
    pub(super) pace: Pace,
    /// What is done to its messages on purpose, if anything is.
    pub(super) faults: Option<Box<LaneFaults>>,
    /// It has had a connection.
    pub(super) has_been_up: bool,
    /// In the queue of lanes with something to send.
    pub(crate) is_ready: bool,
    /// In the list of lanes that owe an acknowledgement.
    pub(crate) owes_ack: bool,
    /// The control lane is being made anew: until when its peer counts as connected meanwhile.
    pub(super) lingers: Option<Instant>,
}

impl Lane {
    pub(crate) fn address(&self) -> &LaneAddress {
        self.peer.lane(self.offset)
    }

    /// Whether it is the engine's own lane to the peer.
    pub(crate) fn is_control(&self) -> bool {
        self.offset == self.peer.control_offset()
    }

    /// Whether messages can be put into the outbox.
    #[inline]
    pub(crate) fn takes_messages(&self) -> bool {
        self.state.takes_messages()
    }

    /// Whether messages can be accepted: sent, or held for the next connection.
    #[inline]
    pub(crate) fn accepts_messages(&self) -> bool {
        self.takes_messages() || self.state.holds_messages()
    }

    /// Whether it is down, and nobody expects that it comes up.
    pub(super) fn is_beyond_hope(&self) -> bool {
        let is_shut = self.address().gate.state() == GateState::Down;
        is_shut && !self.is_up() && !self.state.is_wanted()
    }

    /// Whether it takes a run of messages at once. The lane to this node itself notes what each of them
    /// is for, and one with faults on purpose drops some of them.
    pub(crate) fn takes_runs(&self) -> bool {
        self.takes_messages() && self.faults.is_none() && self.state.stage() != Stage::Loop
    }

    /// Whether it takes these messages as a run: they may have been accepted before it was made, with a peer that takes
    /// less.
    pub(crate) fn takes_run(&self, payloads: &[&[u8]]) -> bool {
        let bytes_max = self.address().payload_bytes_max();
        let longest = payloads.iter().map(|payload| payload.len()).max();
        self.takes_runs() && longest.unwrap_or(0) <= bytes_max
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state.is_up()
    }

    /// Takes a message over from a ring or from a task on the shard: its room is reserved at the
    /// gate and it counts as accepted. True if it is in the outbox now; false if this lane cannot
    /// send it: then it is settled, and the caller has to report it.
    #[must_use]
    #[inline]
    pub(crate) fn take_message(
        &mut self,
        plan: &ChannelPlan,
        fabric: &Fabric,
        pool: &mut ChunkPool,
        message: OutgoingMessage<'_>,
    ) -> bool {
        if self.faults.is_some() && self.drop_by_fault(plan, fabric, &message) {
            return false;
        }
        self.log.ledger.accept(1);
        if plan.monotonic && self.state.stage() != Stage::Loop {
            self.line_up(fabric, message);
        } else if !self.put_on_link(fabric, pool, message) {
            return false;
        }
        self.log.tally.note_depth(self.log.waiting());
        if plan.overflow == Overflow::DropOldest {
            self.drop_oldest(fabric, pool);
        }
        true
    }

    /// Encodes an accepted message for the connection. False if this lane cannot send it: then it is
    /// settled, and the caller has to report it.
    #[inline]
    fn put_on_link(
        &mut self,
        fabric: &Fabric,
        pool: &mut ChunkPool,
        message: OutgoingMessage<'_>,
    ) -> bool {
        // It may have been accepted before the lane was made, with a peer that takes less.
        let cause = if message.is_extended && !self.address().takes_extensions() {
            Unsendable::OldPeer
        } else if message.payload_bytes() > self.address().payload_bytes_max() {
            Unsendable::TooLarge
        } else if let Some(id) = self.id_of(fabric, pool, message.mailbox) {
            self.log.hold_name(&fabric.mailboxes, message.mailbox);
            self.log.outbox.push_message(pool, id, message);
            return true;
        } else {
            Unsendable::NoMailboxId
        };
        self.settle_as_unsendable(fabric, &message, cause);
        false
    }

    /// A message that was accepted is settled, and the caller has to report it.
    #[cold]
    pub(super) fn settle_as_unsendable(
        &mut self,
        fabric: &Fabric,
        message: &OutgoingMessage<'_>,
        cause: Unsendable,
    ) {
        self.log.settle_unsendable(cause);
        self.settle_unsent(fabric, message, cause.sentence());
    }

    /// A message that was accepted is settled and surely not sent: its room at the gate is free again, and
    /// whoever waits to hear of it is told.
    #[cold]
    fn settle_unsent(&self, fabric: &Fabric, message: &OutgoingMessage<'_>, why: &'static str) {
        self.address().gate.release(1, message.payload.len() as u64);
        if let Some(awaited) = message.awaited() {
            fabric.undelivered(awaited, why);
        }
    }

    /// Takes a message over, as [`take_message`](Self::take_message) does, that waits for a connection.
    pub(crate) fn hold_message(
        &mut self,
        plan: &ChannelPlan,
        fabric: &Fabric,
        pool: &mut ChunkPool,
        message: OutgoingMessage<'_>,
    ) {
        self.log.ledger.accept(1);
        if plan.monotonic {
            self.line_up(fabric, message);
        } else {
            self.hold(fabric, pool, message);
        }
        self.log.tally.note_depth(self.log.waiting());
        if plan.overflow == Overflow::DropOldest {
            self.drop_oldest(fabric, pool);
        }
    }

    fn hold(&mut self, fabric: &Fabric, pool: &mut ChunkPool, message: OutgoingMessage<'_>) {
        let held = &mut self.log.held;
        if !held.knows(message.mailbox)
            && let Some(mailbox) = fabric.mailboxes.hold_on(message.mailbox)
        {
            held.know(mailbox);
        }
        held.push(pool, message);
    }

    /// A message of a monotonic channel waits, in place of an older one with its key if there is one.
    fn line_up(&mut self, fabric: &Fabric, message: OutgoingMessage<'_>) {
        let Some(replaced) = self.log.latest.put(&fabric.mailboxes, message) else {
            return;
        };
        self.log.ledger.replace_queued();
        self.address().gate.release(1, replaced.bytes);
        match replaced.awaited {
            Some(Awaited::Receipt(number)) => {
                fabric.receipts.settle(number, Err(Reported::Replaced));
            }
            Some(awaited) => fabric.undelivered(awaited, REPLACED),
            None => {}
        }
    }

    /// The connection can take so much more, up to `quantum` bytes: what waits in line goes into the outbox. Returns
    /// how many messages the lane cannot send, which the caller has to report.
    fn take_from_line(
        &mut self,
        fabric: &Fabric,
        pool: &mut ChunkPool,
        quantum: usize,
        allowance: Allowance,
    ) -> usize {
        let messages_max = match allowance {
            Allowance::Quantum => u64::MAX,
            // What is in the outbox goes first, and can be replaced no more.
            Allowance::Piece(piece) if self.log.outbox.messages() == 0 => {
                self.log.latest.amount_within(piece).messages
            }
            Allowance::Piece(_) | Allowance::NoMessages => 0,
        };
        let mut unsendable = 0;
        while self.log.outbox.messages() < messages_max
            && self.log.outbox.payload_bytes() < quantum as u64
            && self.log.has_window()
            && let Some(next) = self.log.latest.take()
        {
            unsendable += usize::from(!self.put_on_link(fabric, pool, next.into_message()));
        }
        unsendable
    }

    /// There is a connection: what was held for it goes into the outbox. Returns how many messages the
    /// lane cannot send, which the caller has to report.
    pub(crate) fn put_held_on_link(&mut self, fabric: &Fabric, pool: &mut ChunkPool) -> usize {
        let mut held = std::mem::take(&mut self.log.held);
        let mut unsendable = 0;
        self.log.outbox.begin_line();
        while let Some(front) = held.front() {
            let Some(mailbox) = front.mailbox else {
                break;
            };
            let message = OutgoingMessage {
                mailbox,
                order: OrderTag::WITHOUT_KEY,
                is_extended: front.is_extended,
                payload: front.payload,
            };
            unsendable += usize::from(!self.put_on_link(fabric, pool, message));
            held.drop_front(pool);
        }
        self.log.outbox.end_line();
        unsendable
    }

    /// As [`take_message`](Self::take_message), for payloads that are copied, on a channel that does not
    /// drop: all of them are in the outbox, or none.
    #[must_use]
    pub(crate) fn take_run(
        &mut self,
        fabric: &Fabric,
        pool: &mut ChunkPool,
        (mailbox, order): (MailboxId, OrderTag),
        payloads: &[&[u8]],
    ) -> bool {
        let Some(id) = self.id_of(fabric, pool, mailbox) else {
            for payload in payloads {
                self.log.ledger.accept(1);
                self.log.settle_unsendable(Unsendable::NoMailboxId);
                self.address().gate.release(1, payload.len() as u64);
            }
            return false;
        };
        self.log.ledger.accept(payloads.len() as u64);
        self.log.hold_name(&fabric.mailboxes, mailbox);
        let to = (mailbox, order);
        self.log.outbox.push_run(pool, id, to, payloads);
        self.log.tally.note_depth(self.log.outbox.messages());
        true
    }

    /// What stands for a mailbox on the current connection; `None` if it carries no more of them. The
    /// lane to this node itself announces nothing: its outbox notes what each message is for.
    #[inline]
    fn id_of(&mut self, fabric: &Fabric, pool: &mut ChunkPool, mailbox: MailboxId) -> Option<u32> {
        if self.state.stage() == Stage::Loop {
            return Some(0);
        }
        match self.link.mailbox_ids.use_id(mailbox.number()) {
            Some(id) => Some(id),
            None => self.announce(fabric, pool, mailbox),
        }
    }

    /// First use of a mailbox on this connection: its name goes ahead of the message. If its id stood
    /// for another mailbox until now, the name stays behind the messages that are for that one.
    #[cold]
    fn announce(
        &mut self,
        fabric: &Fabric,
        pool: &mut ChunkPool,
        mailbox: MailboxId,
    ) -> Option<u32> {
        let name = fabric.mailboxes.name(mailbox)?;
        let outbox = &mut self.log.outbox;
        match self.link.mailbox_ids.assign(mailbox.number())? {
            Assigned::New(id) => {
                outbox.push_control(FrameKind::Mailbox, id, name.as_bytes());
                Some(id)
            }
            Assigned::Reused(id) => {
                outbox.push_announcement(pool, id, &name);
                Some(id)
            }
        }
    }

    /// Makes room by the `drop_oldest` policy. The newest message stays, even if a batch that the kernel
    /// has not taken yet fills the bound: it cannot be taken back, and the newest is what the policy
    /// is for. So the bound can be exceeded by one message.
    fn drop_oldest(&mut self, fabric: &Fabric, pool: &mut ChunkPool) {
        while self.address().gate.is_over() {
            let Some(Dropped { bytes, awaited }) = self.log.drop_oldest(pool) else {
                return;
            };
            self.address().gate.release(1, bytes);
            if let Some(awaited) = awaited {
                fabric.undelivered(awaited, OVERFLOWED);
            }
        }
    }

    /// How many messages the overflow policy dropped since this was asked last.
    pub(crate) fn take_overflow(&mut self) -> u64 {
        let at_gate = self.address().gate.dropped();
        self.log.take_overflow(at_gate)
    }

    /// The kernel has taken a batch: on a lane that keeps nothing to send it again, there is room for as much.
    fn give_back_room(&mut self, load: Load) {
        if !self.log.keeps_messages() {
            let gate = &self.address().gate;
            gate.release(load.messages, load.payload_bytes);
            self.settle_streams();
        }
    }

    /// A message that came for a lane that takes none: settled on the spot.
    pub(crate) fn settle_stray(&mut self, fabric: &Fabric, message: &OutgoingMessage<'_>) {
        if self.state.is_over() {
            self.log.tally.note_late();
        }
        self.log.accept_unsent();
        self.settle_unsent(fabric, message, ENDED_BEFORE);
    }

    /// Recorded messages go to the kernel; on a channel without acknowledgements that is their end.
    #[cold]
    fn tell_sent(&mut self, fabric: &Fabric, now: Instant) {
        let is_acknowledged = self.log.ledger.reliability().is_acknowledged();
        for number in self.log.recorded.drain(..) {
            if is_acknowledged {
                fabric.spans.sent(number, now);
            } else {
                fabric.receipts.settle(number, Ok(()));
            }
        }
    }

    /// The connection has ended: what waited for its turn on it surely did not reach the peer. `at_rest`, what waits
    /// in line waits on.
    pub(crate) fn end_queued(&self, fabric: &Fabric, at_rest: bool) {
        let outbox = &self.log.outbox;
        outbox.each_awaited(|_, awaited| fabric.undelivered(awaited, ENDED_BEFORE));
        if at_rest {
            return;
        }
        let latest = &self.log.latest;
        latest.each_awaited(|awaited| fabric.undelivered(awaited, ENDED_BEFORE));
    }

    /// What was under way on the connection that has ended may have arrived.
    pub(crate) fn end_under_way(&mut self, fabric: &Fabric, why: &'static str) {
        for number in self.log.receipts.end() {
            fabric
                .receipts
                .settle(number, Err(Reported::Unknown { why }));
        }
    }

    /// There will be no connection: what was sent on an earlier one may have arrived, the rest surely has
    /// not.
    pub(crate) fn end_held(&self, fabric: &Fabric, why: &'static str) {
        let open = self.log.open();
        let told = |place, awaited| match awaited {
            Awaited::Receipt(number) if place < open => {
                fabric
                    .receipts
                    .settle(number, Err(Reported::Unknown { why }));
            }
            awaited => fabric.undelivered(awaited, why),
        };
        self.log.held.each_awaited(told);
        let latest = &self.log.latest;
        latest.each_awaited(|awaited| fabric.undelivered(awaited, why));
    }

    /// Why the lane ends, once both sides have said Bye and this side's is with the kernel.
    pub(crate) fn parted(&self) -> Option<CloseReason> {
        self.state.parted().filter(|_| self.log.outbox.is_empty())
    }

    /// Whether it has something for the next connection.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.log.held.is_empty() || !self.log.latest.is_empty() || !self.streams.is_empty()
    }

    /// Whether it waits for room in an inbox.
    pub(crate) fn is_waiting(&self) -> bool {
        let inbound = self.link.inbound.as_ref();
        inbound.is_some_and(|inbound| inbound.ticket.is_some())
    }

    /// Whether a Ping or a Pong is to be sent.
    pub(crate) fn owes_word(&self) -> bool {
        let inbound = self.link.inbound.as_ref();
        inbound.is_some_and(|inbound| inbound.owes_word())
    }

    /// Whether something waits for the batch that is with the kernel to come back.
    fn has_to_send(&self, now: Instant) -> bool {
        let inbound = self.link.inbound.as_ref();
        self.owes_word()
            || !self.log.outbox.is_empty()
            || !self.log.latest.is_empty()
            || !self.streams.is_empty()
            || self.state.wants_bye()
            || inbound.is_some_and(|inbound| inbound.ledger.ack_is_due(now))
    }
}

impl Core {
    /// Puts a lane into the queue of those with something to send.
    #[inline]
    pub(crate) fn mark_ready(&mut self, lane: u32) {
        self.sending
            .mark_ready(lane, &mut self.lanes[lane as usize]);
    }

    /// Sends what a lane has, up to its quantum: one operation. Returns the bytes it queued. Nothing
    /// happens while its last batch is with the kernel: the completion comes back here.
    pub(crate) fn flush_lane(&mut self, index: u32) -> io::Result<usize> {
        if self.lanes[index as usize].log.first_due().is_some() {
            self.mind_deadlines(index);
        }
        let lane = &mut self.lanes[index as usize];
        let Some(connection) = lane.state.connection() else {
            self.feed_streams(index);
            return Ok(0);
        };
        let Some(socket) = self.connections.get(connection) else {
            return Ok(0);
        };
        if socket.sending {
            return Ok(0);
        }
        if self.takes_from_streams(index) {
            self.feed_streams(index);
        }
        let allowance = self.allowance(index);
        let Some(socket) = self.connections.get(connection) else {
            return Ok(0);
        };
        let lane = &mut self.lanes[index as usize];
        if let Some(inbound) = &mut lane.link.inbound {
            inbound.pay_into(&mut lane.log.outbox);
        }
        let quantum = self.channels[lane.channel].send_quantum_bytes;
        if !lane.log.latest.is_empty() && lane.takes_messages() {
            let pool = &mut self.sending.pool;
            let unsendable = lane.take_from_line(&self.fabric, pool, quantum, allowance);
            let strays = &mut self.sending.strays;
            strays.extend(std::iter::repeat_n(index, unsendable));
        }
        say_bye(lane);
        let carried_bytes = socket.batch.carried_bytes();
        if lane.log.outbox.is_empty() && carried_bytes == 0 {
            // This side's Bye was out before the peer's came.
            if let Some(reason) = lane.parted() {
                self.end_lane(index, reason);
            }
            return Ok(0);
        }
        let moment = self.fabric.clock.ms(self.now);
        let batch = &mut socket.batch;
        let load = match allowance {
            _ if lane.log.outbox.is_empty() => Load::default(),
            Allowance::Quantum => {
                let pool = &mut self.sending.pool;
                lane.log.hand_over(batch, pool, quantum, self.now, moment)
            }
            Allowance::Piece(piece) => {
                let outbox = &mut lane.log.outbox;
                let next = outbox.cut_front(&mut self.sending.pool, piece);
                let is_large = outbox.is_next_large();
                let rates = &self.channels[lane.channel].rates;
                lane.pace.settle(rates, next);
                let pool = &mut self.sending.pool;
                let load = (lane.log).hand_over(batch, pool, ONE_CHUNK, self.now, moment);
                lane.log.outbox.end_turn(is_large);
                load
            }
            Allowance::NoMessages => lane.log.outbox.fill_control(batch),
        };
        if !lane.log.recorded.is_empty() {
            lane.tell_sent(&self.fabric, self.now);
        }
        if load.wire_bytes == 0 && carried_bytes == 0 {
            // What waits may not go before something is acknowledged.
            return Ok(0);
        }
        let plan = &self.channels[lane.channel];
        // What this end was retuned to since the handshake, the peer does not know yet.
        let is_agreed = lane.link.agreed.terms.compression == plan.terms.compression;
        if plan.codec.is_some() && is_agreed && carried_bytes == 0 {
            let terms = &lane.link.agreed.terms;
            let packed = self
                .packing
                .pack(plan, terms, &mut lane.log.payoff, &mut socket.batch);
            if let Some((from_bytes, to_bytes)) = packed {
                lane.log.tally.note_packed(from_bytes, to_bytes);
            }
        }
        if let Some(session) = &mut socket.session {
            let pool = &mut self.sending.pool;
            let sealed = socket
                .batch
                .seal(pool, |pieces, sealed| session.seal(pieces, sealed));
            if let Err(error) = sealed {
                let peer = lane.peer.name();
                tracing::warn!(peer, reason = %error.reason, %error, "a session has failed");
                self.end_lane(index, error.reason);
                return Ok(0);
            }
        }
        let wire_bytes = socket.batch.load().wire_bytes;
        if wire_bytes > 0 {
            lane.log.tally.note_batch(wire_bytes);
        }
        if let Some(inbound) = &mut lane.link.inbound {
            inbound.liveness.said(self.now);
        }
        self.submit_send(connection)?;
        let wire_bytes = usize::try_from(wire_bytes).unwrap_or(usize::MAX);
        Ok(wire_bytes.saturating_add(carried_bytes))
    }

    /// Queues the send of what is left of a connection's batch: while more waits behind it, whole segments of it.
    fn submit_send(&mut self, index: u32) -> io::Result<()> {
        let operation = self.connections.operation(OperationKind::Send, index);
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        let more_waits = connection
            .lane()
            .is_some_and(|lane| self.lanes[lane as usize].log.outbox.messages() > 0);
        let bytes_max = connection.send_bytes_max(more_waits);
        let Some(socket) = &connection.socket else {
            return Ok(());
        };
        let socket = socket::raw(socket);
        connection.sending = true;
        match connection.batch.shape(bytes_max) {
            Shape::Contiguous(bytes) => {
                self.io.queue(socket, SocketCall::Send { bytes }, operation)
            }
            Shape::Scattered(vectors) => {
                let header = &mut connection.send_header.0;
                header.msg_iov = vectors.as_mut_ptr().cast();
                header.msg_iovlen = vectors.len();
                self.io
                    .queue(socket, SocketCall::SendVectored { header }, operation)
            }
        }
    }

    /// A send completed: the rest of the batch goes out, or its room is released and the next batch
    /// gets its turn.
    pub(crate) fn sent(&mut self, index: u32, result: i32) -> io::Result<()> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        connection.sending = false;
        if let Ok(bytes) = usize::try_from(result) {
            connection.batch.advance(bytes);
            if connection.batch.remaining() > 0
                && let Some(lane) = connection.lane()
            {
                let Some(load) = connection.carry_rest(&mut self.sending.pool) else {
                    return self.submit_send(index);
                };
                self.lanes[lane as usize].give_back_room(load);
                self.mark_ready(lane);
                return Ok(());
            }
        }
        let load = connection.batch.finish(&mut self.sending.pool);
        let Some(lane) = connection.lane() else {
            self.connections.free_if_quiet(index);
            return Ok(());
        };
        let state = &mut self.lanes[lane as usize];
        state.give_back_room(load);
        if result < 0 {
            // The peer closes when both have said Bye: whether it has is told by what it sent before.
            if !state.state.has_said_bye() {
                self.end_lane(lane, reason_of(result));
            }
        } else if let Some(reason) = state.parted() {
            self.end_lane(lane, reason);
        } else if state.has_to_send(self.now) {
            self.mark_ready(lane);
        }
        Ok(())
    }
}

impl Core {
    /// Why a stream came to its end: the peer closed it, or the kernel gave it up while something was
    /// being sent.
    pub(crate) fn reason_of_end(&mut self, index: u32) -> CloseReason {
        let Some(connection) = self.connections.get(index) else {
            return CloseReason::PeerClosed;
        };
        let aborted = connection
            .socket
            .as_ref()
            .is_some_and(|socket| socket::standing(socket) == Standing::Aborted);
        if aborted && connection.sending {
            CloseReason::Reset
        } else {
            CloseReason::PeerClosed
        }
    }
}

/// The last frame of this side, once everything it sent is acknowledged.
fn say_bye(lane: &mut Lane) {
    if let Some(reason) = lane
        .state
        .say_bye(lane.log.is_link_drained(lane.state.rests()))
    {
        lane.log
            .outbox
            .push_control(FrameKind::Bye, u32::from(reason.code()), &[]);
    }
}

/// What a failed operation says about the connection.
pub(crate) fn reason_of(result: i32) -> CloseReason {
    match -result {
        libc::ECONNRESET | libc::EPIPE | libc::ECANCELED => CloseReason::Reset,
        libc::ECONNREFUSED => CloseReason::ConnectRefused,
        libc::ETIMEDOUT => CloseReason::IdleTimeout,
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
            CloseReason::Unreachable
        }
        _ => CloseReason::Io,
    }
}
