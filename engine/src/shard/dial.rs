//! Dialling a lane: connect, say Hello, hear the answer, and try again later if there is none.
//!
//! Called by the turn for deadlines and completions, and by `route` when a peer is wanted. It ends in
//! `lifecycle::lane_up`, or in a failure that is counted and reported.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::connection::Phase;
use super::handshake::HANDSHAKE_BUFFER_BYTES;
use super::lane::reason_of;
use super::lane_state::{Due, Moment};
use super::lifecycle::Joined;
use super::protection;
use crate::config::Config;
use crate::control::link::Notice;
use crate::delivery::BackoffLimits;
use crate::events::Event;
use crate::io::operation::{OperationKind, SocketCall};
use crate::io::socket;
use crate::session::Session;
use crate::wire::{
    Agreed, CloseReason, DialProgress, Dialer, HandshakeMessage, Hello, Name, Parameters, Refuse,
    Welcome,
};

/// When a shard dials again.
#[derive(Debug)]
pub(super) struct Dialing {
    pub(super) backoff_limits: BackoffLimits,
    /// How long what waits for a lane waits for the peer to make it: as long as one dial may take.
    pub(super) patience: Duration,
    random: fastrand::Rng,
    /// Lanes whose time to be dialled has come, while as many dials as may be are under way.
    waiting: VecDeque<u32>,
}

/// Dials of one shard that are under way at a time: a node that starts with a thousand peers, or whose
/// network comes back, neither floods it nor runs out of descriptors. Each takes a round trip or two.
const DIALS_MAX: usize = 128;

/// What is told of a dial that a fault on purpose lets fail.
const CUT: &str = "a fault on purpose cuts the lane: see `overlane fault list`";

/// Of those, lanes whose last dial failed may take so many: hosts that do not answer take whole timeouts.
const REDIALS_MAX: usize = 96;

impl Dialing {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            backoff_limits: BackoffLimits {
                base: Duration::from_millis(config.reconnect_base_ms),
                max: Duration::from_millis(config.reconnect_max_ms),
            },
            patience: Duration::from_millis(
                config.connect_timeout_ms + config.handshake_deadline_ms,
            ),
            random: fastrand::Rng::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Its slot is another lane's from now on.
    pub(super) fn forget_lane(&mut self, index: u32) {
        self.waiting.retain(|lane| *lane != index);
    }
}

impl Core {
    /// The time and the random bits for a change of a lane's state.
    pub(super) fn moment(&mut self) -> Moment {
        Moment {
            now: self.now,
            random: self.dialing.random.u64(..),
        }
    }

    /// Dials the lanes that waited until fewer dials are under way. True if there were any.
    pub(crate) fn dial_waiting(&mut self) -> io::Result<bool> {
        let mut any = false;
        while let Some(&lane) = self.dialing.waiting.front()
            && self.connections.dials() < self.dials_max(lane)
        {
            any = true;
            self.dialing.waiting.pop_front();
            self.dial(lane)?;
        }
        Ok(any)
    }

    /// Dials that may be under way when this lane is dialled.
    fn dials_max(&self, lane: u32) -> usize {
        if self.lanes[lane as usize].state.has_failed() {
            REDIALS_MAX
        } else {
            DIALS_MAX
        }
    }

