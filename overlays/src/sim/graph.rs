//! The overlay of a world as a graph, and the figures that papers give about such graphs.
//!
//! Called between steps, never during one. An edge is an entry in a node's neighbors; only entries
//! for running nodes count.

use std::collections::VecDeque;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;

use super::NodeId;
use super::subject::{Observer, Subject};
use super::world::World;

/// Who is connected to whom at one moment.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Running nodes.
    nodes: Vec<NodeId>,
    /// Indexed by node; empty for nodes that are down.
    edges: Vec<Vec<NodeId>>,
}

/// Figures of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// Every running node can be reached from every other one.
    pub connected: bool,
    /// Edges that the other end does not have.
    pub one_way: usize,
    /// Running nodes without any neighbor that is running.
    pub isolated: usize,
    /// Nodes in the largest connected part.
    pub largest_part: usize,
    /// Mean hops between two nodes, along edges as they point.
    pub mean_shortest_path: f64,
    /// Mean share of a node's neighbors that are neighbors of each other.
    pub clustering: f64,
    /// Least number of nodes that have a node as their neighbor.
    pub degree_min: usize,
    /// Most.
    pub degree_max: usize,
    /// Mean.
    pub degree_mean: f64,
    /// Standard deviation.
    pub degree_deviation: f64,
}

impl Graph {
    /// The graph of a world as it is now.
    pub fn of<X: Subject, O: Observer<X>>(world: &World<X, O>) -> Self {
        let mut edges = vec![Vec::new(); world.node_count() as usize];
        let nodes: Vec<NodeId> = world.running().collect();
        for node in &nodes {
            if let Some(state) = world.state(*node) {
                let mut neighbors = state.neighbors();
                neighbors.retain(|peer| world.state(*peer).is_some());
                edges[*node as usize] = neighbors;
            }
        }
        Self { nodes, edges }
    }

    /// Whether every running node can reach every other one, edges taken both ways.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.largest_part() == self.nodes.len()
    }

    /// Running nodes without a running neighbor.
    #[must_use]
    pub fn isolated(&self) -> usize {
        self.nodes
            .iter()
            .filter(|node| self.edges[**node as usize].is_empty())
            .count()
    }

    /// Edges that only one end has.
    #[must_use]
    pub fn one_way_edges(&self) -> Vec<(NodeId, NodeId)> {
        let edges = self.nodes.iter().flat_map(|node| {
            self.edges[*node as usize]
                .iter()
                .map(move |peer| (*node, *peer))
        });
        edges
            .filter(|(node, peer)| !self.edges[*peer as usize].contains(node))
            .collect()
    }

    /// All figures. Shortest paths are measured from at most `sources_max` nodes, drawn with `seed`.
    #[must_use]
    pub fn shape(&self, sources_max: usize, seed: u64) -> Shape {
        let mut incoming = vec![0_usize; self.edges.len()];
        for peer in self.edges.iter().flatten() {
            incoming[*peer as usize] += 1;
        }
        let degrees: Vec<usize> = self
            .nodes
            .iter()
            .map(|node| incoming[*node as usize])
            .collect();
        let mean = share(degrees.iter().sum(), degrees.len());
        let variance: f64 = degrees
            .iter()
            .map(|degree| (float(*degree) - mean).powi(2))
            .sum::<f64>()
            / float(degrees.len().max(1));
        let largest_part = self.largest_part();
        Shape {
            connected: largest_part == self.nodes.len(),
            one_way: self.one_way_edges().len(),
            isolated: self.isolated(),
            largest_part,
            mean_shortest_path: self.mean_shortest_path(sources_max, seed),
            clustering: self.clustering(),
            degree_min: degrees.iter().copied().min().unwrap_or(0),
            degree_max: degrees.iter().copied().max().unwrap_or(0),
            degree_mean: mean,
            degree_deviation: variance.sqrt(),
        }
    }

    fn largest_part(&self) -> usize {
        let parts = self.parts();
        parts.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The running nodes in sets of which no edge leads to another one, edges taken both ways.
    #[must_use]
    pub fn parts(&self) -> Vec<Vec<NodeId>> {
        let mut both_ways = self.edges.clone();
        for node in &self.nodes {
            for peer in &self.edges[*node as usize] {
                both_ways[*peer as usize].push(*node);
            }
        }
        let mut hops = vec![u32::MAX; self.edges.len()];
        let mut unseen = self.nodes.clone();
        let mut parts = Vec::new();
        while let Some(first) = unseen.first() {
            walk(&both_ways, *first, &mut hops);
            let is_seen = |node: &NodeId| hops[*node as usize] != u32::MAX;
            let (part, rest) = unseen.into_iter().partition(is_seen);
            parts.push(part);
            unseen = rest;
        }
        parts
    }

    fn mean_shortest_path(&self, sources_max: usize, seed: u64) -> f64 {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let sources = self.nodes.iter().copied().sample(&mut random, sources_max);
        let (mut reached, mut total) = (0, 0);
        for source in sources {
            let mut hops = vec![u32::MAX; self.edges.len()];
            let (nodes, sum) = walk(&self.edges, source, &mut hops);
            reached += nodes.saturating_sub(1);
            total += sum;
        }
        share(total, reached)
    }

    fn clustering(&self) -> f64 {
        let local = self.nodes.iter().map(|node| {
            let near = &self.edges[*node as usize];
            let pairs = near.len() * near.len().saturating_sub(1);
            let linked = near
                .iter()
                .flat_map(|one| near.iter().map(move |other| (one, other)))
                .filter(|(one, other)| one != other && self.edges[**one as usize].contains(other));
            share(linked.count(), pairs)
        });
        local.sum::<f64>() / float(self.nodes.len().max(1))
    }
}

/// Visits all that can be reached from `source` and was not visited: how many, and their hops' sum.
fn walk(edges: &[Vec<NodeId>], source: NodeId, hops: &mut [u32]) -> (usize, usize) {
    if hops[source as usize] != u32::MAX {
        return (0, 0);
    }
    hops[source as usize] = 0;
    let mut waiting = VecDeque::from([source]);
    let (mut nodes, mut sum) = (0, 0);
    while let Some(node) = waiting.pop_front() {
        let depth = hops[node as usize];
        nodes += 1;
        sum += depth as usize;
        for peer in &edges[node as usize] {
            if hops[*peer as usize] == u32::MAX {
                hops[*peer as usize] = depth + 1;
                waiting.push_back(*peer);
            }
        }
    }
    (nodes, sum)
}

/// `part / whole`, and zero where there is nothing.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of nodes and hops, far below 2^52"
)]
const fn float(count: usize) -> f64 {
    count as f64
}
