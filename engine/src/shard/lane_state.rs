//! Where a lane stands, and what has to be done when something happens to it: a state machine
//! without I/O.
//!
//! `dial`, `accept`, `lifecycle` and `stop` tell it what happened and carry out the actions that it
//! returns; time and randomness are arguments. It decides when to dial, which connection is kept and
//! how a lane comes to its end. It knows neither sockets nor messages.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::control::wishes::Wish;
use crate::delivery::{Backoff, BackoffLimits};
use crate::wire::lane_choice::{Choice, RemoteNode, SlotState, keep};
use crate::wire::{CloseReason, VersionRange};

/// What carries a lane now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No connection; a deadline may be set to dial.
    Idle,
    /// This node dials on that connection.
    Dialing { connection: u32 },
    /// Up on a connection.
    Up(Carrier),
    /// The lane to this node itself: no socket.
    Loop,
}

/// The connection that carries a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    pub(super) connection: u32,
    /// This node dialled it; otherwise the peer did.
    pub(super) dialed: bool,
    /// What the peer ran as when this connection was made; it may have been started since.
    pub(super) incarnation: u64,
    pub(super) since: Instant,
}

/// How far the orderly end of a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Farewell {
    /// This side takes no more messages and says Bye once all is acknowledged.
    wanted: Option<CloseReason>,
    said: bool,
    heard: Option<CloseReason>,
}

/// What whoever owns the lane has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Dial at that time.
    SetDial { at: Instant },
    /// Do not dial at that time.
    CancelDial { at: Instant },
    /// Close a connection that does not carry the lane.
    Close { connection: u32 },
    /// Take messages from now on.
    Open,
    /// Take no more messages.
    Shut,
    /// There may be a Bye to send.
    Flush,
    /// The lane has ended: settle and report what it had accepted, close the connection if it had
    /// one.
    Settle {
        connection: Option<u32>,
        reason: CloseReason,
    },
}

/// When something happened, and the random bits for what follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// 64 uniform random bits.
    pub(super) random: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct LaneState {
    stage: Stage,
    /// What is wanted of the peer, as far as this lane has followed it.
    wish: Wish,
    /// When it is dialled, if a deadline is set.
    dial_at: Option<Instant>,
    limits: BackoffLimits,
    backoff: Backoff,
    farewell: Farewell,
    /// What the next Hello offers: an old version alone to a peer that reads no newer Hello.
    offers: VersionRange,
    /// The node stops: nothing is dialled or accepted any more.
    draining: bool,
}

impl LaneState {
    pub(super) fn new(limits: BackoffLimits, draining: bool) -> Self {
        Self {
            stage: Stage::Idle,
            wish: Wish::none(),
            dial_at: None,
            limits,
            backoff: Backoff::new(limits),
            farewell: Farewell::default(),
            offers: VersionRange::OURS,
            draining,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// The connection that carries the lane.
    #[inline]
    pub(super) fn connection(&self) -> Option<u32> {
        match self.stage {
            Stage::Up(carrier) => Some(carrier.connection),
            Stage::Idle | Stage::Dialing { .. } | Stage::Loop => None,
        }
    }

    #[inline]
    pub(super) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up(_) | Stage::Loop)
    }

    /// Whether messages can still be sent.
    #[inline]
    pub(super) fn takes_messages(&self) -> bool {
        self.is_up() && !self.farewell.said && self.farewell.heard.is_none()
    }

    /// What is wanted of the peer has changed.
    pub(super) fn follow(&mut self, wish: Wish, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let before = std::mem::replace(&mut self.wish, wish);
        if before.ending != wish.ending {
            self.abandon_dial(&mut actions);
            actions.append(&mut self.ended(wish.reason, at));
        }
        if before.dial != wish.dial && self.stage == Stage::Idle && wish.address.is_some() {
            // Earlier failures count no more.
            self.backoff = Backoff::new(self.limits);
            self.set_dial(at.now, &mut actions);
        }
        actions
    }

    /// Whether the last dial failed.
    pub(super) fn has_failed(&self) -> bool {
        self.backoff.failures() > 0
    }

