//! From nothing to a lane and back: dialling, accepting, the handshake, the end of a lane.
//!
//! Owns the rules of who may have which lane (with `wire::lane_choice`), what a lane's end reports,
//! and when to dial again. Called by the turn for completions and deadlines; never moves a message.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Core;
use super::command::{Command, Newcomer};
use super::connection::Phase;
use super::inbound::Inbound;
use super::lane::{Farewell, LaneState, reason_of};
use super::timers::Deadline;
use crate::control::Notice;
use crate::delivery::{AckPolicy, Incoming, Outgoing};
use crate::events::Event;
use crate::io::operation::{Operation, OperationKind};
use crate::io::socket;
use crate::ring::gate::GateState;
use crate::wire::hello::{HANDSHAKE_BODY_BYTES_MAX, LocalNode, PREFIX_BYTES};
use crate::wire::lane_choice::{Choice, RemoteNode, SlotState, keep};
use crate::wire::{
    AcceptProgress, Acceptor, CloseReason, DialProgress, Dialer, FrameLimits, HandshakeMessage,
    Hello, Name, Refuse, Welcome,
};

/// A handshake message is at most this long; more than one never comes before the lane is up.
const HANDSHAKE_BUFFER_BYTES: usize = PREFIX_BYTES + HANDSHAKE_BODY_BYTES_MAX;

/// There is one accept on each shard, and it belongs to no connection.
const ACCEPT: Operation = Operation {
    kind: OperationKind::Accept,
    generation: 0,
    index: 0,
};

impl Core {
    // --- dialling

    /// Dials in this turn.
    pub(crate) fn dial_soon(&mut self, lane: u32) {
        let state = &mut self.lanes[lane as usize];
        if !state.dial_is_due && state.state == LaneState::Idle {
            state.dial_is_due = true;
            self.timers.set(self.now, Deadline::Dial { lane });
        }
    }

    /// The deadline to dial has come.
    pub(crate) fn dial(&mut self, lane: u32) -> io::Result<()> {
        let state = &mut self.lanes[lane as usize];
        state.dial_is_due = false;
        let (Some(address), LaneState::Idle, false) = (state.address, state.state, state.refused)
        else {
            return Ok(());
        };
        if self.draining.is_some() {
            return Ok(());
        }
        match socket::dialing_socket(address) {
            Ok(socket) => self.connect(lane, socket, address),
            Err(error) => {
                self.dial_failed(lane, CloseReason::Io, error.to_string());
                Ok(())
            }
        }
    }

    fn connect(&mut self, lane: u32, socket: OwnedFd, address: SocketAddr) -> io::Result<()> {
        let raw = socket::raw(&socket);
        let boxed = Box::new(socket2::SockAddr::from(address));
        let phase = Phase::Connecting {
            lane,
            address: boxed,
        };
        let index = self.connections.insert(socket, phase, Some(address));
        self.lanes[lane as usize].state = LaneState::Dialing { connection: index };
        let operation = self.connections.operation(OperationKind::Connect, index);
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        connection.others += 1;
        let generation = connection.generation;
        let timeout = Duration::from_millis(self.fabric.config.connect_timeout_ms);
        self.timers.set(
            self.now + timeout,
            Deadline::Handshake {
                connection: index,
                generation,
            },
        );
        if let Phase::Connecting { address, .. } = &connection.phase {
            self.ring.connect(raw, address, operation)?;
        }
        Ok(())
    }

