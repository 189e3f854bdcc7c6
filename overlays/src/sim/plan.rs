//! The experiment of the papers: nodes join one by one, the overlay settles, broadcasts are sent; or
//! some nodes fail at once, and broadcasts are sent before and after the overlay heals.

use std::ops::Range;
use std::time::Duration;

use super::NodeId;
use super::carrier::{Carrier, MakeCarrier, Task};
use super::deliveries::Round;
use super::graph::Graph;
use super::network::NetworkConfig;
use super::report::{Report, mean};
use super::subject::Subject;
use super::workload::{Moments, Progress, Run, Senders};
use crate::epidemic::{self, Epidemic};
use crate::hyparview::{self, HyParView};
use crate::plumtree::{self, Plumtree};
use crate::stack::Stack;

/// One cycle of every overlay.
const PERIOD: Duration = Duration::from_secs(10);

/// Cycles after which a failure is looked at again.
const CYCLES_HEALED: usize = 3;

/// How broadcasts are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spreading {
    /// Along a tree.
    Plumtree,
    /// To all neighbors.
    Flood,
    /// To some neighbors.
    Epidemic,
}

impl Spreading {
    const fn name(self) -> &'static str {
        match self {
            Self::Plumtree => "plumtree",
            Self::Flood => "flood",
            Self::Epidemic => "epidemic",
        }
    }
}

/// What is to be simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who connects to whom.
    pub overlay: Carrier,
    /// Settings of HyParView, where that is the overlay.
    pub hyparview: hyparview::Config,
    /// How broadcasts are spread where the overlay is HyParView; others have what is usual on them.
    pub spreading: Spreading,
    /// Settings of Plumtree.
    pub plumtree: plumtree::Config,
    /// Nodes that join.
    pub nodes: NodeId,
    /// The number that repeats the simulation.
    pub seed: u64,
    /// What lies between the nodes.
    pub network: NetworkConfig,
    /// Time between two joins.
    pub join_spacing: Duration,
    /// Cycles to settle after the last join.
    pub cycles: usize,
    /// Share of nodes to crash at once after that, 0 to 1.
    pub fail: f64,
    /// Broadcasts to send; if nodes fail, as many again once healed.
    pub broadcasts: usize,
    /// Who sends them.
    pub senders: Senders,
    /// Broadcasts sent at the same moment.
    pub at_once: usize,
    /// Bytes of each.
    pub payload_bytes: usize,
    /// Time between two broadcasts, or between the moments of several.
    pub interval: Duration,
    /// Cycles to wait for the overlay to heal.
    pub cycles_to_heal_max: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// The broadcasts; those before healing, if nodes failed.
    pub rounds: Vec<Round>,
    /// The broadcasts three cycles after the failure.
    pub rounds_healed: Vec<Round>,
}

impl Plan {
    /// Runs the experiment.
    pub fn run(&self, progress: Progress<'_>) -> Outcome {
        let hyparview = self.hyparview.clone();
        let overlay = move |node| HyParView::new(node, hyparview.clone());
        let fan_out = match self.spreading {
            Spreading::Flood => usize::MAX,
            _ => epidemic::Config::default().fan_out,
        };
        let task = Measured {
            plan: self,
            progress,
        };
        match (self.overlay, self.spreading) {
            (Carrier::HyParView, Spreading::Plumtree) => {
                let plumtree = self.plumtree.clone();
                task.run(Box::new(move |node| {
                    Stack::new(overlay(node), Plumtree::new(node, plumtree.clone()))
                }))
            }
            (Carrier::HyParView, _) => task.run(Box::new(move |node| {
                let config = epidemic::Config {
                    fan_out,
                    ..epidemic::Config::default()
                };
                Stack::new(overlay(node), Epidemic::new(node, config))
            })),
            (other, _) => other.run(self.nodes, task),
        }
    }

    fn name(&self) -> String {
        let mut name = self.overlay.name().to_string();
        if self.overlay == Carrier::HyParView {
            if self.hyparview.partisan_deviations {
                name.push_str("+partisan_deviations");
            }
            if self.hyparview.xbot.is_some() {
                name.push_str("+xbot");
            }
        }
        name
    }
}

struct Measured<'p> {
    plan: &'p Plan,
    progress: Progress<'p>,
}

