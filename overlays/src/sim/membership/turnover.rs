//! Pods that are replaced one after the other: does a cluster still stand when none of its first nodes is
//! left, and does it let go of those that are gone?
//!
//! A newcomer with a new name starts with the table of the beginning, as from a list that is long out of date.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IteratorRandom;
use serde::Serialize;

use super::report::{Experiment, settled};
use super::{Cluster, NodeId};
use crate::event::{Command, Overlay};
use crate::sim::carrier::{MakeCarrier, Task, seeds};
use crate::sim::graph::Graph;
use crate::sim::network::Death;
use crate::sim::subject::Subject;
use crate::sim::workload::Progress;

/// From one replacement to the next.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long the cost is measured, before and after.
const MEASURED: Duration = Duration::from_secs(60);
/// Sources of shortest paths.
const SOURCES: usize = 30;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turnover {
    /// The cluster.
    pub experiment: Experiment,
    /// How many times a node is replaced.
    pub replacements: usize,
    /// Share of replacements under a name that is new; the others have the old name and another address.
    /// Seed nodes keep their names.
    pub renamed: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replaced {
    /// The overlay.
    pub overlay: &'static str,
    /// Nodes at any time.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// Nodes replaced.
    pub replacements: usize,
    /// Of these, under a new name.
    pub renamed: usize,
    /// Most nodes without a neighbor that runs, three seconds after any replacement.
    pub isolated_max: usize,
    /// Periods from the last replacement until all tables were equal and complete.
    pub cycles_to_heal: Option<usize>,
    /// The overlay is one part then.
    pub connected: bool,
    /// Edges that only one end has.
    pub one_way: usize,
    /// Least nodes that have a node as their neighbor.
    pub degree_min: usize,
    /// Mean.
    pub degree_mean: f64,
    /// Most.
    pub degree_max: usize,
    /// Neighbors that do not run, over all nodes.
    pub dead_neighbors: usize,
    /// Most members that any table holds, the dead included.
    pub remembered_max: usize,
    /// Deaths told of nodes that ran.
    pub false_downs: u64,
    /// Messages per node and second before the first replacement, all layers.
    pub messages_per_node_s: f64,
    /// A minute after all agreed.
    pub messages_per_node_s_after: f64,
    /// Inputs handled in all.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Turnover {
    /// Runs it.
    pub fn run(self, progress: Progress<'_>) -> Replaced {
        let Experiment { overlay, nodes, .. } = self.experiment;
        let turnover = self;
        overlay.run(nodes, Measured { turnover, progress })
    }
}

struct Measured<'p> {
    turnover: Turnover,
    progress: Progress<'p>,
}

impl Task for Measured<'_> {
    type Output = Replaced;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> Replaced {
        let Self { turnover, progress } = self;
        let Experiment {
            overlay,
            nodes,
            seed,
            ..
        } = turnover.experiment;
        let mut cluster = settled(turnover.experiment, make, progress);
        let before = messages_per_node_s(&mut cluster);
        let mut ages = Ages {
            oldest_first: (0..nodes).collect(),
            seeds: seeds(nodes),
        };
        let (mut renamed, mut isolated_max) = (0, 0);
        for number in 0..turnover.replacements {
            progress("replace", number, turnover.replacements);
            renamed += usize::from(ages.replace(&mut cluster, turnover, number));
            cluster.world.run_for(INTERVAL);
            isolated_max = isolated_max.max(Graph::of(&cluster.world).isolated());
        }
        let cycles_to_heal = cluster.periods_to_agree(120);
        cluster.world.run_for(MEASURED);
        let after = messages_per_node_s(&mut cluster);
        let shape = Graph::of(&cluster.world).shape(SOURCES, seed);
        Replaced {
            overlay: overlay.name(),
            nodes,
            seed,
            replacements: turnover.replacements,
            renamed,
            isolated_max,
            cycles_to_heal,
            connected: shape.connected,
            one_way: shape.one_way,
            degree_min: shape.degree_min,
            degree_mean: shape.degree_mean,
            degree_max: shape.degree_max,
            dead_neighbors: dead_neighbors(&cluster),
            remembered_max: remembered_max(&cluster),
            false_downs: cluster.world.observer.errors(None).1,
            messages_per_node_s: before,
            messages_per_node_s_after: after,
            events: cluster.world.totals().events,
            trace_hash: format!("{:016x}", cluster.world.trace_hash()),
        }
    }
}

/// Nodes by how long they have run.
struct Ages {
    oldest_first: VecDeque<NodeId>,
    seeds: NodeId,
}

impl Ages {
    /// Crashes the oldest node, half of the time silently, and starts one in its place. Whether that has a new name.
    fn replace<C: Subject + 'static>(
        &mut self,
        cluster: &mut Cluster<C>,
        turnover: Turnover,
        number: usize,
    ) -> bool {
        let Some(oldest) = self.oldest_first.pop_front() else {
            return false;
        };
        let death = if number % 2 == 1 {
            Death::Silent
        } else {
            turnover.experiment.network.death
        };
        let renamed = oldest >= self.seeds && cluster.random.random_bool(turnover.renamed);
        let world = &mut cluster.world;
        // Also where the name comes back, its first life is told down rightly.
        world.observer.gone.insert(oldest);
        world.crash(oldest, death);
        let contact = world.running().choose(&mut cluster.random);
        let newcomer = if renamed {
            world.add_node()
        } else {
            world.restart(oldest);
            oldest
        };
        if let Some(contact) = contact {
            world.command(newcomer, Command::Join(contact));
        }
        self.oldest_first.push_back(newcomer);
        renamed
    }
}

fn messages_per_node_s<C: Subject + 'static>(cluster: &mut Cluster<C>) -> f64 {
    let before = cluster.world.totals().messages;
    cluster.world.run_for(MEASURED);
    let messages = cluster.world.totals().messages - before;
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a simulation, far below 2^52"
    )]
    let per_node = messages as f64 / cluster.world.running().count().max(1) as f64;
    per_node / MEASURED.as_secs_f64()
}

fn dead_neighbors<C: Subject + 'static>(cluster: &Cluster<C>) -> usize {
    let world = &cluster.world;
    let states = world.running().filter_map(|node| world.state(node));
    let neighbors = states.flat_map(Overlay::neighbors);
    neighbors
        .filter(|peer| world.state(*peer).is_none())
        .count()
}

fn remembered_max<C: Subject + 'static>(cluster: &Cluster<C>) -> usize {
    let world = &cluster.world;
    let states = world.running().filter_map(|node| world.state(node));
    let members = states.map(|state| state.upper.table().iter().count());
    members.max().unwrap_or(0)
}
