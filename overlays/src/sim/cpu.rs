//! What an input costs the protocols of a node: the time within `handle` alone, without the simulator's own.
//!
//! Nothing here can see a clock, so whoever runs it hands one in. All nodes of the cluster take turns on one core, so
//! each finds its state out of the caches more often than a node with a core of its own would: what comes out is more than
//! a node pays, not less.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{Rng, RngExt, SeedableRng};
use serde::Serialize;

use super::NodeId;
use super::carrier::{MakeCarrier, Task};
use super::membership::{Experiment, complete_table, with_membership};
use super::network::Death;
use super::subject::{Inspect, Subject};
use super::workload::Progress;
use super::world::{Make, World};
use crate::event::{Command, InputOf, OutputOf, Overlay, Protocol};
use crate::membership::{Config, Table};
use crate::time::Time;

/// Time to settle after the last join.
const SETTLE: Duration = Duration::from_secs(60);
/// How long each phase is measured.
const PHASE: Duration = Duration::from_secs(20);
/// From one broadcast, or crash, to the next.
const INTERVAL: Duration = Duration::from_secs(1);
const PAYLOAD_BYTES: usize = 64;

/// Time since any moment, of the thread that asks.
pub type Clock = fn() -> Duration;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The cluster. Its nodes know each other from the start.
    pub experiment: Experiment,
    /// Tells the time.
    pub clock: Clock,
}

/// What inputs cost in a span of the cluster's life.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// What happened: nothing (`quiet`), a broadcast of 64 bytes each second (`broadcasts`), or a silent crash each
    /// second (`crashes`).
    pub phase: &'static str,
    /// Mean time of an input, in nanoseconds.
    pub ns_per_event: f64,
    /// Inputs of a node in a second.
    pub events_per_node_s: f64,
    /// Both together: microseconds of a core that a node takes in a second.
    pub us_per_node_s: f64,
}

impl Cost {
    /// Measures it, one phase after the other.
    pub fn run(self, progress: Progress<'_>) -> [Phase; 3] {
        let Experiment { overlay, nodes, .. } = self.experiment;
        let cost = self;
        overlay.run(nodes, Measured { cost, progress })
    }
}

/// Adds up the time of inputs, of all nodes.
#[derive(Debug)]
struct Stopwatch {
    clock: Clock,
    spent: Cell<Duration>,
    events: Cell<u64>,
}

impl Stopwatch {
    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = (self.clock)();
        let result = work();
        let spent = (self.clock)().saturating_sub(begun);
        self.spent.set(self.spent.get() + spent);
        self.events.set(self.events.get() + 1);
        result
    }

    /// What the watch itself adds to each input.
    fn own(&self) -> Duration {
        const TIMES: u32 = 100_000;
        let before = self.spent.get();
        (0..TIMES).for_each(|_| self.time(|| ()));
        (self.spent.get() - before) / TIMES
    }
}

/// A protocol whose inputs are timed.
#[derive(Debug)]
struct Timed<X> {
    inner: X,
    watch: Rc<Stopwatch>,
}

impl<X: Protocol<NodeId>> Protocol<NodeId> for Timed<X> {
    type Message = X::Message;
    type Timer = X::Timer;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, NodeId>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, NodeId>>,
    ) {
        let Self { inner, watch } = self;
        watch.time(|| inner.handle(now, input, random, out));
    }
}

impl<X: Overlay<NodeId>> Overlay<NodeId> for Timed<X> {
    fn neighbors(&self) -> Vec<NodeId> {
        self.inner.neighbors()
    }
}

impl<X: Inspect> Inspect for Timed<X> {
    fn payload(message: &Self::Message) -> Option<Bytes> {
        X::payload(message)
    }

    fn members(&self) -> Option<&Table<NodeId>> {
        self.inner.members()
    }
}

struct Measured<'p> {
    cost: Cost,
    progress: Progress<'p>,
}

