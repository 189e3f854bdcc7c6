//! The causal layers in the simulator: is the order causal, and is nothing lost without a word?
//!
//! Nodes join and settle; then random ones send, half of the time one that was just delivered something,
//! so that messages depend on each other across nodes; meanwhile some crash, and some of those start
//! again. A [`History`] with clocks of its own judges the order; [`Figures`] are what came of it.

mod figures;
mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::carrier::{Carrier, MakeCarrier, Task};
use super::graph::Graph;
use super::membership::{Over, with_membership};
use super::network::{Death, NetworkConfig};
use super::subject::{Inspect, Subject};
use super::world::{Make, World};
use crate::causal_broadcast::{self, CausalBroadcast};
use crate::causal_unicast::{self, CausalUnicast};
use crate::event::Command;
use crate::membership;
use crate::stack::Stack;
use figures::{Causal, Vitals};

pub use figures::Figures;
pub use history::{Account, History};

impl Inspect for CausalBroadcast<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for CausalUnicast<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

/// How often it is looked whether all is settled.
const SETTLE_STEP: Duration = Duration::from_secs(5);
/// How long that may take. An overlay that fell apart is whole again after a minute or two, each node then
/// waits for what it is behind with, and who hears of that from it waits in turn.
const SETTLE_MAX: Duration = Duration::from_secs(300);

/// Which layer is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Causal broadcast over membership over the overlay's broadcast.
    Broadcast,
    /// Causal unicast over the same.
    Unicast,
}

impl Layer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Broadcast, Self::Unicast];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "causal_broadcast",
            Self::Unicast => "causal_unicast",
        }
    }
}

/// What is to be simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The layer.
    pub layer: Layer,
    /// What lies below it.
    pub overlay: Carrier,
    /// Settings of causal broadcast.
    pub broadcast: causal_broadcast::Config,
    /// Settings of causal unicast.
    pub unicast: causal_unicast::Config,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// What lies between the nodes.
    pub network: NetworkConfig,
    /// Time between two joins.
    pub join_spacing: Duration,
    /// Time to settle after the last join.
    pub settle: Duration,
    /// Messages to be sent.
    pub messages: usize,
    /// How many at the same moment.
    pub at_once: usize,
    /// Time between two moments.
    pub interval: Duration,
    /// Bytes of each.
    pub payload_bytes: usize,
    /// Share of the nodes that crash while messages are sent, 0 to 1. Every second of them starts again.
    pub fail: f64,
    /// Least time after the last message. It goes on until all is told, at most for five minutes.
    pub drain: Duration,
}

impl Plan {
    /// Small and quick: nothing goes wrong.
    #[must_use]
    pub fn new(layer: Layer, nodes: NodeId, seed: u64) -> Self {
        Self {
            layer,
            overlay: Carrier::HyParView,
            broadcast: causal_broadcast::Config::default(),
            unicast: causal_unicast::Config::default(),
            nodes,
            seed,
            network: NetworkConfig::default(),
            join_spacing: Duration::from_millis(10),
            settle: Duration::from_secs(20),
            messages: 200,
            at_once: 2,
            interval: Duration::from_millis(20),
            payload_bytes: 64,
            fail: 0.0,
            drain: Duration::from_secs(60),
        }
    }
}

impl Figures {
    /// Simulates.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        plan.overlay.run(plan.nodes, Layered { plan })
    }
}

struct Layered<'p> {
    plan: &'p Plan,
}

