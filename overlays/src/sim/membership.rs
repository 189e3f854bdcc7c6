//! Membership in the simulator: what it costs, how fast it tells, how often it errs.
//!
//! Runs membership over Plumtree over any overlay. A [`Census`] watches what the nodes tell of each
//! other and compares it with what is true; the phases are functions on [`Cluster`], and the figures
//! are read off between them, as with the other workloads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::graph::Graph;
use super::network::NetworkConfig;
use super::subject::{Inspect, Observer, Subject};
use super::world::{Totals, World};
use crate::event::{Command, Event};
use crate::membership::{Config, Details, Entry, Membership, Status, Table, Version};
use crate::plumtree::{self, Plumtree};
use crate::stack::Stack;
use crate::time::Time;

/// Membership over Plumtree over an overlay.
pub type OverOverlay<O> = Stack<Stack<O, Plumtree<NodeId>>, Membership<NodeId>>;

/// Makes the overlay of a node.
pub type MakeOverlay<O> = Box<dyn FnMut(NodeId) -> O>;

impl Inspect for Membership<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }

    fn members(&self) -> Option<Vec<NodeId>> {
        let live = self.table().iter().filter(|entry| entry.status.is_live());
        Some(live.map(|entry| entry.peer).collect())
    }
}

/// What nodes told of each other.
#[derive(Debug, Default)]
pub struct Census {
    /// Nodes that are not running, as the experiment wills it.
    gone: BTreeSet<NodeId>,
    /// Of the last crash: when each node told that the member was down.
    told_down: BTreeMap<NodeId, Time>,
    watched: Option<NodeId>,
    /// Suspicions told about nodes that were running, by suspect.
    pub false_suspects: BTreeMap<NodeId, u64>,
    /// Deaths told about nodes that were running, by the one buried.
    pub false_downs: BTreeMap<NodeId, u64>,
}

impl<X: Subject> Observer<X> for Census {
    fn event(&mut self, at: Time, node: NodeId, event: &Event<NodeId>) {
        match event {
            Event::MemberDown(about) if self.watched == Some(*about) => {
                self.told_down.entry(node).or_insert(at);
            }
            Event::MemberDown(about) if !self.gone.contains(about) => {
                *self.false_downs.entry(*about).or_default() += 1;
            }
            Event::MemberSuspect(about) if !self.gone.contains(about) => {
                *self.false_suspects.entry(*about).or_default() += 1;
            }
            _ => {}
        }
    }
}

impl Census {
    /// Suspicions and deaths told about nodes that were running, but for `except`.
    #[must_use]
    pub fn errors(&self, except: Option<NodeId>) -> (u64, u64) {
        let sum = |told: &BTreeMap<NodeId, u64>| {
            let others = told.iter().filter(|(about, _)| Some(**about) != except);
            others.map(|(_, count)| *count).sum()
        };
        (sum(&self.false_suspects), sum(&self.false_downs))
    }
}

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
pub struct Cluster<O>
where
    OverOverlay<O>: Subject,
{
    /// The nodes.
    pub world: World<OverOverlay<O>, Census>,
    random: Xoshiro256PlusPlus,
    period: Duration,
}

