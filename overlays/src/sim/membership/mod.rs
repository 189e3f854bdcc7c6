//! Membership in the simulator: what it costs, how fast it tells, how often it errs.
//!
//! Runs membership over any overlay with a broadcast. A [`Census`] watches what the nodes tell of each
//! other and compares it with what is true; the phases are functions on [`Cluster`], and the figures
//! are read off between them, as with the other workloads.

mod census;
#[cfg(test)]
mod hardship;
#[cfg(test)]
mod layers;
mod report;
#[cfg(test)]
mod tests;
mod turnover;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::carrier::MakeCarrier;
use super::graph::Graph;
use super::network::{Death, NetworkConfig};
use super::subject::{Inspect, Subject};
use super::workload::Progress;
use super::world::{Make, Totals, World};
use crate::coordinator::Coordinator;
use crate::event::Command;
use crate::membership::{Config, Details, Entry, Membership, Status, Table, Version};
use crate::partitions::Partitions;
use crate::stack::Stack;

pub use census::Census;
pub use report::{Experiment, Healing, Report, Trouble};
pub use turnover::{Replaced, Turnover};

/// Membership over an overlay with a broadcast.
pub type Over<C> = Stack<C, Membership<NodeId>>;

impl Inspect for Membership<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }

    fn members(&self) -> Option<&Table<NodeId>> {
        Some(self.table())
    }
}

impl Inspect for Partitions<NodeId> {}

impl Inspect for Coordinator<NodeId> {}

/// How long the news of a crash took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// From the crash to the first node that told it.
    pub detect: Duration,
    /// From the first to the last node that told it.
    pub spread: Duration,
}

/// What a span cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Messages per node and second, of all layers.
    pub messages_per_node_s: f64,
    /// Bytes per node and second, of all layers.
    pub bytes_per_node_s: f64,
}

/// A cluster with membership.
#[derive(Debug)]
pub struct Cluster<C: Subject> {
    /// The nodes.
    pub world: World<Over<C>, Census>,
    random: Xoshiro256PlusPlus,
    period: Duration,
}

