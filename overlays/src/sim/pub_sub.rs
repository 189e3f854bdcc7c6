//! Publish-subscribe in the simulator: do publications reach all subscribers, and nobody else?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::deliveries::{number_of, numbered};
use super::network::NetworkConfig;
use super::subject::{Observer, Subject};
use super::workload::Progress;
use super::world::World;
use crate::event::{Command, Event, TopicId};
use crate::pub_sub::{Config, PubSub};
use crate::time::Time;

/// What arrived where.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Nodes that delivered a publication, by its number, and how often each did.
    delivered: BTreeMap<u64, BTreeMap<NodeId, u32>>,
}

impl<X: Subject> Observer<X> for Arrivals {
    fn event(&mut self, _at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        if let Event::Delivered(delivery) = event
            && delivery.topic.is_some()
            && let Some(number) = number_of(&delivery.payload.body)
        {
            let nodes = self.delivered.entry(number).or_default();
            *nodes.entry(node).or_default() += 1;
        }
    }
}

/// What became of one publication, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Running subscribers that should have got it.
    pub receivers: usize,
    /// Those that did.
    pub delivered: usize,
    /// Nodes that got it without having subscribed.
    pub outsiders: usize,
    /// Deliveries beyond the first to one node.
    pub repeated: usize,
}

impl Reach {
    /// Every subscriber got it once, and nobody else did.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.receivers == self.delivered && self.outsiders == 0 && self.repeated == 0
    }

    /// Adds what became of another one.
    pub const fn add(&mut self, other: Self) {
        self.receivers += other.receivers;
        self.delivered += other.delivered;
        self.outsiders += other.outsiders;
        self.repeated += other.repeated;
    }
}

/// A cluster with topics.
#[derive(Debug)]
pub struct Topics {
    /// The nodes.
    pub world: World<PubSub<NodeId>, Arrivals>,
    random: Xoshiro256PlusPlus,
    subscribers: BTreeMap<TopicId, BTreeSet<NodeId>>,
    published: u64,
}

