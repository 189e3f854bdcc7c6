//! A few dozen membership layers over a fixed graph and a broadcast that only loss can stop: enough
//! to see the rules at work. The whole stack, over real overlays, runs in the simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::event::{Command, Delivery, Event, Input, Output, Protocol};
use crate::membership::{Config, Details, Membership, Message, Status, Timer, Version};
use crate::message::{decode, encode};
use crate::store::MessageId;
use crate::time::Time;

type In = Input<u32, Message<u32>, Timer<u32>>;

pub(super) struct World {
    pub(super) nodes: BTreeMap<u32, Membership<u32>>,
    pub(super) events: Vec<(Time, u32, Event<u32>)>,
    pub(super) sent: BTreeMap<&'static str, u64>,
    pub(super) now: Time,
    /// Of a message, one way, and of each receiver of a broadcast.
    pub(super) loss: f64,
    /// Nodes that handle every input this much later.
    pub(super) slow: BTreeMap<u32, Duration>,
    /// Nodes that broadcasts do not reach.
    pub(super) deaf: BTreeSet<u32>,
    /// Only nodes of the same group hear each other.
    pub(super) groups: BTreeMap<u32, u32>,
    pub(super) config: Config,
    neighbors: BTreeMap<u32, BTreeSet<u32>>,
    queue: BTreeMap<(Time, u64), (u32, u64, In)>,
    /// How often each node started: inputs of an earlier life are lost.
    lives: BTreeMap<u32, u64>,
    random: SmallRng,
    queued: u64,
}

impl World {
    /// `count` nodes, each a neighbor of the two before and the two after it.
    pub(super) fn ring(count: u32, seed: u64) -> Self {
        Self::ring_with(count, seed, Config::default())
    }

    pub(super) fn ring_with(count: u32, seed: u64, config: Config) -> Self {
        println!("seed {seed}");
        let mut world = Self {
            nodes: BTreeMap::new(),
            events: Vec::new(),
            sent: BTreeMap::new(),
            now: Time::ZERO,
            loss: 0.0,
            slow: BTreeMap::new(),
            deaf: BTreeSet::new(),
            groups: BTreeMap::new(),
            config,
            neighbors: BTreeMap::new(),
            queue: BTreeMap::new(),
            lives: BTreeMap::new(),
            random: SmallRng::seed_from_u64(seed),
            queued: 0,
        };
        for node in 0..count {
            for step in [1, 2] {
                let other = (node + step) % count;
                if other != node {
                    world.neighbors.entry(node).or_default().insert(other);
                    world.neighbors.entry(other).or_default().insert(node);
                }
            }
        }
        for node in 0..count {
            world.boot(node, 1);
        }
        world
    }

    /// Starts a node; its running neighbors become neighbors at once.
    pub(super) fn boot(&mut self, node: u32, incarnation: u64) {
        let details = Details {
            name: format!("node-{node}"),
            ..Details::default()
        };
        let membership = Membership::new(node, incarnation, details, self.config.clone());
        self.nodes.insert(node, membership.expect("small details"));
        *self.lives.entry(node).or_default() += 1;
        self.push(node, Duration::ZERO, Input::Start);
        for other in self.running_neighbors(node) {
            self.push(node, Duration::ZERO, Input::Below(Event::NeighborUp(other)));
            self.push(other, Duration::ZERO, Input::Below(Event::NeighborUp(node)));
        }
    }

    pub(super) fn crash(&mut self, node: u32) {
        self.nodes.remove(&node);
    }

    /// Sees the loss of all its lanes, as after a crash of the process.
    pub(super) fn crash_noticed(&mut self, node: u32) {
        self.crash(node);
        for other in self.running_neighbors(node) {
            self.push(
                other,
                Duration::ZERO,
                Input::Below(Event::NeighborDown(node)),
            );
        }
    }

    pub(super) fn command(&mut self, node: u32, command: Command<u32>) {
        self.push(node, Duration::ZERO, Input::Command(command));
    }