impl Task for Measured<'_> {
    type Output = Outcome;

    fn run<C: Subject + 'static>(self, mut make: MakeCarrier<C>) -> Outcome {
        let Self { plan, progress } = self;
        let make = Box::new(move |node, _| make(node));
        let mut run = Run::new(plan.seed, plan.network, PERIOD, make);
        run.join(plan.nodes, plan.join_spacing, progress);
        run.settle(plan.cycles, progress);
        let mut report = Report {
            overlay: plan.name(),
            broadcast: match plan.overlay {
                Carrier::FullMesh => "direct",
                _ => plan.spreading.name(),
            },
            nodes: plan.nodes,
            seed: plan.seed,
            failed_percent: 100.0 * plan.fail,
            ..Report::default()
        };
        progress("graph", 0, 1);
        report.set_shape(&Graph::of(&run.world).shape(100, plan.seed));
        let (rounds, rounds_healed) = if plan.fail > 0.0 {
            plan.fail_and_heal(&mut run, &mut report, progress)
        } else {
            let (begun, ups) = (run.world.now(), run.world.observer.neighbor_ups());
            let before = run.world.totals().messages;
            let rounds = plan.broadcast(&mut run, progress);
            run.world.run_for(PERIOD);
            let broadcasts = NodeId::try_from(rounds.len()).unwrap_or(NodeId::MAX).max(1);
            let messages = run.world.totals().messages - before;
            report.messages_per_broadcast = Some(per(messages, broadcasts));
            let minutes = run.world.now().since(begun).as_secs_f64() / 60.0;
            let ups = run.world.observer.neighbor_ups() - ups;
            report.neighbor_ups_per_node_min = Some(per(ups, plan.nodes) / minutes);
            (rounds, 0..0)
        };
        let rounds = run.rounds(&rounds).to_vec();
        let rounds_healed = run.rounds(&rounds_healed).to_vec();
        report.set_rounds(&rounds);
        if !rounds_healed.is_empty() {
            report.reach_percent_healed = Some(mean(&rounds_healed, Round::reach_percent));
        }
        let seconds = run.world.now().since(crate::Time::ZERO).as_secs_f64();
        let totals = run.world.totals();
        report.bytes_per_node_s = per(totals.bytes, plan.nodes) / seconds;
        report.messages_per_node_s = per(totals.messages, plan.nodes) / seconds;
        report.events = totals.events;
        report.trace_hash = format!("{:016x}", run.world.trace_hash());
        Outcome {
            report,
            rounds,
            rounds_healed,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn per(count: u64, parts: u32) -> f64 {
    count as f64 / f64::from(parts)
}

impl Plan {
    /// Sends the broadcasts, at most for one cycle if nodes have failed. Which rounds they are.
    fn broadcast<X: Subject>(&self, run: &mut Run<X>, progress: Progress<'_>) -> Range<usize> {
        let count = u32::try_from(self.broadcasts).unwrap_or(u32::MAX).max(1);
        let interval = if self.fail > 0.0 {
            self.interval.min(PERIOD / count)
        } else {
            self.interval
        };
        let moments = Moments {
            at_once: self.at_once,
            interval,
            payload_bytes: self.payload_bytes,
        };
        run.broadcast(self.broadcasts, self.senders, moments, progress)
    }

    /// Crashes nodes, sends broadcasts at once and again after three cycles, and sees how many cycles
    /// it takes until a broadcast reaches everybody. Which rounds were before and which after.
    fn fail_and_heal<X: Subject>(
        &self,
        run: &mut Run<X>,
        report: &mut Report,
        progress: Progress<'_>,
    ) -> (Range<usize>, Range<usize>) {
        let failed_at = run.world.now();
        run.fail(self.fail);
        let before = self.broadcast(run, progress);
        let mut after = 0..0;
        for cycle in 1..=self.cycles_to_heal_max.max(CYCLES_HEALED) {
            progress("heal", cycle, self.cycles_to_heal_max);
            let cycles = u32::try_from(cycle).unwrap_or(u32::MAX);
            run.world.run_until(failed_at + PERIOD * cycles);
            if report.cycles_to_heal.is_none() && run.reaches_all(PERIOD / 2) {
                report.cycles_to_heal = Some(cycle);
            }
            if cycle == CYCLES_HEALED {
                let graph = Graph::of(&run.world);
                report.isolated = Some(graph.isolated());
                report.connected = Some(graph.is_connected());
                after = self.broadcast(run, progress);
            }
            if cycle >= CYCLES_HEALED && report.cycles_to_heal.is_some() {
                break;
            }
        }
        run.world.run_for(PERIOD);
        if run.rounds(&before).iter().all(|round| round.missed() == 0) {
            report.cycles_to_heal = Some(0);
        }
        (before, after)
    }
}