    /// The deadline to dial has come: where to, if it is still wanted.
    pub(super) fn dial_due(&mut self) -> Option<SocketAddr> {
        self.dial_at = None;
        let may = self.stage == Stage::Idle && !self.draining;
        self.wish.address.filter(|_| may)
    }

    /// A dial is under way.
    pub(super) fn dialing(&mut self, connection: u32) {
        self.stage = Stage::Dialing { connection };
    }

    /// A dial failed; `None` before there was a connection. Says when the next is tried, if this was
    /// the dial that counts.
    pub(super) fn dial_failed(
        &mut self,
        connection: Option<u32>,
        at: Moment,
    ) -> Option<(Duration, Vec<Action>)> {
        let counts = match connection {
            Some(connection) => self.stage == Stage::Dialing { connection },
            None => self.stage == Stage::Idle,
        };
        if !counts {
            return None;
        }
        self.stage = Stage::Idle;
        self.offers = VersionRange::OURS;
        let mut actions = Vec::new();
        let retry_in = self.redial(at, &mut actions);
        Some((retry_in, actions))
    }

    /// The versions to offer in the Hello of a dial.
    pub(super) fn offers(&self) -> VersionRange {
        self.offers
    }

    /// The peer reads the Hello of an older version alone: dialled again at once with that. A dial
    /// after this one offers everything again, as the peer may have been upgraded by then.
    pub(super) fn dial_again_in(
        &mut self,
        connection: u32,
        version: u16,
        now: Instant,
    ) -> Vec<Action> {
        let mut actions = vec![Action::Close { connection }];
        if self.stage == (Stage::Dialing { connection }) {
            self.stage = Stage::Idle;
            self.offers = VersionRange::only(version);
            self.set_dial(now, &mut actions);
        }
        actions
    }

    /// The peer has dialled: the actions that make room for its connection, or why it is refused.
    pub(super) fn peer_dials(
        &mut self,
        local_name: &str,
        remote: RemoteNode<'_>,
        at: Moment,
    ) -> Result<Vec<Action>, CloseReason> {
        if self.wish.refused {
            return Err(CloseReason::Disconnected);
        }
        if self.draining {
            return Err(CloseReason::LocalStop);
        }
        let slot = match self.stage {
            Stage::Idle | Stage::Loop => SlotState::Idle,
            Stage::Dialing { .. } => SlotState::Dialing,
            Stage::Up(Carrier {
                dialed: true,
                incarnation,
                ..
            }) => SlotState::UpDialedByUs { incarnation },
            Stage::Up(Carrier { incarnation, .. }) => SlotState::UpDialedByPeer { incarnation },
        };
        let mut actions = Vec::new();
        match keep(local_name, remote, slot) {
            Choice::Refuse(reason) => return Err(reason),
            Choice::Accept | Choice::AcceptInsteadOfDial(_) => self.abandon_dial(&mut actions),
            Choice::Replace(reason) => actions = self.ended(reason, at),
        }
        Ok(actions)
    }

    /// The connection for which an own dial may have been given up was lost before the lane was up.
    pub(super) fn peer_lost(&mut self, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.redial(at, &mut actions);
        actions
    }

    /// The handshake on that connection is over.
    pub(super) fn up(&mut self, carrier: Carrier) -> Vec<Action> {
        self.opened(Stage::Up(carrier))
    }

    /// The lane to this node itself is up from the start.
    pub(super) fn loop_up(&mut self) -> Vec<Action> {
        self.opened(Stage::Loop)
    }

    fn opened(&mut self, stage: Stage) -> Vec<Action> {
        self.stage = stage;
        self.farewell = Farewell::default();
        self.offers = VersionRange::OURS;
        vec![Action::Open]
    }

    /// The connection that carries the lane is to end, or has ended.
    pub(super) fn ended(&mut self, reason: CloseReason, at: Moment) -> Vec<Action> {
        let Stage::Up(carrier) = self.stage else {
            return Vec::new();
        };
        self.stage = Stage::Idle;
        self.backoff
            .connection_ended(at.now.duration_since(carrier.since));
        let mut actions = vec![Action::Settle {
            connection: Some(carrier.connection),
            reason,
        }];
        self.redial(at, &mut actions);
        actions
    }

