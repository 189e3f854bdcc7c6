//! Anti-entropy in the simulator: how long until all have the state of all, what it costs, and what a
//! partition does to it.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::NodeId;
use super::carrier::{MakeCarrier, Task};
use super::membership::Experiment;
use super::subject::{Inspect, Subject};
use super::workload::Progress;
use super::world::{Make, World};
use crate::anti_entropy::{AntiEntropy, Config, Digest, Memory};
use crate::event::Command;
use crate::stack::Stack;

/// Time to settle after the last join.
const SETTLE: Duration = Duration::from_secs(30);
/// How long the cluster is in halves.
const PARTITION: Duration = Duration::from_secs(60);
/// How long what equal states cost is measured.
const QUIET: Duration = Duration::from_secs(30);
/// Periods after which states that are not alike never will be.
const PERIODS_MAX: usize = 1_000;

impl Inspect for AntiEntropy<NodeId, Memory> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The cluster.
    pub experiment: Experiment,
    /// Keys written at random nodes, and as many values again while the cluster is in halves.
    pub keys: u32,
    /// Bytes of each value.
    pub value_bytes: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The overlay.
    pub overlay: &'static str,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// Keys, and bytes of each value.
    pub keys: u32,
    /// See there.
    pub value_bytes: usize,
    /// Periods of 1 s from the last write until all states were alike; none: not in a thousand.
    pub periods_to_agree: Option<usize>,
    /// Bytes per node and second meanwhile, all layers.
    pub bytes_per_node_s_busy: f64,
    /// The same while all states are alike.
    pub bytes_per_node_s_quiet: f64,
    /// Different states at the end of the partition.
    pub states_in_halves: usize,
    /// Periods from the end of the partition until all states were alike.
    pub periods_to_heal: Option<usize>,
    /// Bytes per node and second meanwhile, all layers.
    pub bytes_per_node_s_healing: f64,
    /// Inputs handled in all.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Plan {
    /// Runs it.
    pub fn run(self, progress: Progress<'_>) -> Figures {
        let task = Measured {
            plan: self,
            progress,
        };
        self.experiment.overlay.run(self.experiment.nodes, task)
    }
}

struct Measured<'p> {
    plan: Plan,
    progress: Progress<'p>,
}

type Over<C> = Stack<C, AntiEntropy<NodeId, Memory>>;

/// A cluster, and how many values were written.
struct Cluster<C: Subject> {
    world: World<Over<C>, ()>,
    random: Xoshiro256PlusPlus,
    written: u64,
}

impl Task for Measured<'_> {
    type Output = Figures;

    fn run<C: Subject + 'static>(self, mut carrier: MakeCarrier<C>) -> Figures {
        let Self { plan, progress } = self;
        let Experiment {
            overlay,
            nodes,
            seed,
            network,
            join_spacing,
        } = plan.experiment;
        let make: Make<Over<C>> = Box::new(move |node, _| {
            let layer = AntiEntropy::new(Config::default(), Memory::default());
            Stack::new(carrier(node), layer)
        });
        let mut cluster = Cluster {
            world: World::new(seed, network, make, ()),
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x656e_7472_6f70_7900),
            written: 0,
        };
        for node in 0..nodes {
            progress("join", node as usize + 1, nodes as usize);
            cluster.world.add_node();
            if node > 0 {
                let contact = cluster.random.random_range(0..node);
                cluster.world.command(node, Command::Join(contact));
            }
            cluster.world.run_for(join_spacing);
        }
        cluster.world.run_for(SETTLE);
        progress("write", 0, 1);
        cluster.write(plan, nodes);
        let (periods_to_agree, bytes_per_node_s_busy) = cluster.agree();
        let bytes_per_node_s_quiet = cluster.measure(QUIET);
        progress("partition", 0, 1);
        cluster.world.cut_in_halves();
        cluster.write(plan, nodes);
        cluster.world.run_for(PARTITION);
        let states_in_halves = cluster.states();
        cluster.world.heal();
        let (periods_to_heal, bytes_per_node_s_healing) = cluster.agree();
        Figures {
            overlay: overlay.name(),
            nodes,
            seed,
            keys: plan.keys,
            value_bytes: plan.value_bytes,
            periods_to_agree,
            bytes_per_node_s_busy,
            bytes_per_node_s_quiet,
            states_in_halves,
            periods_to_heal,
            bytes_per_node_s_healing,
            events: cluster.world.totals().events,
            trace_hash: format!("{:016x}", cluster.world.trace_hash()),
        }
    }
}

