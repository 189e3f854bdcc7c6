//! Switching overlays in the simulator: broadcasts flow all the time, and each of them has to reach every
//! node exactly once, whatever becomes of the change.
//!
//! Runs the whole stack: switch, broadcasts, membership, conductor. [`Traffic`] watches each delivery and
//! each step of a change; the phases are functions on [`Cluster`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::NodeId;
use super::carrier::seeds;
use super::deliveries::number_of;
use super::graph::Graph;
use super::membership::{Over, with_membership};
use super::network::NetworkConfig;
use super::subject::{Inspect, Observer};
use super::workload::Progress;
use super::world::World;
use crate::broadcasts::Broadcasts;
use crate::epoch::{Epoch, OverlayKind, Step, WhyBack};
use crate::event::{Command, Event};
use crate::protocols::Protocols;
use crate::stack::Stack;
use crate::switching::{Conductor, Switch, TrialReport, TrialTerms};
use crate::time::Time;

/// A node whose overlay can be switched.
pub type Switchable = Stack<Over<Stack<Switch<NodeId>, Broadcasts<NodeId>>>, Conductor<NodeId>>;

/// How long a node has been a part of the cluster before it has to get every broadcast.
const SETTLED_AFTER: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);
/// Every how many steps the state of a node is checked: a check looks at each message that the node keeps, which are
/// thousands where broadcasts are many.
const CHECKED_EVERY: u64 = 61;
/// Seconds of broadcasts before the order, where nobody says otherwise.
pub const BEFORE_S: u32 = 10;
/// Least time between two broadcasts.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

impl Inspect for Switch<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for Conductor<NodeId> {}

/// A node in one of its lives.
type Life = (NodeId, u32);

/// One broadcast.
#[derive(Debug)]
struct Sent {
    at: Time,
    sender: Life,
    /// Who has to get it, if it lives on.
    receivers: BTreeSet<Life>,
    /// How often each node got it.
    got: BTreeMap<Life, u32>,
    last: Time,
}

/// Watches broadcasts and changes.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: Vec<Sent>,
    /// How often each node was restarted, if it was.
    restarts: BTreeMap<NodeId, u32>,
    /// When each node committed each epoch; when it rolled it back, and why; when it retired it.
    committed: BTreeMap<Epoch<NodeId>, BTreeMap<NodeId, Time>>,
    /// What was rolled back, where, and why.
    pub rolled_back: Vec<(NodeId, Epoch<NodeId>, WhyBack)>,
    /// Trials that were measured.
    pub trying: u64,
    /// What came of trials, and at whom it was told.
    pub tried: Vec<(NodeId, TrialReport)>,
    /// The last time that a node closed an overlay that is no longer in force.
    retired: Time,
    /// Members that were told down.
    downs: u64,
    /// What was wrong with the state of a node, or with what it told.
    pub violation: Option<String>,
    neighbors: BTreeMap<NodeId, BTreeSet<NodeId>>,
    steps: u64,
    /// Publications that came, with their topics.
    pub published: Vec<(NodeId, u64, Bytes)>,
}

impl Traffic {
    fn broken(&mut self, at: Time, node: NodeId, what: &str) {
        self.hold(false, at, node, what);
    }

    fn hold(&mut self, holds: bool, at: Time, node: NodeId, what: &str) {
        if !holds && self.violation.is_none() {
            self.violation = Some(format!("{at}: node {node}: {what}"));
        }
    }
}

impl Observer<Switchable> for Traffic {
    fn event(&mut self, at: Time, node: NodeId, _state: &Switchable, event: &Event<NodeId>) {
        match event {
            Event::Delivered(delivery) => {
                if let Some(topic) = delivery.topic {
                    let body = delivery.payload.body.clone();
                    self.published.push((node, topic, body));
                    return;
                }
                let number = number_of(&delivery.payload.body);
                let life = (node, self.restarts.get(&node).copied().unwrap_or(0));
                let sent = number.and_then(|number| usize::try_from(number).ok());
                match sent.and_then(|number| self.sent.get_mut(number)) {
                    Some(sent) => {
                        *sent.got.entry(life).or_default() += 1;
                        sent.last = at;
                    }
                    None => self.broken(at, node, "delivered what nobody sent"),
                }
            }
            Event::Switching { epoch, step, .. } => match step {
                Step::Committed => {
                    self.committed.entry(*epoch).or_default().insert(node, at);
                }
                Step::RolledBack(why) => self.rolled_back.push((node, *epoch, *why)),
                Step::Retired => self.retired = at,
                Step::Trying => self.trying += 1,
                Step::Announced | Step::Prepared | Step::Adopted | Step::Verified => {}
            },
            Event::Tried { report, .. } => self.tried.push((node, (**report).clone())),
            Event::MemberDown(_) => self.downs += 1,
            Event::NeighborUp(peer) => {
                let fits = self.neighbors.entry(node).or_default().insert(*peer);
                self.hold(fits, at, node, "told a neighbor up twice");
            }
            Event::NeighborDown(peer) => {
                let fits = self.neighbors.entry(node).or_default().remove(peer);
                self.hold(fits, at, node, "told a neighbor down that was not up");
            }
            Event::Epoch(_) => self.broken(at, node, "a report came up through the conductor"),
            _ => {}
        }
    }

