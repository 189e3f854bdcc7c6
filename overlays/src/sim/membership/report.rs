//! The figures of membership that are published: cost, crashes, false accusations, partitions.

use std::time::Duration;

use serde::Serialize;

use super::{Cluster, Config, Cost};
use crate::sim::NodeId;
use crate::sim::carrier::{Carrier, MakeCarrier, Task};
use crate::sim::network::{Death, NetworkConfig};
use crate::sim::subject::Subject;
use crate::sim::workload::Progress;

/// The node that is made slow.
const SLOW_NODE: NodeId = 3;
/// Time to settle after the last join.
const SETTLE: Duration = Duration::from_secs(60);

/// What is wrong with one node while false accusations are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trouble {
    /// How much later than others one node does everything.
    pub slow: Duration,
    /// For how long.
    pub span: Duration,
}

/// Figures of one cluster that starts complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The overlay.
    pub overlay: &'static str,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// Messages per node and second while nothing happens, all layers.
    pub messages_per_node_s: f64,
    /// Bytes of the same.
    pub bytes_per_node_s: f64,
    /// From a crash to the first node that told it; mean of the crashes that everybody told.
    pub detect_ms: u64,
    /// From the first to the last node that told it; mean.
    pub spread_ms: u64,
    /// Crashes made, half of them silent.
    pub crashes: u32,
    /// Crashes that every other node told.
    pub crashes_told: u32,
    /// Suspicions of healthy nodes during the trouble, each counted once for each node that told it,
    /// divided by the nodes.
    pub false_suspicions: f64,
    /// The same of the slow node.
    pub slow_suspicions: f64,
    /// Deaths told of nodes that ran, the slow one included, at any node.
    pub false_down: u64,
    /// Members that the slow node accused.
    pub slow_accused: u64,
    /// Messages per node and second during the trouble.
    pub trouble_messages_per_node_s: f64,
    /// Bytes of the same.
    pub trouble_bytes_per_node_s: f64,
    /// All agree at the end.
    pub agreed: bool,
    /// Inputs handled in all.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experiment {
    /// The overlay.
    pub overlay: Carrier,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// What lies between the nodes, from the start to the end.
    pub network: NetworkConfig,
    /// Time between two joins of the overlay.
    pub join_spacing: Duration,
}

impl Report {
    /// Runs the experiment: quiet, then `crashes`, then trouble.
    pub fn of(
        experiment: Experiment,
        crashes: u32,
        trouble: Trouble,
        progress: Progress<'_>,
    ) -> Self {
        let task = Measured {
            experiment,
            crashes,
            trouble,
            progress,
        };
        experiment.overlay.run(experiment.nodes, task)
    }
}

struct Measured<'p> {
    experiment: Experiment,
    crashes: u32,
    trouble: Trouble,
    progress: Progress<'p>,
}

impl Task for Measured<'_> {
    type Output = Report;

    fn run<C: Subject + 'static>(mut self, make: MakeCarrier<C>) -> Report {
        let Experiment {
            overlay,
            nodes,
            seed,
            ..
        } = self.experiment;
        let mut cluster = settled(self.experiment, make, self.progress);
        (self.progress)("quiet", 0, 1);
        let quiet = cluster.measure(Duration::from_secs(60));
        let (crashes_told, detect, spread) = self.crash(&mut cluster);
        let troubled = self.trouble(&mut cluster);
        let agreed = cluster.periods_to_agree(30).is_some();
        let mean = |total: Duration| {
            let mean = total.as_millis() / u128::from(crashes_told.max(1));
            u64::try_from(mean).unwrap_or(u64::MAX)
        };
        Report {
            overlay: overlay.name(),
            nodes,
            seed,
            messages_per_node_s: quiet.messages_per_node_s,
            bytes_per_node_s: quiet.bytes_per_node_s,
            detect_ms: mean(detect),
            spread_ms: mean(spread),
            crashes: self.crashes,
            crashes_told,
            false_suspicions: troubled.suspicions,
            slow_suspicions: troubled.slow_suspicions,
            false_down: cluster.world.observer.errors(None).1,
            slow_accused: troubled.accused,
            trouble_messages_per_node_s: troubled.cost.messages_per_node_s,
            trouble_bytes_per_node_s: troubled.cost.bytes_per_node_s,
            agreed,
            events: cluster.world.totals().events,
            trace_hash: format!("{:016x}", cluster.world.trace_hash()),
        }
    }
}

/// What came of the trouble.
struct Troubled {
    cost: Cost,
    suspicions: f64,
    slow_suspicions: f64,
    accused: u64,
}