    /// The deadline to dial has come.
    pub(crate) fn dial(&mut self, lane: u32) -> io::Result<()> {
        if self.connections.dials() >= self.dials_max(lane) {
            // A peer that may be there goes before those that were not.
            if self.lanes[lane as usize].state.has_failed() {
                self.dialing.waiting.push_back(lane);
            } else {
                self.dialing.waiting.push_front(lane);
            }
            return Ok(());
        }
        self.end_bar(lane);
        if self.is_of_older_peer(lane) {
            let at = self.moment();
            let actions = self.lanes[lane as usize].state.postpone(at);
            self.carry_out(lane, actions);
            return Ok(());
        }
        let state = &mut self.lanes[lane as usize];
        if let Some(address) = state.peer.presence().dialed_at {
            state.state.prefer(address);
        }
        let address = match state.state.dial_due(self.now) {
            Due::Nothing => return Ok(()),
            Due::Ask => {
                let actions = self.lanes[lane as usize].state.ask_again(self.now);
                self.carry_out(lane, actions);
                return Ok(());
            }
            Due::Dial(address) => address,
            Due::GiveUp => {
                let reason = CloseReason::ConnectTimeout;
                let actions = self.lanes[lane as usize].state.given_up(reason);
                self.carry_out(lane, actions);
                return Ok(());
            }
        };
        let state = &self.lanes[lane as usize];
        if !self.channels[state.channel].admits(state.peer.name()) {
            let reason = CloseReason::PeerNotAllowed;
            self.dial_failed(lane, None, reason, reason.sentence().to_owned());
            return Ok(());
        }
        if let Some(fault) = state.cut_by() {
            fault.count_failed_dial();
            self.dial_failed(lane, None, CloseReason::Unreachable, CUT.to_owned());
            return Ok(());
        }
        match socket::dialing_socket(address) {
            Ok(socket) => self.connect(lane, socket, address),
            Err(error) => {
                self.dial_failed(lane, None, CloseReason::Io, error.to_string());
                Ok(())
            }
        }
    }

    /// Whether it is the control lane of a peer that has refused it, and whose other lanes are up: it is
    /// tried again in the peer's next session, because its process may be of another version then.
    fn is_of_older_peer(&self, lane: u32) -> bool {
        let state = &self.lanes[lane as usize];
        state.is_control() && state.peer.has_refused_control()
    }

    pub(super) fn connect(
        &mut self,
        lane: u32,
        socket: OwnedFd,
        address: SocketAddr,
    ) -> io::Result<()> {
        let raw = socket::raw(&socket);
        let boxed = Box::new(socket2::SockAddr::from(self.fabric.detour.to(address)));
        let phase = Phase::Connecting {
            lane,
            address: boxed,
        };
        let index = self.connections.insert(socket, phase, Some(address));
        self.lanes[lane as usize].state.dialing(index);
        let operation = self.connections.operation(OperationKind::Connect, index);
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        connection.others += 1;
        let patience = Duration::from_millis(self.fabric.config.connect_timeout_ms);
        self.set_handshake_deadline(index, patience);
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        if let Phase::Connecting { address, .. } = &connection.phase {
            self.io
                .queue(raw, SocketCall::Connect { address }, operation)?;
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
        if connection
            .socket
            .as_ref()
            .is_some_and(socket::is_its_own_peer)
        {
            // The kernel gave the dial the very port that it dials, where nothing listens.
            let detail = "the kernel connected the dial to itself".to_owned();
            return self.give_up_dial(index, lane, CloseReason::ConnectRefused, detail);
        }
        let peer = Arc::clone(&self.lanes[lane as usize].peer);
        match self.fabric.security.dial(Some(peer.name())) {
            Ok(None) => {
                if self.greet(index, lane)? {
                    self.await_handshake(index)?;
                }
                Ok(())
            }
            Ok(Some((session, first))) => self.begin_session(index, lane, session, &first),
            Err(error) => self.give_up_dial(index, lane, error.reason, error.text),
        }
    }

    /// The session has to be there before anything is said.
    fn begin_session(
        &mut self,
        index: u32,
        lane: u32,
        session: Box<Session>,
        first: &[u8],
    ) -> io::Result<()> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        connection.session = Some(session);
        let socket = connection.socket.as_ref();
        if let Some(Err(error)) = socket.map(|socket| socket::send_now(socket, first)) {
            return self.give_up_dial(index, lane, CloseReason::Reset, error.to_string());
        }
        let buffer = vec![0; HANDSHAKE_BUFFER_BYTES].into_boxed_slice();
        self.connections
            .set_phase(index, Phase::Securing { lane, buffer });
        self.await_handshake(index)
    }

