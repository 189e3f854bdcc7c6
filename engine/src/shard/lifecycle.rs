//! A lane comes up, and ends: its ledgers are opened, and what is left is settled and reported.
//!
//! Owns what the end of a lane reports and how a connection is closed. Called when a handshake is over
//! (`dial`, `accept`), and by whoever finds that a lane must end; never moves a message.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::connection::Phase;
use super::inbound::Inbound;
use super::lane::Lane;
use super::lane_state::{Action, Carrier, Stage};
use super::ordered::Ordered;
use super::outbox::{ChunkPool, Fragments, Load};
use super::timers::Deadline;
use crate::config::OnLate;
use crate::control::link::Notice;
use crate::delivery::rate::Amount;
use crate::delivery::{AckPolicy, Incoming, Report};
use crate::error::Reported;
use crate::events::Event;
use crate::fabric::Fabric;
use crate::io::operation::OperationKind;
use crate::io::socket;
use crate::peer::Peer;
use crate::wire::{Agreed, CloseReason, Progress};

/// How a lane came up.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) dialed: bool,
    pub(super) incarnation: u64,
    /// As [`Peer::join`](crate::peer::Peer::join) returned it.
    pub(super) session: u64,
    /// What its handshake has settled.
    pub(super) agreed: Agreed,
}

impl Core {
    /// The handshake is over: messages are taken from now on. `early` are bytes that came with it.
    pub(super) fn lane_up(
        &mut self,
        lane: u32,
        index: u32,
        joined: Joined,
        early: Vec<u8>,
    ) -> io::Result<()> {
        let Joined {
            dialed,
            incarnation,
            session,
            agreed,
        } = joined;
        self.call_off_handshake_deadline(index);
        self.connections.set_phase(index, Phase::Lane { lane });
        let channel = self.lanes[lane as usize].channel;
        if let Some(connection) = self.connections.get(index)
            && let Some(descriptor) = &connection.socket
            && let Err(error) = socket::apply(descriptor, &self.channels[channel].options)
        {
            // The lane works without it: log it, and go on.
            tracing::warn!(%error, channel = %self.channels[channel].name, "a socket option was refused");
        }
        let carrier = Carrier {
            connection: index,
            dialed,
            incarnation,
            since: self.now,
        };
        let state = &mut self.lanes[lane as usize];
        state.link.agreed = agreed;
        self.fabric
            .streams
            .lane_came(&state.peer, state.offset, incarnation);
        let actions = self.lanes[lane as usize].state.up(carrier);
        self.carry_out(lane, actions);
        self.end_linger(lane);
        let state = &mut self.lanes[lane as usize];
        if let Some(inbound) = &mut state.link.inbound {
            inbound.carry = early;
        }
        if state
            .link
            .inbound
            .as_ref()
            .is_some_and(|inbound| !inbound.carry.is_empty())
        {
            self.intake.early.push(lane);
        }
        let (peer, channel) = (
            state.peer.clone(),
            self.channels[state.channel].name.clone(),
        );
        let event = Event::LaneUp {
            peer: Arc::clone(&peer),
            channel,
            lane: state.address().index(),
            dialed,
        };
        self.tell(Notice::LaneUp {
            event,
            session,
            incarnation,
        });
        self.control_link.stir(&peer);
        // After the event: it comes before those of lanes that follow.
        if self.lanes[lane as usize].is_control() {
            self.reached(lane);
        } else {
            self.mind_control(lane);
        }
        self.note_renewal(lane);
        self.arm_receive(index, 1)?;
        // It was on its way when a fault came.
        self.cut_if_faulty(lane);
        Ok(())
    }

