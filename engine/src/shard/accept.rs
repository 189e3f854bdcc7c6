//! Accepting: the listener, the Hello of a stranger, and whether it gets the lane it asks for.
//!
//! Called by the turn for completions, and for connections that another shard accepted. A stranger
//! is refused with a reason that both sides count, or ends in `lifecycle::lane_up`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::command::{Command, Newcomer};
use super::connection::Phase;
use super::handshake::HANDSHAKE_BUFFER_BYTES;
use super::lane::reason_of;
use super::lifecycle::Joined;
use super::protection;
use super::renewal::BYE_PATIENCE;
use super::timers::Deadline;
use crate::control::link::Notice;
use crate::control::routes::Route;
use crate::events::Event;
use crate::io::operation::{Operation, OperationKind};
use crate::io::socket;
use crate::peer::Peer;
use crate::wire::hello::{LocalNode, WHO};
use crate::wire::lane_choice::RemoteNode;
use crate::wire::progress::Progress;
use crate::wire::{
    AcceptProgress, Acceptor, Agreed, CloseReason, HandshakeError, HandshakeMessage, Refuse,
};

/// There is one accept on each shard, and it belongs to no connection.
const ACCEPT: Operation = Operation {
    kind: OperationKind::Accept,
    generation: 0,
    index: 0,
};