    /// The peer will send no more messages. This side finishes what it has and says Bye in turn.
    pub(super) fn bye_heard(&mut self, reason: CloseReason) -> Vec<Action> {
        self.farewell.heard = Some(reason);
        let mut actions = Vec::new();
        if self.farewell.wanted.is_none() {
            self.farewell.wanted = Some(reason);
            actions.push(Action::Shut);
        }
        actions.push(Action::Flush);
        actions
    }

    /// The reason to put into a Bye, if one is to be sent now: it counts as said. `settled` says
    /// whether everything accepted is settled and nothing else is left to send.
    pub(super) fn say_bye(&mut self, settled: bool) -> Option<CloseReason> {
        let reason = self.farewell.wanted?;
        if self.farewell.said || !settled {
            return None;
        }
        self.farewell.said = true;
        Some(reason)
    }

    /// This side has a Bye to say, now or when all is acknowledged.
    pub(super) fn wants_bye(&self) -> bool {
        self.farewell.wanted.is_some()
    }

    /// Both sides have said Bye: the reason of the end.
    pub(super) fn parted(&self) -> Option<CloseReason> {
        let both = self.farewell.said && self.farewell.heard.is_some();
        self.farewell
            .wanted
            .or(self.farewell.heard)
            .filter(|_| both)
    }

    /// Why the connection ended when its stream did: what the peer said before, or else `seen`.
    pub(super) fn reason_of_end(&self, seen: CloseReason) -> CloseReason {
        self.farewell.heard.unwrap_or(seen)
    }

    /// The node stops: what is up parts from its peer, nothing is dialled any more. `settled` as for
    /// [`say_bye`](Self::say_bye).
    pub(super) fn drain(&mut self, settled: bool) -> Vec<Action> {
        self.draining = true;
        let mut actions = Vec::new();
        match self.stage {
            Stage::Up(_) if self.farewell.wanted.is_none() => {
                self.farewell.wanted = Some(CloseReason::LocalStop);
                actions.push(Action::Flush);
            }
            Stage::Loop if settled => self.end_loop(&mut actions),
            Stage::Idle | Stage::Dialing { .. } => self.abandon_dial(&mut actions),
            Stage::Up(_) | Stage::Loop => {}
        }
        actions
    }

    /// The node's deadline to stop has passed.
    pub(super) fn drain_deadline(&mut self, settled: bool, at: Moment) -> Vec<Action> {
        self.draining = true;
        match self.stage {
            Stage::Up(_) if settled => self.ended(CloseReason::LocalStop, at),
            Stage::Up(_) => self.ended(CloseReason::DrainTimeout, at),
            Stage::Loop | Stage::Idle | Stage::Dialing { .. } => self.drain(true),
        }
    }

    /// There is nobody to say Bye to.
    fn end_loop(&mut self, actions: &mut Vec<Action>) {
        self.stage = Stage::Idle;
        actions.push(Action::Settle {
            connection: None,
            reason: CloseReason::LocalStop,
        });
    }

    /// The peer's dial is kept instead of ours, or none is wanted any more.
    fn abandon_dial(&mut self, actions: &mut Vec<Action>) {
        self.cancel_dial(actions);
        if let Stage::Dialing { connection } = self.stage {
            self.stage = Stage::Idle;
            actions.push(Action::Close { connection });
        }
    }

    /// Dials again after a back-off, if this node is to dial at all. Returns the back-off.
    fn redial(&mut self, at: Moment, actions: &mut Vec<Action>) -> Duration {
        let delay = self.backoff.next_delay(at.random);
        if self.wish.address.is_some() && !self.draining {
            self.set_dial(at.now + delay, actions);
        }
        delay
    }

    /// The lane is dialled then, and at no other time that was set before.
    fn set_dial(&mut self, at: Instant, actions: &mut Vec<Action>) {
        self.cancel_dial(actions);
        self.dial_at = Some(at);
        actions.push(Action::SetDial { at });
    }

    fn cancel_dial(&mut self, actions: &mut Vec<Action>) {
        if let Some(at) = self.dial_at.take() {
            actions.push(Action::CancelDial { at });
        }
    }
}

#[cfg(test)]
mod tests;