    /// Fresh ledgers, an open gate; what waited for the lane is sent first.
    fn open(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        state.has_been_up = true;
        let plan = &self.channels[state.channel];
        let config = &self.fabric.config;
        let agreed = &state.link.agreed;
        let above_bytes = plan.fragments_above_bytes;
        // Nothing is sent to this node itself: a message is handed over whole.
        let is_sent = state.state.stage() != Stage::Loop;
        let above_bytes = above_bytes.filter(|_| is_sent && agreed.terms.fragments);
        state
            .log
            .start_link(above_bytes.map(|above_bytes| Fragments {
                above_bytes,
                keeps_order: !plan.unordered,
            }));
        let address = state.peer.lane(state.offset);
        address.settle_payload_bytes_max(agreed.terms.body_bytes_max);
        address.settle_large_bytes_max(agreed.terms.large_bytes_max);
        let knows_streams = agreed.frame_limits().extensions;
        address.settle_extensions(knows_streams);
        let mut window = plan.config.unacknowledged_bytes_max as u64;
        if plan.reliability.keeps_messages() {
            // The peer's log is as small, if it is configured alike, and waits for this.
            window = window.min(plan.config.log_bytes_max as u64);
        }
        let policy = AckPolicy {
            bytes: AckPolicy::default().bytes.min(window / 4),
            delay: Duration::from_micros(config.ack_delay_us),
            ..AckPolicy::default()
        };
        let incoming = Incoming::new(plan.reliability, policy);
        let liveness = self.sweeper.liveness(self.now);
        let mut inbound = Inbound::new(
            state.peer.clone(),
            state.channel,
            agreed,
            incoming,
            liveness,
            self.now,
        );
        inbound.refuses_late = plan.config.on_late == OnLate::Refuse;
        let incarnation = state.state.incarnation();
        inbound.ordered = plan
            .causal
            .as_ref()
            .zip(incarnation)
            .map(|(order, incarnation)| {
                let name = state.peer.name();
                Box::new(Ordered::new(Arc::clone(order), name, incarnation))
            });
        state.link.start(inbound);
        if !knows_streams {
            self.end_streams(
                lane,
                "the peer speaks version 1 of the wire, which has no streams",
            );
        }
        self.send_held(lane);
        self.know_life(lane);
        let state = &mut self.lanes[lane as usize];
        if state.is_control() {
            state.peer.note_keeps_lanes(false);
        }
        // Last: whoever waits for the lane sends at once.
        state.peer.lane_came(state.offset);
        state.peer.let_go_lane(state.offset);
        self.end_absence(lane);
        if knows_streams {
            self.tell_streams_given_up(lane);
        }
        let state = &self.lanes[lane as usize];
        if !state.streams.is_empty() {
            self.mark_ready(lane);
        }
        self.watch_for_rest(lane);
        self.tell_waiting_changed();
    }

    /// Messages may wait for a lane no longer: a control lane on another shard, which stops after that, looks
    /// again.
    fn tell_waiting_changed(&self) {
        if self.fabric.is_stopping() {
            self.fabric.ring_all();
        }
    }

    /// There is a connection for what is held.
    pub(super) fn send_held(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        if state.log.held.is_empty() && state.log.latest.is_empty() {
            return;
        }
        let unsendable = state.put_held_on_link(&self.fabric, &mut self.sending.pool);
        let strays = &mut self.sending.strays;
        strays.extend(std::iter::repeat_n(lane, unsendable));
        self.mark_ready(lane);
    }

