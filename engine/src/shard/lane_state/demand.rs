//! When a lane is dialled, when its peer is asked to, and when whatever waits for it is given up.
//!
//! A part of the lane's state: it owns the deadline to dial, the back-off, and what waits. Called by the rest
//! of it, and by `dial`, `route` and `summons` through [`LaneState`]. It opens and ends no connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{ASK_AGAIN, Action, Due, LaneState, Moment, Stage};
use crate::control::wishes::Wish;
use crate::delivery::Backoff;
use crate::wire::{CloseReason, VersionRange};

impl LaneState {
    /// Whether something waits for it.
    pub(in crate::shard) fn is_demanded(&self) -> bool {
        self.demanded.is_some()
    }

    /// What is wanted of the peer has changed, or whether the lane is kept.
    pub(in crate::shard) fn follow(&mut self, wish: Wish, kept: bool, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let before = std::mem::replace(&mut self.wish, wish);
        let was_kept = std::mem::replace(&mut self.kept, kept);
        if before.ending != self.wish.ending {
            let reason = self.wish.reason;
            self.abandon_dial(&mut actions);
            self.end(reason, at, &mut actions);
            if self.wish.addresses.is_empty() {
                self.fail(reason, &mut actions);
            }
        }
        if before.addresses != self.wish.addresses {
            self.follow_addresses(&before, at, &mut actions);
        }
        let is_ordered = before.dial != self.wish.dial || (kept && !was_kept);
        if is_ordered && self.stage == Stage::Idle {
            // Earlier failures count no more.
            self.forget_failures();
            if self.is_to_dial() {
                self.asked = false;
                self.set_dial(at.now, &mut actions);
            }
        }
        if !self.wish.reach {
            self.bar = None;
        }
        if self.stage == Stage::Idle && !kept && !self.is_demanded() && self.bar.is_none() {
            self.cancel_dial(&mut actions);
        }
        actions
    }

    /// The peer is to be found at other addresses: a dial to one that it had is in vain. Without any, the
    /// peer is asked for what waits.
    fn follow_addresses(&mut self, before: &Wish, at: Moment, actions: &mut Vec<Action>) {
        let dialed = before.addresses.get(self.next_address);
        let mut addresses = self.wish.addresses.iter();
        let place = dialed.and_then(|dialed| addresses.position(|address| address == dialed));
        if matches!(self.stage, Stage::Dialing { .. }) && place.is_none() && self.is_to_dial() {
            self.abandon_dial(actions);
            self.set_dial(at.now, actions);
        }
        self.next_address = place.unwrap_or(0);
        self.tried = 0;
        if self.wish.addresses.is_empty() && self.is_demanded() && !self.asked {
            self.seek(at.now, actions);
        }
    }