impl Core {
    /// The listener has a new connection.
    pub(crate) fn accepted(&mut self, result: i32, more: bool) -> io::Result<()> {
        self.accepting = more;
        if !more && self.drain.is_some() {
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
        if let Some(reason) = self.no_place_for_stranger()? {
            self.refused_connection(address, reason, String::new());
            return Ok(());
        }
        let session = match self.fabric.security.accept() {
            Ok(session) => session,
            Err(error) => {
                self.refused_connection(address, error.reason, error.text);
                return Ok(());
            }
        };
        let buffer = vec![0; HANDSHAKE_BUFFER_BYTES].into_boxed_slice();
        let phase = Phase::Greeted {
            acceptor: Acceptor::new(),
            buffer,
        };
        let index = self.connections.insert(descriptor, phase, address);
        if let Some(connection) = self.connections.get(index) {
            connection.session = session;
        }
        self.await_handshake(index)
    }

    /// Whether nobody is let in any more: the node stops, and nothing waits for a lane that a peer makes.
    fn turns_all_away(&self) -> bool {
        self.drain.is_some() && !self.is_accepting_for_waiting()
    }

    /// Whether only lanes that were there are let in: the node is to be stopped soon, and has not begun to.
    fn lets_no_strangers_in(&self) -> bool {
        self.fabric.is_lame_duck() && self.drain.is_none()
    }

    /// Whether that lane would be a new one, of which none is made for a peer any more. What waits on this side is let out.
    pub(super) fn is_closed_to(&self, lane: u32) -> bool {
        let state = &self.lanes[lane as usize];
        let is_new = !state.has_been_up && !state.has_waiting();
        is_new && self.lets_no_strangers_in()
    }

    /// Why a new connection is closed at once, if it is. If only the handshakes are too many, the oldest
    /// of the address with the most makes room.
    fn no_place_for_stranger(&mut self) -> io::Result<Option<CloseReason>> {
        if self.turns_all_away() {
            return Ok(Some(CloseReason::LocalStop));
        }
        let config = &self.fabric.config;
        let shards = self.fabric.shards.len();
        let handshakes_max = config.pending_handshakes_max.div_ceil(shards);
        if self.connections.count() >= config.connections_max.div_ceil(shards) {
            return Ok(Some(CloseReason::TooManyHandshakes));
        }
        let strangers = self.connections.strangers();
        if strangers.count() + self.newcomers.count() < handshakes_max {
            return Ok(None);
        }
        let Some(oldest) = strangers.oldest_of_most() else {
            return Ok(Some(CloseReason::TooManyHandshakes));
        };
        let detail = "it had not said Hello when others came";
        self.drop_stranger(oldest, CloseReason::TooManyHandshakes, detail)?;
        Ok(None)
    }

    pub(crate) fn arm_accept(&mut self) -> io::Result<()> {
        if let Some(listener) = &self.listener {
            self.io.accept(listener.as_fd(), ACCEPT)?;
            self.accepting = true;
        }
        Ok(())
    }

    /// No more connections: the listener is closed when the kernel has let go of it.
    pub(crate) fn end_accept(&mut self) {
        if !self.accepting {
            // Paused for want of descriptors: the kernel does not have it.
            self.listener = None;
            return;
        }
        if let Err(error) = self.io.cancel(ACCEPT) {
            tracing::error!(%error, "a cancellation could not be queued");
        }
    }

    /// A Hello, or part of it.
    pub(super) fn greeted(&mut self, index: u32, result: i32) -> io::Result<()> {
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
        let (socket, session) = (&connection.socket, &mut connection.session);
        let came = match protection::opened(socket.as_ref(), session, &buffer[..bytes]) {
            Ok(came) if came.is_empty() => return self.receive_handshake(index),
            Ok(came) => came,
            Err(error) => return self.drop_stranger(index, error.reason, &error.text),
        };
        match acceptor.receive(&came) {
            Ok(AcceptProgress::NeedMore) => self.receive_handshake(index),
            Ok(AcceptProgress::Done {
                hello,
                consumed_bytes: consumed,
            }) => {
                let early = came[consumed..].to_vec();
                self.call_off_handshake_deadline(index);
                // Nothing is under way on it now: it leaves this table with its socket alive.
                self.connections.set_closing(index);
                let Some(connection) = self.connections.free_if_quiet(index) else {
                    return Ok(());
                };
                let Some(socket) = connection.socket else {
                    return Ok(());
                };
                self.examine_newcomer(Newcomer {
                    socket,
                    address,
                    session: connection.session,
                    hello,
                    early,
                    is_late: false,
                })
            }
            Err(error) => {
                let refuse = acceptor.refusal(&error);
                let is_told = matches!(error, HandshakeError::Refused { .. });
                if let Some(connection) = self.connections.get(index)
                    && let Some(socket) = &connection.socket
                    && !is_told
                {
                    // If even this does not go out, the peer sees the connection end.
                    let refuse = HandshakeMessage::Refuse(refuse);
                    drop(protection::say(socket, &mut connection.session, &refuse));
                }
                self.drop_stranger(index, error.close_reason(), &error.to_string())
            }
        }
    }

    pub(super) fn drop_stranger(
        &mut self,
        index: u32,
        reason: CloseReason,
        detail: &str,
    ) -> io::Result<()> {
        let address = self
            .connections
            .get(index)
            .and_then(|connection| connection.address);
        self.refused_connection(address, reason, detail.to_owned());
        self.close_connection(index);
        Ok(())
    }

    pub(super) fn refused_connection(
        &mut self,
        address: Option<SocketAddr>,
        reason: CloseReason,
        detail: String,
    ) {
        self.tally.refusals[reason.index()] += 1;
        tracing::debug!(?address, %reason, %detail, "connection refused");
        self.tell(Notice::Event(Event::Refused {
            address,
            reason,
            detail,
        }));
    }

    /// Somebody has said Hello: may the other end of its session be the node that it says it is?
    fn examine_newcomer(&mut self, newcomer: Newcomer) -> io::Result<()> {
        let identity = newcomer
            .session
            .as_ref()
            .and_then(|session| session.identity());
        let name = newcomer.hello.node.as_str();
        let checked = identity.map(|identity| self.fabric.security.check(identity, name));
        match checked {
            None | Some(Ok(())) => self.place_newcomer(newcomer),
            Some(Err(error)) => {
                let refuse = Refuse::new(error.reason, &error.text);
                self.refuse_newcomer(newcomer, refuse);
                Ok(())
            }
        }
    }

    /// Somebody has said Hello: to the shard that owns the lane, which may be this one.
    pub(super) fn place_newcomer(&mut self, newcomer: Newcomer) -> io::Result<()> {
        let hello = &newcomer.hello;
        if hello.channel.as_str() == WHO {
            if self.lets_no_strangers_in() {
                return self.turn_away(newcomer, CloseReason::LocalStop);
            }
            self.tell_who(newcomer);
            return Ok(());
        }
        self.follow_channels();
        let channel = self.channels.find(hello.channel.as_str());
        let local = LocalNode {
            cluster: &self.fabric.config.cluster,
            name: &self.fabric.config.node_name,
            session: self.fabric.security.mode().word(),
        };
        let agreed = match hello.judge(local, channel.map(|plan| &plan.terms)) {
            Ok(agreed) => agreed,
            Err(refuse) => {
                self.refuse_newcomer(newcomer, refuse);
                return Ok(());
            }
        };
        if channel.is_some_and(|plan| !plan.admits(hello.node.as_str())) {
            return self.turn_away(newcomer, CloseReason::PeerNotAllowed);
        }
        let offset = channel.map_or(0, |plan| plan.first_lane + usize::from(hello.lane));
        let Some(Route { peer, .. }) = self.fabric.routes.find(&hello.node) else {
            if self.lets_no_strangers_in() {
                return self.turn_away(newcomer, CloseReason::LocalStop);
            }
            self.ask_for_place(newcomer);
            return Ok(());
        };
        let owner = peer.lane(offset).shard();
        if owner == self.index {
            return self.welcome_newcomer(&peer, offset, newcomer, agreed);
        }
        self.shards[owner].send(Command::Newcomer {
            peer,
            offset,
            newcomer: Box::new(newcomer),
            agreed,
        });
        Ok(())
    }

    /// Somebody who knows this node's address wants to know its name.
    fn tell_who(&mut self, mut newcomer: Newcomer) {
        let hello = &newcomer.hello;
        let local = LocalNode {
            cluster: &self.fabric.config.cluster,
            name: &self.fabric.config.node_name,
            session: self.fabric.security.mode().word(),
        };
        match hello.judge(local, Some(&hello.terms)) {
            Ok(agreed) => {
                let (node, incarnation) = (self.names.node.clone(), self.fabric.incarnation);
                let welcome = hello.welcome(node, incarnation, Progress::default(), &agreed);
                newcomer.tell(&HandshakeMessage::Welcome(welcome));
            }
            Err(refuse) => self.refuse_newcomer(newcomer, refuse),
        }
    }

    pub(super) fn refuse_newcomer(&mut self, mut newcomer: Newcomer, refuse: Refuse) {
        let refuse = refuse.in_version(newcomer.hello.layout_version());
        let (reason, text) = (refuse.reason(), refuse.text().to_owned());
        newcomer.tell(&HandshakeMessage::Refuse(refuse));
        self.refused_connection(
            newcomer.address,
            reason,
            format!("from node {}: {text}", newcomer.hello.node),
        );
    }

    /// On the shard that owns the lane: which connection is kept?
    pub(crate) fn welcome_newcomer(
        &mut self,
        peer: &Arc<Peer>,
        offset: usize,
        newcomer: Newcomer,
        agreed: Agreed,
    ) -> io::Result<()> {
        self.follow_channels();
        self.follow_routes();
        let Some(lane) = self.lane_to(peer, offset) else {
            // The peer has just given its place up.
            self.ask_for_place(newcomer);
            return Ok(());
        };
        if self.lanes[lane as usize].state.awaits_bye() && !newcomer.is_late {
            let newcomer = Box::new(newcomer);
            let by = self.now + BYE_PATIENCE;
            self.timers.set(by, Deadline::Early);
            self.renewals.await_bye(peer, offset, newcomer, agreed, by);
            return Ok(());
        }
        let at = self.moment();
        let state = &self.lanes[lane as usize];
        let hello = &newcomer.hello;
        if *self.channels[state.channel].name != *hello.channel.as_str() {
            // On its way here the channel was removed, and another one got its lanes.
            return self.turn_away(newcomer, CloseReason::ChannelUnknown);
        }
        if self.is_closed_to(lane) {
            return self.turn_away(newcomer, CloseReason::LocalStop);
        }
        let state = &mut self.lanes[lane as usize];
        if let Some(fault) = state.cut_by() {
            // Without a word, as a network does it.
            fault.count_failed_dial();
            let detail = format!("from node {}: a fault on purpose cuts the lane", hello.node);
            self.refused_connection(newcomer.address, CloseReason::Unreachable, detail);
            return Ok(());
        }
        let presence = peer.presence();
        let remote = RemoteNode {
            name: hello.node.as_str(),
            incarnation: hello.incarnation,
            live_incarnation: (presence.lanes > 0).then_some(presence.incarnation),
        };
        let local_name = &self.fabric.config.node_name;
        match state.state.peer_dials(local_name, remote, at) {
            Ok(actions) => self.carry_out(lane, actions),
            Err(reason) => {
                if reason == CloseReason::AlreadyUp {
                    self.doubt_lane(lane);
                }
                self.doubt_rival(peer, reason);
                return self.turn_away(newcomer, reason);
            }
        }
        self.welcome(lane, newcomer, agreed)
    }

    pub(super) fn turn_away(&mut self, newcomer: Newcomer, reason: CloseReason) -> io::Result<()> {
        self.refuse_newcomer(newcomer, Refuse::new(reason, reason.sentence()));
        Ok(())
    }

    pub(super) fn welcome(
        &mut self,
        lane: u32,
        newcomer: Newcomer,
        agreed: Agreed,
    ) -> io::Result<()> {
        let peer = Arc::clone(&self.lanes[lane as usize].peer);
        let incarnation = newcomer.hello.incarnation;
        let session = match peer.join(incarnation) {
            Ok(session) => session,
            Err(error) => {
                // A dial of this node's own may have been given up for it.
                self.peer_lost(lane);
                self.doubt_rival(&peer, error.reason());
                return self.turn_away(newcomer, error.reason());
            }
        };
        let log = &self.lanes[lane as usize].log;
        let ours = log.progress(Some(incarnation));
        if let Err(reason) = self.meet(lane, newcomer.hello.progress.clone(), incarnation, false) {
            peer.leave(reason);
            self.control_link.stir(&peer);
            self.peer_lost(lane);
            return self.turn_away(newcomer, reason);
        }
        // Counts may have to begin anew, with another log than it was.
        let log = self.lanes[lane as usize].log.id();
        let ours = Progress { log, ..ours };
        let Newcomer {
            socket,
            address,
            session: mut protected_by,
            hello,
            early,
            is_late: _,
        } = newcomer;
        let welcome = HandshakeMessage::Welcome(hello.welcome(
            self.names.node.clone(),
            self.fabric.incarnation,
            ours,
            &agreed,
        ));
        if let Err(error) = protection::say(&socket, &mut protected_by, &welcome) {
            self.refused_connection(address, CloseReason::Reset, error.to_string());
            // Nothing was asked on it yet.
            let _ = peer.leave(CloseReason::Reset);
            self.control_link.stir(&peer);
            // A dial of this node's own may have been given up for it.
            self.peer_lost(lane);
            return Ok(());
        }
        let index = self
            .connections
            .insert(socket, Phase::Lane { lane }, address);
        if let Some(connection) = self.connections.get(index) {
            connection.session = protected_by;
        }
        let joined = Joined {
            dialed: false,
            incarnation,
            session,
            agreed,
        };
        self.lane_up(lane, index, joined, early)
    }
}

/// How long a shard that has no descriptor for a connection waits before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whether an accept failed for want of something that may be there later.
fn is_shortage(result: i32) -> bool {
    matches!(
        -result,
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS
    )
}