    /// A connection to the process of that incarnation is about to carry the lane, and the peer has stated
    /// how far it had come on earlier ones.
    ///
    /// # Errors
    /// The reason to end the connection.
    pub(super) fn meet(
        &mut self,
        lane: u32,
        theirs: Progress,
        incarnation: u64,
        dialed: bool,
    ) -> Result<(), CloseReason> {
        let state = &mut self.lanes[lane as usize];
        let log = &mut state.log;
        let renewed = self.fabric.log_ids.next();
        let resumed = log
            .meet(theirs, incarnation, dialed, renewed, &mut self.sending.pool)
            .map_err(|error| {
                tracing::warn!(peer = state.peer.name(), %error, "a lane is not resumed");
                CloseReason::BadResume
            })?;
        let released = resumed.released;
        let receipts = &self.fabric.receipts;
        let (refused, late) = resumed.refused();
        let why = CloseReason::PeerRestarted.sentence();
        for number in resumed.lost {
            receipts.settle(number, Err(Reported::Unknown { why }));
        }
        for (processed, numbers) in resumed.processed {
            receipts.processed(numbers, processed);
        }
        let gate = &state.address().gate;
        gate.release(released.messages, released.payload_bytes);
        if resumed.unknown > 0 {
            state.give_up_words();
        }
        state.settle_streams();
        if state.log.has_numbers() {
            self.note_resumed(lane, resumed.unknown == 0, &resumed.numbers);
        }
        if refused > 0 {
            self.report_refused(lane, refused, late);
        }
        if resumed.unknown > 0 {
            self.end_streams(lane, why);
            let report = Report {
                undelivered: 0,
                unknown: resumed.unknown,
            };
            self.report_messages(lane, report, why);
        }
        Ok(())
    }

    /// The lane could not be made: what waits for it is reported, and the peer told if it had asked for it.
    pub(super) fn fail(&mut self, lane: u32, reason: CloseReason) {
        self.tell_expired(lane);
        let state = &mut self.lanes[lane as usize];
        // First: nothing more is accepted for a peer that is given up.
        state.peer.give_up_lane(state.offset);
        if state.log.keeps_messages() {
            // Some were sent on an earlier connection.
            self.fabric.requests.lane_ended(&state.peer, state.offset);
        }
        state.end_held(&self.fabric, reason.sentence());
        state.give_up_words();
        let (held, report) = state.log.drop_held(&mut self.sending.pool);
        state
            .address()
            .gate
            .release(held.messages, held.payload_bytes);
        state.settle_streams();
        if held.messages > 0 && reason == CloseReason::DrainTimeout {
            state.log.tally.note_late();
        }
        if state.log.has_numbers() {
            self.note_idle(lane);
        }
        let state = &mut self.lanes[lane as usize];
        let is_reliable = self.channels[state.channel].reliable;
        let is_summoned = state.state.take_summoned();
        self.end_streams(lane, reason.sentence());
        if held.messages > 0 && is_reliable {
            self.report_messages(lane, report, reason.sentence());
        }
        if is_summoned {
            self.decline(lane, reason);
        }
        if self.lanes[lane as usize].is_control() {
            self.not_reached(lane, reason);
        }
        self.tell_waiting_changed();
    }

    /// The lane to this node itself is up from the start.
    pub(crate) fn loop_lane_up(&mut self, lane: u32) {
        let joined = self.lanes[lane as usize].peer.join(self.fabric.incarnation);
        debug_assert!(joined.is_ok(), "a node has a place among its own peers");
        let actions = self.lanes[lane as usize].state.loop_up();
        self.carry_out(lane, actions);
    }

    /// Ends a lane, if it is up: what it had accepted is settled and reported, its connection closes, and
    /// it is dialled again if that is wanted.
    pub(crate) fn end_lane(&mut self, lane: u32, reason: CloseReason) {
        let at = self.moment();
        let actions = self.lanes[lane as usize].state.ended(reason, at);
        self.carry_out(lane, actions);
    }

