//! Where a lane stands, and what has to be done when something happens to it: a state machine
//! without I/O.
//!
//! `dial`, `accept`, `lifecycle` and `stop` tell it what happened and carry out the actions that it
//! returns; time and randomness are arguments. It decides when to dial, which connection is kept and
//! how a lane comes to its end. It knows neither sockets nor messages.
//!
//! A lane that is kept (the control lane of a peer that is; every lane to a node of an older version) is dialled
//! as long as that is wanted. Any other is made when something waits for it: dialled, or, where no address is
//! known or nobody answers there, asked of the peer. To a peer that is only reached the control lane is made
//! first, for the other one that waits. Idle, a lane comes to rest (`rest`): then what is accepted waits for the
//! next connection.

mod demand;
mod farewell;

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

/// How long after it was asked for a lane that messages wait for persistently a peer is asked again: the
/// connection to it may have been lost with the question. Twice a second costs nothing.
const ASK_AGAIN: Duration = Duration::from_millis(500);

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
    /// Have the peer connected, before the lane is dialled.
    Reach,
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
    /// The peer is to be asked for the lane, or to be connected first, and may have been before.
    Ask,
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
    /// It is the engine's own, by which the peer is connected and asked for others.
    is_control: bool,
    /// The peer is connected, so that the lane can be dialled: not known again once a dial failed.
    may_dial: bool,
    /// Which of the addresses is dialled next, and how many were in vain one after the other.
    next_address: usize,
    tried: usize,
    /// Why nothing is accepted for a peer that is reached until the back-off has passed: a dial failed.
    bar: Option<CloseReason>,
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
    /// What waits for the lane waits out failed dials and refusals too, as long as patience lasts.
    persists: bool,
    backoff: Backoff,
    farewell: Farewell,
    /// The peer has proposed to close the idle lane and this side has agreed: it sends nothing more on
    /// the connection, unless a message comes.
    agreed_to_rest: bool,
    /// What the next Hello offers: an old version alone to a peer that reads no newer Hello.
    offers: VersionRange,
    /// The node stops, or the channel was removed: nothing is dialled or accepted any more, but for what waits.
    draining: Option<CloseReason>,
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
            is_control: false,
            may_dial: false,
            next_address: 0,
            tried: 0,
            bar: None,
            demanded: None,
            summoned: false,
            asked: false,
            dial_failure: None,
            dial_not_before: None,
            limits,
            patience,
            persists: false,
            backoff: Backoff::new(limits),
            farewell: Farewell::default(),
            agreed_to_rest: false,
            offers: VersionRange::OURS,
            draining: draining.then_some(CloseReason::LocalStop),
            over: false,
        }
    }

    /// It is the engine's own lane: nobody can be asked for it.
    pub(super) fn be_control(&mut self) {
        self.is_control = true;
    }

    /// What waits for the lane waits so long for a peer that is away.
    pub(super) fn persist(&mut self, patience: Duration) {
        self.persists = true;
        self.patience = patience;
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

    /// What the peer runs as on that connection.
    pub(super) fn incarnation(&self) -> Option<u64> {
        match self.stage {
            Stage::Up(carrier) => Some(carrier.incarnation),
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
            !reason.is_pause() && !self.farewell.said && self.farewell.heard.is_none()
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
        if let Some(reason) = self.draining.filter(|_| !self.is_demanded()) {
            return Err(reason);
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
        self.may_dial = false;
        self.tried = 0;
        self.bar = None;
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
        let at_rest = self.ends_at_rest();
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
}

#[cfg(test)]
mod tests;