impl Measured<'_> {
    /// How many crashes everybody told, and the sums of their times.
    fn crash<C: Subject + 'static>(
        &mut self,
        cluster: &mut Cluster<C>,
    ) -> (u32, Duration, Duration) {
        let (mut told, mut detect, mut spread) = (0, Duration::ZERO, Duration::ZERO);
        for number in 0..self.crashes {
            (self.progress)("crash", number as usize, self.crashes as usize);
            let death = if number % 2 == 1 {
                Death::Silent
            } else {
                self.experiment.network.death
            };
            if let Some(crash) = cluster.crash(death, Some(SLOW_NODE), 120) {
                told += 1;
                detect += crash.detect;
                spread += crash.spread;
            }
            cluster.world.run_for(Duration::from_secs(10));
        }
        (told, detect, spread)
    }

    fn trouble<C: Subject + 'static>(&mut self, cluster: &mut Cluster<C>) -> Troubled {
        let Trouble { slow, span } = self.trouble;
        let accusations = |cluster: &Cluster<C>| {
            let state = cluster.world.state(SLOW_NODE);
            state.map_or(0, |state| state.upper.counters().accusations)
        };
        let suspicions = |cluster: &Cluster<C>| {
            let census = &cluster.world.observer;
            (census.errors(None).0, census.errors(Some(SLOW_NODE)).0)
        };
        let before = (accusations(cluster), suspicions(cluster));
        cluster.world.slow_down(SLOW_NODE, slow);
        (self.progress)("trouble", 0, 1);
        let cost = cluster.measure(span);
        let after = (accusations(cluster), suspicions(cluster));
        cluster.world.slow_down(SLOW_NODE, Duration::ZERO);
        let others = after.1.1 - before.1.1;
        let all = after.1.0 - before.1.0;
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let per_node = |count: u64| count as f64 / f64::from(self.experiment.nodes);
        Troubled {
            cost,
            suspicions: per_node(others),
            slow_suspicions: per_node(all - others),
            accused: after.0 - before.0,
        }
    }
}

/// How a cluster comes out of a partition into two halves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Healing {
    /// The overlay.
    pub overlay: &'static str,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// Length of the partition.
    pub partition_s: u64,
    /// Live members that a node knew at the end of the partition: least.
    pub live_min: usize,
    /// Most.
    pub live_max: usize,
    /// Periods from the end of the partition until all tables were equal and complete.
    pub cycles_to_heal: Option<usize>,
    /// The overlay was one then.
    pub connected: bool,
    /// Messages per node in those periods, and five more.
    pub messages_per_node: f64,
    /// Inputs handled in all.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Healing {
    /// Runs the experiment.
    pub fn of(experiment: Experiment, partition: Duration, progress: Progress<'_>) -> Self {
        let task = Partitioned {
            experiment,
            partition,
            progress,
        };
        experiment.overlay.run(experiment.nodes, task)
    }
}

/// A cluster that has joined and settled.
pub(super) fn settled<C: Subject + 'static>(
    experiment: Experiment,
    make: MakeCarrier<C>,
    progress: Progress<'_>,
) -> Cluster<C> {
    let Experiment {
        nodes,
        seed,
        network,
        join_spacing,
        ..
    } = experiment;
    let mut cluster = Cluster::complete(seed, nodes, network, Config::default(), make);
    cluster.join(join_spacing, progress);
    progress("settle", 0, 1);
    cluster.world.run_for(SETTLE);
    cluster
}

struct Partitioned<'p> {
    experiment: Experiment,
    partition: Duration,
    progress: Progress<'p>,
}

impl Task for Partitioned<'_> {
    type Output = Healing;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> Healing {
        let Experiment {
            overlay,
            nodes,
            seed,
            ..
        } = self.experiment;
        let mut cluster = settled(self.experiment, make, self.progress);
        (self.progress)("partition", 0, 1);
        cluster.world.partition(self.partition);
        let running: Vec<NodeId> = cluster.world.running().collect();
        let live = || running.iter().map(|node| cluster.live_at(*node));
        let (live_min, live_max) = (live().min().unwrap_or(0), live().max().unwrap_or(0));
        (self.progress)("heal", 0, 1);
        let before = cluster.world.totals().messages;
        let cycles_to_heal = cluster.periods_to_agree(120);
        let connected = cluster.is_connected();
        cluster.world.run_for(Duration::from_secs(5));
        let messages = cluster.world.totals().messages - before;
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let messages_per_node = messages as f64 / f64::from(nodes);
        Healing {
            overlay: overlay.name(),
            nodes,
            seed,
            partition_s: self.partition.as_secs(),
            live_min,
            live_max,
            cycles_to_heal,
            connected,
            messages_per_node,
            events: cluster.world.totals().events,
            trace_hash: format!("{:016x}", cluster.world.trace_hash()),
        }
    }
}
