//! One simulated node as the world keeps it: its protocol, its ends of lanes, its misfortunes.

use std::time::Duration;

use super::NodeId;
use super::network::micros;
use super::subject::Subject;
use super::world::Happening;
use crate::time::Time;

/// A node of a world.
#[derive(Debug)]
pub(super) struct Node<X: Subject> {
    /// None while the node is down.
    pub(super) state: Option<X>,
    /// How often it has ended; also tells what was meant for an earlier life.
    pub(super) starts: u32,
    /// Its ends of lanes. A handful in every overlay but the full mesh, so a list beats a map.
    pub(super) lanes: Vec<Lane>,
    /// None while the node is well, so that the many well ones stay small.
    pub(super) conditions: Option<Box<Conditions>>,
    /// What came while it was paused.
    pub(super) stash: Vec<Happening<X::Message, X::Timer>>,
}

/// One end of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) peer: NodeId,
    /// Tells this lane from earlier ones to the same peer.
    pub(super) lane: u64,
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) paused: bool,
    pub(super) slow_micros: u64,
    pub(super) clock_rate: f64,
    pub(super) clock_ahead: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            paused: false,
            slow_micros: 0,
            clock_rate: 1.0,
            clock_ahead: Duration::ZERO,
        }
    }
}

impl<X: Subject> Node<X> {
    pub(super) const fn new(state: X) -> Self {
        let lanes = Vec::new();
        Self {
            state: Some(state),
            starts: 0,
            lanes,
            conditions: None,
            stash: Vec::new(),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.conditions
            .as_ref()
            .is_some_and(|conditions| conditions.paused)
    }

    /// The lane to a peer, if there is one.
    pub(super) fn lane(&self, peer: NodeId) -> Option<u64> {
        self.lanes
            .iter()
            .find(|lane| lane.peer == peer)
            .map(|lane| lane.lane)
    }

    pub(super) fn set_lane(&mut self, peer: NodeId, lane: u64) {
        match self.lanes.iter_mut().find(|lane| lane.peer == peer) {
            Some(end) => end.lane = lane,
            None => self.lanes.push(Lane { peer, lane }),
        }
    }

    pub(super) fn remove_lane(&mut self, peer: NodeId) -> Option<u64> {
        let index = self.lanes.iter().position(|lane| lane.peer == peer)?;
        Some(self.lanes.swap_remove(index).lane)
    }

    /// What the node's own clock shows.
    pub(super) fn clock(&self, world_micros: u64) -> Time {
        match &self.conditions {
            None => Time::from_micros(world_micros),
            Some(conditions) => {
                let elapsed = Duration::from_micros(world_micros).mul_f64(conditions.clock_rate);
                Time::ZERO + elapsed + conditions.clock_ahead
            }
        }
    }

    /// How long a span of the node's own clock lasts in the world.
    pub(super) fn world_micros(&self, span: Duration) -> u64 {
        match &self.conditions {
            None => micros(span),
            Some(conditions) => micros(span.div_f64(conditions.clock_rate)),
        }
    }
}
