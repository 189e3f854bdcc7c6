//! Step 5: from the number in a record to the lane, by the newest snapshot of the routes.
//!
//! A shard adopts the newest snapshot at the start of a turn, and when a record names a lane that
//! it does not know yet. Each peer has a fixed block of lane numbers; this shard keeps a lane for
//! those it owns. Changed wishes (dial there, do not dial, disconnect) are carried out by
//! `lifecycle`.

use std::sync::Arc;

use super::Core;
use super::lane::Lane;
use super::lane::link::Link;
use super::lane::log::Log;
use super::lane_state::LaneState;
use crate::control::routes::Route;
use crate::peer::Peer;

/// A lane number of another shard.
pub(crate) const NOT_OURS: u32 = u32::MAX;

/// What a shard knows of the routes: the snapshot it follows, and where its lanes are.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    epoch: u64,
    peers_known: usize,
    lane_of_number: Vec<u32>,
    /// The lanes to this node itself.
    pub(crate) loop_lanes: Vec<u32>,
}

impl Routing {
    /// The epoch of the snapshot that the shard follows.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The lane on this shard with that number.
    #[inline]
    pub(crate) fn lane_of(&self, number: u32) -> Option<u32> {
        let index = *self.lane_of_number.get(number as usize)?;
        (index != NOT_OURS).then_some(index)
    }
}

impl Core {
    /// Adopts the newest snapshot if it is newer than what this shard knows.
    #[inline]
    pub(crate) fn follow_routes(&mut self) {
        if self.fabric.routes.epoch() != self.routing.epoch {
            self.adopt_routes();
        }
    }

    #[cold]
    pub(crate) fn adopt_routes(&mut self) {
        let routes = self.fabric.routes.snapshot();
        self.routing.epoch = routes.epoch;
        for route in &routes.routes {
            if route.peer.index() as usize >= self.routing.peers_known {
                self.adopt_peer(&route.peer);
                self.routing.peers_known += 1;
            }
            self.adopt_wish(route);
        }
    }

    /// Makes the lanes of a new peer that this shard owns.
    fn adopt_peer(&mut self, peer: &Arc<Peer>) {
        for (offset, address) in peer.lanes().iter().enumerate() {
            let number = peer.lane_number(offset) as usize;
            if self.routing.lane_of_number.len() <= number {
                self.routing.lane_of_number.resize(number + 1, NOT_OURS);
            }
            if usize::from(address.shard) != self.index {
                continue;
            }
            let index = u32::try_from(self.lanes.len()).unwrap_or(NOT_OURS);
            self.routing.lane_of_number[number] = index;
            let lane = self.new_lane(peer, offset);
            self.lanes.push(lane);
            if peer.is_self() {
                self.routing.loop_lanes.push(index);
                self.loop_lane_up(index);
            }
        }
    }

    fn new_lane(&self, peer: &Arc<Peer>, offset: usize) -> Lane {
        let channel = usize::from(peer.lane(offset).channel);
        let plan = &self.fabric.channels[channel];
        Lane {
            peer: Arc::clone(peer),
            offset,
            channel,
            priority: plan.priority,
            state: LaneState::new(self.dialing.backoff_limits, self.drain.is_some()),
            log: Log::new(plan),
            link: Link::new(self.fabric.config.mailboxes_per_lane_max),
            is_ready: false,
            owes_ack: false,
        }
    }

    /// Carries out what is wanted of a peer now, as far as it changed.
    fn adopt_wish(&mut self, route: &Route) {
        let at = self.moment();
        for offset in 0..route.peer.lanes().len() {
            let index = self.routing.lane_of_number[route.peer.lane_number(offset) as usize];
            let Some(lane) = self.lanes.get_mut(index as usize) else {
                continue;
            };
            let actions = lane.state.follow(route.wish, at);
            self.carry_out(index, actions);
        }
    }

    /// The lane on this shard with that number.
    #[inline]
    pub(crate) fn lane_by_number(&self, number: u32) -> Option<u32> {
        self.routing.lane_of(number)
    }
}