impl Task for Layered<'_> {
    type Output = Figures;

    fn run<C: Subject + 'static>(self, carrier: MakeCarrier<C>) -> Figures {
        let plan = self.plan;
        let mut below = with_membership(membership::Config::default(), None, carrier);
        match plan.layer {
            Layer::Broadcast => {
                let config = plan.broadcast.clone();
                let make: Make<Stack<Over<C>, _>> = Box::new(move |node, starts| {
                    let incarnation = u64::from(starts) + 1;
                    let layer = CausalBroadcast::new(node, incarnation, config.clone());
                    Stack::new(below(node, starts), layer)
                });
                Run::new(plan, make).simulate()
            }
            Layer::Unicast => {
                let config = plan.unicast.clone();
                let make: Make<Stack<Over<C>, _>> = Box::new(move |node, starts| {
                    let incarnation = u64::from(starts) + 1;
                    let layer = CausalUnicast::new(node, incarnation, config.clone());
                    Stack::new(below(node, starts), layer)
                });
                Run::new(plan, make).simulate()
            }
        }
    }
}

/// One simulation on its way.
struct Run<'p, X: Causal> {
    plan: &'p Plan,
    world: World<X, History>,
    random: Xoshiro256PlusPlus,
    /// What nodes counted that are gone.
    before: Vitals,
    crashes: usize,
}

impl<'p, X: Causal> Run<'p, X> {
    fn new(plan: &'p Plan, make: Make<X>) -> Self {
        Self {
            plan,
            world: World::new(plan.seed, plan.network, make, History::default()),
            random: Xoshiro256PlusPlus::seed_from_u64(plan.seed ^ 0x6361_7573_616c_0000),
            before: Vitals::default(),
            crashes: 0,
        }
    }

    fn simulate(mut self) -> Figures {
        for node in 0..self.plan.nodes {
            self.world.observer.born(node);
            self.world.add_node();
            self.join(node);
            self.world.run_for(self.plan.join_spacing);
        }
        self.world.run_for(self.plan.settle);
        let moments = self.plan.messages.div_ceil(self.plan.at_once.max(1));
        let to_crash = f64::from(self.plan.nodes) * self.plan.fail.clamp(0.0, 1.0);
        let share = to_crash / f64::from(u32::try_from(moments.max(1)).unwrap_or(u32::MAX));
        let mut sent = 0;
        for moment in 0..moments {
            self.notice_ready();
            for _ in 0..self.plan.at_once.min(self.plan.messages - sent) {
                self.send();
                sent += 1;
            }
            let done = f64::from(u32::try_from(moment + 1).unwrap_or(u32::MAX));
            while f64::from(u32::try_from(self.crashes).unwrap_or(u32::MAX))
                < (share * done).floor()
            {
                self.crash();
            }
            self.world.run_for(self.plan.interval);
        }
        let settled = self.settle();
        self.figures(settled)
    }

    fn notice_ready(&mut self) {
        let now = self.world.now();
        let running: Vec<NodeId> = self.world.running().collect();
        for node in running {
            if self.world.state(node).is_some_and(X::is_ready) {
                self.world.observer.is_ready(now, node);
            }
        }
    }

    /// Lets time pass until all that was sent is delivered, or somebody was told why not: how long.
    fn settle(&mut self) -> Duration {
        let begun = self.world.now();
        loop {
            // Who is cut off from most is given a way in again, as by discovery.
            let mut parts = Graph::of(&self.world).parts();
            parts.sort_by_key(Vec::len);
            parts.pop();
            for node in parts.into_iter().flatten() {
                self.join(node);
            }
            self.world.run_for(SETTLE_STEP);
            let waited = self.world.now().since(begun);
            if waited >= self.plan.drain && (self.is_settled() || waited >= SETTLE_MAX) {
                return waited;
            }
        }
    }

    fn is_settled(&self) -> bool {
        let running: BTreeSet<NodeId> = self.world.running().collect();
        let held = |node: &NodeId| self.world.state(*node).map_or(0, |x| x.vitals().held);
        self.world.observer.account(&running).unheard == 0
            && running.iter().map(held).sum::<usize>() == 0
    }

    /// A node enters through a random one that runs.
    fn join(&mut self, node: NodeId) {
        let others = self.world.running().filter(|other| *other != node);
        if let Some(contact) = others.choose(&mut self.random) {
            self.world.command(node, Command::Join(contact));
        }
    }

