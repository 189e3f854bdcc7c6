//! How a lane comes to an orderly end: both sides say Bye, because the node stops, a peer is given up, or nobody
//! uses the lane.
//!
//! A part of the lane's state: it owns what was said and heard. Called by `rest`, `stop` and whoever reads or
//! writes frames, through [`LaneState`]. Connections that are lost are not its matter.

use super::{Action, Farewell, LaneState, Moment, Stage};
use crate::wire::CloseReason;

impl LaneState {
    /// Whether the node's deadline to stop has passed.
    pub(in crate::shard) fn is_over(&self) -> bool {
        self.over
    }

    /// The peer will send no more messages. This side finishes what it has and says Bye in turn.
    pub(in crate::shard) fn bye_heard(&mut self, reason: CloseReason) -> Vec<Action> {
        self.farewell.heard = Some(reason);
        let mut actions = Vec::new();
        if self.farewell.wanted.is_none() {
            self.farewell.wanted = Some(reason);
            if !reason.is_pause() {
                actions.push(Action::Shut);
            }
        }
        actions.push(Action::Flush);
        actions
    }

    /// Whether the lane comes to rest: what is accepted now waits for the next connection.
    #[inline]
    pub(in crate::shard) fn rests(&self) -> bool {
        self.agreed_to_rest || self.farewell.wanted.is_some_and(CloseReason::is_pause)
    }

    /// Whether an end now finds nothing under way: the lane was idle, or both sides have said Bye.
    pub(super) fn ends_at_rest(&self) -> bool {
        self.rests() && (!self.is_renewed() || self.parted().is_some())
    }

    /// Whether it ends to be made anew, so that it has something under way until both sides have said Bye.
    pub(in crate::shard) fn is_renewed(&self) -> bool {
        self.farewell.wanted == Some(CloseReason::Renewed)
    }

    /// Whether the lane may be closed to be made anew.
    pub(in crate::shard) fn may_be_renewed(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
            && self.draining.is_none()
            && !self.agreed_to_rest
            && self.farewell == Farewell::default()
    }

    /// The lane is to be made anew: what is accepted from now on waits for that, and this side says Bye once
    /// everything before is acknowledged.
    pub(in crate::shard) fn renew(&mut self) -> Vec<Action> {
        self.forget_summons();
        self.farewell.wanted = Some(CloseReason::Renewed);
        vec![Action::Flush]
    }

    /// Whether this side has said Bye to a lane that is made again, and has not heard the other's: that may have come, and
    /// wait to be read.
    pub(in crate::shard) fn awaits_bye(&self) -> bool {
        let is_pause = self.farewell.wanted.is_some_and(CloseReason::is_pause);
        self.is_up() && is_pause && self.farewell.said && self.farewell.heard.is_none()
    }

    /// That takes too long: the lane goes on as it is, unless a Bye was said or heard. True if it does.
    pub(in crate::shard) fn call_off_renewal(&mut self) -> bool {
        let has_parted = self.farewell.said || self.farewell.heard.is_some();
        let is_possible = self.farewell.wanted == Some(CloseReason::Renewed) && !has_parted;
        if is_possible {
            self.farewell.wanted = None;
            self.demanded = None;
        }
        is_possible
    }

    /// Whether an idle lane may be closed at all.
    pub(in crate::shard) fn may_rest(&self) -> bool {
        matches!(self.stage, Stage::Up(_))
            && !self.kept
            && self.draining.is_none()
            && !self.agreed_to_rest
            && self.farewell.wanted.is_none()
    }

    /// Whether a lane to whose closing the peer has agreed can be closed.
    pub(in crate::shard) fn is_resting_possible(&self) -> bool {
        matches!(self.stage, Stage::Up(_)) && self.farewell.wanted.is_none()
    }

    /// The peer proposes to close the idle lane, and this side agrees.
    pub(in crate::shard) fn agree_to_rest(&mut self) {
        self.forget_summons();
        self.agreed_to_rest = true;
    }

