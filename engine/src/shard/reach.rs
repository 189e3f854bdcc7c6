//! Peers that are reached: known, not kept connected, and connected by the first message to them.
//!
//! Messages to such a peer are accepted although no lane is up (`OpenFor::Reach`). A lane that one waits for asks
//! the shard of the peer's control lane to have the peer connected, and is dialled when that is up; if it cannot
//! be made, what waits ends with its reason, and nothing is accepted until the back-off has passed. Called by
//! `lifecycle`, `route` and `dial`, and for the commands between shards. It moves no message.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Core;
use super::command::Command;
use crate::peer::Peer;
use crate::wire::CloseReason;

/// By control lane: the lanes of its peer that wait for it, by offset.
#[derive(Debug, Default)]
pub(super) struct Reaching(BTreeMap<u32, Vec<usize>>);

impl Reaching {
    fn wait(&mut self, control: u32, offset: usize) {
        let waiting = self.0.entry(control).or_default();
        if !waiting.contains(&offset) {
            waiting.push(offset);
        }
    }

    fn take(&mut self, control: u32) -> Vec<usize> {
        self.0.remove(&control).unwrap_or_default()
    }

    /// Its slot is another lane's from now on.
    pub(super) fn forget_lane(&mut self, index: u32) {
        self.0.remove(&index);
    }
}

impl Core {
    /// A message waits for that lane of a peer that may not be connected.
    pub(super) fn reach(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        let (peer, offset) = (Arc::clone(&state.peer), state.offset);
        let owner = peer.lane(peer.control_offset()).shard();
        self.shards[owner].send(Command::Reach { peer, offset });
    }

    /// A lane is up: to a peer that is reached the control lane is too, or is made now, so that the peer can be
    /// asked for others, and the lane closed when it is idle.
    pub(super) fn mind_control(&mut self, lane: u32) {
        let state = &self.lanes[lane as usize];
        if state.state.is_reachable() && !state.peer.has_control() {
            self.reach(lane);
        }
    }

    /// On the shard of the control lane: a lane of that peer is needed.
    pub(super) fn connect_for(&mut self, peer: &Arc<Peer>, offset: usize) {
        self.follow_routes();
        self.follow_channels();
        let Some(control) = self.lane_to(peer, peer.control_offset()) else {
            self.tell_not_reached(peer, offset, CloseReason::Unreachable);
            return;
        };
        let state = &mut self.lanes[control as usize];
        if state.takes_messages() || peer.has_refused_control() {
            // Nobody is to take it for idle before the other lane is up.
            state.quiet.touch(self.now);
            self.tell_reached(peer, offset);
            return;
        }
        let channel = peer.lane(offset).channel();
        let plan = self
            .channels
            .knows(channel)
            .then(|| &self.channels[channel]);
        let waits_long = plan.is_some_and(|plan| plan.reliability.keeps_messages());
        if let Some(reason) = state.state.bar().filter(|_| !waits_long) {
            // Accepted just before that was found out.
            self.tell_not_reached(peer, offset, reason);
            return;
        }
        self.reaching.wait(control, offset);
        self.demand_lane(control);
    }

    /// The control lane is up: what waited for that can be dialled.
    pub(super) fn reached(&mut self, control: u32) {
        let peer = Arc::clone(&self.lanes[control as usize].peer);
        for offset in self.reaching.take(control) {
            self.tell_reached(&peer, offset);
        }
        self.mind_reachable(control);
    }

    /// The control lane could not be made: nothing is accepted until the back-off has passed, and what waits
    /// ends.
    pub(super) fn not_reached(&mut self, control: u32, reason: CloseReason) {
        let peer = Arc::clone(&self.lanes[control as usize].peer);
        if peer.keeps_lanes() {
            // It is there, and of a version without control lanes.
            self.lanes[control as usize].state.end_bar();
            self.reached(control);
            return;
        }
        // First: nothing more comes behind what ends.
        self.mind_reachable(control);
        for offset in self.reaching.take(control) {
            self.tell_not_reached(&peer, offset, reason);
        }
    }

    /// A lane waits for that control lane.
    pub(super) fn wait_for_control(&mut self, control: u32, offset: usize) {
        self.reaching.wait(control, offset);
    }

    /// The lanes that do, which wait no longer.
    pub(super) fn waiting_for_control(&mut self, control: u32) -> Vec<usize> {
        self.reaching.take(control)
    }

    /// Whether messages are accepted for the peer of that control lane, connected or not.
    pub(super) fn mind_reachable(&mut self, control: u32) {
        let state = &self.lanes[control as usize];
        state.peer.set_reachable(state.state.is_reachable());
    }

    fn tell_reached(&self, peer: &Arc<Peer>, offset: usize) {
        let owner = peer.lane(offset).shard();
        let peer = Arc::clone(peer);
        self.shards[owner].send(Command::Reached { peer, offset });
    }

    pub(super) fn tell_not_reached(&self, peer: &Arc<Peer>, offset: usize, reason: CloseReason) {
        let owner = peer.lane(offset).shard();
        self.shards[owner].send(Command::Declined {
            peer: Arc::clone(peer),
            offset,
            reason,
        });
    }

    /// On the lane's own shard: the peer is connected.
    pub(super) fn dial_reached(&mut self, peer: &Arc<Peer>, offset: usize) {
        self.follow_routes();
        let Some(lane) = self.used_lane_to(peer, offset) else {
            return;
        };
        let state = &mut self.lanes[lane as usize];
        if peer.presence().sessions != state.failed_in {
            state.state.forget_failures();
        }
        let actions = state.state.connected(self.now);
        self.carry_out(lane, actions);
    }
}