impl Topics {
    /// `count` nodes that join one by one, one each `spacing`.
    pub fn new(
        seed: u64,
        count: NodeId,
        network: NetworkConfig,
        spacing: Duration,
        progress: Progress<'_>,
    ) -> Self {
        let make = |node, _| PubSub::new(node, Config::default());
        let mut world = World::new(seed, network, Box::new(make), Arrivals::default());
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x746f_7069_6373_0000);
        for number in 0..count {
            let node = world.add_node();
            if number > 0 {
                world.command(node, Command::Join(random.random_range(0..number)));
            }
            world.run_for(spacing);
            progress("join", number as usize + 1, count as usize);
        }
        Self {
            world,
            random,
            subscribers: BTreeMap::new(),
            published: 0,
        }
    }

    /// `subscribers` random nodes subscribe to each of `topics` topics, at random times in `span`.
    pub fn subscribe(&mut self, topics: TopicId, subscribers: usize, span: Duration) {
        let mut orders = Vec::new();
        for topic in 0..topics {
            let nodes = self.world.running().sample(&mut self.random, subscribers);
            for node in nodes {
                let at = span.mul_f64(self.random.random_range(0.0..1.0));
                orders.push((at, topic, node));
            }
        }
        orders.sort_unstable();
        let start = self.world.now();
        for (at, topic, node) in orders {
            self.world.run_until(start + at);
            self.world.command(node, Command::Subscribe(topic));
            self.subscribers.entry(topic).or_default().insert(node);
        }
        self.world.run_until(start + span);
    }

    /// A random subscriber of each topic leaves it.
    pub fn unsubscribe_one_each(&mut self) {
        for (topic, nodes) in &mut self.subscribers {
            if let Some(node) = nodes.iter().choose(&mut self.random).copied() {
                nodes.remove(&node);
                self.world.command(node, Command::Unsubscribe(*topic));
            }
        }
    }

    /// Crashes a random share of the running nodes at once.
    pub fn fail(&mut self, share: f64) {
        let running: Vec<NodeId> = self.world.running().collect();
        for node in running {
            if self.random.random_bool(share) {
                let death = self.world.network.config.death;
                self.world.crash(node, death);
            }
        }
    }

    /// Publishes once to each topic, from a subscriber or, if `outside`, from any other node, waits
    /// for `drain`, and says what became of all of it.
    pub fn publish(&mut self, outside: bool, drain: Duration) -> Reach {
        let mut sent = Vec::new();
        let topics: Vec<TopicId> = self.subscribers.keys().copied().collect();
        for topic in topics {
            let subscribers = &self.subscribers[&topic];
            let senders: Vec<NodeId> = self
                .world
                .running()
                .filter(|node| subscribers.contains(node) != outside)
                .collect();
            let Some(sender) = senders.choose(&mut self.random).copied() else {
                continue;
            };
            let number = self.published;
            self.published += 1;
            let payload = numbered(number);
            self.world.command(sender, Command::Publish(topic, payload));
            sent.push((topic, sender, number));
        }
        self.world.run_for(drain);
        let mut total = Reach::default();
        for (topic, sender, number) in sent {
            total.add(self.reach(topic, sender, number));
        }
        total
    }

    fn reach(&self, topic: TopicId, sender: NodeId, number: u64) -> Reach {
        let none = BTreeMap::new();
        let delivered = self.world.observer.delivered.get(&number).unwrap_or(&none);
        let subscribers = &self.subscribers[&topic];
        let should = |node: &NodeId| *node != sender && self.world.state(*node).is_some();
        let receivers: Vec<NodeId> = subscribers.iter().copied().filter(should).collect();
        Reach {
            receivers: receivers.len(),
            delivered: receivers
                .iter()
                .filter(|node| delivered.contains_key(node))
                .count(),
            outsiders: delivered
                .keys()
                .filter(|node| !subscribers.contains(node))
                .count(),
            repeated: delivered.values().filter(|times| **times > 1).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn subscribed(seed: u64) -> Topics {
        println!("seed {seed}");
        let network = NetworkConfig::default();
        let mut topics = Topics::new(
            seed,
            120,
            network,
            Duration::from_millis(50),
            &mut |_, _, _| {},
        );
        topics.world.run_for(10 * SECOND);
        topics.subscribe(8, 30, 20 * SECOND);
        topics.world.run_for(30 * SECOND);
        topics
    }

    #[test]
    fn publications_reach_their_subscribers_and_nobody_else() {
        let mut topics = subscribed(1);
        for _ in 0..5 {
            let reach = topics.publish(false, 5 * SECOND);
            assert!(reach.is_exact() && reach.receivers > 200, "{reach:?}");
        }
    }

    #[test]
    fn who_does_not_take_part_can_publish_too() {
        let mut topics = subscribed(2);
        let reach = topics.publish(true, 5 * SECOND);
        assert!(reach.is_exact() && reach.receivers > 200, "{reach:?}");
    }

    #[test]
    fn subscribers_that_all_come_at_once_find_each_other() {
        let network = NetworkConfig::default();
        let mut topics = Topics::new(
            3,
            120,
            network,
            Duration::from_millis(50),
            &mut |_, _, _| {},
        );
        topics.world.run_for(10 * SECOND);
        topics.subscribe(4, 40, Duration::from_millis(1));
        topics.world.run_for(60 * SECOND);
        let reach = topics.publish(false, 5 * SECOND);
        assert!(reach.is_exact(), "{reach:?}");
    }

    #[test]
    fn who_unsubscribes_gets_no_more() {
        let mut topics = subscribed(4);
        topics.unsubscribe_one_each();
        topics.world.run_for(SECOND);
        let reach = topics.publish(false, 5 * SECOND);
        assert!(reach.is_exact(), "{reach:?}");
    }

    #[test]
    fn a_topic_survives_the_crash_of_a_third_of_all_nodes() {
        let mut topics = subscribed(5);
        topics.fail(0.33);
        topics.world.run_for(60 * SECOND);
        let reach = topics.publish(false, 5 * SECOND);
        assert!(reach.is_exact() && reach.receivers > 100, "{reach:?}");
    }

    #[test]
    fn publications_from_outside_get_round_contacts_that_are_dead() {
        for (seed, share) in [(8, 0.3), (9, 0.6)] {
            let mut topics = subscribed(seed);
            topics.fail(share);
            topics.world.run_for(60 * SECOND);
            let reach = topics.publish(true, 15 * SECOND);
            assert!(reach.is_exact() && reach.receivers > 50, "{reach:?}");
        }
    }

    #[test]
    fn topics_hold_together_under_loss() {
        for seed in 1..=3 {
            println!("seed {seed}");
            let network = NetworkConfig {
                loss: 0.1,
                ..NetworkConfig::default()
            };
            let spacing = Duration::from_millis(10);
            let mut topics = Topics::new(seed, 300, network, spacing, &mut |_, _, _| {});
            topics.world.run_for(30 * SECOND);
            topics.subscribe(10, 30, 30 * SECOND);
            topics.world.run_for(60 * SECOND);
            topics.fail(0.3);
            topics.world.run_for(60 * SECOND);
            let mut reach = Reach::default();
            for _ in 0..5 {
                reach.add(topics.publish(false, 10 * SECOND));
                reach.add(topics.publish(true, 10 * SECOND));
            }
            // A publication is lost for good now and then; parts of a topic would be far more.
            assert!(reach.delivered * 100 >= reach.receivers * 97, "{reach:?}");
            assert_eq!((reach.outsiders, reach.repeated), (0, 0), "{reach:?}");
        }
    }

    #[test]
    fn topics_heal_after_a_partition_of_two_hours() {
        let mut topics = subscribed(10);
        topics.world.partition(7_200 * SECOND);
        topics.world.run_for(300 * SECOND);
        let reach = topics.publish(false, 5 * SECOND);
        assert!(reach.is_exact(), "{reach:?}");
    }

    #[test]
    fn the_parts_of_a_topic_find_each_other_after_a_partition() {
        let mut topics = subscribed(6);
        topics.world.partition(60 * SECOND);
        topics.world.run_for(240 * SECOND);
        let reach = topics.publish(false, 5 * SECOND);
        assert!(reach.is_exact(), "{reach:?}");
    }

    #[test]
    fn the_bounds_hold_on_every_node() {
        let topics = subscribed(7);
        for node in topics.world.running() {
            let state = topics.world.state(node).expect("runs");
            assert_eq!(state.check(), Ok(()), "node {node}");
        }
    }
}