    fn stepped(&mut self, at: Time, node: NodeId, state: &Switchable) {
        self.steps += 1;
        if !self.steps.is_multiple_of(CHECKED_EVERY) {
            return;
        }
        if let Err(what) = state.check() {
            self.broken(at, node, &what);
        }
    }
}

/// A cluster whose overlay can be switched.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes.
    pub world: World<Switchable, Traffic>,
    random: Xoshiro256PlusPlus,
    born: BTreeMap<Life, Time>,
}

/// What is to be simulated.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// What lies between them.
    pub network: NetworkConfig,
    /// Time between two joins.
    pub join_spacing: Duration,
    /// The overlay before.
    pub from: OverlayKind,
    /// The overlay after.
    pub to: OverlayKind,
    /// Time between two broadcasts.
    pub interval: Duration,
    /// For how many seconds broadcasts flow before the order.
    pub before_s: u32,
    /// What the nodes go by.
    pub protocols: Protocols,
    /// How many of them are servers, where the overlay before has some; none: one in 50, 3 to 64.
    pub servers: Option<NodeId>,
}

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The overlay before.
    pub from: &'static str,
    /// The overlay after.
    pub to: &'static str,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// All nodes have the new overlay alone, and it connects them.
    pub switched: bool,
    /// From the order until the first node committed.
    pub prepare_ms: Option<u64>,
    /// From the first node that committed to the last.
    pub commit_spread_ms: Option<u64>,
    /// From the order until the last node had closed the old overlay.
    pub total_ms: Option<u64>,
    /// Nodes that rolled it back.
    pub rolled_back: usize,
    /// Broadcasts sent from some seconds before the order (10, unless it is said) until ten after the end.
    pub broadcasts: usize,
    /// Deliveries that were to come of them and did not.
    pub lost: usize,
    /// Deliveries beyond the first to one node.
    pub duplicates: usize,
    /// Most time to the last delivery of a broadcast sent before the order.
    pub last_delivery_before_ms: u64,
    /// The same of one sent during the change.
    pub last_delivery_during_ms: u64,
    /// Messages of all layers per node and second, in the seconds before the order.
    pub messages_per_node_s_before: f64,
    /// The same from the order until the last old overlay was closed.
    pub messages_per_node_s_during: f64,
    /// Members told down though nobody was.
    pub false_downs: u64,
    /// The first promise that was broken, if any was.
    pub violation: Option<String>,
    /// Inputs handled.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Cluster {
    /// `count` nodes with one overlay, that have joined one by one and settled.
    pub fn new(
        seed: u64,
        count: NodeId,
        kind: OverlayKind,
        network: NetworkConfig,
        spacing: Duration,
        progress: Progress<'_>,
    ) -> Self {
        let experiment = Experiment {
            nodes: count,
            seed,
            network,
            join_spacing: spacing,
            from: kind,
            to: kind,
            interval: SECOND,
            before_s: BEFORE_S,
            protocols: simulated(),
            servers: None,
        };
        Self::of(&experiment, progress)
    }

    /// The cluster of an experiment, that has joined one by one and settled.
    fn of(experiment: &Experiment, progress: Progress<'_>) -> Self {
        let Experiment {
            nodes: count,
            seed,
            network,
            join_spacing: spacing,
            from: kind,
            ..
        } = *experiment;
        let servers: Vec<NodeId> = match kind {
            OverlayKind::ClientServer => {
                let servers = experiment.servers;
                let servers = servers.unwrap_or_else(|| seeds(count));
                (0..servers.min(count)).collect()
            }
            _ => Vec::new(),
        };
        let below = servers.clone();
        let Protocols {
            switch,
            broadcasts,
            membership,
            conductor,
        } = experiment.protocols.clone();
        let carrier = Box::new(move |node| {
            let switch = Switch::new(node, kind, below.clone(), switch.clone());
            let broadcasts = Broadcasts::new(node, kind, broadcasts.clone());
            Stack::new(switch, broadcasts)
        });
        let mut over = with_membership(membership, None, carrier);
        let make = Box::new(move |node, starts| {
            let conductor = Conductor::new(node, kind, servers.clone(), conductor.clone());
            Stack::new(over(node, starts), conductor)
        });
        let mut cluster = Self {
            world: World::new(seed, network, make, Traffic::default()),
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x7377_6974_6368_0000),
            born: BTreeMap::new(),
        };
        for node in 0..count {
            cluster.add();
            cluster.world.run_for(spacing);
            progress("join", node as usize + 1, count as usize);
        }
        for second in 0..60 {
            cluster.world.run_for(SECOND);
            progress("settle", second, 60);
        }
        cluster
    }

    /// Another node joins through a random one that runs.
    pub fn add(&mut self) -> NodeId {
        let contact = self.world.running().choose(&mut self.random);
        let node = self.world.add_node();
        self.born.insert((node, 0), self.world.now());
        if let Some(contact) = contact {
            self.world.command(node, Command::Join(contact));
        }
        node
    }

    /// Starts a node that had crashed, and lets it join through a random one.
    pub fn restart(&mut self, node: NodeId) {
        let contact = self.world.running().choose(&mut self.random);
        let starts = self.world.starts(node);
        self.world.observer.neighbors.remove(&node);
        self.world.observer.restarts.insert(node, starts);
        self.world.restart(node);
        self.born.insert((node, starts), self.world.now());
        if let Some(contact) = contact {
            self.world.command(node, Command::Join(contact));
        }
    }

    /// Orders a change at a node.
    pub fn switch(&mut self, node: NodeId, kind: OverlayKind) {
        self.switch_in(node, kind, None);
    }

    /// Orders a change at a node that is tried on a part first.
    pub fn try_on_part(&mut self, node: NodeId, kind: OverlayKind, terms: TrialTerms<NodeId>) {
        self.switch_in(node, kind, Some(Box::new(terms)));
    }

    fn switch_in(
        &mut self,
        node: NodeId,
        kind: OverlayKind,
        trial: Option<Box<TrialTerms<NodeId>>>,
    ) {
        let command = Command::SwitchOverlay {
            kind,
            servers: Vec::new(),
            trial,
        };
        self.world.command(node, command);
    }

    /// Lets random running nodes broadcast, one each `interval`, for `span`.
    pub fn traffic(&mut self, span: Duration, interval: Duration) {
        let end = self.world.now() + span;
        while self.world.now() < end {
            if let Some(sender) = self.world.running().choose(&mut self.random) {
                self.send(sender);
            }
            self.world.run_for(interval.max(INTERVAL_MIN));
        }
    }

    fn send(&mut self, sender: NodeId) {
        let now = self.world.now();
        let number = self.world.observer.sent.len() as u64;
        let lives = self
            .world
            .running()
            .map(|node| (node, self.world.starts(node)));
        let settled = lives.filter(|life| {
            let born = self.born.get(life).copied().unwrap_or_default();
            life.0 != sender && now.since(born) >= SETTLED_AFTER
        });
        let receivers = settled.collect();
        self.world.observer.sent.push(Sent {
            at: now,
            sender: (sender, self.world.starts(sender)),
            receivers,
            got: BTreeMap::new(),
            last: now,
        });
        let mut payload = vec![0; 64];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        let payload = Bytes::from(payload);
        self.world
            .command(sender, Command::Broadcast(payload.into()));
    }

    /// Of the broadcasts sent since `since` by those who still run: deliveries that did not come to nodes
    /// that lived all the time, and deliveries beyond the first.
    #[must_use]
    pub fn lost_and_repeated(&self, since: Time) -> (usize, usize) {
        let lives: BTreeSet<Life> = (self.world.running())
            .map(|node| (node, self.world.starts(node)))
            .collect();
        let sent = self.world.observer.sent.iter();
        let (mut lost, mut repeated) = (0, 0);
        for sent in sent.filter(|sent| sent.at >= since) {
            let receivers = sent.receivers.intersection(&lives);
            lost += receivers
                .filter(|life| !sent.got.contains_key(life))
                .count();
            let again = sent
                .got
                .iter()
                .filter(|(life, times)| **times > 1 || **life == sent.sender);
            repeated += again.count();
        }
        (lost, repeated)
    }

    /// Whether all running nodes have this overlay alone, in one epoch, and it connects them.
    #[must_use]
    pub fn is_all(&self, kind: OverlayKind) -> bool {
        let states = || {
            self.world
                .running()
                .filter_map(|node| self.world.state(node))
        };
        let epochs: BTreeSet<Epoch<NodeId>> =
            states().map(|state| state.upper.current().epoch).collect();
        let alike = states().all(|state| {
            let switch = &state.lower.lower.lower;
            let current = switch.current();
            current == Some(state.upper.current())
                && state.upper.current().kind == kind
                && state.upper.next().is_none()
                && switch.overlays() == 1
        });
        alike && epochs.len() == 1 && Graph::of(&self.world).is_connected()
    }

    /// The greatest epoch that anybody committed, and when each node did.
    fn last_commit(&self) -> Option<&BTreeMap<NodeId, Time>> {
        self.world.observer.committed.values().next_back()
    }
}

