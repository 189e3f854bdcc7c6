//! A peer as every thread of this node shares it: its name, its number, and the gates of its lanes.
//!
//! Made once for each name, by `control::routes`, and kept as long as the node runs. The owner of a
//! lane is a pure function of peer, channel and index, so both a sending thread and an acceptor know
//! the shard without asking.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use event_listener::{Event, EventListener};

use crate::ring::gate::Gate;

/// Another node, or this one itself.
#[doc = include_str!("../doc/peer.md")]
#[derive(Debug)]
pub struct Peer {
    name: String,
    index: u32,
    is_self: bool,
    lanes: Box<[LaneAddress]>,
    incarnation: AtomicU64,
    lanes_up: AtomicU32,
    changed: Event,
}

/// One lane of a peer as senders see it.
#[derive(Debug)]
pub(crate) struct LaneAddress {
    /// The shard that owns the lane.
    pub(crate) shard: u16,
    /// The channel it carries.
    pub(crate) channel: u16,
    /// Its index among the channel's parallel lanes.
    pub(crate) index: u16,
    pub(crate) gate: Gate,
}

impl Peer {
    pub(crate) fn new(name: String, index: u32, is_self: bool, lanes: Box<[LaneAddress]>) -> Self {
        Self {
            name,
            index,
            is_self,
            lanes,
            incarnation: AtomicU64::new(0),
            lanes_up: AtomicU32::new(0),
            changed: Event::new(),
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is this node.
    #[must_use]
    pub fn is_self(&self) -> bool {
        self.is_self
    }

    /// The incarnation its lanes were last made with; 0 before the first.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Lanes up now.
    #[must_use]
    pub fn lanes_up(&self) -> u32 {
        self.lanes_up.load(Ordering::Acquire)
    }

    /// Whether every lane of every channel is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        usize::try_from(self.lanes_up()).is_ok_and(|up| up == self.lanes.len())
    }

    /// This node's number for it, from 0.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn lanes(&self) -> &[LaneAddress] {
        &self.lanes
    }

    pub(crate) fn lane(&self, offset: usize) -> &LaneAddress {
        &self.lanes[offset]
    }

    /// The number of a lane among all lanes of this node: what a record in a ring carries.
    #[inline]
    pub(crate) fn lane_number(&self, offset: usize) -> u32 {
        // The configuration bounds peers times lanes to 2^32 (`peers_max`, 64 channels of 64 lanes).
        self.index * self.lane_count() + u32::try_from(offset).unwrap_or(u32::MAX)
    }

    fn lane_count(&self) -> u32 {
        u32::try_from(self.lanes.len()).unwrap_or(u32::MAX)
    }

    /// Raises the known incarnation; false if a higher one is known already.
    pub(crate) fn meet_incarnation(&self, incarnation: u64) -> bool {
        self.incarnation.fetch_max(incarnation, Ordering::AcqRel) <= incarnation
    }

    pub(crate) fn count_lane_up(&self) {
        self.lanes_up.fetch_add(1, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn count_lane_down(&self) {
        self.lanes_up.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    /// Listen, look, then wait: a lane that came in between is not missed.
    pub(crate) fn listen(&self) -> EventListener {
        self.changed.listen()
    }
}