    /// A node sends: half of the time one that was just delivered something, and then, where it sends to
    /// one node, to one that the sender of that had sent to as well.
    fn send(&mut self) {
        let latest = self.world.observer.latest.choose(&mut self.random).copied();
        let reacts = latest.filter(|_| self.random.random_bool(0.5));
        let any = self.world.running().choose(&mut self.random);
        let Some(node) = reacts.map(|(node, _)| node).or(any) else {
            return;
        };
        let to = match self.plan.layer {
            Layer::Broadcast => None,
            Layer::Unicast => {
                let history = &self.world.observer;
                let third = reacts.and_then(|(_, from)| history.another_receiver(from, node));
                let mut others = self.world.running().filter(|other| *other != node);
                let Some(to) = third.or_else(|| others.by_ref().choose(&mut self.random)) else {
                    return;
                };
                Some(to)
            }
        };
        let now = self.world.now();
        let bytes = self.plan.payload_bytes;
        let payload = self.world.observer.send(now, node, to, bytes);
        let command = match to {
            None => Command::Broadcast(payload.into()),
            Some(to) => Command::Relay { to, payload },
        };
        self.world.command(node, command);
        let counted = self.world.state(node).and_then(X::last_sent);
        self.world.observer.is_counted(counted);
    }

    /// A random node crashes, as its host does or its process; every second time one that crashed before
    /// starts again.
    fn crash(&mut self) {
        self.crashes += 1;
        let Some(node) = self.world.running().choose(&mut self.random) else {
            return;
        };
        let vitals = self.world.state(node).map(X::vitals).unwrap_or_default();
        self.before.add(Vitals {
            held: 0,
            kept: 0,
            ..vitals
        });
        let death = *[Death::Refuses, Death::Silent, Death::Resets]
            .choose(&mut self.random)
            .unwrap_or(&Death::Silent);
        self.world.crash(node, death);
        self.world.observer.died(node);
        let down = (0..self.world.node_count()).filter(|node| self.world.state(*node).is_none());
        if self.crashes.is_multiple_of(2)
            && let Some(node) = down.choose(&mut self.random)
        {
            self.world.observer.born(node);
            self.world.restart(node);
            self.join(node);
        }
    }

    fn figures(self, settled: Duration) -> Figures {
        let plan = self.plan;
        let running: BTreeSet<NodeId> = self.world.running().collect();
        let mut vitals = self.before;
        for node in &running {
            let of_node = self.world.state(*node).map(X::vitals);
            vitals.add(of_node.unwrap_or_default());
        }
        let history = &self.world.observer;
        let account = history.account(&running);
        let totals = self.world.totals();
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let per = |count: u64, of: f64| count as f64 / of;
        let node_seconds =
            f64::from(plan.nodes) * self.world.now().since(crate::Time::ZERO).as_secs_f64();
        Figures {
            layer: plan.layer.name(),
            overlay: plan.overlay.name(),
            nodes: plan.nodes,
            seed: plan.seed,
            sent: history.sent(),
            deliveries: history.deliveries(),
            expected: account.expected,
            missed: account.missed,
            refused: account.refused,
            gone: account.gone,
            unheard: account.unheard,
            settled_s: settled.as_secs_f64(),
            given_up: vitals.missed,
            held_max: vitals.held_max,
            held_at_end: vitals.held,
            kept_at_end: vitals.kept,
            words_bytes: per(vitals.words_bytes, per(vitals.sent.max(1), 1.0)),
            asked: vitals.asked,
            answered: vitals.answered,
            late: vitals.late,
            waived: vitals.waived,
            violation: history.violation().map(str::to_owned),
            bytes_per_node_s: per(totals.bytes, node_seconds),
            events: totals.events,
            trace_hash: format!("{:016x}", self.world.trace_hash()),
        }
    }
}
