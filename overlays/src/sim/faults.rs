//! The fault mode: first everything goes wrong and nothing may break, then everything is repaired and
//! all must be well again within a bounded time.
//!
//! One seed decides what happens when: crashes, restarts, goodbyes, pauses, slow nodes, skewed clocks,
//! loss, duplication, reordering, partitions both ways and one way. `Checks` watches every step.
//! Each seed is run twice and must give the same trace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::NodeId;
use super::carrier::{Carrier, MakeCarrier, Task};
use super::checks::{Checks, TOPICS};
use super::deliveries::numbered;
use super::graph::Graph;
use super::membership::{Over, with_membership};
use super::network::{NetworkConfig, mix};
use super::subject::Subject;
use super::world::{Make, World};
use crate::event::{Command, TopicId};
use crate::membership::Config;

const SECOND: Duration = Duration::from_secs(1);
/// The first nodes are those that others are configured with.
const SEED_NODES: NodeId = 3;

/// How a fault run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Nodes. 12: enough for views to be full and partitions to be uneven.
    pub nodes: NodeId,
    /// How long things go wrong.
    pub trouble: Duration,
    /// How long it may take after that until all is well.
    pub repair_max: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 12,
            trouble: 40 * SECOND,
            repair_max: 300 * SECOND,
        }
    }
}

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The overlay.
    pub overlay: &'static str,
    /// Membership was on top of it.
    pub membership: bool,
    /// The number that repeats it.
    pub seed: u64,
    /// Nodes.
    pub nodes: NodeId,
    /// Things that were made to go wrong.
    pub faults: u32,
    /// From the end of the trouble until all was well. None: not in time.
    pub repaired_ms: Option<u64>,
    /// What was still wrong when the time for repair was over, if anything was.
    pub unwell: Option<String>,
    /// The first promise that was broken, if any was.
    pub violation: Option<String>,
    /// Inputs handled.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Outcome {
    /// Runs one seed once; the seed chooses the overlay, and whether membership is on top.
    #[must_use]
    pub fn of(seed: u64, plan: Plan) -> Self {
        let kinds = u64::try_from(Carrier::EVERY.len()).unwrap_or(1);
        let carrier = usize::try_from(seed % kinds).unwrap_or(0);
        let membership = (seed / kinds).is_multiple_of(2);
        Self::on(Carrier::EVERY[carrier], membership, seed, plan)
    }

    /// Runs one seed once on this overlay.
    #[must_use]
    pub fn on(carrier: Carrier, membership: bool, seed: u64, plan: Plan) -> Self {
        let task = Faulted {
            overlay: carrier.name(),
            membership,
            seed,
            plan,
        };
        carrier.run(plan.nodes, task)
    }

    /// Runs one seed twice.
    ///
    /// # Errors
    /// One sentence: a promise was broken, the cluster was not repaired in time, or the second run was
    /// not like the first. It names the seed.
    pub fn proven(seed: u64, plan: Plan) -> Result<Self, String> {
        let outcome = Self::of(seed, plan);
        let again = Self::of(seed, plan);
        let on = format!("seed {seed} ({})", outcome.overlay);
        if let Some(violation) = &outcome.violation {
            Err(format!("{on}: {violation}"))
        } else if let Some(unwell) = &outcome.unwell {
            Err(format!("{on}: after {:?} still {unwell}", plan.repair_max))
        } else if again == outcome {
            Ok(outcome)
        } else {
            Err(format!("{on}: the second run was not like the first"))
        }
    }
}

struct Faulted {
    overlay: &'static str,
    membership: bool,
    seed: u64,
    plan: Plan,
}

impl Task for Faulted {
    type Output = Outcome;

    fn run<C: Subject + 'static>(self, mut make: MakeCarrier<C>) -> Outcome {
        if self.membership {
            let make: Make<Over<C>> = with_membership(Config::default(), None, make);
            self.simulate(make)
        } else {
            self.simulate(Box::new(move |node, _| make(node)))
        }
    }
}

impl Faulted {
    fn simulate<X: Subject>(&self, make: Make<X>) -> Outcome {
        let mut run = FaultRun::new(self.seed, make);
        run.start(self.plan.nodes);
        let end = run.world.now() + self.plan.trouble;
        while run.world.now() < end && run.world.observer.violation().is_none() {
            run.something_goes_wrong();
            let pause = run.random.random_range(100..2_000);
            run.world.run_for(Duration::from_millis(pause));
            Checks::compare_neighbors(&mut run.world);
        }
        run.repair();
        let repaired = run.well_again(self.plan.repair_max);
        Checks::compare_neighbors(&mut run.world);
        Outcome {
            overlay: self.overlay,
            membership: self.membership,
            seed: self.seed,
            nodes: self.plan.nodes,
            faults: run.faults,
            repaired_ms: repaired.as_ref().ok().copied(),
            unwell: repaired.err(),
            violation: run.world.observer.violation().map(str::to_owned),
            events: run.world.totals().events,
            trace_hash: format!("{:016x}", run.world.trace_hash()),
        }
    }
}

