//! One simulated node as the world keeps it: its protocol, its ends of lanes, its misfortunes.

use std::time::Duration;

use super::NodeId;
use super::happening::Happening;
use super::network::{Death, micros};
use super::subject::Subject;
use crate::time::Time;

/// A node of a world.
#[derive(Debug)]
pub(super) struct Node<X: Subject> {
    /// None while the node is down.
    pub(super) state: Option<X>,
    /// How often it has ended; also tells what was meant for an earlier life.
    pub(super) starts: u32,
    /// How it ended last.
    pub(super) death: Death,
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

/// Why a node does nothing for a while. Its clock goes on meanwhile, as `CLOCK_BOOTTIME` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Its process is stopped: what comes waits for it in its host.
    Stopped,
    /// Its host is suspended: messages to it are lost.
    Suspended,
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) pause: Option<Pause>,
    pub(super) slow_micros: u64,
    pub(super) clock_rate: f64,
    pub(super) clock_ahead: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            pause: None,
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
            death: Death::Refuses,
            lanes,
            conditions: None,
            stash: Vec::new(),
        }
    }

    pub(super) fn pause(&self) -> Option<Pause> {
        self.conditions
            .as_ref()
            .and_then(|conditions| conditions.pause)
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

    /// How long a span of the node's own clock lasts in the world, rounded up: a timer never comes early
    /// by the clock of its node.
    pub(super) fn world_micros(&self, span: Duration) -> u64 {
        match &self.conditions {
            None => micros(span),
            // One for what is cut off here, one for what `clock` cuts off.
            Some(conditions) => micros(span.div_f64(conditions.clock_rate)) + 2,
        }
    }
}
