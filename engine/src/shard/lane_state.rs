//! Where a lane stands, and what has to be done when something happens to it: a state machine
//! without I/O.
//!
//! `dial`, `accept`, `lifecycle` and `stop` tell it what happened and carry out the actions that it
//! returns; time and randomness are arguments. It decides when to dial, which connection is kept and
//! how a lane comes to its end. It knows neither sockets nor messages.
//!
//! A lane that is kept (the control lane; every lane to a node of an older version) is dialled as long as
//! the peer is wanted. Any other is made when something waits for it: dialled, or, where no address is
//! known or nobody answers there, asked of the peer. Idle, it comes to rest (`rest`): then what is accepted waits for the next
//! connection.

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
    /// Ask the peer to dial the lane: this node cannot.
    Summon,
    /// The lane has ended: settle and report what its connection had, and close that if it had one.
    Settle {
        connection: Option<u32>,
        reason: CloseReason,
        /// It had come to rest: nothing was under way on it, in either direction.
        at_rest: bool,
    },
    /// The lane could not be made: report what waits for it.
    Fail { reason: CloseReason },
}

/// What is to be done about a lane whose deadline to dial has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Dial(SocketAddr),
    /// The peer was asked for the lane and did not make it.
    GiveUp,
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
    /// It is dialled whether anything waits for it or not.
    kept: bool,
    /// Something waits for it, since then.
    demanded: Option<Instant>,
    /// The peer asked for it; if it cannot be made, the peer gets a refusal.
    summoned: bool,
    /// The peer was asked for it.
    asked: bool,
    /// Why a dial failed before the peer was asked.
    dial_failure: Option<CloseReason>,
    /// The back-off after the last failure.
    dial_not_before: Option<Instant>,
    limits: BackoffLimits,
    /// What waits for the lane waits so long for a peer that is about to make it.
    patience: Duration,
    backoff: Backoff,
    farewell: Farewell,
    /// The peer has proposed to close the idle lane and this side has agreed: it sends nothing more on
    /// the connection, unless a message comes.
    agreed_to_rest: bool,
    /// What the next Hello offers: an old version alone to a peer that reads no newer Hello.
    offers: VersionRange,
    /// The node stops: nothing is dialled or accepted any more, but for what waits.
    draining: bool,
    /// Its deadline to stop has passed: nothing waits any more either.
    over: bool,
}