    /// A message came: the peer had sent it before it knew, and the lane goes on.
    pub(in crate::shard) fn wake(&mut self) {
        self.agreed_to_rest = false;
        if !self.summoned {
            self.demanded = None;
        }
    }

    /// Both sides have agreed that the lane is idle, and nothing is under way: this side says Bye.
    pub(in crate::shard) fn rest(&mut self) -> Vec<Action> {
        if !self.agreed_to_rest {
            self.forget_summons();
        }
        self.farewell.wanted = Some(CloseReason::Idle);
        vec![Action::Flush]
    }

    /// The reason to put into a Bye, if one is to be sent now: it counts as said. `settled` says
    /// whether everything accepted is settled and nothing else is left to send.
    pub(in crate::shard) fn say_bye(&mut self, settled: bool) -> Option<CloseReason> {
        let reason = self.farewell.wanted?;
        if self.farewell.said || !settled {
            return None;
        }
        self.farewell.said = true;
        Some(reason)
    }

    /// This side has said Bye.
    pub(in crate::shard) fn has_said_bye(&self) -> bool {
        self.farewell.said
    }

    /// This side has a Bye to say, now or when all is acknowledged.
    pub(in crate::shard) fn wants_bye(&self) -> bool {
        self.farewell.wanted.is_some()
    }

    /// Both sides have said Bye: the reason of the end.
    pub(in crate::shard) fn parted(&self) -> Option<CloseReason> {
        let both = self.farewell.said && self.farewell.heard.is_some();
        self.farewell
            .wanted
            .or(self.farewell.heard)
            .filter(|_| both)
    }

    /// Why the connection ended when its stream did: what the peer said before, or else `seen`.
    pub(in crate::shard) fn reason_of_end(&self, seen: CloseReason) -> CloseReason {
        self.farewell.heard.unwrap_or(seen)
    }

    /// The channel was removed: nothing is accepted any more, and what waits is let out.
    pub(in crate::shard) fn begin_leave(&mut self) {
        self.draining.get_or_insert(CloseReason::ChannelRemoved);
    }

    /// The node stops, or the channel leaves: what is up parts from its peer, nothing is dialled any more.
    /// `settled` as for [`say_bye`](Self::say_bye).
    pub(in crate::shard) fn drain(&mut self, settled: bool) -> Vec<Action> {
        let why = *self.draining.get_or_insert(CloseReason::LocalStop);
        let mut actions = Vec::new();
        match self.stage {
            // One that comes to rest has done so within a round trip.
            Stage::Up(_) if self.farewell.wanted.is_none() && !self.rests() => {
                self.farewell.wanted = Some(why);
                actions.push(Action::Flush);
            }
            Stage::Loop if settled => self.end_loop(why, &mut actions),
            Stage::Idle | Stage::Dialing { .. } if !self.is_demanded() => {
                self.abandon_dial(&mut actions);
            }
            Stage::Up(_) | Stage::Loop | Stage::Idle | Stage::Dialing { .. } => {}
        }
        actions
    }

    /// The deadline for that has passed.
    pub(in crate::shard) fn drain_deadline(&mut self, settled: bool, at: Moment) -> Vec<Action> {
        let why = *self.draining.get_or_insert(CloseReason::LocalStop);
        self.over = true;
        let mut actions = Vec::new();
        let reason = if settled {
            why
        } else {
            CloseReason::DrainTimeout
        };
        self.end(reason, at, &mut actions);
        self.fail(CloseReason::DrainTimeout, &mut actions);
        actions.append(&mut self.drain(true));
        actions
    }

    /// There is nobody to say Bye to.
    fn end_loop(&mut self, reason: CloseReason, actions: &mut Vec<Action>) {
        self.stage = Stage::Idle;
        actions.push(Action::Settle {
            connection: None,
            reason,
            at_rest: false,
        });
    }
}
