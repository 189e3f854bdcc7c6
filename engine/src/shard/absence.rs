//! Peers that are away: their control lane has ended, and nobody has parted from them.
//!
//! Until such a peer is back, each channel that keeps its messages takes some for it on every lane
//! (`OpenFor::Return`), used before or not, for its `resume_timeout_ms`. What is accepted waits in its lane as it
//! does for any lane that is to be made. On the shard of the control lane, which alone sees that it ends and comes
//! up; called by `lifecycle`, `renewal` and `route`, and by the turn for its deadline. It moves no message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Core;
use super::lifecycle::is_final;
use super::timers::Deadline;
use crate::control::wishes::Wish;
use crate::wire::CloseReason;

/// By when this shard has adopted a channel that was just added.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// By control lane: whose peers are away.
#[derive(Debug, Default)]
pub(super) struct Absences(BTreeMap<u32, Absence>);

#[derive(Clone, Copy, Debug)]
struct Absence {
    since: Instant,
    /// When the next channel has waited long enough.
    look_at: Instant,
    /// The last order to end the peer's lanes that was followed when it began.
    ending: u64,
    /// Why the control lane ended.
    reason: CloseReason,
}

impl Core {
    /// A control lane ends, for that reason: its peer may be back soon. Told before its gates are shut, so that senders
    /// see no gap.
    pub(super) fn expect_back(&mut self, control: u32, reason: CloseReason) {
        let state = &self.lanes[control as usize];
        if is_final(reason) || self.drain.is_some() || !state.state.is_to_come_back() {
            return;
        }
        state.peer.expect_back();
        let absence = Absence {
            since: self.now,
            look_at: self.now,
            ending: state.state.ending(),
            reason,
        };
        self.absences.0.insert(control, absence);
        self.look_at_absence(control);
    }

    /// Shuts the gates of channels that have waited long enough for the peer of that control lane.
    pub(super) fn look_at_absence(&mut self, control: u32) {
        let Some(absence) = self.absences.0.get_mut(&control) else {
            return;
        };
        let peer = Arc::clone(&self.lanes[control as usize].peer);
        let reason = absence.reason;
        let mut next: Option<Instant> = None;
        for (offset, address) in peer.lanes().filter(|(_, lane)| lane.keeps_messages()) {
            let channel = address.channel();
            let until = if self.channels.knows(channel) {
                let waits_ms = self.channels[channel].config.resume_timeout_ms;
                absence.since + Duration::from_millis(waits_ms)
            } else {
                self.now + LOOK_AGAIN
            };
            if until <= self.now {
                peer.shut_for_return(offset);
            } else {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
        }
        match next {
            Some(at) => {
                absence.look_at = at;
                self.timers.set(at, Deadline::Absence { lane: control });
            }
            None => self.end_absence(control),
        }
        self.end_streams_with(&peer, reason);
    }

    /// The peer is back, or is expected no longer.
    pub(super) fn end_absence(&mut self, control: u32) {
        if let Some(absence) = self.absences.0.remove(&control) {
            let deadline = Deadline::Absence { lane: control };
            self.timers.take_back(absence.look_at, deadline);
            self.lanes[control as usize].peer.expect_no_longer();
        }
    }

    /// What is wanted of the peer has changed: nothing waits for one that was told to go.
    pub(super) fn follow_absence(&mut self, control: u32, wish: &Wish) {
        let Some(absence) = self.absences.0.get(&control) else {
            return;
        };
        let has_parted = wish.ending != absence.ending && is_final(wish.reason);
        let reason = absence.reason;
        if has_parted {
            self.end_absence(control);
            let peer = Arc::clone(&self.lanes[control as usize].peer);
            self.end_streams_with(&peer, reason);
        }
    }
}
