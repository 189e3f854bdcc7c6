//! One topic that this node takes part in: its overlay, its broadcast, and when to announce it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::outside::NUMBERS_MAX;
use crate::event::{Overlay, Peer};
use crate::hyparview::HyParView;
use crate::plumtree::Plumtree;
use crate::recent::Recent;
use crate::stack::Stack;
use crate::time::Time;

/// An overlay with a broadcast.
pub(super) type SwarmOf<P> = Stack<HyParView<P>, Plumtree<P>>;

/// Beacons remembered, and checks under way, per topic. More come only from somebody who plays.
const BEACONS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Topic<P> {
    /// Tells this subscription from earlier ones to the same topic, whose timers still run.
    pub(super) life: u32,
    pub(super) swarm: SwarmOf<P>,
    pub(super) announce_at: Time,
    /// The timer that looks whether it is time. Earlier ones do not count.
    pub(super) alarm: u32,
    /// How long it waits while it has no neighbors.
    pub(super) lonely_wait: Duration,
    beacons: VecDeque<u64>,
    checks: BTreeMap<u64, P>,
    /// Of publications from outside.
    pub(super) numbers: Recent<(P, u64)>,
}

impl<P: Peer> Topic<P> {
    pub(super) const fn new(life: u32, swarm: SwarmOf<P>, lonely_wait: Duration) -> Self {
        Self {
            life,
            swarm,
            announce_at: Time::ZERO,
            alarm: 0,
            lonely_wait,
            beacons: VecDeque::new(),
            checks: BTreeMap::new(),
            numbers: Recent::new(NUMBERS_MAX),
        }
    }

    pub(super) fn is_lonely(&self) -> bool {
        self.swarm.neighbors().is_empty()
    }

    /// A beacon came within the topic.
    pub(super) fn saw(&mut self, beacon: u64) {
        if self.beacons.contains(&beacon) {
            return;
        }
        if self.beacons.len() >= BEACONS_MAX {
            self.beacons.pop_front();
        }
        self.beacons.push_back(beacon);
        self.checks.remove(&beacon);
    }

    /// A beacon was announced to all nodes by `by`. True if it is to be seen whether it comes within
    /// the topic too.
    pub(super) fn expect(&mut self, beacon: u64, by: P) -> bool {
        let expected = !self.beacons.contains(&beacon)
            && !self.checks.contains_key(&beacon)
            && self.checks.len() < BEACONS_MAX;
        if expected {
            self.checks.insert(beacon, by);
        }
        expected
    }

    /// The beacon should have come by now. If it did not: who sent it, from a part of the topic that
    /// this node is not connected to.
    pub(super) fn missed(&mut self, beacon: u64) -> Option<P> {
        self.checks.remove(&beacon)
    }
}
