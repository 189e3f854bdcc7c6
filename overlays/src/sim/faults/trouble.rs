//! What goes wrong in a fault run, one thing after the other, as the seed wills it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::{Plan, SEED_NODES};
use crate::event::{Command, TopicId};
use crate::sim::NodeId;
use crate::sim::checks::{Checks, TOPICS};
use crate::sim::deliveries::numbered;
use crate::sim::network::{Death, NetworkConfig, mix};
use crate::sim::subject::Subject;
use crate::sim::world::{Make, World};

/// How long a driver waits for a leave to be done.
const LEAVE_MAX: Duration = Duration::from_secs(3);
/// Most nodes that are paused or suspended at once.
const PAUSED_MAX: usize = 3;

/// One seed on its way.
pub(super) struct FaultRun<X: Subject> {
    pub(super) world: World<X, Checks>,
    pub(super) random: Xoshiro256PlusPlus,
    pub(super) plan: Plan,
    paused: BTreeSet<NodeId>,
    slow: BTreeSet<NodeId>,
    pub(super) subscribers: BTreeMap<TopicId, BTreeSet<NodeId>>,
    /// What nodes said of themselves last in their present lives, where they said it.
    pub(super) metadata: BTreeMap<NodeId, Bytes>,
    pub(super) faults: u32,
    pub(super) down_ms: Option<u64>,
}