    /// Does what a lane's state asks for.
    pub(super) fn carry_out(&mut self, lane: u32, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::SetDial { at } => self.timers.set(at, Deadline::Dial { lane }),
                Action::CancelDial { at } => self.timers.take_back(at, Deadline::Dial { lane }),
                Action::Close { connection } => self.close_connection(connection),
                Action::Open => self.open(lane),
                Action::Shut => {
                    let state = &self.lanes[lane as usize];
                    state.peer.shut_lane(state.offset);
                }
                Action::Summon => self.summon(lane),
                Action::Reach => self.reach(lane),
                Action::Fail { reason } => self.fail(lane, reason),
                Action::Flush => self.mark_ready(lane),
                Action::Settle {
                    connection: Some(connection),
                    reason,
                    at_rest,
                } => self.settle(lane, connection, reason, at_rest),
                Action::Settle {
                    connection: None,
                    reason,
                    ..
                } => self.settle_loop(lane, reason),
            }
        }
    }

    /// The lane has ended: what its connection had is settled and reported, and that closes. At rest, that
    /// is nothing, and requests that were delivered are answered on the next connection.
    fn settle(&mut self, lane: u32, connection: u32, reason: CloseReason, at_rest: bool) {
        self.end_watch_for_rest(lane);
        self.tell_expired(lane);
        let in_kernel = self
            .connections
            .get(connection)
            .map(|connection| connection.batch.load());
        let state = &mut self.lanes[lane as usize];
        let waits = state.log.keeps_messages() && !is_final(reason);
        // A lane that has only received has nothing to wait for.
        let waits_for_peer = waits && !at_rest && state.log.ledger.accepted() > 0;
        if waits_for_peer {
            // First: senders see no gap.
            state.peer.hold_lane(state.offset);
        }
        let lingers = self.lingers_on(lane, reason, at_rest);
        if self.lanes[lane as usize].is_control() && !lingers && !at_rest {
            self.expect_back(lane, reason);
        }
        let state = &mut self.lanes[lane as usize];
        if !lingers {
            state.peer.shut_lane(state.offset);
        }
        // Behind the gate: a request that is opened from here on waits for the next connection.
        if !state.log.keeps_messages() {
            state.end_queued(&self.fabric, at_rest);
            state.end_under_way(&self.fabric, reason.sentence());
        }
        if !at_rest && !waits {
            self.fabric.requests.lane_ended(&state.peer, state.offset);
            self.end_streams(lane, reason.sentence());
        }
        let state = &mut self.lanes[lane as usize];
        let in_kernel = in_kernel.unwrap_or_default();
        let pool = &mut self.sending.pool;
        let ends = (!waits).then_some((&*self.fabric, reason));
        let report = settle_log(state, pool, in_kernel, at_rest, ends);
        // Others of the channel need not wait for what does not go.
        let rates = &self.channels[state.channel].rates;
        state.pace.settle(rates, Amount::default());
        if let Some(inbound) = state.link.inbound.take() {
            if let Some(ordered) = &inbound.ordered {
                ordered.order.let_go_of(ordered.life);
            }
            if let Some(ticket) = inbound.ticket {
                self.intake.waiting.leave(ticket);
            }
            state.log.tally.delivered_before += inbound.ledger.delivered_total();
            state.log.tally.late_before += inbound.ledger.late_total();
        }
        state.failed_in = state.peer.presence().sessions;
        state.log.tally.count_close(reason);
        if !lingers {
            state.peer.lane_went(state.offset);
        }
        tracing::info!(peer = state.peer.name(), channel = %self.channels[state.channel].name, %reason, "lane ended");
        let peer = Arc::clone(&state.peer);
        let event = Event::LaneDown {
            peer: Arc::clone(&peer),
            channel: self.channels[state.channel].name.clone(),
            lane: state.address().index(),
            reason,
            undelivered: report.undelivered,
            unknown: report.unknown,
        };
        self.tell(Notice::Event(event));
        // After the event of the lane: the peer is down with its last lane.
        if !lingers {
            self.leave_peer(&peer, reason);
        }
        self.close_connection(connection);
        self.end_wait_for_tokens(lane);
        if self.lanes[lane as usize].log.has_numbers() {
            self.note_idle(lane);
        }
        let state = &self.lanes[lane as usize];
        let is_awaited = at_rest && state.has_waiting();
        if waits_for_peer || is_awaited || (lingers && state.state.has_address()) {
            // It may be back soon: what the lane has accepted waits for it, and what comes meanwhile.
            self.demand_lane(lane);
        }
        self.note_renewal(lane);
    }

    /// A lane of that peer has ended, which may have been its last.
    pub(super) fn leave_peer(&mut self, peer: &Arc<Peer>, reason: CloseReason) {
        if peer.leave(reason) {
            self.fabric.requests.peer_left(peer);
            self.end_streams_with(peer, reason);
        }
        self.control_link.stir(peer);
    }

    /// The lane to this node itself has ended, without a Bye: there is nobody to say it to.
    fn settle_loop(&mut self, lane: u32, reason: CloseReason) {
        self.tell_expired(lane);
        let state = &mut self.lanes[lane as usize];
        state.end_queued(&self.fabric, false);
        self.fabric.requests.lane_ended(&state.peer, state.offset);
        self.end_streams(lane, reason.sentence());
        let state = &mut self.lanes[lane as usize];
        let (queued, report) = state.log.end_link(None, false, &mut self.sending.pool);
        state
            .address()
            .gate
            .release(queued.messages, queued.payload_bytes);
        state.peer.lane_went(state.offset);
        if state.peer.leave(reason) {
            self.fabric.requests.peer_left(&state.peer);
        }
        if report.undelivered > 0 {
            let why = if reason == CloseReason::ChannelRemoved {
                "the channel was removed before its inbox had room for them"
            } else {
                "the node stopped before its inbox had room for them"
            };
            self.report_undelivered(lane, report.undelivered, why);
        }
    }

    /// The peer will send no more messages. This side finishes what it has and says Bye in turn.
    pub(crate) fn hear_bye(&mut self, lane: u32, reason: CloseReason) {
        let actions = self.lanes[lane as usize].state.bye_heard(reason);
        self.carry_out(lane, actions);
    }

    /// Shuts a connection down; it is freed when the kernel has let go of its memory.
    pub(crate) fn close_connection(&mut self, index: u32) {
        if !self.connections.set_closing(index) {
            return;
        }
        self.call_off_handshake_deadline(index);
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        if let Some(descriptor) = &connection.socket {
            socket::shut_down(descriptor);
        }
        // A shutdown completes sends and receives under way; a connect has to be called off, and so
        // has a multishot receive that waits for data on a socket that never connected.
        let kind = match connection.phase {
            Phase::Connecting { .. } => Some(OperationKind::Connect),
            Phase::Securing { .. } | Phase::Greeting { .. } | Phase::Greeted { .. } => {
                Some(OperationKind::ReceiveHandshake)
            }
            Phase::Lane { .. } => connection.receiving,
        };
        if let Some(kind) = kind {
            let operation = self.connections.operation(kind, index);
            if let Err(error) = self.io.cancel(operation) {
                tracing::error!(%error, "a cancellation could not be queued");
            }
        }
        self.let_go_of_input(index);
        self.connections.free_if_quiet(index);
    }
}

