//! One cell of the large table: one overlay of one size with membership on top, under one loss and one
//! latency, while random nodes broadcast: who is reached, at what price, and who is told down wrongly.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::NodeId;
use super::carrier::{Carrier, MakeCarrier, Task};
use super::deliveries::{Deliveries, Round};
use super::membership::{Census, Over, complete_table, with_membership};
use super::network::NetworkConfig;
use super::report::mean;
use super::subject::{Observer, Subject};
use super::workload::Progress;
use super::world::World;
use crate::event::{Command, Event};
use crate::membership::Config;
use crate::time::Time;

/// Time to settle after the last join.
const SETTLE: Duration = Duration::from_secs(60);
/// Broadcasts, one a second: the tree settles in the first half.
const BROADCASTS: usize = 60;
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the last broadcasts have.
const DRAIN: Duration = Duration::from_secs(10);
const PAYLOAD_BYTES: usize = 64;

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The overlay.
    pub overlay: Carrier,
    /// Nodes, which know each other from the start and join the overlay one by one.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// What lies between them, from the start to the end.
    pub network: NetworkConfig,
    /// Time between two joins.
    pub join_spacing: Duration,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Mean share of nodes that a broadcast reached.
    pub reach_percent: f64,
    /// The same for the broadcast that reached fewest.
    pub reach_percent_min: f64,
    /// Copies per receiver beyond the first, second half of the broadcasts.
    pub rmr: f64,
    /// Mean time to the last delivery, second half.
    pub last_ms: f64,
    /// Deaths told of nodes that ran, at any node, from the start to the end.
    pub false_downs: u64,
    /// Messages per node and second while broadcasts are sent, all layers.
    pub messages_per_node_s: f64,
    /// Inputs handled in all.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Cell {
    /// Runs it.
    pub fn run(self, progress: Progress<'_>) -> Figures {
        let task = Measured {
            cell: self,
            progress,
        };
        self.overlay.run(self.nodes, task)
    }
}

/// Watches broadcasts and deaths.
#[derive(Debug, Default)]
struct Watch {
    census: Census,
    deliveries: Deliveries,
}

impl<X: Subject> Observer<X> for Watch {
    fn event(&mut self, at: Time, node: NodeId, state: &X, event: &Event<NodeId>) {
        self.census.event(at, node, state, event);
        self.deliveries.event(at, node, state, event);
    }

    fn payload_received(&mut self, at: Time, node: NodeId, payload: &Bytes) {
        Observer::<X>::payload_received(&mut self.deliveries, at, node, payload);
    }
}

struct Measured<'p> {
    cell: Cell,
    progress: Progress<'p>,
}

impl Task for Measured<'_> {
    type Output = Figures;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> Figures {
        let Self { cell, progress } = self;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(cell.seed ^ 0x7461_626c_6500_0000);
        let config = Config::default();
        let table = complete_table(cell.nodes, &config);
        let make = with_membership(config, Some(table), make);
        let mut world: World<Over<C>, Watch> =
            World::new(cell.seed, cell.network, make, Watch::default());
        for _ in 0..cell.nodes {
            world.add_node();
        }
        for node in 1..cell.nodes {
            progress("join", node as usize + 1, cell.nodes as usize);
            world.command(node, Command::Join(random.random_range(0..node)));
            world.run_for(cell.join_spacing);
        }
        progress("settle", 0, 1);
        world.run_for(SETTLE);
        let (before, begun) = (world.totals(), world.now());
        for number in 0..BROADCASTS {
            progress("broadcast", number + 1, BROADCASTS);
            if let Some(sender) = world.running().choose(&mut random) {
                let now = world.now();
                let receivers = cell.nodes.saturating_sub(1);
                let deliveries = &mut world.observer.deliveries;
                let payload = deliveries.begin(now, receivers, PAYLOAD_BYTES);
                world.command(sender, Command::Broadcast(payload.into()));
            }
            world.run_for(INTERVAL);
        }
        world.run_for(DRAIN);
        let messages = world.totals().messages - before.messages;
        let seconds = world.now().since(begun).as_secs_f64();
        let rounds = world.observer.deliveries.rounds();
        let settled = &rounds[rounds.len() / 2..];
        let least = rounds.iter().map(Round::reach_percent);
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let messages_per_node_s = messages as f64 / f64::from(cell.nodes) / seconds;
        Figures {
            reach_percent: mean(rounds, Round::reach_percent),
            reach_percent_min: least.min_by(f64::total_cmp).unwrap_or(0.0),
            rmr: mean(settled, Round::redundancy),
            last_ms: mean(settled, |round| round.time_to_last().as_secs_f64() * 1e3),
            false_downs: world.observer.census.errors(None).1,
            messages_per_node_s,
            events: world.totals().events,
            trace_hash: format!("{:016x}", world.trace_hash()),
        }
    }
}