impl LaneState {
    pub(super) fn new(limits: BackoffLimits, patience: Duration, draining: bool) -> Self {
        Self {
            stage: Stage::Idle,
            wish: Wish::none(),
            dial_at: None,
            kept: false,
            demanded: None,
            summoned: false,
            asked: false,
            dial_failure: None,
            dial_not_before: None,
            limits,
            patience,
            backoff: Backoff::new(limits),
            farewell: Farewell::default(),
            agreed_to_rest: false,
            offers: VersionRange::OURS,
            draining,
            over: false,
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

    /// Whether messages can still be sent on the connection.
    #[inline]
    pub(super) fn takes_messages(&self) -> bool {
        let may_send = self.farewell.wanted.is_none_or(|reason| {
            // Both a Bye that was said and one that was heard are wanted.
            reason != CloseReason::Idle && !self.farewell.said && self.farewell.heard.is_none()
        });
        may_send && !self.agreed_to_rest && self.is_up()
    }

    /// Whether messages that cannot be sent now wait for the next connection.
    pub(super) fn holds_messages(&self) -> bool {
        let is_between = match self.stage {
            Stage::Idle | Stage::Dialing { .. } => true,
            Stage::Up(_) => self.rests(),
            Stage::Loop => false,
        };
        is_between && !self.over
    }

    /// Whether the node's deadline to stop has passed.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether something waits for it.
    pub(super) fn is_demanded(&self) -> bool {
        self.demanded.is_some()
    }

    /// What is wanted of the peer has changed, or whether the lane is kept.
    pub(super) fn follow(&mut self, wish: Wish, kept: bool, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let before = std::mem::replace(&mut self.wish, wish);
        let was_kept = std::mem::replace(&mut self.kept, kept);
        if before.ending != wish.ending {
            self.abandon_dial(&mut actions);
            self.end(wish.reason, at, &mut actions);
            if wish.address.is_none() {
                self.fail(wish.reason, &mut actions);
            }
        }
        let is_ordered = before.dial != wish.dial || (kept && !was_kept);
        if is_ordered && self.stage == Stage::Idle && self.is_to_dial() {
            // Earlier failures count no more.
            self.backoff = Backoff::new(self.limits);
            self.asked = false;
            self.set_dial(at.now, &mut actions);
        }
        if self.stage == Stage::Idle && !kept && !self.is_demanded() {
            self.cancel_dial(&mut actions);
        }
        actions
    }

    /// A message waits for the lane.
    pub(super) fn demand(&mut self, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.demanded.is_none() {
            self.demanded = Some(at.now);
            self.seek(at.now, &mut actions);
        }
        actions
    }

    /// The peer needs the lane, and cannot dial it itself.
    ///
    /// # Errors
    /// The reason why this node cannot either.
    pub(super) fn summoned(&mut self, at: Moment) -> Result<Vec<Action>, CloseReason> {
        if self.draining {
            return Err(CloseReason::LocalStop);
        }
        if self.wish.address.is_none() {
            return Err(CloseReason::Unreachable);
        }
        self.summoned = true;
        let mut actions = self.demand(at);
        if let Some(heard) = self.farewell.heard.filter(|_| self.is_up()) {
            // It has ended there.
            actions.append(&mut self.ended(heard, at));
        }
        Ok(actions)
    }

    /// The peer cannot make the lane that it was asked for.
    pub(super) fn declined(&mut self, reason: CloseReason) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.stage == Stage::Idle && self.asked {
            self.cancel_dial(&mut actions);
            self.fail(reason, &mut actions);
        }
        actions
    }

    /// Whether the peer gets a refusal because the lane could not be made; asked once.
    pub(super) fn take_summoned(&mut self) -> bool {
        std::mem::take(&mut self.summoned)
    }

    /// Something waits for the lane: without a connection, one is made.
    fn seek(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.stage != Stage::Idle {
            return;
        }
        if self.wish.address.is_some() {
            let at = self.dial_not_before.map_or(now, |at| at.max(now));
            if self.dial_at.is_none_or(|set| set > at) {
                self.set_dial(at, actions);
            }
        } else {
            self.ask(actions);
            self.set_dial(now + self.patience, actions);
        }
    }

    fn ask(&mut self, actions: &mut Vec<Action>) {
        self.asked = true;
        actions.push(Action::Summon);
    }

    /// The lane cannot be made: whatever waits for it waits no longer.
    fn fail(&mut self, reason: CloseReason, actions: &mut Vec<Action>) {
        self.asked = false;
        let reason = self.dial_failure.take().unwrap_or(reason);
        if self.demanded.take().is_some() {
            actions.push(Action::Fail { reason });
        }
    }

    /// The peer has come back since its last failure: that counts no more.
    pub(super) fn forget_failures(&mut self) {
        self.backoff = Backoff::new(self.limits);
        self.dial_not_before = None;
    }

    /// Whether an idle lane is to be dialled.
    fn is_to_dial(&self) -> bool {
        let is_needed = self.is_demanded() || (self.kept && !self.draining);
        self.wish.address.is_some() && is_needed
    }

    /// Whether the last dial failed.
    pub(super) fn has_failed(&self) -> bool {
        self.backoff.failures() > 0
    }

    /// The deadline to dial has come: where to, if it is still wanted.
    pub(super) fn dial_due(&mut self) -> Due {
        self.dial_at = None;
        match self.wish.address {
            _ if self.stage != Stage::Idle => Due::Nothing,
            _ if self.asked => Due::GiveUp,
            Some(address) if self.is_to_dial() => Due::Dial(address),
            None if self.is_demanded() => Due::GiveUp,
            Some(_) | None => Due::Nothing,
        }
    }

    /// The peer was asked for the lane and did not make it in time.
    pub(super) fn given_up(&mut self, reason: CloseReason) -> Vec<Action> {
        let mut actions = Vec::new();
        self.fail(reason, &mut actions);
        actions
    }

    /// The deadline to dial has come, and it is too early still.
    pub(super) fn postpone(&mut self, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.dial_at = None;
        self.redial(at, &mut actions);
        actions
    }

    /// A dial is under way.
    pub(super) fn dialing(&mut self, connection: u32) {
        self.stage = Stage::Dialing { connection };
    }

    /// A dial failed; `None` before there was a connection. Says when the next is tried at the earliest,
    /// if this was the dial that counts. What waits for the lane waits on only for the peer to make it.
    pub(super) fn dial_failed(
        &mut self,
        connection: Option<u32>,
        reason: CloseReason,
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
        let is_made_there =
            [CloseReason::SimultaneousDial, CloseReason::AlreadyUp].contains(&reason);
        if is_made_there && !self.has_waited(at.now) {
            // It waits on.
        } else if self.is_demanded() && !self.kept && !self.summoned {
            // The peer may be connected all the same, from another address.
            self.dial_failure = Some(reason);
            self.ask(&mut actions);
        } else {
            self.fail(reason, &mut actions);
        }
        let retry_in = self.redial(at, &mut actions);
        Some((retry_in, actions))
    }

    /// Whether what waits for the lane has waited long enough for a peer that makes it.
    fn has_waited(&self, now: Instant) -> bool {
        self.demanded
            .is_some_and(|since| now >= since + self.patience)
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
        if self.draining && !self.is_demanded() {
            return Err(CloseReason::LocalStop);
        }
        let slot = match self.stage {
            Stage::Idle | Stage::Loop => SlotState::Idle,
            // It has ended there, or the peer would not dial: here it is about to.
            Stage::Up(_) if self.farewell.heard.is_some() => SlotState::Idle,
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
            Choice::Accept | Choice::AcceptInsteadOfDial(_) => {
                let reason = self.farewell.wanted.or(self.farewell.heard);
                if let Some(reason) = reason.filter(|_| self.is_up()) {
                    self.end(reason, at, &mut actions);
                }
                self.abandon_dial(&mut actions);
            }
            Choice::Replace(reason) => {
                self.end(reason, at, &mut actions);
            }
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
        let mut actions = Vec::new();
        self.cancel_dial(&mut actions);
        self.stage = stage;
        self.demanded = None;
        self.summoned = false;
        self.asked = false;
        self.dial_failure = None;
        self.dial_not_before = None;
        self.farewell = Farewell::default();
        self.agreed_to_rest = false;
        self.offers = VersionRange::OURS;
        actions.push(Action::Open);
        actions
    }

    /// The connection that carries the lane is to end, or has ended.
    pub(super) fn ended(&mut self, reason: CloseReason, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.end(reason, at, &mut actions) {
            return actions;
        }
        if self.is_demanded() {
            self.seek(at.now, &mut actions);
        } else if self.is_to_dial() {
            let next = self.dial_not_before.unwrap_or(at.now);
            self.set_dial(next, &mut actions);
        }
        actions
    }

    /// The same, where another connection follows. False if none carries the lane.
    fn end(&mut self, reason: CloseReason, at: Moment, actions: &mut Vec<Action>) -> bool {
        let Stage::Up(carrier) = self.stage else {
            return false;
        };
        let at_rest = self.rests();
        self.stage = Stage::Idle;
        self.agreed_to_rest = false;
        if at_rest {
            // Nobody has failed.
            self.backoff = Backoff::new(self.limits);
        } else {
            self.backoff
                .connection_ended(at.now.duration_since(carrier.since));
            let delay = self.backoff.next_delay(at.random);
            self.dial_not_before = Some(at.now + delay);
        }
        actions.push(Action::Settle {
            connection: Some(carrier.connection),
            reason,
            at_rest,
        });
        true
    }

    /// The peer will send no more messages. This side finishes what it has and says Bye in turn.
    pub(super) fn bye_heard(&mut self, reason: CloseReason) -> Vec<Action> {
        self.farewell.heard = Some(reason);
        let mut actions = Vec::new();
        if self.farewell.wanted.is_none() {
            self.farewell.wanted = Some(reason);
            if reason != CloseReason::Idle {
                actions.push(Action::Shut);
            }
        }
        actions.push(Action::Flush);
        actions
    }

    /// Whether the lane comes to rest: what is accepted now waits for the next connection.
    #[inline]
    pub(super) fn rests(&self) -> bool {
        self.agreed_to_rest || self.farewell.wanted == Some(CloseReason::Idle)
    }

    /// Whether an idle lane may be closed at all.
    pub(super) fn may_rest(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
            && !self.kept
            && !self.draining
            && !self.agreed_to_rest
            && self.farewell.wanted.is_none()
    }

    /// Whether a lane to whose closing the peer has agreed can be closed.
    pub(super) fn is_resting_possible(&self) -> bool {
        matches!(self.stage, Stage::Up(_)) && self.farewell.wanted.is_none()
    }

    /// The peer proposes to close the idle lane, and this side agrees.
    pub(super) fn agree_to_rest(&mut self) {
        self.forget_summons();
        self.agreed_to_rest = true;
    }

    /// Whatever the peer had asked for this lane is up, and has been quiet since.
    fn forget_summons(&mut self) {
        if std::mem::take(&mut self.summoned) {
            self.demanded = None;
        }
    }

    /// A message came: the peer had sent it before it knew, and the lane goes on.
    pub(super) fn wake(&mut self) {
        self.agreed_to_rest = false;
        if !self.summoned {
            self.demanded = None;
        }
    }

    /// Both sides have agreed that the lane is idle, and nothing is under way: this side says Bye.
    pub(super) fn rest(&mut self) -> Vec<Action> {
        if !self.agreed_to_rest {
            self.forget_summons();
        }
        self.farewell.wanted = Some(CloseReason::Idle);
        vec![Action::Flush]
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
            // One that comes to rest has done so within a round trip.
            Stage::Up(_) if self.farewell.wanted.is_none() && !self.rests() => {
                self.farewell.wanted = Some(CloseReason::LocalStop);
                actions.push(Action::Flush);
            }
            Stage::Loop if settled => self.end_loop(&mut actions),
            Stage::Idle | Stage::Dialing { .. } if !self.is_demanded() => {
                self.abandon_dial(&mut actions);
            }
            Stage::Up(_) | Stage::Loop | Stage::Idle | Stage::Dialing { .. } => {}
        }
        actions
    }

    /// The node's deadline to stop has passed.
    pub(super) fn drain_deadline(&mut self, settled: bool, at: Moment) -> Vec<Action> {
        self.draining = true;
        self.over = true;
        let mut actions = Vec::new();
        let reason = if settled {
            CloseReason::LocalStop
        } else {
            CloseReason::DrainTimeout
        };
        self.end(reason, at, &mut actions);
        self.fail(CloseReason::DrainTimeout, &mut actions);
        actions.append(&mut self.drain(true));
        actions
    }

    /// There is nobody to say Bye to.
    fn end_loop(&mut self, actions: &mut Vec<Action>) {
        self.stage = Stage::Idle;
        actions.push(Action::Settle {
            connection: None,
            reason: CloseReason::LocalStop,
            at_rest: false,
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
        self.dial_not_before = Some(at.now + delay);
        if self.asked {
            self.set_dial(at.now + self.patience, actions);
        } else if self.is_to_dial() {
            self.set_dial(at.now + delay, actions);
        } else if let Some(since) = self.demanded {
            // The peer dials, or this is given up.
            self.set_dial(at.now.max(since + self.patience), actions);
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