    /// Bytes of the session's handshake have come.
    pub(super) fn secured(&mut self, index: u32, lane: u32, result: i32) -> io::Result<()> {
        let bytes = match usize::try_from(result) {
            Ok(bytes) if bytes > 0 => bytes,
            Ok(_) => {
                let detail = "the peer closed the connection before there was a session".to_owned();
                return self.give_up_dial(index, lane, CloseReason::PeerClosed, detail);
            }
            Err(_) => {
                let detail = io::Error::from_raw_os_error(-result).to_string();
                return self.give_up_dial(index, lane, reason_of(result), detail);
            }
        };
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        let (Phase::Securing { buffer, .. }, Some(session), Some(socket)) = (
            &connection.phase,
            &mut connection.session,
            &connection.socket,
        ) else {
            return Ok(());
        };
        // An acceptor says nothing within the session before the Hello.
        if let Err(error) = protection::hear(socket, session, &buffer[..bytes]) {
            return self.give_up_dial(index, lane, error.reason, error.text);
        }
        let Some(identity) = session.identity() else {
            return self.receive_handshake(index);
        };
        let peer = &self.lanes[lane as usize].peer;
        if let Err(error) = self.fabric.security.check(identity, peer.name()) {
            let refuse = HandshakeMessage::Refuse(Refuse::new(error.reason, &error.text));
            // If it does not go out, the other side sees the connection end.
            drop(protection::say(socket, &mut connection.session, &refuse));
            return self.give_up_dial(index, lane, error.reason, error.text);
        }
        if self.greet(index, lane)? {
            self.receive_handshake(index)?;
        }
        Ok(())
    }

    /// Says Hello. False if that was in vain.
    fn greet(&mut self, index: u32, lane: u32) -> io::Result<bool> {
        let hello = self.hello(lane);
        let Some(connection) = self.connections.get(index) else {
            return Ok(false);
        };
        let message = HandshakeMessage::Hello(Box::new(hello.clone()));
        let socket = connection.socket.as_ref();
        let said = socket.map(|socket| protection::say(socket, &mut connection.session, &message));
        if let Some(Err(error)) = said {
            self.give_up_dial(index, lane, CloseReason::Reset, error.to_string())?;
            return Ok(false);
        }
        let (dialer, _) = Dialer::new(hello);
        let buffer = vec![0; HANDSHAKE_BUFFER_BYTES].into_boxed_slice();
        let phase = Phase::Greeting {
            lane,
            dialer,
            buffer,
        };
        self.connections.set_phase(index, phase);
        Ok(true)
    }

    pub(super) fn hello(&self, lane: u32) -> Hello {
        let state = &self.lanes[lane as usize];
        let plan = &self.channels[state.channel];
        Hello {
            versions: state.state.offers(),
            cluster: self.names.cluster.clone(),
            node: self.names.node.clone(),
            incarnation: self.fabric.incarnation,
            expected_node: Name::new(state.peer.name()).ok(),
            channel: plan.wire_name.clone(),
            lane: state.address().index(),
            priority: plan.config.priority.0,
            session: self.names.session.clone(),
            progress: state.log.progress(None),
            terms: plan.terms.clone(),
            unknown: Parameters::default(),
        }
    }

    /// The peer's answer to a Hello, or part of it.
    pub(super) fn answered(&mut self, index: u32, lane: u32, result: i32) -> io::Result<()> {
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
        let (socket, session) = (&connection.socket, &mut connection.session);
        let came = match protection::opened(socket.as_ref(), session, &buffer[..bytes]) {
            Ok(came) if came.is_empty() => return self.receive_handshake(index),
            Ok(came) => came,
            Err(error) => return self.give_up_dial(index, lane, error.reason, error.text),
        };
        match dialer.receive(&came) {
            Ok(DialProgress::NeedMore) => self.receive_handshake(index),
            Ok(DialProgress::Welcomed {
                welcome,
                agreed,
                consumed_bytes: consumed,
            }) => {
                let early = came[consumed..].to_vec();
                self.welcomed(index, lane, &welcome, agreed, early)
            }
            Ok(DialProgress::Refused {
                dial_again_in: Some(version),
                ..
            }) => {
                let state = &mut self.lanes[lane as usize].state;
                let actions = state.dial_again_in(index, version, self.now);
                self.carry_out(lane, actions);
                Ok(())
            }
            Ok(DialProgress::Refused { refuse, .. })
                if refuse.reason() == CloseReason::ChannelUnknown
                    && self.lanes[lane as usize].is_control() =>
            {
                self.is_older(index, lane);
                Ok(())
            }
            Ok(DialProgress::Refused { refuse, .. }) => {
                let (reason, text) = (refuse.reason().seen_by_peer(), refuse.text().to_owned());
                self.give_up_dial(index, lane, reason, text)
            }
            Err(error) => self.give_up_dial(index, lane, error.close_reason(), error.to_string()),
        }
    }