    /// A message waits for the lane.
    pub(in crate::shard) fn demand(&mut self, at: Moment) -> Vec<Action> {
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
    pub(in crate::shard) fn summoned(&mut self, at: Moment) -> Result<Vec<Action>, CloseReason> {
        if let Some(reason) = self.draining {
            return Err(reason);
        }
        if self.wish.addresses.is_empty() {
            return Err(CloseReason::Unreachable);
        }
        self.summoned = true;
        let mut actions = self.demand(at);
        let is_over = self.is_up() && (self.parted().is_some() || !self.is_renewed());
        if let Some(heard) = self.farewell.heard.filter(|_| is_over) {
            // It has ended there.
            actions.append(&mut self.ended(heard, at));
        }
        Ok(actions)
    }

    /// The peer cannot make the lane that it was asked for.
    pub(in crate::shard) fn declined(&mut self, reason: CloseReason, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.waits_out(now) {
            self.dial_failure.get_or_insert(reason);
            // The next attempt is this node's own, if it can make one.
            self.asked &= self.wish.addresses.is_empty() || self.has_to_connect();
            return actions;
        }
        if self.stage == Stage::Idle && self.asked {
            self.cancel_dial(&mut actions);
            self.fail(reason, &mut actions);
        }
        actions
    }

    /// Whether the peer gets a refusal because the lane could not be made; asked once.
    pub(in crate::shard) fn take_summoned(&mut self) -> bool {
        std::mem::take(&mut self.summoned)
    }

    /// Something waits for the lane: without a connection, one is made.
    pub(super) fn seek(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.stage != Stage::Idle {
            return;
        }
        if self.wish.addresses.is_empty() || self.has_to_connect() {
            self.ask(now, actions);
        } else {
            let at = self.dial_not_before.map_or(now, |at| at.max(now));
            if self.dial_at.is_none_or(|set| set > at) {
                self.set_dial(at, actions);
            }
        }
    }

    /// Whether the peer has to be connected before the lane can be dialled: then it can answer on any channel,
    /// and one dial finds out whether it is there.
    fn has_to_connect(&self) -> bool {
        self.wish.reach && !self.is_control && !self.may_dial
    }

    /// The peer is connected: the lane that waited for that can be dialled.
    pub(in crate::shard) fn connected(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.stage == Stage::Idle && self.asked {
            self.asked = false;
            self.may_dial = true;
            self.cancel_dial(&mut actions);
            self.seek(now, &mut actions);
        }
        actions
    }

    /// Whether what waits for the lane waits on, although it cannot be made just now.
    fn waits_out(&self, now: Instant) -> bool {
        self.persists && self.is_demanded() && !self.has_waited(now) && !self.over
    }

    /// Asks the peer for the lane, or to be connected first, which has until the deadline that is set.
    fn ask(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.is_control {
            // There is nobody to ask.
            self.fail(CloseReason::Unreachable, actions);
            return;
        }
        self.asked = true;
        let connects = self.has_to_connect();
        actions.push(if connects {
            Action::Reach
        } else {
            Action::Summon
        });
        let at = if self.persists {
            self.until_patience_ends(now + ASK_AGAIN)
        } else if connects {
            now + self.patience_for_all()
        } else {
            now + self.patience
        };
        self.set_dial(at, actions);
    }

    /// How long it may take to find out that a peer answers at none of its addresses, and some.
    fn patience_for_all(&self) -> Duration {
        let dials = u32::try_from(self.wish.addresses.len()).unwrap_or(u32::MAX);
        self.patience * dials.saturating_add(1)
    }

    /// The peer is to be asked, or connected, and may have been before.
    pub(in crate::shard) fn ask_again(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.ask(now, &mut actions);
        actions
    }

    /// `at`, or the end of what waits, if that is sooner.
    fn until_patience_ends(&self, at: Instant) -> Instant {
        let end = self.demanded.map(|since| since + self.patience);
        end.map_or(at, |end| at.min(end))
    }

    /// The lane cannot be made: whatever waits for it waits no longer.
    pub(super) fn fail(&mut self, reason: CloseReason, actions: &mut Vec<Action>) {
        self.asked = false;
        self.may_dial = false;
        let reason = self.dial_failure.take().unwrap_or(reason);
        if self.demanded.take().is_some() {
            let is_barred = self.is_control && self.wish.reach && self.draining.is_none();
            self.bar = is_barred.then_some(reason);
            actions.push(Action::Fail { reason });
        }
    }

    /// Whether messages are to be accepted for a peer that is not connected: it is to be reached, and there is
    /// no back-off after it was not.
    pub(in crate::shard) fn is_reachable(&self) -> bool {
        self.wish.reach && self.bar.is_none()
    }

    /// Why not, if a dial failed.
    pub(in crate::shard) fn bar(&self) -> Option<CloseReason> {
        self.bar
    }

    /// The back-off after a failure has passed.
    pub(in crate::shard) fn end_bar(&mut self) {
        self.bar = None;
    }

    /// The peer has come back since its last failure: that counts no more.
    pub(in crate::shard) fn forget_failures(&mut self) {
        self.backoff = Backoff::new(self.limits);
        self.dial_not_before = None;
        self.bar = None;
    }

    /// Whether an idle lane is to be dialled.
    pub(super) fn is_to_dial(&self) -> bool {
        let is_needed = self.is_demanded() || (self.kept && self.draining.is_none());
        !self.wish.addresses.is_empty() && is_needed
    }

    /// Whether the peer is to be connected or reached, with or without a back-off.
    pub(in crate::shard) fn is_wanted(&self) -> bool {
        self.wish.keep || self.wish.reach
    }

    /// The last order to end the peer's lanes that it has followed.
    pub(in crate::shard) fn ending(&self) -> u64 {
        self.wish.ending
    }

    /// Whether it may be made again, by either side.
    pub(in crate::shard) fn is_to_come_back(&self) -> bool {
        !self.wish.refused && self.draining.is_none()
    }

    /// Whether this node can dial it.
    pub(in crate::shard) fn has_address(&self) -> bool {
        !self.wish.addresses.is_empty()
    }

    /// Whether the last dial failed.
    pub(in crate::shard) fn has_failed(&self) -> bool {
        self.backoff.failures() > 0
    }

    /// The deadline to dial has come: where to, if it is still wanted.
    pub(in crate::shard) fn dial_due(&mut self, now: Instant) -> Due {
        self.dial_at = None;
        match self.wish.addresses.get(self.next_address) {
            _ if self.stage != Stage::Idle => Due::Nothing,
            _ if self.asked && !self.waits_out(now) => Due::GiveUp,
            None if self.asked => Due::Ask,
            Some(_) if self.is_to_dial() && self.has_to_connect() => Due::Ask,
            Some(address) if self.is_to_dial() => {
                self.asked = false;
                Due::Dial(*address)
            }
            None if self.is_demanded() => Due::GiveUp,
            Some(_) | None => Due::Nothing,
        }
    }

    /// The peer has answered at that address, on whichever lane: it is the first to be dialled.
    pub(in crate::shard) fn prefer(&mut self, address: SocketAddr) {
        let mut addresses = self.wish.addresses.iter();
        if self.tried == 0
            && let Some(place) = addresses.position(|known| *known == address)
        {
            self.next_address = place;
        }
    }

    /// A dial failed. True if there is an address that was not tried yet.
    fn has_next_address(&mut self) -> bool {
        let count = self.wish.addresses.len().max(1);
        self.next_address = (self.next_address + 1) % count;
        self.tried = (self.tried + 1) % count;
        self.tried != 0
    }

    /// The peer was asked for the lane and did not make it in time.
    pub(in crate::shard) fn given_up(&mut self, reason: CloseReason) -> Vec<Action> {
        let mut actions = Vec::new();
        self.fail(reason, &mut actions);
        actions
    }

    /// The deadline to dial has come, and it is too early still.
    pub(in crate::shard) fn postpone(&mut self, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.dial_at = None;
        self.redial(at, &mut actions);
        actions
    }

    /// A dial is under way.
    pub(in crate::shard) fn dialing(&mut self, connection: u32) {
        self.stage = Stage::Dialing { connection };
    }

    /// A dial failed; `None` before there was a connection. Says when the next is tried at the earliest,
    /// if this was the dial that counts. What waits for the lane waits on only for the peer to make it.
    pub(in crate::shard) fn dial_failed(
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
        if !is_made_there && self.has_next_address() && self.is_to_dial() {
            self.set_dial(at.now, &mut actions);
            return Some((Duration::ZERO, actions));
        }
        self.may_dial = false;
        let waits_out = self.waits_out(at.now);
        if is_made_there && (waits_out || !self.has_waited(at.now)) {
            // It waits on.
        } else if self.can_ask() && (waits_out || !self.persists) {
            // The peer may be connected all the same, from another address.
            self.dial_failure = Some(reason);
            self.asked = true;
            actions.push(Action::Summon);
        } else if !waits_out {
            self.fail(reason, &mut actions);
        }
        let retry_in = self.redial(at, &mut actions);
        Some((retry_in, actions))
    }

    /// Whether the peer, which may be connected all the same, can be asked for the lane.
    fn can_ask(&self) -> bool {
        self.is_demanded() && !self.kept && !self.summoned && !self.is_control
    }

    /// Whether what waits for the lane has waited long enough for a peer that makes it.
    fn has_waited(&self, now: Instant) -> bool {
        self.demanded
            .is_some_and(|since| now >= since + self.patience)
    }

    /// The versions to offer in the Hello of a dial.
    pub(in crate::shard) fn offers(&self) -> VersionRange {
        self.offers
    }

    /// The peer reads the Hello of an older version alone: dialled again at once with that. A dial
    /// after this one offers everything again, as the peer may have been upgraded by then.
    pub(in crate::shard) fn dial_again_in(
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

    /// The connection for which an own dial may have been given up was lost before the lane was up.
    pub(in crate::shard) fn peer_lost(&mut self, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.redial(at, &mut actions);
        actions
    }

    /// Whatever the peer had asked for this lane is up, and has been quiet since.
    pub(super) fn forget_summons(&mut self) {
        if std::mem::take(&mut self.summoned) {
            self.demanded = None;
        }
    }

    /// The peer's dial is kept instead of ours, or none is wanted any more.
    pub(super) fn abandon_dial(&mut self, actions: &mut Vec<Action>) {
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
        if self.asked && !self.persists {
            self.set_dial(at.now + self.patience, actions);
        } else if self.is_to_dial() {
            let mut next = at.now + delay;
            if self.persists {
                next = self.until_patience_ends(next).max(at.now);
            }
            self.set_dial(next, actions);
        } else if let Some(since) = self.demanded {
            // The peer dials, or this is given up.
            self.set_dial(at.now.max(since + self.patience), actions);
        } else if self.bar.is_some() {
            self.set_dial(at.now + delay, actions);
        }
        delay
    }

    /// The lane is dialled then, and at no other time that was set before.
    pub(super) fn set_dial(&mut self, at: Instant, actions: &mut Vec<Action>) {
        self.cancel_dial(actions);
        self.dial_at = Some(at);
        actions.push(Action::SetDial { at });
    }

    pub(super) fn cancel_dial(&mut self, actions: &mut Vec<Action>) {
        if let Some(at) = self.dial_at.take() {
            actions.push(Action::CancelDial { at });
        }
    }
}
