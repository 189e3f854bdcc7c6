//! Lanes of capped channels, and those with faults that hold messages back: what a lane may hand over now, and when it is looked at again.
//!
//! Called by `lane` for each batch, and by the turn when tokens are back or caps have changed. What does not go waits where it
//! waits anyway, within the lane's bounds, so senders see a full queue as on any slow lane. How much may go when is
//! `delivery::rate`'s matter. Where a channel has no cap and a lane no fault, one look at each is all there is.

use std::sync::atomic::Ordering;

use super::Core;
use super::lane::Lane;
use super::lane::pace::Allowance;
use super::outbox::ChunkPool;
use super::timers::Deadline;
use crate::delivery::rate::Amount;

impl Core {
    /// What the lane may hand over now; from then on that is reserved.
    #[inline]
    pub(super) fn allowance(&mut self, index: u32) -> Allowance {
        let lane = &self.lanes[index as usize];
        if lane.faults.is_some() {
            self.faulty_allowance(index)
        } else if self.channels[lane.channel].rates.is_capped() {
            self.capped_allowance(index, Amount::MAX)
        } else {
            Allowance::Quantum
        }
    }

    /// The same, where faults on purpose may hold messages back: what they let go, and of that what a cap lets go.
    #[cold]
    fn faulty_allowance(&mut self, index: u32) -> Allowance {
        let channel = self.lanes[index as usize].channel;
        let is_capped = self.channels[channel].rates.is_capped();
        let let_go = self.let_go_by_faults(index).map(|messages| Amount {
            messages,
            ..Amount::MAX
        });
        match let_go {
            Some(none) if none.is_empty() => Allowance::NoMessages,
            _ if is_capped => self.capped_allowance(index, let_go.unwrap_or(Amount::MAX)),
            Some(piece) => {
                let lane = &mut self.lanes[index as usize];
                if lane.log.has_window() {
                    Allowance::Piece(piece)
                } else {
                    Allowance::NoMessages
                }
            }
            None => Allowance::Quantum,
        }
    }

    fn capped_allowance(&mut self, index: u32, most: Amount) -> Allowance {
        let lane = &mut self.lanes[index as usize];
        let rates = &self.channels[lane.channel].rates;
        if lane.log.outbox.messages() == 0 && lane.log.latest.is_empty() {
            // What was reserved has gone another way: dropped, expired, or settled with its connection.
            lane.pace.settle(rates, Amount::default());
            return Allowance::Quantum;
        }
        if !lane.log.has_window() {
            return Allowance::NoMessages;
        }
        let piece = lane.pace.piece(rates, lane.peer.shared_name()).min(most);
        let next = next_piece(lane, &mut self.sending.pool, piece);
        let at = lane.pace.reserve(rates, next, self.now);
        if at <= self.now {
            let granted = lane.pace.granted();
            return granted.map_or(Allowance::NoMessages, Allowance::Piece);
        }
        if lane.pace.wake != Some(at) {
            lane.log.tally.rate_waits += 1;
            let deadline = Deadline::Tokens { lane: index };
            if let Some(set) = lane.pace.wake.replace(at) {
                self.timers.take_back(set, deadline);
            }
            self.timers.set(at, deadline);
        }
        Allowance::NoMessages
    }

    /// Whether a batch takes what streams have. On a capped channel they wait until nothing else does: what is put behind a
    /// cap lies in front of all that comes later.
    pub(super) fn takes_from_streams(&self, index: u32) -> bool {
        let lane = &self.lanes[index as usize];
        let is_capped = self.channels[lane.channel].rates.is_capped();
        !is_capped || lane.log.outbox.messages() == 0
    }

    /// Tokens are back for a lane that waits for them.
    pub(super) fn meet_tokens(&mut self, index: u32) {
        self.lanes[index as usize].pace.wake = None;
        self.mark_ready(index);
    }

    /// The lane is no more.
    pub(super) fn end_wait_for_tokens(&mut self, index: u32) {
        if let Some(at) = self.lanes[index as usize].pace.wake.take() {
            let deadline = Deadline::Tokens { lane: index };
            self.timers.take_back(at, deadline);
        }
    }

    /// Whether caps have changed since this shard looked at them.
    #[inline]
    pub(super) fn has_new_caps(&self) -> bool {
        self.fabric.rate_changes.load(Ordering::Acquire) != self.rate_changes_seen
    }

    /// Caps have changed: who waits by the old ones looks at the new.
    pub(super) fn follow_caps(&mut self) {
        if !self.has_new_caps() {
            return;
        }
        self.rate_changes_seen = self.fabric.rate_changes.load(Ordering::Acquire);
        for place in 0..self.lanes.len() {
            let index = u32::try_from(place).unwrap_or(u32::MAX);
            let lane = &mut self.lanes[place];
            lane.pace.forget();
            if lane.pace.wake.is_some() {
                self.end_wait_for_tokens(index);
                self.mark_ready(index);
            }
        }
    }
}

/// What would go next, `piece` at most or a single message: of what is encoded, and else of what can still be replaced.
fn next_piece(lane: &mut Lane, pool: &mut ChunkPool, piece: Amount) -> Amount {
    if lane.log.outbox.messages() > 0 {
        lane.log.outbox.cut_front(pool, piece)
    } else {
        lane.log.latest.amount_within(piece)
    }
}