impl Task for Measured<'_> {
    type Output = [Phase; 3];

    fn run<C: Subject + 'static>(self, carrier: MakeCarrier<C>) -> [Phase; 3] {
        let Self { cost, progress } = self;
        let Experiment {
            nodes,
            seed,
            network,
            join_spacing,
            ..
        } = cost.experiment;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6370_7500_0000_0000);
        let watch = Rc::new(Stopwatch {
            clock: cost.clock,
            spent: Cell::default(),
            events: Cell::default(),
        });
        let config = Config::default();
        let table = complete_table(nodes, &config);
        let mut below = with_membership(config, Some(table), carrier);
        let timed = Rc::clone(&watch);
        let make: Make<_> = Box::new(move |node, starts| Timed {
            inner: below(node, starts),
            watch: Rc::clone(&timed),
        });
        let mut world = World::new(seed, network, make, ());
        for _ in 0..nodes {
            world.add_node();
        }
        for node in 1..nodes {
            progress("join", node as usize + 1, nodes as usize);
            world.command(node, Command::Join(random.random_range(0..node)));
            world.run_for(join_spacing);
        }
        progress("settle", 0, 1);
        world.run_for(SETTLE);
        let mut phases = Phases {
            world,
            watch,
            random,
        };
        let silence = |_: &mut World<_, ()>, _| ();
        let broadcast = |world: &mut World<_, ()>, sender| {
            let payload = Bytes::from(vec![1; PAYLOAD_BYTES]);
            world.command(sender, Command::Broadcast(payload.into()));
        };
        let crash = |world: &mut World<_, ()>, victim| world.crash(victim, Death::Silent);
        [
            phases.measure("quiet", silence, progress),
            phases.measure("broadcasts", broadcast, progress),
            phases.measure("crashes", crash, progress),
        ]
    }
}

struct Phases<X: Subject> {
    world: World<Timed<X>, ()>,
    watch: Rc<Stopwatch>,
    random: Xoshiro256PlusPlus,
}

impl<X: Subject> Phases<X> {
    /// Does something with a random node each second, and says what inputs cost meanwhile.
    fn measure(
        &mut self,
        phase: &'static str,
        each: impl Fn(&mut World<Timed<X>, ()>, NodeId),
        progress: Progress<'_>,
    ) -> Phase {
        progress(phase, 0, 1);
        let own = self.watch.own();
        self.watch.spent.set(Duration::ZERO);
        self.watch.events.set(0);
        let nodes = self.world.running().count();
        let (begun, end) = (self.world.now(), self.world.now() + PHASE);
        while self.world.now() < end {
            if let Some(node) = self.world.running().choose(&mut self.random) {
                each(&mut self.world, node);
            }
            self.world.run_for(INTERVAL);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a simulation, far below 2^52"
        )]
        let (events, node_seconds) = (
            self.watch.events.get() as f64,
            nodes as f64 * self.world.now().since(begun).as_secs_f64(),
        );
        let spent = self.watch.spent.get().as_secs_f64() - own.as_secs_f64() * events;
        Phase {
            phase,
            ns_per_event: 1e9 * spent / events.max(1.0),
            events_per_node_s: events / node_seconds,
            us_per_node_s: 1e6 * spent / node_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::sim::carrier::Carrier;
    use crate::sim::network::NetworkConfig;

    /// A clock that shows a microsecond more each time.
    fn ticks() -> Duration {
        static TICKS: AtomicU64 = AtomicU64::new(0);
        Duration::from_micros(TICKS.fetch_add(1, Ordering::Relaxed))
    }

    #[test]
    fn inputs_are_counted_in_each_phase_and_the_watch_itself_is_not() {
        let experiment = Experiment {
            overlay: Carrier::HyParView,
            nodes: 20,
            seed: 3,
            network: NetworkConfig::default(),
            join_spacing: Duration::from_millis(10),
        };
        let cost = Cost {
            experiment,
            clock: ticks,
        };
        let phases = cost.run(&mut |_, _, _| {});
        assert_eq!(
            phases.map(|phase| phase.phase),
            ["quiet", "broadcasts", "crashes"]
        );
        let [quiet, broadcasts, _] = phases;
        // One input per node at least for each broadcast, one a second.
        assert!(broadcasts.events_per_node_s > quiet.events_per_node_s + 0.9);
        for phase in phases {
            assert!(phase.ns_per_event.abs() < 1.0, "{phase:?}");
            assert!(phase.events_per_node_s > 1.0, "{phase:?}");
        }
    }
}