impl<X: Subject> FaultRun<X> {
    pub(super) fn new(seed: u64, plan: Plan, make: Make<X>) -> Self {
        Self {
            world: World::new(seed, plan.network, make, Checks::default()),
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6661_756c_7473_0000),
            plan,
            paused: BTreeSet::new(),
            slow: BTreeSet::new(),
            subscribers: BTreeMap::new(),
            metadata: BTreeMap::new(),
            faults: 0,
            down_ms: None,
        }
    }

    /// All nodes start, one after the other or all at once. Some clocks run fast or slow.
    pub(super) fn start(&mut self, nodes: NodeId) {
        let drawn = *[0, 20, 300].choose(&mut self.random).unwrap_or(&0);
        let spacing = self.plan.join_spacing;
        let spacing = spacing.unwrap_or_else(|| Duration::from_millis(drawn));
        for _ in 0..nodes {
            let node = self.world.add_node();
            self.world.observer.born(node);
            if self.random.random_bool(0.3) {
                let rate = self.random.random_range(0.95..1.05);
                let ahead = Duration::from_millis(self.random.random_range(1_000..100_000));
                self.world.skew(node, rate, ahead);
            }
            self.join(node);
            self.world.run_for(spacing);
        }
    }

    /// A random node that runs and is not paused.
    pub(super) fn any_awake(&mut self) -> Option<NodeId> {
        let awake = self.world.running();
        awake
            .filter(|node| !self.paused.contains(node))
            .choose(&mut self.random)
    }

    /// The same, if the cluster can spare it.
    fn any_to_lose(&mut self) -> Option<NodeId> {
        if self.world.running().count() > 3 {
            self.world.running().choose(&mut self.random)
        } else {
            None
        }
    }

    /// A node enters through the seed nodes that all are configured with, whether they run or not.
    fn join(&mut self, node: NodeId) {
        let mut seeds: Vec<NodeId> = (0..SEED_NODES).filter(|seed| *seed != node).collect();
        seeds.shuffle(&mut self.random);
        for contact in seeds {
            self.world.command(node, Command::Join(contact));
        }
    }

    /// One thing in a small cluster, some in a larger one.
    pub(super) fn things_go_wrong(&mut self) {
        for _ in 0..=self.world.node_count() / 30 {
            self.faults += 1;
            self.something_goes_wrong();
        }
        self.say_something();
    }

    fn something_goes_wrong(&mut self) {
        match self.random.random_range(0..16) {
            0 | 1 => {
                if let Some(node) = self.any_to_lose() {
                    let death = self.any_death();
                    self.end(node, death);
                }
            }
            2 | 3 => self.restart_one(),
            4 => {
                if let Some(node) = self.any_to_lose() {
                    self.say_goodbye(node);
                }
            }
            5 => self.pause(),
            6 => self.resume_one(),
            7 => self.slow_down(),
            8 => self.trouble_network(),
            9 => self.cut(),
            10 => self.world.heal(),
            11 => self.change_subscription(),
            12 => self.measure(),
            13 | 14 => {
                if let Some(node) = self.any_awake() {
                    self.set_metadata(node);
                }
            }
            _ => {}
        }
    }

    fn any_death(&mut self) -> Death {
        let deaths = [Death::Refuses, Death::Silent, Death::Resets];
        *deaths.choose(&mut self.random).unwrap_or(&Death::Silent)
    }

    pub(super) fn end(&mut self, node: NodeId, death: Death) {
        self.world.crash(node, death);
        self.paused.remove(&node);
        self.slow.remove(&node);
        self.metadata.remove(&node);
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

    pub(super) fn restart(&mut self, node: NodeId) {
        self.world.observer.born(node);
        self.world.restart(node);
        self.join(node);
    }

    /// A node leaves, and ends when it says that all is sent.
    pub(super) fn say_goodbye(&mut self, node: NodeId) {
        if !self.paused.contains(&node) {
            self.world.command(node, Command::Leave);
            let deadline = self.world.now() + LEAVE_MAX;
            while !self.world.observer.has_left(node) && self.world.now() < deadline {
                self.world.run_for(Duration::from_millis(20));
            }
        }
        self.end(node, Death::Refuses);
    }

    fn pause(&mut self) {
        if let Some(node) = self.any_awake()
            && self.paused.len() < PAUSED_MAX
            && self.paused.insert(node)
        {
            if self.random.random_bool(0.5) {
                self.world.pause(node);
            } else {
                self.world.suspend(node);
            }
        }
    }

    fn resume_one(&mut self) {
        if let Some(node) = self.paused.pop_first() {
            self.world.resume(node);
        }
    }

    fn slow_down(&mut self) {
        if let Some(node) = self.world.running().choose(&mut self.random) {
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
            loss: share(0.3).max(self.plan.network.loss),
            duplication: share(0.2),
            duplication_delay: SECOND_COPY_MAX.mul_f64(share(1.0)),
            reorder: share(0.3),
            ..self.plan.network
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
        let (Some(node), Some(topic)) = (self.any_awake(), TOPICS.choose(&mut self.random)) else {
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
        let Some(node) = self.any_awake() else {
            return;
        };
        let neighbors = self.world.state(node).map(X::neighbors);
        for peer in neighbors.unwrap_or_default() {
            let pair = u64::from(node.min(peer)) << 32 | u64::from(node.max(peer));
            let rtt = Duration::from_micros(20_000 + mix(pair) % 80_000);
            self.world.command(node, Command::Measured { peer, rtt });
        }
    }

    /// A node says something new of itself.
    pub(super) fn set_metadata(&mut self, node: NodeId) {
        let metadata = numbered(self.random.random());
        self.metadata.insert(node, metadata.clone());
        self.world.command(node, Command::SetMetadata(metadata));
    }

    fn say_something(&mut self) {
        if let Some(node) = self.any_awake() {
            let number = self.world.observer.number(node);
            self.world
                .command(node, Command::Broadcast(numbered(number).into()));
        }
    }

    /// Ends all trouble but for the dead: half of those that are down start again, and two nodes more
    /// end, one without a word and one with a goodbye, if the cluster is large enough.
    pub(super) fn end_trouble(&mut self) {
        if self.world.running().count() > 4 {
            if let Some(node) = self.any_to_lose() {
                self.say_goodbye(node);
            }
            if let Some(node) = self.any_to_lose() {
                self.end(node, Death::Silent);
            }
        }
        self.world.heal();
        self.world.set_network(self.plan.network);
        while !self.paused.is_empty() {
            self.resume_one();
        }
        for node in std::mem::take(&mut self.slow) {
            self.world.slow_down(node, Duration::ZERO);
        }
        for node in 0..self.world.node_count() {
            if self.world.state(node).is_none() && self.is_needed(node) {
                self.restart(node);
            }
        }
    }

    /// One seed node has to run, for others to join through and clients to be served by, and a third
    /// of all.
    fn is_needed(&mut self, node: NodeId) -> bool {
        let seeds = self.world.running().filter(|other| *other < SEED_NODES);
        let is_last_seed = node == SEED_NODES - 1 && seeds.count() == 0;
        let running = self.world.running().count();
        let few = running < (self.world.node_count() as usize / 3).max(3);
        is_last_seed || few || self.random.random_bool(0.5)
    }
}

/// The most that a second copy of a message is late.
pub(super) const SECOND_COPY_MAX: Duration = Duration::from_secs(30);