impl<O> Cluster<O>
where
    O: 'static,
    OverOverlay<O>: Subject,
{
    /// `count` nodes that run and know each other, but have no lanes yet.
    pub fn complete(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        config: Config,
        overlay: MakeOverlay<O>,
    ) -> Self {
        let table = complete_table(count, &config);
        Self::with(seed, count, network, config, overlay, Some(table))
    }

    /// `count` nodes that know nobody.
    pub fn strangers(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        config: Config,
        overlay: MakeOverlay<O>,
    ) -> Self {
        Self::with(seed, count, network, config, overlay, None)
    }

    fn with(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        config: Config,
        mut overlay: MakeOverlay<O>,
        table: Option<Table<NodeId>>,
    ) -> Self {
        let period = config.detector.period;
        let make = move |node: NodeId, starts: u32| {
            let incarnation = u64::from(starts) + 1;
            let layer = Membership::new(node, incarnation, details(node), config.clone());
            let mut layer = layer.expect("the details of simulated nodes are small");
            if starts == 0
                && let Some(table) = &table
            {
                layer = layer.with_table(table.clone());
            }
            let broadcast = Plumtree::new(plumtree::Config::default());
            Stack::new(Stack::new(overlay(node), broadcast), layer)
        };
        let mut world = World::new(seed, network, Box::new(make), Census::default());
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
    pub fn join(&mut self, spacing: Duration) {
        for node in 1..self.world.node_count() {
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

    /// Crashes a random node and waits until every other one has told it, or for `periods_max`.
    /// `silent`: its lanes do not break but fall silent, as when a machine dies.
    pub fn crash(&mut self, silent: bool, periods_max: usize) -> Option<Crash> {
        let node = self.world.running().choose(&mut self.random)?;
        let others = self.world.running().count() - 1;
        let start = self.world.now();
        self.world.observer.gone.insert(node);
        self.world.observer.watched = Some(node);
        self.world.observer.told_down.clear();
        self.world.crash(node, silent);
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

    /// Starts a node again that had crashed, as the same node with a greater incarnation.
    pub fn restart(&mut self, node: NodeId) {
        self.world.observer.gone.remove(&node);
        self.world.restart(node);
        let contact = self.world.running().filter(|other| *other != node);
        if let Some(contact) = contact.choose(&mut self.random) {
            self.world.command(node, Command::Join(contact));
        }
    }

    /// Cuts the cluster into two halves for `span`, by odd and even, then heals it.
    pub fn partition(&mut self, span: Duration) {
        let even: Vec<bool> = (0..self.world.node_count())
            .map(|node| node % 2 == 0)
            .collect();
        let odd: Vec<bool> = even.iter().map(|inside| !inside).collect();
        self.world.cut(even.clone(), odd.clone());
        self.world.cut(odd, even);
        self.world.run_for(span);
        self.world.heal();
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

fn details(node: NodeId) -> Details {
    Details {
        name: format!("node-{node}"),
        ..Details::default()
    }
}

/// The table of a cluster of `count` nodes of which each has just started for the first time.
fn complete_table(count: NodeId, config: &Config) -> Table<NodeId> {
    let mut table = Table::new(config.members_max);
    for node in 0..count {
        let entry = Entry {
            peer: node,
            version: Version::first(1),
            status: Status::Alive,
            details: std::sync::Arc::new(details(node)),
        };
        table.set(entry).expect("the experiment fits its own limit");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_server::{self, ClientServer};
    use crate::full_mesh::{self, FullMesh};
    use crate::hyparview::{self, HyParView};

    const SECOND: Duration = Duration::from_secs(1);

    fn over_hyparview(seed: u64, count: NodeId) -> Cluster<HyParView<NodeId>> {
        let overlay = |node| HyParView::new(node, hyparview::Config::default());
        let network = NetworkConfig::default();
        let mut cluster =
            Cluster::strangers(seed, count, network, Config::default(), Box::new(overlay));
        cluster.join(Duration::from_millis(20));
        assert!(cluster.periods_to_agree(60).is_some(), "seed {seed}");
        cluster.world.run_for(20 * SECOND);
        cluster
    }

    fn heals<O: 'static>(mut cluster: Cluster<O>) -> usize
    where
        OverOverlay<O>: Subject,
    {
        cluster.join(Duration::from_millis(20));
        assert!(cluster.periods_to_agree(60).is_some());
        cluster.world.run_for(20 * SECOND);
        cluster.partition(60 * SECOND);
        let half = cluster.world.running().count() / 2;
        for node in cluster.world.running() {
            let live = cluster.live_at(node);
            assert!(live <= half + 2, "{node} still counts {live}");
        }
        let periods = cluster
            .periods_to_agree(30)
            .expect("agreed after the partition");
        assert!(cluster.is_connected());
        periods
    }

    #[test]
    fn a_crash_is_known_everywhere_over_hyparview() {
        let mut cluster = over_hyparview(1, 100);
        for silent in [false, true] {
            let crash = cluster.crash(silent, 60).expect("told to everybody");
            println!("{crash:?}");
            assert!(crash.detect < 20 * SECOND);
        }
        assert!(cluster.agrees());
        assert!(cluster.world.observer.false_downs.is_empty());
    }

    #[test]
    fn membership_heals_within_ten_periods_of_a_partition_over_hyparview() {
        let overlay = |node| HyParView::new(node, hyparview::Config::default());
        let network = NetworkConfig::default();
        let cluster = Cluster::strangers(2, 100, network, Config::default(), Box::new(overlay));
        let periods = heals(cluster);
        println!("{periods} periods");
        assert!(periods <= 10, "{periods}");
    }

    #[test]
    fn membership_heals_within_ten_periods_of_a_partition_over_full_mesh() {
        let overlay = |node| FullMesh::new(node, full_mesh::Config::default());
        let network = NetworkConfig::default();
        let cluster = Cluster::strangers(3, 60, network, Config::default(), Box::new(overlay));
        let periods = heals(cluster);
        println!("{periods} periods");
        assert!(periods <= 10, "{periods}");
    }

    #[test]
    fn membership_heals_within_ten_periods_of_a_partition_over_client_server() {
        let overlay = |node: NodeId| {
            let servers = (0..6).collect();
            let config = if node < 6 {
                client_server::Config::server(servers)
            } else {
                client_server::Config::client(servers)
            };
            ClientServer::new(node, config)
        };
        let network = NetworkConfig::default();
        let cluster = Cluster::strangers(4, 100, network, Config::default(), Box::new(overlay));
        let periods = heals(cluster);
        println!("{periods} periods");
        assert!(periods <= 10, "{periods}");
    }

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        let hashes = [7, 7, 8].map(|seed| {
            let mut cluster = over_hyparview(seed, 30);
            cluster.crash(true, 60);
            cluster.world.trace_hash()
        });
        assert_eq!(hashes[0], hashes[1]);
        assert_ne!(hashes[0], hashes[2]);
    }
}
