//! Step 5: from the number in a record to the lane, by the routes as this shard has adopted them.
//!
//! A shard adopts what changed at the start of a turn, and when a record names a lane that it does not
//! know yet. Each place has a fixed block of lane numbers; this shard makes a lane for those it owns when
//! it is used first, and keeps it as long as the peer has the place: what is not used costs nothing.
//! Changed wishes (dial there, do not dial, disconnect) are carried out by `lifecycle`.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::lane::Lane;
use super::lane::link::Link;
use super::lane::log::Log;
use super::lane::pace::Pace;
use super::lane::streams::LaneStreams;
use super::lane_state::LaneState;
use super::quiet::Quiet;
use super::report::{LaneCounts, lane_counts};
use super::timers::Deadline;
use crate::channel_plan::ChannelPhase;
use crate::control::routes::Route;
use crate::control::wishes::Wish;
use crate::peer::{LaneAddress, LaneNumber, LaneRange, Peer};
use crate::wire::{Agreed, CloseReason};

/// A lane number of another shard, or of nobody.
pub(crate) const NOT_OURS: u32 = u32::MAX;

/// What a shard knows of the routes: the epoch it follows, and where its lanes are.
#[derive(Debug)]
pub(crate) struct Routing {
    epoch: u64,
    /// By place: the routes, as adopted.
    routes: Vec<Option<Route>>,
    /// By place, and then by offset: the lanes that this shard has made.
    lane_of: Vec<Vec<u32>>,
    /// Lanes of peers that gave their place up.
    retired: Vec<u32>,
    /// By channel: what those had counted.
    pub(super) departed: Vec<LaneCounts>,
    /// The lanes to this node itself.
    pub(crate) loop_lanes: Vec<u32>,
}

impl Routing {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            routes: Vec::new(),
            lane_of: Vec::new(),
            retired: Vec::new(),
            departed: Vec::new(),
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
    pub(crate) fn lane_of(&self, number: LaneNumber) -> Option<u32> {
        let index = *self.lane_of.get(number.place())?.get(number.offset())?;
        (index != NOT_OURS).then_some(index)
    }

    fn is_at(&self, place: u32, peer: &Arc<Peer>) -> bool {
        let known = self.route(place as usize);
        known.is_some_and(|known| Arc::ptr_eq(&known.peer, peer))
    }

    fn route(&self, place: usize) -> Option<&Route> {
        self.routes.get(place)?.as_ref()
    }

    fn put_route(&mut self, place: u32, route: Option<Route>) -> Option<Route> {
        let place = place as usize;
        if self.routes.len() <= place {
            self.routes.resize_with(place + 1, || None);
        }
        std::mem::replace(&mut self.routes[place], route)
    }

    /// The lanes that nobody has used yet: the peer and the lane's offset. Of a peer that is only reached and is
    /// not connected, those at whose gate something was: a node knows thousands of such, and uses few.
    pub(super) fn unused(&self, shard: usize) -> impl Iterator<Item = (&Arc<Peer>, usize)> {
        let routes = self.routes.iter().enumerate();
        let routes = routes.filter_map(|(place, route)| Some((place, route.as_ref()?)));
        routes.flat_map(move |(place, route)| {
            let lanes = route.peer.lanes();
            let is_told = !route.wish.reach || route.wish.keep || route.peer.is_connected();
            let unused = lanes.filter(move |(offset, address)| {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                let number = LaneNumber::new(place, *offset);
                let is_ours = address.shard() == shard;
                is_ours && self.lane_of(number).is_none() && (is_told || address.gate.has_counted())
            });
            unused.map(move |(offset, _)| (&route.peer, offset))
        })
    }

