//! What happens in a measured simulation: nodes join one by one, the overlay settles, some nodes
//! fail or the cluster is cut in two, and broadcasts are sent before and after it heals.
//!
//! Each phase is one function on [`Run`]; the figures are read off by the caller between phases.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::deliveries::{Deliveries, Round};
use super::graph::Graph;
use super::network::NetworkConfig;
use super::subject::Subject;
use super::world::{Make, World};
use crate::event::Command;

/// Told how far a phase has come: its name, steps done, steps in all.
pub type Progress<'p> = &'p mut dyn FnMut(&'static str, usize, usize);

/// Bytes of a broadcast payload: a small notice.
const PAYLOAD_BYTES: usize = 64;

/// When broadcasts are sent, and how large they are.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Broadcasts at the same moment.
    pub at_once: usize,
    /// Time between two moments.
    pub interval: Duration,
    /// Bytes of each broadcast.
    pub payload_bytes: usize,
}

impl Moments {
    /// A small broadcast each `interval`.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self {
            at_once: 1,
            interval,
            payload_bytes: PAYLOAD_BYTES,
        }
    }
}

/// Who sends the broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders {
    /// Always the same node.
    One,
    /// A random running node each time; different ones at the same moment.
    Many,
}

/// A simulation that is measured.
#[derive(Debug)]
pub struct Run<X: Subject> {
    /// The nodes, and all deliveries.
    pub world: World<X, Deliveries>,
    random: Xoshiro256PlusPlus,
    period: Duration,
}

impl<X: Subject> Run<X> {
    /// An empty world. `period` is one cycle of the overlay.
    pub fn new(seed: u64, network: NetworkConfig, period: Duration, make: Make<X>) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x776f_726b_6c6f_6164);
        Self {
            world: World::new(seed, network, make, Deliveries::default()),
            random,
            period,
        }
    }

    /// Adds `count` nodes, one each `spacing`, each through a random earlier one.
    pub fn join(&mut self, count: NodeId, spacing: Duration, progress: Progress<'_>) {
        for number in 0..count {
            let node = self.world.add_node();
            if node > 0 {
                let contact = self.random.random_range(0..node);
                self.world.command(node, Command::Join(contact));
            }
            self.world.run_for(spacing);
            progress("join", number as usize + 1, count as usize);
        }
    }

    /// Lets `cycles` periods pass.
    pub fn settle(&mut self, cycles: usize, progress: Progress<'_>) {
        for cycle in 0..cycles {
            self.world.run_for(self.period);
            progress("settle", cycle + 1, cycles);
        }
    }

    /// Crashes a random share of the running nodes at once. How many.
    pub fn fail(&mut self, share: f64) -> usize {
        let running: Vec<NodeId> = self.world.running().collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count is a count"
        )]
        let count = (running.len() as f64 * share.clamp(0.0, 1.0)).round() as usize;
        for node in running.into_iter().sample(&mut self.random, count) {
            let death = self.world.network.config.death;
            self.world.crash(node, death);
        }
        count
    }

    /// Sends `count` broadcasts. Which rounds they are.
    pub fn broadcast(
        &mut self,
        count: usize,
        senders: Senders,
        moments: Moments,
        progress: Progress<'_>,
    ) -> Range<usize> {
        let first = self.world.observer.rounds().len();
        let running: Vec<NodeId> = self.world.running().collect();
        let sender = running.iter().copied().choose(&mut self.random);
        let mut sent = 0;
        while sent < count {
            let at_once = moments.at_once.clamp(1, count - sent);
            let many = match senders {
                Senders::One => sender.into_iter().cycle().take(at_once).collect(),
                Senders::Many => running.iter().copied().sample(&mut self.random, at_once),
            };
            if many.is_empty() {
                break;
            }
            sent += many.len();
            for sender in many {
                self.send(sender, running.len(), moments.payload_bytes);
            }
            self.world.run_for(moments.interval);
            progress("broadcast", sent, count);
        }
        first..self.world.observer.rounds().len()
    }

    /// Some broadcasts.
    #[must_use]
    pub fn rounds(&self, which: &Range<usize>) -> &[Round] {
        &self.world.observer.rounds()[which.clone()]
    }

    /// Whether all running nodes are connected, and a broadcast gets to all of them within `span`.
    pub fn reaches_all(&mut self, span: Duration) -> bool {
        let graph = Graph::of(&self.world);
        if !graph.is_connected() || graph.isolated() > 0 {
            return false;
        }
        let running: Vec<NodeId> = self.world.running().collect();
        let Some(sender) = running.iter().copied().choose(&mut self.random) else {
            return true;
        };
        self.send(sender, running.len(), PAYLOAD_BYTES);
        self.world.run_for(span);
        self.world
            .observer
            .rounds()
            .last()
            .is_some_and(|round| round.missed() == 0)
    }

    fn send(&mut self, sender: NodeId, running: usize, bytes: usize) {
        let receivers = NodeId::try_from(running)
            .unwrap_or(NodeId::MAX)
            .saturating_sub(1);
        let payload = self
            .world
            .observer
            .begin(self.world.now(), receivers, bytes);
        self.world
            .command(sender, Command::Broadcast(payload.into()));
    }
}
