//! One line of results: the figures of one simulation, under names that all experiments share.
//!
//! A figure that an experiment does not measure is absent. Figures of the machine (speed, memory) are
//! filled in by whoever runs the simulation, as nothing here can see them.

use serde::Serialize;

use super::deliveries::Round;
use super::graph::Shape;

/// Figures of one simulation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The overlay, with what was changed in it.
    pub overlay: String,
    /// How broadcasts were spread.
    pub broadcast: &'static str,
    /// Nodes that joined.
    pub nodes: u32,
    /// The number that repeats the simulation.
    pub seed: u64,
    /// Share of nodes crashed at once, in percent.
    pub failed_percent: f64,
    /// Mean share of running nodes that a broadcast reached; before healing, if nodes failed.
    pub reach_percent: Option<f64>,
    /// The same for the broadcast that reached fewest.
    pub reach_percent_min: Option<f64>,
    /// The same as `reach_percent` three cycles after the failure.
    pub reach_percent_healed: Option<f64>,
    /// Running nodes without a running neighbor; three cycles after the failure, if nodes failed.
    pub isolated: Option<usize>,
    /// All running nodes are connected; three cycles after the failure, if nodes failed.
    pub connected: Option<bool>,
    /// Edges that only one end has, before any failure.
    pub one_way: Option<usize>,
    /// Mean hops between two nodes, before any failure.
    pub mean_shortest_path: Option<f64>,
    /// Mean clustering coefficient, before any failure.
    pub clustering: Option<f64>,
    /// Least in-degree, before any failure.
    pub degree_min: Option<usize>,
    /// Greatest in-degree.
    pub degree_max: Option<usize>,
    /// Mean in-degree.
    pub degree_mean: Option<f64>,
    /// Standard deviation of the in-degree.
    pub degree_deviation: Option<f64>,
    /// Mean relative message redundancy.
    pub rmr: Option<f64>,
    /// The same over the second half of the broadcasts, when the tree has settled.
    pub rmr_stable: Option<f64>,
    /// Messages of all layers per broadcast, while they were sent, if no nodes failed.
    pub messages_per_broadcast: Option<f64>,
    /// Deliveries that did not happen, over all broadcasts.
    pub missed: Option<u64>,
    /// Most hops that any delivery took.
    pub last_hop_max: Option<u16>,
    /// Mean over broadcasts of the hops to the node that needed most.
    pub last_hop_mean: Option<f64>,
    /// Mean time to the last delivery.
    pub last_delivery_ms: Option<f64>,
    /// The same over the second half of the broadcasts.
    pub last_delivery_ms_stable: Option<f64>,
    /// Cycles after the failure until all running nodes are connected and a broadcast reaches all.
    pub cycles_to_heal: Option<usize>,
    /// New neighbors per node and minute while the broadcasts were sent, if no nodes failed: what a
    /// settled overlay still moves.
    pub neighbor_ups_per_node_min: Option<f64>,
    /// Bytes per node and second over the whole simulation, all layers.
    pub bytes_per_node_s: f64,
    /// Messages per node and second over the whole simulation.
    pub messages_per_node_s: f64,
    /// Inputs handled.
    pub events: u64,
    /// Inputs handled per second of real time.
    pub events_per_s: f64,
    /// Real time.
    pub elapsed_s: f64,
    /// Most memory that the process had.
    pub peak_rss_bytes: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Report {
    pub(super) fn set_shape(&mut self, shape: &Shape) {
        self.connected = Some(shape.connected);
        self.isolated = Some(shape.isolated);
        self.one_way = Some(shape.one_way);
        self.mean_shortest_path = Some(shape.mean_shortest_path);
        self.clustering = Some(shape.clustering);
        self.degree_min = Some(shape.degree_min);
        self.degree_max = Some(shape.degree_max);
        self.degree_mean = Some(shape.degree_mean);
        self.degree_deviation = Some(shape.degree_deviation);
    }

    pub(super) fn set_rounds(&mut self, rounds: &[Round]) {
        if rounds.is_empty() {
            return;
        }
        let settled = &rounds[rounds.len() / 2..];
        let milliseconds = |round: &Round| round.time_to_last().as_secs_f64() * 1e3;
        let reach = rounds.iter().map(Round::reach_percent);
        self.reach_percent = Some(mean(rounds, Round::reach_percent));
        self.reach_percent_min = reach.min_by(f64::total_cmp);
        self.rmr = Some(mean(rounds, Round::redundancy));
        self.rmr_stable = Some(mean(settled, Round::redundancy));
        self.missed = Some(rounds.iter().map(|round| u64::from(round.missed())).sum());
        self.last_hop_max = rounds.iter().map(|round| round.hops_max).max();
        self.last_hop_mean = Some(mean(rounds, |round| f64::from(round.hops_max)));
        self.last_delivery_ms = Some(mean(rounds, milliseconds));
        self.last_delivery_ms_stable = Some(mean(settled, milliseconds));
    }
}

/// Mean of a figure of some rounds; zero if there are none.
pub(super) fn mean(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let count = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
    rounds.iter().map(figure).sum::<f64>() / f64::from(count.max(1))
}