/// What nodes go by where nobody says otherwise. As the simulated overlays elsewhere: a full mesh of all nodes, however many.
#[must_use]
pub fn simulated() -> Protocols {
    let mut protocols = Protocols::default();
    let full_mesh = &mut protocols.switch.overlays.full_mesh;
    full_mesh.peers_max = full_mesh.peers_max.max(4_096);
    protocols
}

const fn millis(span: Duration) -> u64 {
    // A simulation lasts hours at most.
    span.as_secs() * 1_000 + span.subsec_millis() as u64
}

impl Experiment {
    /// Runs it: some seconds of broadcasts, the order, broadcasts until the old overlay is closed
    /// everywhere, and ten seconds more.
    #[must_use]
    pub fn run(&self, progress: Progress<'_>) -> Figures {
        let mut cluster = Cluster::of(self, progress);
        let begun = cluster.world.now();
        let downs = cluster.world.observer.downs;
        let before = self.messages(&mut cluster, self.before_s, progress);
        let ordered = cluster.world.now();
        let node = cluster.random.random_range(0..self.nodes);
        cluster.switch(node, self.to);
        let (mut during, mut seconds) = (0.0, 0_u32);
        while seconds < 120 && !(seconds > 0 && cluster.is_all(self.to)) {
            during += self.messages(&mut cluster, 1, progress);
            seconds += 1;
        }
        let ended = cluster.world.now();
        self.messages(&mut cluster, 10, progress);
        // What was sent last has time to arrive.
        cluster.world.run_for(20 * SECOND);
        let switched = cluster.is_all(self.to);
        let (lost, duplicates) = cluster.lost_and_repeated(begun);
        let commits = cluster.last_commit();
        let first = commits.and_then(|commits| commits.values().min().copied());
        let last = commits.and_then(|commits| commits.values().max().copied());
        let traffic = &cluster.world.observer;
        let slowest = |from: Time, to: Time| {
            let sent = traffic.sent.iter();
            let sent = sent.filter(|sent| sent.at >= from && sent.at < to);
            let spans = sent.map(|sent| sent.last.since(sent.at));
            millis(spans.max().unwrap_or_default())
        };
        Figures {
            from: self.from.name(),
            to: self.to.name(),
            nodes: self.nodes,
            seed: self.seed,
            switched,
            prepare_ms: first.map(|first| millis(first.since(ordered))),
            commit_spread_ms: last
                .zip(first)
                .map(|(last, first)| millis(last.since(first))),
            total_ms: switched.then(|| millis(traffic.retired.since(ordered))),
            rolled_back: traffic.rolled_back.len(),
            broadcasts: traffic.sent.len(),
            lost,
            duplicates,
            last_delivery_before_ms: slowest(begun, ordered),
            last_delivery_during_ms: slowest(ordered, ended),
            messages_per_node_s_before: before,
            messages_per_node_s_during: during / f64::from(seconds.max(1)),
            false_downs: traffic.downs - downs,
            violation: traffic.violation.clone(),
            events: cluster.world.totals().events,
            trace_hash: format!("{:016x}", cluster.world.trace_hash()),
        }
    }

    /// Some seconds of broadcasts; messages per node and second in them.
    fn messages(&self, cluster: &mut Cluster, seconds: u32, progress: Progress<'_>) -> f64 {
        let before = cluster.world.totals().messages;
        for second in 0..seconds {
            cluster.traffic(SECOND, self.interval);
            progress("switch", second as usize, seconds as usize);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let messages = (cluster.world.totals().messages - before) as f64;
        messages / f64::from(self.nodes) / f64::from(seconds.max(1))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials;