    /// The peer is there and knows no control lanes: every lane to it is kept up, as it does it itself.
    fn is_older(&mut self, index: u32, lane: u32) {
        self.close_connection(index);
        let at = self.moment();
        let state = &mut self.lanes[lane as usize];
        let reason = CloseReason::ChannelUnknown;
        let Some((_, actions)) = state.state.dial_failed(Some(index), reason, at) else {
            return;
        };
        state.peer.note_keeps_lanes(true);
        self.control_link.stir(&state.peer);
        self.carry_out(lane, actions);
    }

    /// The time to dial has come: messages are accepted again for a peer that could not be reached before.
    fn end_bar(&mut self, lane: u32) {
        self.lanes[lane as usize].state.end_bar();
        if self.lanes[lane as usize].is_control() {
            self.mind_reachable(lane);
        }
    }

    /// The peer takes the lane: it is up, if it leads to the process that all lanes to the peer lead to.
    fn welcomed(
        &mut self,
        index: u32,
        lane: u32,
        welcome: &Welcome,
        agreed: Agreed,
        early: Vec<u8>,
    ) -> io::Result<()> {
        let incarnation = welcome.incarnation;
        match self.lanes[lane as usize].peer.join(incarnation) {
            Ok(session) => {
                let connection = self.connections.get(index);
                let address = connection.and_then(|connection| connection.address);
                self.lanes[lane as usize].peer.note_dialed_at(address);
                if let Err(reason) = self.meet(lane, welcome.progress(), incarnation, true) {
                    let peer = Arc::clone(&self.lanes[lane as usize].peer);
                    peer.leave(reason);
                    self.control_link.stir(&peer);
                    return self.give_up_dial(index, lane, reason, reason.sentence().to_owned());
                }
                let joined = Joined {
                    dialed: true,
                    incarnation,
                    session,
                    agreed,
                };
                self.lane_up(lane, index, joined, early)
            }
            Err(error) => {
                let peer = Arc::clone(&self.lanes[lane as usize].peer);
                self.doubt_rival(&peer, error.reason());
                let detail = format!("incarnation {incarnation} of it answered the dial");
                self.give_up_dial(index, lane, error.reason(), detail)
            }
        }
    }

    pub(super) fn give_up_dial(
        &mut self,
        index: u32,
        lane: u32,
        reason: CloseReason,
        detail: String,
    ) -> io::Result<()> {
        self.close_connection(index);
        self.dial_failed(lane, Some(index), reason, detail);
        Ok(())
    }

    /// Counts and reports the failure, unless another connection has taken the lane meanwhile, and
    /// sets the deadline for the next attempt.
    fn dial_failed(
        &mut self,
        lane: u32,
        connection: Option<u32>,
        reason: CloseReason,
        detail: String,
    ) {
        let at = self.moment();
        let state = &mut self.lanes[lane as usize];
        let Some((retry_in, actions)) = state.state.dial_failed(connection, reason, at) else {
            return;
        };
        state.failed_in = state.peer.presence().sessions;
        state.log.tally.count_close(reason);
        tracing::debug!(peer = state.peer.name(), %reason, %detail, "dial failed");
        let event = Event::DialFailed {
            peer: state.peer.clone(),
            channel: self.channels[state.channel].name.clone(),
            lane: state.address().index(),
            reason,
            detail,
            retry_in,
        };
        self.tell(Notice::Event(event));
        self.carry_out(lane, actions);
        let is_made_there = [CloseReason::SimultaneousDial, CloseReason::AlreadyUp];
        if !retry_in.is_zero() && !is_made_there.contains(&reason) {
            self.lose_linger(lane, reason);
        }
    }

    /// The peer's connection, for which a dial of this node's own may have been given up, was lost
    /// before the lane was up.
    pub(super) fn peer_lost(&mut self, lane: u32) {
        let at = self.moment();
        let actions = self.lanes[lane as usize].state.peer_lost(at);
        self.carry_out(lane, actions);
    }
}