    /// The connect completed: say Hello.
    pub(crate) fn connected(&mut self, index: u32, result: i32) -> io::Result<()> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        connection.others -= 1;
        let Phase::Connecting { lane, .. } = connection.phase else {
            return Ok(());
        };
        if connection.closing {
            self.connections.free_if_quiet(index);
            return Ok(());
        }
        if result < 0 {
            let detail = io::Error::from_raw_os_error(-result).to_string();
            return self.give_up_dial(index, lane, reason_of(result), detail);
        }
        let (dialer, bytes) = Dialer::new(self.hello(lane));
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        let sent = connection
            .socket
            .as_ref()
            .map(|socket| socket::send_now(socket, &bytes));
        if let Some(Err(error)) = sent {
            return self.give_up_dial(index, lane, CloseReason::Reset, error.to_string());
        }
        let generation = connection.generation;
        let buffer = vec![0; HANDSHAKE_BUFFER_BYTES].into_boxed_slice();
        self.connections.set_phase(
            index,
            Phase::Greeting {
                lane,
                dialer,
                buffer,
            },
        );
        let deadline = Duration::from_millis(self.fabric.config.handshake_deadline_ms);
        self.timers.set(
            self.now + deadline,
            Deadline::Handshake {
                connection: index,
                generation,
            },
        );
        self.receive_handshake(index)
    }

    fn hello(&self, lane: u32) -> Hello {
        let state = &self.lanes[lane as usize];
        let plan = &self.fabric.channels[state.channel];
        Hello {
            cluster: self.names.cluster.clone(),
            node: self.names.node.clone(),
            incarnation: self.fabric.incarnation,
            expected_node: Name::new(state.peer.name()).ok(),
            channel: plan.wire_name.clone(),
            terms: plan.terms.clone(),
            lane: state.address().index,
        }
    }

    fn receive_handshake(&mut self, index: u32) -> io::Result<()> {
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
        let (Phase::Greeting { buffer, .. } | Phase::Greeted { buffer, .. }) =
            &mut connection.phase
        else {
            return Ok(());
        };
        connection.others += 1;
        self.ring.receive_once(raw, buffer, operation)
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
            Phase::Greeting { lane, .. } => self.answered(index, lane, result),
            Phase::Greeted { .. } => self.greeted(index, result),
            Phase::Connecting { .. } | Phase::Lane { .. } => Ok(()),
        }
    }

    /// The peer's answer to a Hello, or part of it.
    fn answered(&mut self, index: u32, lane: u32, result: i32) -> io::Result<()> {
        let Ok(bytes) = usize::try_from(result) else {
            let detail = io::Error::from_raw_os_error(-result).to_string();
            return self.give_up_dial(index, lane, reason_of(result), detail);
        };
        if bytes == 0 {
            let detail = "the peer closed the connection during the handshake".to_owned();
            return self.give_up_dial(index, lane, CloseReason::PeerClosed, detail);
        }
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        let Phase::Greeting { dialer, buffer, .. } = &mut connection.phase else {
            return Ok(());
        };
        match dialer.receive(&buffer[..bytes]) {
            Ok(DialProgress::NeedMore) => self.receive_handshake(index),
            Ok(DialProgress::Welcomed {
                welcome,
                consumed_bytes: consumed,
            }) => {
                let early = buffer[consumed..bytes].to_vec();
                self.lane_up(lane, index, true, welcome.incarnation, early)
            }
            Ok(DialProgress::Refused { refuse, .. }) => {
                let (reason, text) = (refuse.reason().seen_by_peer(), refuse.text().to_owned());
                self.give_up_dial(index, lane, reason, text)
            }
            Err(error) => self.give_up_dial(index, lane, error.close_reason(), error.to_string()),
        }
    }

    fn give_up_dial(
        &mut self,
        index: u32,
        lane: u32,
        reason: CloseReason,
        detail: String,
    ) -> io::Result<()> {
        self.close_connection(index);
        if self.lanes[lane as usize].state == (LaneState::Dialing { connection: index }) {
            self.lanes[lane as usize].state = LaneState::Idle;
            self.dial_failed(lane, reason, detail);
        }
        Ok(())
    }

    /// Counts and tells it, and sets the deadline for the next try.
    fn dial_failed(&mut self, lane: u32, reason: CloseReason, detail: String) {
        let retry_in = self.redial_later(lane);
        let state = &mut self.lanes[lane as usize];
        state.tally.count_close(reason);
        tracing::debug!(peer = state.peer.name(), %reason, %detail, "dial failed");
        let event = Event::DialFailed {
            peer: state.peer.clone(),
            channel: self.fabric.channels[state.channel].name.clone(),
            lane: state.address().index,
            reason,
            detail,
            retry_in,
        };
        self.tell(Notice::Event(event));
    }

    fn redial_later(&mut self, lane: u32) -> Duration {
        let random = self.random.u64(..);
        let state = &mut self.lanes[lane as usize];
        let delay = state.backoff.next_delay(random);
        if state.address.is_some() && !state.dial_is_due && self.draining.is_none() {
            state.dial_is_due = true;
            self.timers.set(self.now + delay, Deadline::Dial { lane });
        }
        delay
    }

    // --- accepting

    /// The listener has a new connection.
    pub(crate) fn accepted(&mut self, result: i32, more: bool) -> io::Result<()> {
        if !more && self.draining.is_some() {
            // The kernel has let go of it: the port is free once this is closed.
            self.listener = None;
        } else if !more && is_shortage(result) {
            // At once it would fail again, and again: the connection waits in the kernel.
            tracing::warn!(
                "no descriptor or memory is left to accept a connection: raise `ulimit -n`"
            );
            self.timers.set(self.now + ACCEPT_PAUSE, Deadline::Accept);
        } else if !more {
            self.arm_accept()?;
        }
        if result < 0 {
            // Nothing was taken, so nothing is to be closed.
            return Ok(());
        }
        let descriptor = socket::accepted(result);
        let address = socket::peer_address(&descriptor);
        let config = &self.fabric.config;
        let shards = self.fabric.shards.len();
        let handshakes_full =
            self.connections.handshakes() >= config.pending_handshakes_max.div_ceil(shards);
        let full = self.connections.count() >= config.connections_max.div_ceil(shards);
        if handshakes_full || full || self.draining.is_some() {
            let reason = match self.draining {
                Some(_) => CloseReason::LocalStop,
                None => CloseReason::TooManyHandshakes,
            };
            self.refused_connection(address, reason, String::new());
            return Ok(());
        }
        let deadline = Duration::from_millis(config.handshake_deadline_ms);
        let buffer = vec![0; HANDSHAKE_BUFFER_BYTES].into_boxed_slice();
        let phase = Phase::Greeted {
            acceptor: Acceptor::new(),
            buffer,
        };
        let index = self.connections.insert(descriptor, phase, address);
        if let Some(connection) = self.connections.get(index) {
            let generation = connection.generation;
            self.timers.set(
                self.now + deadline,
                Deadline::Handshake {
                    connection: index,
                    generation,
                },
            );
        }
        self.receive_handshake(index)
    }

    pub(crate) fn arm_accept(&mut self) -> io::Result<()> {
        match &self.listener {
            Some(listener) => self.ring.accept(listener.as_fd(), ACCEPT),
            None => Ok(()),
        }
    }

    /// No more connections: the listener is closed when the kernel has let go of it.
    pub(crate) fn end_accept(&mut self) {
        if let Err(error) = self.ring.cancel(ACCEPT) {
            tracing::error!(%error, "a cancellation could not be queued");
        }
    }

    /// A Hello, or part of it.
    fn greeted(&mut self, index: u32, result: i32) -> io::Result<()> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        let address = connection.address;
        let Phase::Greeted { acceptor, buffer } = &mut connection.phase else {
            return Ok(());
        };
        let bytes = match usize::try_from(result) {
            Ok(bytes) if bytes > 0 => bytes,
            Ok(_) => {
                return self.drop_stranger(
                    index,
                    CloseReason::PeerClosed,
                    "it closed before saying Hello",
                );
            }
            Err(_) => {
                return self.drop_stranger(
                    index,
                    reason_of(result),
                    "it was lost before saying Hello",
                );
            }
        };
        match acceptor.receive(&buffer[..bytes]) {
            Ok(AcceptProgress::NeedMore) => self.receive_handshake(index),
            Ok(AcceptProgress::Done {
                hello,
                consumed_bytes: consumed,
            }) => {
                let early = buffer[consumed..bytes].to_vec();
                // Nothing is under way on it now: it leaves this table with its socket alive.
                self.connections.set_closing(index);
                let Some(connection) = self.connections.free_if_quiet(index) else {
                    return Ok(());
                };
                let Some(socket) = connection.socket else {
                    return Ok(());
                };
                self.place_newcomer(Newcomer {
                    socket,
                    address,
                    hello,
                    early,
                })
            }
            Err(error) => {
                let refuse = error.refusal();
                if let Some(connection) = self.connections.get(index)
                    && let Some(descriptor) = &connection.socket
                {
                    // If even this does not go out, the peer sees the connection end.
                    drop(socket::send_now(
                        descriptor,
                        &HandshakeMessage::Refuse(refuse).encode(),
                    ));
                }
                self.drop_stranger(index, error.close_reason(), &error.to_string())
            }
        }
    }

    fn drop_stranger(&mut self, index: u32, reason: CloseReason, detail: &str) -> io::Result<()> {
        let address = self
            .connections
            .get(index)
            .and_then(|connection| connection.address);
        self.refused_connection(address, reason, detail.to_owned());
        self.close_connection(index);
        Ok(())
    }

    fn refused_connection(
        &mut self,
        address: Option<SocketAddr>,
        reason: CloseReason,
        detail: String,
    ) {
        self.refusals[reason.index()] += 1;
        tracing::debug!(?address, %reason, %detail, "connection refused");
        self.tell(Notice::Event(Event::Refused {
            address,
            reason,
            detail,
        }));
    }

    /// Somebody has said Hello: to the shard that owns the lane, which may be this one.
    fn place_newcomer(&mut self, newcomer: Newcomer) -> io::Result<()> {
        let hello = &newcomer.hello;
        let channel = self
            .fabric
            .channels
            .iter()
            .find(|plan| *plan.name == *hello.channel.as_str());
        let local = LocalNode {
            cluster: &self.fabric.config.cluster,
            name: &self.fabric.config.node_name,
        };
        if let Err(refuse) = hello.judge(local, channel.map(|plan| &plan.terms)) {
            self.refuse_newcomer(newcomer, refuse);
            return Ok(());
        }
        let offset = channel.map_or(0, |plan| plan.first_lane + usize::from(hello.lane));
        let peer = match self.fabric.routes.peer(&hello.node) {
            Ok(peer) => peer,
            Err(error) => {
                self.refuse_newcomer(
                    newcomer,
                    Refuse::new(CloseReason::TooManyPeers, &error.to_string()),
                );
                return Ok(());
            }
        };
        self.follow_routes();
        let owner = usize::from(peer.lane(offset).shard);
        if owner == self.index {
            let number = peer.lane_number(offset);
            return self.welcome_newcomer(number, newcomer);
        }
        let number = peer.lane_number(offset);
        self.fabric.shards[owner].command(Command::Newcomer {
            number,
            newcomer: Box::new(newcomer),
        });
        Ok(())
    }

    fn refuse_newcomer(&mut self, newcomer: Newcomer, refuse: Refuse) {
        let (reason, text) = (refuse.reason(), refuse.text().to_owned());
        drop(socket::send_now(
            &newcomer.socket,
            &HandshakeMessage::Refuse(refuse).encode(),
        ));
        self.refused_connection(
            newcomer.address,
            reason,
            format!("from node {}: {text}", newcomer.hello.node),
        );
    }

    /// On the shard that owns the lane: which connection is kept?
    pub(crate) fn welcome_newcomer(&mut self, number: u32, newcomer: Newcomer) -> io::Result<()> {
        self.follow_routes();
        let Some(lane) = self.lane_by_number(number) else {
            return Ok(());
        };
        let state = &self.lanes[lane as usize];
        let hello = &newcomer.hello;
        let known = state.peer.incarnation();
        let remote = RemoteNode {
            name: hello.node.as_str(),
            incarnation: hello.incarnation,
            known_incarnation: (known > 0).then_some(known),
        };
        let slot = match state.state {
            LaneState::Idle | LaneState::Loop => SlotState::Idle,
            LaneState::Dialing { .. } => SlotState::Dialing,
            LaneState::Up {
                dialed: true,
                incarnation,
                ..
            } => SlotState::UpDialedByUs { incarnation },
            LaneState::Up {
                dialed: false,
                incarnation,
                ..
            } => SlotState::UpDialedByPeer { incarnation },
        };
        let choice = keep(&self.fabric.config.node_name, remote, slot);
        match choice {
            _ if state.refused => return self.turn_away(newcomer, CloseReason::Disconnected),
            _ if self.draining.is_some() => {
                return self.turn_away(newcomer, CloseReason::LocalStop);
            }
            Choice::Refuse(reason) => return self.turn_away(newcomer, reason),
            Choice::Accept => {}
            Choice::AcceptInsteadOfDial(_) => self.abandon_dial(lane),
            Choice::Replace(reason) => self.end_lane(lane, reason),
        }
        self.welcome(lane, newcomer)
    }

    fn turn_away(&mut self, newcomer: Newcomer, reason: CloseReason) -> io::Result<()> {
        self.refuse_newcomer(newcomer, Refuse::new(reason, reason.sentence()));
        Ok(())
    }

    /// The peer's dial is kept instead of ours.
    fn abandon_dial(&mut self, lane: u32) {
        if let LaneState::Dialing { connection } = self.lanes[lane as usize].state {
            self.lanes[lane as usize].state = LaneState::Idle;
            self.close_connection(connection);
        }
    }

    fn welcome(&mut self, lane: u32, newcomer: Newcomer) -> io::Result<()> {
        let Newcomer {
            socket,
            address,
            hello,
            early,
        } = newcomer;
        let welcome = Welcome {
            node: self.names.node.clone(),
            incarnation: self.fabric.incarnation,
        };
        if let Err(error) = socket::send_now(&socket, &HandshakeMessage::Welcome(welcome).encode())
        {
            self.refused_connection(address, CloseReason::Reset, error.to_string());
            // A dial of this node's own may have been given up for it.
            self.redial_later(lane);
            return Ok(());
        }
        let index = self
            .connections
            .insert(socket, Phase::Lane { lane }, address);
        self.lane_up(lane, index, false, hello.incarnation, early)
    }

    // --- up

    /// The handshake is over: messages are taken from now on. `early` are bytes that came with it.
    fn lane_up(
        &mut self,
        lane: u32,
        index: u32,
        dialed: bool,
        incarnation: u64,
        early: Vec<u8>,
    ) -> io::Result<()> {
        if !self.lanes[lane as usize].peer.meet_incarnation(incarnation) {
            let detail = format!("incarnation {incarnation} of it is older than one already met");
            self.give_up_dial(index, lane, CloseReason::StaleIncarnation, detail)?;
            // It was the peer's dial, for which one of this node's own may have been given up.
            if !dialed {
                self.redial_later(lane);
            }
            return Ok(());
        }
        self.connections.set_phase(index, Phase::Lane { lane });
        let channel = self.lanes[lane as usize].channel;
        if let Some(connection) = self.connections.get(index)
            && let Some(descriptor) = &connection.socket
            && let Err(error) = socket::apply(descriptor, &self.fabric.channels[channel].options)
        {
            // The lane works without: say so, and go on.
            tracing::warn!(%error, channel = %self.fabric.channels[channel].name, "a socket option was refused");
        }
        self.open_lane(
            lane,
            LaneState::Up {
                connection: index,
                dialed,
                incarnation,
                since: self.now,
            },
        );
        let state = &mut self.lanes[lane as usize];
        if let Some(inbound) = &mut state.inbound {
            inbound.carry = early;
        }
        if state
            .inbound
            .as_ref()
            .is_some_and(|inbound| !inbound.carry.is_empty())
        {
            self.early.push(lane);
        }
        let (peer, channel) = (
            state.peer.clone(),
            self.fabric.channels[state.channel].name.clone(),
        );
        let event = Event::LaneUp {
            peer,
            channel,
            lane: state.address().index,
            dialed,
        };
        self.tell(Notice::LaneUp { event, incarnation });
        self.arm_receive(index).map(drop)
    }

    /// Fresh ledgers, an open gate.
    fn open_lane(&mut self, lane: u32, up: LaneState) {
        let state = &mut self.lanes[lane as usize];
        let plan = &self.fabric.channels[state.channel];
        let config = &self.fabric.config;
        state.state = up;
        state.farewell = Farewell::default();
        state.tally.ended.add(&state.ledger, None);
        state.ledger = Outgoing::new(plan.reliability);
        state.announced.clear();
        let policy = AckPolicy {
            delay: Duration::from_micros(config.ack_delay_us),
            ..AckPolicy::default()
        };
        let limits = FrameLimits {
            body_bytes_max: plan.terms.body_bytes_max,
        };
        let incoming = Incoming::new(plan.reliability, policy);
        state.inbound = Some(Box::new(Inbound::new(
            state.peer.clone(),
            state.channel,
            limits,
            incoming,
            config.mailboxes_per_lane_max,
            self.now,
        )));
        if !self.fabric.is_stopping() {
            state.address().gate.set_state(GateState::Open);
        }
        // Last: whoever waits for the lane sends at once.
        state.peer.count_lane_up();
    }

    /// The lane to this node itself is up from the start.
    pub(crate) fn loop_lane_up(&mut self, lane: u32) {
        self.open_lane(lane, LaneState::Loop);
    }

    // --- down

    /// Ends a lane: what it had accepted is settled and told, its connection closes, and it is
    /// dialled again if that is wanted.
    pub(crate) fn end_lane(&mut self, lane: u32, reason: CloseReason) {
        let LaneState::Up {
            connection, since, ..
        } = self.lanes[lane as usize].state
        else {
            return;
        };
        let in_kernel = self
            .connections
            .get(connection)
            .map(|connection| connection.batch.load());
        let state = &mut self.lanes[lane as usize];
        state.state = LaneState::Idle;
        let gate = &state.peer.lane(state.offset).gate;
        gate.set_state(if self.fabric.is_stopping() {
            GateState::Closed
        } else {
            GateState::Down
        });
        let queued = state.outbox.clear(&mut self.pool);
        let in_kernel = in_kernel.unwrap_or_default();
        gate.release(
            queued.messages + in_kernel.messages,
            queued.payload_bytes + in_kernel.payload_bytes,
        );
        let report = state.ledger.end();
        let inbound = state.inbound.take();
        state.tally.ended.add(
            &state.ledger,
            inbound.as_deref().map(|inbound| &inbound.ledger),
        );
        state.ledger = Outgoing::new(self.fabric.channels[state.channel].reliability);
        state.tally.count_close(reason);
        state
            .backoff
            .connection_ended(self.now.duration_since(since));
        state.peer.count_lane_down();
        tracing::info!(peer = state.peer.name(), channel = %self.fabric.channels[state.channel].name, %reason, "lane ended");
        let event = Event::LaneDown {
            peer: state.peer.clone(),
            channel: self.fabric.channels[state.channel].name.clone(),
            lane: state.address().index,
            reason,
            undelivered: report.undelivered,
            unknown: report.unknown,
        };
        self.tell(Notice::LaneDown { event });
        self.close_connection(connection);
        self.redial_later(lane);
    }

    /// Disconnected by command: no Bye, no dial.
    pub(crate) fn disconnect_lane(&mut self, lane: u32) {
        self.abandon_dial(lane);
        self.end_lane(lane, CloseReason::Disconnected);
    }

    /// The peer will send no more messages. This side finishes what it has and says Bye in turn.
    pub(crate) fn hear_bye(&mut self, lane: u32, reason: CloseReason) {
        let state = &mut self.lanes[lane as usize];
        state.farewell.heard = Some(reason);
        if state.farewell.wanted.is_none() {
            state.farewell.wanted = Some(reason);
            state.address().gate.set_state(GateState::Down);
        }
        self.mark_ready(lane);
    }

    /// Shuts a connection down; it is freed when the kernel has let go of its memory.
    pub(crate) fn close_connection(&mut self, index: u32) {
        if !self.connections.set_closing(index) {
            return;
        }
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
            Phase::Greeting { .. } | Phase::Greeted { .. } => Some(OperationKind::ReceiveHandshake),
            Phase::Lane { .. } => connection.receiving.then_some(OperationKind::Receive),
        };
        if let Some(kind) = kind {
            let operation = self.connections.operation(kind, index);
            if let Err(error) = self.ring.cancel(operation) {
                tracing::error!(%error, "a cancellation could not be queued");
            }
        }
        self.connections.free_if_quiet(index);
    }

    /// A connection has had its time to become a lane.
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

    /// Lanes whose frame has been incomplete for too long are ended.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let grace = Duration::from_millis(self.fabric.config.idle_timeout_ms);
        for lane in 0..self.lanes.len() {
            let Some(inbound) = &mut self.lanes[lane].inbound else {
                continue;
            };
            let Some((since, bytes)) = inbound.partial_since else {
                continue;
            };
            let waited = now.duration_since(since);
            if waited < grace {
                continue;
            }
            let came = inbound.carry.len().saturating_sub(bytes);
            let enough =
                PARTIAL_BYTES_PER_S_MIN * usize::try_from(waited.as_secs()).unwrap_or(usize::MAX);
            inbound.partial_since = Some((now, inbound.carry.len()));
            if came < enough {
                self.end_lane(
                    u32::try_from(lane).unwrap_or(u32::MAX),
                    CloseReason::TooSlow,
                );
            }
        }
    }
}

/// A frame that has been incomplete for the idle timeout must have grown meanwhile by this much for
/// each second: slower is a peer that holds memory on purpose.
const PARTIAL_BYTES_PER_S_MIN: usize = 1024;

/// How long a shard that has no descriptor for a connection waits before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whether an accept failed for want of something that may be there later.
fn is_shortage(result: i32) -> bool {
    matches!(
        -result,
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS
    )
}

/// How often lanes are looked over for that.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(2);