impl<C: Subject + 'static> Cluster<C> {
    /// `count` nodes that run and know each other, but have no lanes yet.
    pub fn complete(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        config: Config,
        carrier: MakeCarrier<C>,
    ) -> Self {
        let table = complete_table(count, &config);
        Self::with(seed, count, network, config, carrier, Some(table))
    }

    /// `count` nodes that know nobody.
    pub fn strangers(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        config: Config,
        carrier: MakeCarrier<C>,
    ) -> Self {
        Self::with(seed, count, network, config, carrier, None)
    }

    fn with(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        config: Config,
        carrier: MakeCarrier<C>,
        table: Option<Table<NodeId>>,
    ) -> Self {
        let period = config.detector.period;
        let make = with_membership(config, table, carrier);
        let mut world = World::new(seed, network, make, Census::default());
        for _ in 0..count {
            world.add_node();
        }
        Self {
            world,
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6d65_6d62_6572_7300),
            period,
        }
    }

    /// Every node but the first joins the overlay through one before it.
    pub fn join(&mut self, spacing: Duration, progress: Progress<'_>) {
        let count = self.world.node_count();
        for node in 1..count {
            progress("join", node as usize + 1, count as usize);
            let contact = self.random.random_range(0..node);
            self.world.command(node, Command::Join(contact));
            self.world.run_for(spacing);
        }
    }

    /// Runs until all nodes agree; none if that takes more than `periods_max`. Periods it took.
    pub fn periods_to_agree(&mut self, periods_max: usize) -> Option<usize> {
        for periods in 0..=periods_max {
            if self.agrees() {
                return Some(periods);
            }
            self.world.run_for(self.period);
        }
        None
    }

    /// Whether the tables of all running nodes hold exactly the running nodes as live members, at
    /// equal versions.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let running: Vec<NodeId> = self.world.running().collect();
        let states = || running.iter().filter_map(|node| self.world.state(*node));
        let tables = || states().map(|state| state.upper.table());
        let sums: BTreeSet<u64> = tables().map(Table::sum).collect();
        let counts_fit = tables().all(|table| table.live() == running.len());
        let first = tables().next();
        let all_live = first.is_none_or(|table| {
            let entries = running.iter().filter_map(|node| table.get(node));
            entries.filter(|entry| entry.status.is_live()).count() == running.len()
        });
        sums.len() <= 1 && counts_fit && all_live
    }

    /// Whether every running node can reach every other over the overlay.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        Graph::of(&self.world).is_connected()
    }

    /// Crashes a random node, but not `spared`, and waits until every other one has told it, or for
    /// `periods_max`.
    pub fn crash(
        &mut self,
        death: Death,
        spared: Option<NodeId>,
        periods_max: usize,
    ) -> Option<Crash> {
        let others = self.world.running().filter(|node| Some(*node) != spared);
        let node = others.choose(&mut self.random)?;
        let others = self.world.running().count() - 1;
        let start = self.world.now();
        self.world.observer.gone.insert(node);
        self.world.observer.watched = Some(node);
        self.world.observer.told_down.clear();
        self.world.crash(node, death);
        let step = self.period / 10;
        for _ in 0..periods_max * 10 {
            if self.world.observer.told_down.len() >= others {
                break;
            }
            self.world.run_for(step);
        }
        let census = &mut self.world.observer;
        census.watched = None;
        if census.told_down.len() < others {
            return None;
        }
        let first = census.told_down.values().min()?;
        let last = census.told_down.values().max()?;
        Some(Crash {
            detect: first.since(start),
            spread: last.since(*first),
        })
    }

    /// Live members in the table of a node.
    #[must_use]
    pub fn live_at(&self, node: NodeId) -> usize {
        let state = self.world.state(node);
        state.map_or(0, |state| state.upper.table().live())
    }

    /// Lets a span pass and says what it cost.
    pub fn measure(&mut self, span: Duration) -> Cost {
        let before = self.world.totals();
        self.world.run_for(span);
        let Totals {
            messages, bytes, ..
        } = self.world.totals();
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let per_node_s =
            |count: u64| count as f64 / f64::from(self.world.node_count()) / span.as_secs_f64();
        Cost {
            messages_per_node_s: per_node_s(messages - before.messages),
            bytes_per_node_s: per_node_s(bytes - before.bytes),
        }
    }
}

/// Puts membership on an overlay. A node that starts for the first time knows the table, if there is
/// one; a later start is a greater incarnation that knows nobody.
pub(super) fn with_membership<C: Subject + 'static>(
    config: Config,
    table: Option<Table<NodeId>>,
    mut carrier: MakeCarrier<C>,
) -> Make<Over<C>> {
    Box::new(move |node: NodeId, starts: u32| {
        let incarnation = u64::from(starts) + 1;
        let layer = Membership::new(node, incarnation, details(node, starts), config.clone());
        let mut layer = layer.expect("the details of simulated nodes are small");
        if starts == 0
            && let Some(table) = &table
        {
            layer = layer.with_table(table.clone());
        }
        Stack::new(carrier(node), layer)
    })
}

/// What a node says of itself when it starts: at each start it listens on another port.
pub(super) fn details(node: NodeId, starts: u32) -> Details {
    let port = u16::try_from(4_000 + starts % 1_000).unwrap_or(4_000);
    let [_, x, y, z] = node.to_be_bytes();
    Details {
        name: format!("node-{node}"),
        addresses: vec![SocketAddr::from(([10, x, y, z], port))],
        ..Details::default()
    }
}

/// The table of a cluster of `count` nodes of which each has just started for the first time.
pub(super) fn complete_table(count: NodeId, config: &Config) -> Table<NodeId> {
    let mut table = Table::new(config.members_max);
    for node in 0..count {
        let entry = Entry {
            peer: node,
            version: Version::first(1),
            status: Status::Alive,
            details: Arc::new(details(node, 0)),
        };
        table.set(entry).expect("the experiment fits its own limit");
    }
    table
}
