//! Lanes that only the peer can dial: this node knows no address of it, because it was the peer that came,
//! or nobody answers there any more.
//!
//! Asked for over the control lane, by `lifecycle` for a lane that messages wait for. The shard of the control lane speaks
//! for all shards of the node; what the peer says there goes to the shard that owns the lane meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Core;
use super::command::Command;
use crate::peer::Peer;
use crate::wire::control::Decline;
use crate::wire::{CloseReason, Frame, FrameKind};

/// Refusals of lanes that wait to be said to one peer take at most so much: one that asks on and does not
/// read is not told.
const DECLINES_BYTES_MAX: usize = 16 << 10;

impl Core {
    /// Messages wait on lanes that were not demanded yet.
    #[inline]
    pub(crate) fn seek_demanded(&mut self) {
        if !self.sending.demanded.is_empty() {
            self.seek_lanes();
        }
        while let Some(lane) = self.sending.dated.pop() {
            self.mind_deadlines(lane);
        }
    }

    #[cold]
    fn seek_lanes(&mut self) {
        let lanes: BTreeSet<_> = self.sending.demanded.drain(..).collect();
        for lane in lanes {
            self.demand_lane(lane);
        }
    }

    /// Something waits for a lane that is not there. One that keeps its messages takes more meanwhile.
    pub(super) fn demand_lane(&mut self, lane: u32) {
        let at = self.moment();
        let state = &mut self.lanes[lane as usize];
        if state.peer.presence().sessions != state.failed_in {
            state.state.forget_failures();
        }
        if state.log.keeps_messages() {
            if state.is_beyond_hope() {
                // Accepted just before its gate was shut.
                self.fail(lane, CloseReason::Unreachable);
                return;
            }
            state.peer.hold_lane(state.offset);
        }
        let actions = state.state.demand(at);
        self.carry_out(lane, actions);
    }

    /// Asks the peer to dial a lane.
    pub(super) fn summon(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        let (peer, offset) = (Arc::clone(&state.peer), state.offset);
        self.to_control_lane(
            &peer,
            Command::Summon {
                peer: Arc::clone(&peer),
                offset,
            },
        );
    }

    /// Tells the peer that the lane it has asked for cannot be made.
    pub(super) fn decline(&mut self, lane: u32, reason: CloseReason) {
        let state = &self.lanes[lane as usize];
        let (peer, offset) = (Arc::clone(&state.peer), state.offset);
        self.to_control_lane(
            &peer,
            Command::Decline {
                peer: Arc::clone(&peer),
                offset,
                reason,
            },
        );
    }

    fn to_control_lane(&self, peer: &Peer, command: Command) {
        let owner = peer.lane(peer.control_offset()).shard();
        self.shards[owner].send(command);
    }

    /// On the shard of the control lane: says that a lane is needed.
    pub(super) fn say_summon(&mut self, peer: &Arc<Peer>, offset: usize) {
        let address = peer.lane(offset);
        if self.waits_for_renewal(peer, offset) {
            return;
        }
        if !self.say(peer, offset, FrameKind::Summon, u32::from(address.index())) {
            self.shards[address.shard()].send(Command::Declined {
                peer: Arc::clone(peer),
                offset,
                reason: CloseReason::Unreachable,
            });
        }
    }

    /// On the shard of the control lane: says that a lane cannot be made. Unsaid, the peer waits in vain
    /// until its patience ends.
    pub(super) fn say_decline(&mut self, peer: &Arc<Peer>, offset: usize, reason: CloseReason) {
        let lane = peer.lane(offset).index();
        let word = Decline { lane, reason }.word();
        self.say(peer, offset, FrameKind::Decline, word);
    }