    pub(super) fn receive(&mut self, node: u32, from: u32, message: Message<u32>) {
        self.push(node, Duration::ZERO, Input::Received { from, message });
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > end {
                break;
            }
            let (node, life, input) = entry.remove();
            self.now = at;
            self.step(node, life, input);
        }
        self.now = end;
    }

    /// Runs until the condition holds, and says how long it took.
    pub(super) fn run_until(
        &mut self,
        most: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !condition(self) {
            let spent = self.now.since(start);
            assert!(spent < most, "not after {spent:?}");
            self.run(Duration::from_millis(100));
        }
        self.now.since(start)
    }

    /// What `node` believes of `about`.
    pub(super) fn belief(&self, node: u32, about: u32) -> Option<(Version, Status)> {
        let entry = self.nodes.get(&node)?.table().get(&about)?;
        Some((entry.version, entry.status))
    }

    /// Every running node has the same live members, and they are exactly the running nodes.
    pub(super) fn agrees(&self) -> bool {
        let sums: BTreeSet<u64> = self.nodes.values().map(|node| node.table().sum()).collect();
        let counts = self.nodes.values().map(|node| node.table().live());
        let running: BTreeSet<u32> = self.nodes.keys().copied().collect();
        let first = self.nodes.values().next();
        let live: BTreeSet<u32> = first.map_or_else(BTreeSet::new, |node| {
            let entries = node.table().iter();
            let live = entries.filter(|entry| entry.status.is_live());
            live.map(|entry| entry.peer).collect()
        });
        sums.len() == 1 && live == running && counts.into_iter().all(|count| count == live.len())
    }

    pub(super) fn events_about(&self, wanted: &Event<u32>) -> Vec<u32> {
        let of = self.events.iter().filter(|(_, _, event)| event == wanted);
        of.map(|(_, node, _)| *node).collect()
    }

    fn running_neighbors(&self, node: u32) -> Vec<u32> {
        let all = self.neighbors.get(&node).into_iter().flatten().copied();
        all.filter(|other| self.nodes.contains_key(other)).collect()
    }

    fn push(&mut self, node: u32, after: Duration, input: In) {
        let late = self.slow.get(&node).copied().unwrap_or_default();
        let life = self.lives.get(&node).copied().unwrap_or_default();
        self.queued += 1;
        let key = (self.now + after + late, self.queued);
        self.queue.insert(key, (node, life, input));
    }

    fn step(&mut self, node: u32, life: u64, input: In) {
        if self.lives.get(&node) != Some(&life) {
            return;
        }
        let Some(membership) = self.nodes.get_mut(&node) else {
            return;
        };
        let mut out = Vec::new();
        membership.handle(self.now, input, &mut self.random, &mut out);
        for output in out {
            match output {
                Output::Send { to, message } => self.send(node, to, &message),
                Output::SendAll { to, message } => {
                    for to in to {
                        self.send(node, to, &message);
                    }
                }
                Output::SetTimer { id, after } => self.push(node, after, Input::Timer(id)),
                Output::Event(event) => self.events.push((self.now, node, event)),
                Output::Below(Command::Broadcast(payload)) => {
                    *self.sent.entry("broadcast").or_default() += 1;
                    let others: Vec<u32> = self.nodes.keys().copied().collect();
                    for other in others {
                        let hears = other != node && !self.deaf.contains(&other);
                        if hears && self.arrives(node, other) {
                            let after = self.latency();
                            let delivery = Delivery {
                                sender: node,
                                id: MessageId {
                                    sender: node.into(),
                                    number: 0,
                                },
                                topic: None,
                                payload: payload.clone(),
                                hops: 1,
                            };
                            let event = Event::Delivered(delivery);
                            self.push(other, after, Input::Below(event));
                        }
                    }
                }
                Output::Below(_) | Output::Connect(_) | Output::Disconnect(_) => {}
            }
        }
    }

    fn send(&mut self, from: u32, to: u32, message: &Message<u32>) {
        let kind = match message {
            Message::Probe(_) => "probe",
            Message::Accused(_) => "accused",
            Message::Summary { .. } => "summary",
            Message::Buckets { .. } => "buckets",
            Message::Listing { .. } => "listing",
            Message::Answer { .. } => "answer",
            Message::Supply(_) => "supply",
        };
        *self.sent.entry(kind).or_default() += 1;
        // Through the wire format, so that no message that is sent breaks its own bounds.
        let message = decode(&encode(message)).expect("a sent message decodes");
        if self.arrives(from, to) {
            let after = self.latency();
            self.push(to, after, Input::Received { from, message });
        }
    }

    fn arrives(&mut self, from: u32, to: u32) -> bool {
        let same_side = self.groups.get(&from) == self.groups.get(&to);
        same_side && !self.random.random_bool(self.loss)
    }

    fn latency(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(10..=50))
    }
}
