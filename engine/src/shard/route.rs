//! Step 5: from the number in a record to the lane, by the routes as this shard has adopted them.
//!
//! A shard adopts what changed at the start of a turn, and when a record names a lane that it does not
//! know yet. Each place has a fixed block of lane numbers; this shard keeps a lane for those it owns, as
//! long as the peer has the place. Changed wishes (dial there, do not dial, disconnect) are carried out
//! by `lifecycle`.

use std::sync::Arc;

use super::Core;
use super::lane::Lane;
use super::lane::link::Link;
use super::lane::log::Log;
use super::lane_state::LaneState;
use super::report::{LaneCounts, lane_counts};
use crate::control::routes::Route;
use crate::control::wishes::Wish;
use crate::peer::{Peer, lane_number};
use crate::wire::Agreed;

/// A lane number of another shard, or of nobody.
pub(crate) const NOT_OURS: u32 = u32::MAX;

/// What a shard knows of the routes: the epoch it follows, and where its lanes are.
#[derive(Debug)]
pub(crate) struct Routing {
    epoch: u64,
    /// By place: whose lanes this shard has.
    peers: Vec<Option<Arc<Peer>>>,
    lane_of_number: Vec<u32>,
    /// Lanes of peers that gave their place up.
    retired: Vec<u32>,
    /// By channel: what those had counted.
    departed: Vec<LaneCounts>,
    /// The lanes to this node itself.
    pub(crate) loop_lanes: Vec<u32>,
}

impl Routing {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            epoch: 0,
            peers: Vec::new(),
            lane_of_number: Vec::new(),
            retired: Vec::new(),
            departed: vec![LaneCounts::default(); channels],
            loop_lanes: Vec::new(),
        }
    }

    /// The epoch of the routes that the shard follows.
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

    pub(super) fn departed(&self) -> &[LaneCounts] {
        &self.departed
    }

    fn is_at(&self, place: u32, peer: &Arc<Peer>) -> bool {
        let known = self.peers.get(place as usize);
        matches!(known, Some(Some(known)) if Arc::ptr_eq(known, peer))
    }

    fn put_peer(&mut self, place: u32, peer: Option<Arc<Peer>>) -> Option<Arc<Peer>> {
        let place = place as usize;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        std::mem::replace(&mut self.peers[place], peer)
    }

    fn put_lane(&mut self, number: u32, index: u32) {
        let number = number as usize;
        if self.lane_of_number.len() <= number {
            self.lane_of_number.resize(number + 1, NOT_OURS);
        }
        self.lane_of_number[number] = index;
    }
}

impl Core {
    /// Adopts what changed since this shard last did.
    #[inline]
    pub(crate) fn follow_routes(&mut self) {
        if self.fabric.routes.epoch() != self.routing.epoch {
            self.adopt_routes();
        }
    }

    #[cold]
    pub(crate) fn adopt_routes(&mut self) {
        let changes = self.fabric.routes.changes_since(self.routing.epoch);
        for (place, route) in changes.places {
            let is_known = route
                .as_ref()
                .is_some_and(|route| self.routing.is_at(place, &route.peer));
            if !is_known {
                self.forget_peer(place);
            }
            let Some(route) = route else {
                continue;
            };
            if !is_known {
                self.adopt_peer(place, &route.peer);
            }
            self.adopt_wish(place, &route);
        }
        self.routing.epoch = changes.epoch;
        self.fabric.routes.note_adopted(self.index, changes.epoch);
    }

    /// Makes the lanes of a peer that this shard owns.
    fn adopt_peer(&mut self, place: u32, peer: &Arc<Peer>) {
        self.routing.put_peer(place, Some(Arc::clone(peer)));
        for (offset, address) in peer.lanes().iter().enumerate() {
            let number = lane_number(place, peer.lanes().len(), offset);
            if usize::from(address.shard) != self.index {
                self.routing.put_lane(number, NOT_OURS);
                continue;
            }
            let lane = self.new_lane(peer, offset);
            let index = self.put_lane(lane);
            self.routing.put_lane(number, index);
            if peer.is_self() {
                self.routing.loop_lanes.push(index);
                self.loop_lane_up(index);
            }
        }
    }

    /// Into the slot of a lane that is no more, if there is one.
    fn put_lane(&mut self, lane: Lane) -> u32 {
        if let Some(index) = self.routing.retired.pop() {
            self.lanes[index as usize] = lane;
            return index;
        }
        self.lanes.push(lane);
        u32::try_from(self.lanes.len() - 1).unwrap_or(NOT_OURS)
    }

    /// Whoever had this place has given it up, and so its lanes, none of which is up.
    fn forget_peer(&mut self, place: u32) {
        let Some(peer) = self.routing.put_peer(place, None) else {
            return;
        };
        for offset in 0..peer.lanes().len() {
            let number = lane_number(place, peer.lanes().len(), offset);
            if let Some(index) = self.routing.lane_of(number) {
                self.routing.put_lane(number, NOT_OURS);
                self.retire_lane(index);
            }
        }
    }

    fn retire_lane(&mut self, index: u32) {
        let at = self.moment();
        let actions = self.lanes[index as usize].state.follow(Wish::none(), at);
        self.carry_out(index, actions);
        self.sending.forget_lane(index);
        self.intake.forget_lane(index);
        self.dialing.forget_lane(index);
        let untold = self.lanes[index as usize].take_overflow();
        if untold > 0 {
            self.report_undelivered(index, untold, "their lane's queue was full: see overflow");
        }
        let lane = &mut self.lanes[index as usize];
        let counts = LaneCounts {
            gate_dropped: lane.address().gate.take_dropped(),
            ..lane_counts(lane)
        };
        lane.retired = true;
        self.routing.departed[lane.channel].add(&counts);
        self.routing.retired.push(index);
    }

    fn new_lane(&self, peer: &Arc<Peer>, offset: usize) -> Lane {
        let channel = usize::from(peer.lane(offset).channel);
        let plan = &self.fabric.channels[channel];
        Lane {
            peer: Arc::clone(peer),
            offset,
            channel,
            priority: plan.priority,
            retired: false,
            state: LaneState::new(self.dialing.backoff_limits, self.drain.is_some()),
            log: Log::new(plan),
            link: Link::new(Agreed::among_equals(plan.terms.clone())),
            is_ready: false,
            owes_ack: false,
        }
    }

    /// Carries out what is wanted of a peer now, as far as it changed.
    fn adopt_wish(&mut self, place: u32, route: &Route) {
        let lanes = route.peer.lanes().len();
        for offset in 0..lanes {
            if let Some(index) = self.routing.lane_of(lane_number(place, lanes, offset)) {
                let at = self.moment();
                let actions = self.lanes[index as usize].state.follow(route.wish, at);
                self.carry_out(index, actions);
            }
        }
    }

    /// The lane on this shard to that peer, if the peer still has the place it had.
    pub(super) fn lane_to(&self, peer: &Arc<Peer>, offset: usize) -> Option<u32> {
        let place = peer.place()?;
        if !self.routing.is_at(place, peer) {
            return None;
        }
        let number = lane_number(place, peer.lanes().len(), offset);
        self.routing.lane_of(number)
    }

    /// The lane on this shard with that number.
    #[inline]
    pub(crate) fn lane_by_number(&self, number: u32) -> Option<u32> {
        self.routing.lane_of(number)
    }
}