    /// A frame about the lane at `offset`. False if there is no control lane to say it on, or the lane's channel was
    /// removed since it was wanted.
    fn say(&mut self, peer: &Arc<Peer>, offset: usize, kind: FrameKind, word: u32) -> bool {
        let Some(control) = self.used_lane_to(peer, peer.control_offset()) else {
            return false;
        };
        let channel = peer.lane(offset).channel();
        if !self.channels.knows(channel) {
            return false;
        }
        let channel = &self.channels[channel];
        let state = &mut self.lanes[control as usize];
        if !state.takes_messages() {
            return false;
        }
        if kind == FrameKind::Decline && state.log.outbox.control_bytes() >= DECLINES_BYTES_MAX {
            return false;
        }
        let name = channel.name.as_bytes();
        state.log.outbox.push_control(kind, word, name);
        self.mark_ready(control);
        true
    }

    /// The peer needs a lane that it cannot dial.
    pub(super) fn hear_summon(&mut self, control: u32, frame: &Frame<'_>) {
        let index = u16::try_from(frame.word).unwrap_or(u16::MAX);
        let Some(offset) = self.lane_meant(control, frame.body, index) else {
            self.decline_unknown(control, frame.body, index);
            return;
        };
        let peer = Arc::clone(&self.lanes[control as usize].peer);
        self.shards[peer.lane(offset).shard()].send(Command::Summoned { peer, offset });
    }

    /// This node has no such lane.
    fn decline_unknown(&mut self, control: u32, channel: &[u8], lane: u16) {
        let is_known = self
            .channels
            .iter()
            .any(|plan| plan.name.as_bytes() == channel);
        let reason = if is_known {
            CloseReason::LaneOutOfRange
        } else {
            CloseReason::ChannelUnknown
        };
        let state = &mut self.lanes[control as usize];
        let has_room = state.log.outbox.control_bytes() < DECLINES_BYTES_MAX;
        if state.is_control() && has_room {
            let word = Decline { lane, reason }.word();
            let outbox = &mut state.log.outbox;
            outbox.push_control(FrameKind::Decline, word, channel);
            self.mark_ready(control);
        }
    }

    /// The peer cannot make a lane that it was asked for.
    pub(super) fn hear_decline(&mut self, control: u32, frame: &Frame<'_>) {
        let Decline { lane, reason } = Decline::from_frame(frame);
        let Some(offset) = self.lane_meant(control, frame.body, lane) else {
            return;
        };
        let peer = Arc::clone(&self.lanes[control as usize].peer);
        let owner = peer.lane(offset).shard();
        self.shards[owner].send(Command::Declined {
            peer,
            offset,
            reason,
        });
    }

    /// The offset of the lane that a frame on a control lane is about.
    fn lane_meant(&self, control: u32, channel: &[u8], index: u16) -> Option<usize> {
        if !self.lanes[control as usize].is_control() {
            return None;
        }
        let mut channels = self.channels.iter();
        let plan = channels.find(|plan| plan.name.as_bytes() == channel && !plan.is_control())?;
        (u64::from(index) < plan.parallelism).then(|| plan.first_lane + usize::from(index))
    }

    /// On the lane's own shard: the peer needs it.
    pub(super) fn summoned(&mut self, peer: &Arc<Peer>, offset: usize) {
        let at = self.moment();
        self.follow_channels();
        let Some(lane) = self.lane_to(peer, offset) else {
            return;
        };
        if self.is_closed_to(lane) {
            self.decline(lane, CloseReason::LocalStop);
            return;
        }
        match self.lanes[lane as usize].state.summoned(at) {
            Ok(actions) => {
                self.carry_out(lane, actions);
                // If it is up here, the peer may have lost it.
                self.doubt_lane(lane);
            }
            Err(reason) => self.decline(lane, reason),
        }
    }

    /// On the lane's own shard: the peer cannot make it.
    pub(super) fn declined(&mut self, peer: &Arc<Peer>, offset: usize, reason: CloseReason) {
        if let Some(lane) = self.used_lane_to(peer, offset) {
            let actions = self.lanes[lane as usize].state.declined(reason, self.now);
            self.carry_out(lane, actions);
        }
    }
}