/// What a connection that has ended had is settled, or, unless the lane `ends` with it, kept for the next one;
/// the room of what is settled is free again. `in_kernel` is what was being sent. Returns what there is to
/// report.
fn settle_log(
    state: &mut Lane,
    pool: &mut ChunkPool,
    in_kernel: Load,
    at_rest: bool,
    ends: Option<(&Fabric, CloseReason)>,
) -> Report {
    let processed = state.link.processed();
    let (queued, report) = state.log.end_link(processed, at_rest, pool);
    let (rest, report) = if !state.log.keeps_messages() {
        (in_kernel, report)
    } else if let Some((fabric, reason)) = ends {
        state.end_held(fabric, reason.sentence());
        state.log.drop_held(pool)
    } else {
        // What is being sent is in the log too.
        (Load::default(), report)
    };
    state.address().gate.release(
        queued.messages + rest.messages,
        queued.payload_bytes + rest.payload_bytes,
    );
    state.settle_streams();
    report
}

/// Whether a lane that ends so is not to be resumed: one of the two nodes stops, or was told to part from
/// the other.
pub(super) fn is_final(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::LocalStop
            | CloseReason::PeerStopped
            | CloseReason::Disconnected
            | CloseReason::PeerDisconnected
            | CloseReason::ChannelRemoved
            | CloseReason::PeerRemovedChannel
            | CloseReason::DrainTimeout
    )
}