impl<C: Subject> Cluster<C> {
    /// A newer value of each key, each at a random node.
    fn write(&mut self, plan: Plan, nodes: NodeId) {
        for key in 0..plan.keys {
            self.written += 1;
            let command = Command::Write {
                key: Bytes::copy_from_slice(&key.to_be_bytes()),
                version: self.written,
                value: vec![0; plan.value_bytes].into(),
            };
            let node = self.random.random_range(0..nodes);
            self.world.command(node, command);
        }
    }

    /// How many different states there are.
    fn states(&self) -> usize {
        let nodes = self.world.running();
        let states = nodes.filter_map(|node| self.world.state(node));
        let mut digests: Vec<Digest> = states.map(|state| state.upper.digest()).collect();
        digests.sort_by_key(|digest| (digest.keys, digest.sum));
        digests.dedup();
        digests.len()
    }

    /// Runs until all states are alike: periods, and bytes per node and second.
    fn agree(&mut self) -> (Option<usize>, f64) {
        let period = Config::default().period;
        let (before, begun) = (self.world.totals().bytes, self.world.now());
        let mut periods = 0;
        while self.states() > 1 && periods < PERIODS_MAX {
            self.world.run_for(period);
            periods += 1;
        }
        let bytes = self.world.totals().bytes - before;
        let span = self.world.now().since(begun);
        let agreed = (self.states() <= 1).then_some(periods);
        (agreed, self.per_node_s(bytes, span))
    }

    fn measure(&mut self, span: Duration) -> f64 {
        let before = self.world.totals().bytes;
        self.world.run_for(span);
        self.per_node_s(self.world.totals().bytes - before, span)
    }

    fn per_node_s(&self, bytes: u64, span: Duration) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "bytes of a simulation, far below 2^52"
        )]
        let bytes = bytes as f64;
        bytes / f64::from(self.world.node_count()) / span.as_secs_f64().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::NetworkConfig;
    use crate::sim::carrier::Carrier;

    #[test]
    fn all_states_are_alike_after_loss_and_after_a_partition() {
        for (seed, overlay) in [(1, Carrier::FullMesh), (2, Carrier::HyParView)] {
            let network = NetworkConfig {
                loss: 0.2,
                duplication: 0.1,
                reorder: 0.3,
                ..NetworkConfig::default()
            };
            let experiment = Experiment {
                overlay,
                nodes: 24,
                seed,
                network,
                join_spacing: Duration::from_millis(10),
            };
            let plan = Plan {
                experiment,
                keys: 300,
                value_bytes: 50,
            };
            let figures = plan.run(&mut |_, _, _| {});
            println!("{figures:?}");
            assert!(figures.states_in_halves >= 2, "{figures:?}");
            assert!(
                figures
                    .periods_to_agree
                    .is_some_and(|periods| periods < 120),
                "{figures:?}"
            );
            assert!(
                figures.periods_to_heal.is_some_and(|periods| periods < 240),
                "{figures:?}"
            );
            let most = 256.0 * 1024.0 + 10_000.0;
            assert!(figures.bytes_per_node_s_busy < most, "{figures:?}");
            assert!(figures.bytes_per_node_s_quiet < 1_000.0, "{figures:?}");
        }
    }
}