struct FaultRun<X: Subject> {
    world: World<X, Checks>,
    random: Xoshiro256PlusPlus,
    paused: BTreeSet<NodeId>,
    slow: BTreeSet<NodeId>,
    /// Nodes that found no seed node yet.
    waiting: BTreeSet<NodeId>,
    subscribers: BTreeMap<TopicId, BTreeSet<NodeId>>,
    faults: u32,
}

impl<X: Subject> FaultRun<X> {
    fn new(seed: u64, make: Make<X>) -> Self {
        let network = NetworkConfig::default();
        Self {
            world: World::new(seed, network, make, Checks::default()),
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6661_756c_7473_0000),
            paused: BTreeSet::new(),
            slow: BTreeSet::new(),
            waiting: BTreeSet::new(),
            subscribers: BTreeMap::new(),
            faults: 0,
        }
    }

    /// All nodes start, one after the other or all at once. Some clocks run fast or slow.
    fn start(&mut self, nodes: NodeId) {
        let spacing_ms = *[0, 20, 300].choose(&mut self.random).unwrap_or(&0);
        for _ in 0..nodes {
            let node = self.world.add_node();
            self.world.observer.born(node);
            if self.random.random_bool(0.3) {
                let rate = self.random.random_range(0.95..1.05);
                let ahead = Duration::from_millis(self.random.random_range(1_000..100_000));
                self.world.skew(node, rate, ahead);
            }
            self.join(node);
            self.world.run_for(Duration::from_millis(spacing_ms));
        }
    }

    fn any_running(&mut self) -> Option<NodeId> {
        self.world.running().choose(&mut self.random)
    }

    /// A node enters through one of the seed nodes that all are configured with, as soon as one runs.
    fn join(&mut self, node: NodeId) {
        let seeds = self.world.running().take_while(|other| *other < SEED_NODES);
        let others = seeds.filter(|other| *other != node);
        match others.choose(&mut self.random) {
            Some(contact) => self.world.command(node, Command::Join(contact)),
            None => {
                self.waiting.insert(node);
            }
        }
    }

    fn let_the_waiting_join(&mut self) {
        for node in std::mem::take(&mut self.waiting) {
            if self.world.state(node).is_some() {
                self.join(node);
            }
        }
    }

    fn something_goes_wrong(&mut self) {
        self.faults += 1;
        match self.random.random_range(0..14) {
            0 | 1 => self.crash(),
            2 | 3 => self.restart_one(),
            4 => self.goodbye(),
            5 => self.pause(),
            6 => self.resume_one(),
            7 => self.slow_down(),
            8 => self.trouble_network(),
            9 => self.cut(),
            10 => self.world.heal(),
            11 => self.change_subscription(),
            12 => self.measure(),
            _ => {}
        }
        self.let_the_waiting_join();
        self.say_something();
    }

    fn crash(&mut self) {
        if let Some(node) = self.any_running()
            && self.world.running().count() > 3
        {
            let silent = self.random.random_bool(0.5);
            self.end(node, silent);
        }
    }

    fn end(&mut self, node: NodeId, silent: bool) {
        self.world.crash(node, silent);
        self.paused.remove(&node);
        self.slow.remove(&node);
        for subscribers in self.subscribers.values_mut() {
            subscribers.remove(&node);
        }
    }

    fn restart_one(&mut self) {
        let down = (0..self.world.node_count()).filter(|node| self.world.state(*node).is_none());
        if let Some(node) = down.choose(&mut self.random) {
            self.restart(node);
        }
    }

    fn restart(&mut self, node: NodeId) {
        self.world.observer.born(node);
        self.world.restart(node);
        self.join(node);
    }

    fn goodbye(&mut self) {
        if let Some(node) = self.any_running()
            && self.world.running().count() > 3
        {
            self.world.command(node, Command::Leave);
            self.world.run_for(Duration::from_millis(200));
            self.end(node, false);
        }
    }

    fn pause(&mut self) {
        if let Some(node) = self.any_running()
            && self.paused.len() < 3
            && self.paused.insert(node)
        {
            self.world.pause(node);
        }
    }

    fn resume_one(&mut self) {
        if let Some(node) = self.paused.pop_first() {
            self.world.resume(node);
        }
    }

    fn slow_down(&mut self) {
        if let Some(node) = self.any_running() {
            let by = if self.slow.insert(node) {
                Duration::from_millis(self.random.random_range(100..3_000))
            } else {
                self.slow.remove(&node);
                Duration::ZERO
            };
            self.world.slow_down(node, by);
        }
    }

    fn trouble_network(&mut self) {
        let mut share = |most: f64| {
            let troubled = self.random.random_bool(0.6);
            if troubled {
                self.random.random_range(0.0..most)
            } else {
                0.0
            }
        };
        let network = NetworkConfig {
            loss: share(0.3),
            duplication: share(0.2),
            reorder: share(0.3),
            ..NetworkConfig::default()
        };
        self.world.set_network(network);
    }

    /// Some nodes cannot reach the others, nor, half of the time, the others them.
    fn cut(&mut self) {
        let count = self.world.node_count();
        let inside: Vec<bool> = (0..count).map(|_| self.random.random_bool(0.5)).collect();
        let outside: Vec<bool> = inside.iter().map(|inside| !inside).collect();
        self.world.cut(inside.clone(), outside.clone());
        if self.random.random_bool(0.5) {
            self.world.cut(outside, inside);
        }
    }

    fn change_subscription(&mut self) {
        let (Some(node), Some(topic)) = (self.any_running(), TOPICS.choose(&mut self.random))
        else {
            return;
        };
        let subscribers = self.subscribers.entry(topic).or_default();
        if subscribers.insert(node) {
            self.world.command(node, Command::Subscribe(topic));
        } else {
            subscribers.remove(&node);
            self.world.command(node, Command::Unsubscribe(topic));
        }
    }

    /// A node's driver measured how far its neighbors are: the same on both ends.
    fn measure(&mut self) {
        let Some(node) = self.any_running() else {
            return;
        };
        let neighbors = self.world.state(node).map(X::neighbors);
        for peer in neighbors.unwrap_or_default() {
            let pair = u64::from(node.min(peer)) << 32 | u64::from(node.max(peer));
            let rtt = Duration::from_micros(20_000 + mix(pair) % 80_000);
            self.world.command(node, Command::Measured { peer, rtt });
        }
    }

    fn say_something(&mut self) {
        if let Some(node) = self.any_running() {
            let number = self.world.observer.number(node);
            self.world
                .command(node, Command::Broadcast(numbered(number).into()));
        }
    }

    /// Ends all trouble. Every node that is down starts again.
    fn repair(&mut self) {
        self.world.heal();
        self.world.set_network(NetworkConfig::default());
        while !self.paused.is_empty() {
            self.resume_one();
        }
        for node in std::mem::take(&mut self.slow) {
            self.world.slow_down(node, Duration::ZERO);
        }
        for node in 0..self.world.node_count() {
            if self.world.state(node).is_none() {
                self.restart(node);
            }
        }
        self.let_the_waiting_join();
    }

    /// Milliseconds until the overlay is one, all know all, and payloads reach everybody.
    fn well_again(&mut self, most: Duration) -> Result<u64, String> {
        let start = self.world.now();
        loop {
            self.world.run_for(SECOND);
            let spent = self.world.now().since(start);
            match self.check_whole() {
                Ok(()) => return Ok(u64::try_from(spent.as_millis()).unwrap_or(u64::MAX)),
                Err(unwell) if spent >= most => return Err(unwell),
                Err(_) if self.world.observer.violation().is_some() => {
                    return Err("broken".into());
                }
                Err(_) => {}
            }
        }
    }

    /// Says what is not well yet, if anything is not.
    fn check_whole(&mut self) -> Result<(), String> {
        let graph = Graph::of(&self.world);
        if !graph.is_connected() {
            return Err("split".into());
        }
        if let Some((node, peer)) = graph.one_way_edges().first() {
            return Err(format!("one-sided: {node} has {peer} as its neighbor"));
        }
        let running: Vec<NodeId> = self.world.running().collect();
        for node in &running {
            let members = self.world.state(*node).and_then(X::members);
            let Some(mut members) = members else { continue };
            members.sort_unstable();
            if members != running {
                return Err(format!("at odds: {node} has the members {members:?}"));
            }
        }
        self.check_broadcast(&running)?;
        self.check_topics()
    }

    fn check_broadcast(&mut self, running: &[NodeId]) -> Result<(), String> {
        let Some(sender) = running.choose(&mut self.random).copied() else {
            return Ok(());
        };
        let number = self.world.observer.number(sender);
        let order = Command::Broadcast(numbered(number).into());
        self.world.command(sender, order);
        self.world.run_for(5 * SECOND);
        let others = running.iter().filter(|node| **node != sender);
        for node in others {
            if !self.world.observer.has(*node, number) {
                return Err(format!("deaf: {node} did not get what {sender} broadcast"));
            }
        }
        Ok(())
    }

    /// Only publish-subscribe has topics; elsewhere nobody knows of the subscriptions.
    fn check_topics(&mut self) -> Result<(), String> {
        if !X::has_topics() {
            return Ok(());
        }
        let mut sent = Vec::new();
        for (topic, subscribers) in self.subscribers.clone() {
            let Some(sender) = subscribers.first().copied() else {
                continue;
            };
            let number = self.world.observer.number(sender);
            let order = Command::Publish(topic, numbered(number));
            self.world.command(sender, order);
            sent.push((topic, sender, number, subscribers));
        }
        self.world.run_for(2 * SECOND);
        for (topic, sender, number, subscribers) in sent {
            for node in subscribers.into_iter().filter(|node| *node != sender) {
                if !self.world.observer.has(node, number) {
                    return Err(format!("deaf: {node} did not get {topic} from {sender}"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_survive_whatever_goes_wrong() {
        let failures: Vec<String> = (0..36)
            .filter_map(|seed| Outcome::proven(seed, Plan::default()).err())
            .collect();
        assert!(failures.is_empty(), "{failures:#?}");
    }
}