    fn put_lane(&mut self, number: LaneNumber, index: u32) {
        let place = number.place();
        if self.lane_of.len() <= place {
            self.lane_of.resize_with(place + 1, Vec::new);
        }
        let lanes = &mut self.lane_of[place];
        if lanes.len() <= number.offset() {
            lanes.resize(number.offset() + 1, NOT_OURS);
        }
        lanes[number.offset()] = index;
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
            self.routing.put_route(place, Some(route.clone()));
            if !is_known {
                self.adopt_peer(place, &route.peer);
            }
            self.adopt_wish(place, &route);
        }
        self.routing.epoch = changes.epoch;
        if self.fabric.routes.note_adopted(self.index, changes.epoch) {
            self.control_link.look();
        }
    }

    /// Nobody has used its lanes yet. Those to this node itself are there from the start, but for the
    /// control lane, which nobody needs.
    fn adopt_peer(&mut self, place: u32, peer: &Arc<Peer>) {
        if let Some(lanes) = self.routing.lane_of.get_mut(place as usize) {
            lanes.clear();
        }
        if !peer.is_self() {
            return;
        }
        for (offset, address) in peer.lanes() {
            if offset != peer.control_offset() && self.channels.knows(address.channel()) {
                self.make_loop_lane(LaneNumber::new(place, offset));
            }
        }
    }

    fn make_loop_lane(&mut self, number: LaneNumber) {
        if let Some(index) = self.lane_numbered(number) {
            self.routing.loop_lanes.push(index);
            self.loop_lane_up(index);
        }
    }

    /// A channel was added: its lanes to this node itself are there, and those to nodes of older versions are
    /// kept up as their others are.
    pub(super) fn open_lanes_of(&mut self, lanes: LaneRange) {
        for place in 0..self.routing.routes.len() {
            let Some(route) = self.routing.route(place).cloned() else {
                continue;
            };
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            if route.peer.is_self() {
                for offset in lanes.offsets() {
                    self.make_loop_lane(LaneNumber::new(place, offset));
                }
            } else if route.every_lane {
                self.adopt_wish(place, &route);
            }
        }
    }

    /// This shard's cells of those lanes, at each peer that has a place, and the lanes in them that were used.
    pub(super) fn cells_of(&self, lanes: LaneRange) -> Vec<(LaneNumber, Arc<Peer>, Option<u32>)> {
        let routes = self.routing.routes.iter().enumerate();
        let routes = routes.filter_map(|(place, route)| Some((place, route.as_ref()?)));
        let mut cells = Vec::new();
        for (place, route) in routes {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            for offset in lanes.offsets() {
                if route.peer.lane(offset).shard() == self.index {
                    let number = LaneNumber::new(place, offset);
                    let lane = self.routing.lane_of(number);
                    cells.push((number, Arc::clone(&route.peer), lane));
                }
            }
        }
        cells
    }

    /// The lane with that number is no more: its channel was removed.
    pub(super) fn drop_lane(&mut self, number: LaneNumber, index: u32) {
        self.routing.put_lane(number, NOT_OURS);
        self.routing.loop_lanes.retain(|lane| *lane != index);
        self.retire_lane(index);
    }

    /// The lane on this shard with that number, made if nobody has used it yet. `None` if it is another
    /// shard's, or of nobody.
    #[inline]
    pub(crate) fn lane_numbered(&mut self, number: LaneNumber) -> Option<u32> {
        match self.routing.lane_of(number) {
            Some(index) => Some(index),
            None => self.make_lane(number),
        }
    }

    #[cold]
    fn make_lane(&mut self, number: LaneNumber) -> Option<u32> {
        let (place, offset) = (number.place(), number.offset());
        if self.routing.route(place).is_none() {
            self.follow_routes();
        }
        let route = self.routing.route(place)?.clone();
        let address = route.peer.lane(offset);
        if address.shard() != self.index || !self.channels.knows(address.channel()) {
            // A channel that this shard has not adopted yet has its lanes in the next turn.
            return None;
        }
        if let Some(index) = self.routing.lane_of(number) {
            return Some(index);
        }
        let lane = self.new_lane(&route.peer, offset);
        let index = self.put_lane(lane);
        self.routing.put_lane(number, index);
        self.fit_faults(index);
        let at = self.moment();
        let kept = is_kept(&route, offset);
        let state = &mut self.lanes[index as usize].state;
        let actions = state.follow(route.wish, kept, at);
        self.carry_out(index, actions);
        Some(index)
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
        let Some(Route { peer, .. }) = self.routing.put_route(place, None) else {
            return;
        };
        for (offset, address) in peer.lanes() {
            let number = LaneNumber::new(place, offset);
            if let Some(index) = self.routing.lane_of(number) {
                self.routing.put_lane(number, NOT_OURS);
                self.retire_lane(index);
            } else if address.shard() == self.index {
                self.count_departed_cell(address);
            }
        }
    }

    /// Nobody has used that lane, and its cell is another's from now on: what its gate has counted stays.
    pub(super) fn count_departed_cell(&mut self, address: &LaneAddress) {
        let counts = LaneCounts {
            gate_dropped: address.gate.take_dropped(),
            overloads: address.gate.take_overloads(),
            ..LaneCounts::default()
        };
        if let Some(departed) = self.routing.departed.get_mut(address.channel()) {
            departed.add(&counts);
        }
    }

    fn retire_lane(&mut self, index: u32) {
        let at = self.moment();
        let state = &mut self.lanes[index as usize].state;
        let actions = state.follow(Wish::none(), false, at);
        self.carry_out(index, actions);
        // Of this turn, and this lane's as long as it has its slot.
        self.tell_strays();
        self.sending.forget_lane(index);
        self.intake.forget_lane(index);
        self.dialing.forget_lane(index);
        self.reaching.forget_lane(index);
        self.lose_linger(index, CloseReason::Renewed);
        self.end_absence(index);
        self.renewals.forget_lane(index);
        self.tell_expired(index);
        if let Some(at) = self.lanes[index as usize].expiry.take() {
            self.timers.take_back(at, Deadline::Expiry { lane: index });
        }
        self.end_wait_for_tokens(index);
        let untold = self.lanes[index as usize].take_overflow();
        if untold > 0 {
            self.report_undelivered(index, untold, "their lane's queue was full: see overflow");
        }
        let lane = &mut self.lanes[index as usize];
        let counts = LaneCounts {
            gate_dropped: lane.address().gate.take_dropped(),
            overloads: lane.address().gate.take_overloads(),
            ..lane_counts(lane)
        };
        lane.retired = true;
        lane.faults = None;
        self.routing.departed[lane.channel].add(&counts);
        self.routing.retired.push(index);
    }

    fn new_lane(&mut self, peer: &Arc<Peer>, offset: usize) -> Lane {
        let log_id = match peer.is_self() {
            true => 0,
            false => self.fabric.log_ids.next(),
        };
        let channel = peer.lane(offset).channel();
        let plan = &self.channels[channel];
        let mut state = LaneState::new(
            self.dialing.backoff_limits,
            self.dialing.patience,
            self.drain.is_some(),
        );
        if plan.is_control() {
            state.be_control();
        }
        if plan.reliability.keeps_messages() {
            state.persist(Duration::from_millis(plan.config.resume_timeout_ms));
        }
        if plan.phase != ChannelPhase::Open {
            state.begin_leave();
        }
        Lane {
            peer: Arc::clone(peer),
            offset,
            channel,
            priority: plan.priority,
            retired: false,
            expiry: None,
            expiry_seen: self.now,
            failed_in: 0,
            state,
            log: Log::new(plan, log_id),
            link: Link::new(Agreed::among_equals(plan.terms.clone())),
            quiet: Quiet::new(self.now),
            streams: LaneStreams::default(),
            pace: Pace::default(),
            faults: None,
            has_been_up: false,
            is_ready: false,
            owes_ack: false,
            lingers: None,
        }
    }

    /// Carries out what is wanted of a peer now, as far as it changed.
    fn adopt_wish(&mut self, place: u32, route: &Route) {
        for (offset, _) in route.peer.lanes() {
            let number = LaneNumber::new(place, offset);
            let kept = is_kept(route, offset);
            // One that is made now follows the wish as it is.
            let index = match self.routing.lane_of(number) {
                Some(index) => index,
                None if kept => {
                    self.make_lane(number);
                    continue;
                }
                None => continue,
            };
            let at = self.moment();
            let state = &mut self.lanes[index as usize].state;
            let actions = state.follow(route.wish.clone(), kept, at);
            self.carry_out(index, actions);
            if !self.lanes[index as usize].state.is_to_come_back() {
                self.lose_linger(index, route.wish.reason);
            }
        }
        self.adopt_reach(place, route);
    }

    /// On the shard of its control lane: whether messages to the peer are accepted before it is connected.
    fn adopt_reach(&mut self, place: u32, route: &Route) {
        let offset = route.peer.control_offset();
        let owner = route.peer.lane(offset).shard();
        if owner != self.index || route.peer.is_self() {
            return;
        }
        match self.routing.lane_of(LaneNumber::new(place, offset)) {
            Some(control) => {
                self.follow_absence(control, &route.wish);
                self.mind_reachable(control);
            }
            // Nobody has used it, so it has not failed.
            None => route.peer.set_reachable(route.wish.reach),
        }
    }

    /// The lane on this shard to that peer, made if nobody has used it yet; `None` if the peer does not have
    /// the place any more that it had.
    pub(super) fn lane_to(&mut self, peer: &Arc<Peer>, offset: usize) -> Option<u32> {
        self.lane_numbered(self.number_of(peer, offset)?)
    }

    /// The same, of those that have been used.
    pub(super) fn used_lane_to(&self, peer: &Arc<Peer>, offset: usize) -> Option<u32> {
        self.routing.lane_of(self.number_of(peer, offset)?)
    }

    fn number_of(&self, peer: &Arc<Peer>, offset: usize) -> Option<LaneNumber> {
        let place = peer.place()?;
        let is_there = self.routing.is_at(place, peer);
        is_there.then(|| LaneNumber::new(place, offset))
    }
}

/// Whether a lane is dialled whether anything waits for it or not.
fn is_kept(route: &Route, offset: usize) -> bool {
    route.wish.keep && (offset == route.peer.control_offset() || route.every_lane)
}
