//! Atomic broadcasts in the simulator, while members crash and start again: does any one deliver what
//! another was told to be aborted, how many commit, and at what price?

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::NodeId;
use super::carrier::{MakeCarrier, Task};
use super::membership::Experiment;
use super::network::Death;
use super::subject::{Inspect, Observer, Subject};
use super::workload::Progress;
use super::world::{Make, World};
use crate::atomic_broadcast::{AtomicBroadcast, Config};
use crate::event::{AtomicOutcome, Command, Event};
use crate::stack::Stack;
use crate::store::MessageId;
use crate::time::Time;

/// Time to settle after the last join, and for the last rounds to end: some leaders waited for in turn.
const SETTLE: Duration = Duration::from_secs(60);
/// Time between two rounds.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long after the start of a round one of its members crashes at most: as long as a round takes.
const CRASH_WITHIN_MS: u64 = 250;
/// How long a crashed node is away.
const AWAY: Duration = Duration::from_secs(5);
const PAYLOAD_BYTES: usize = 64;

impl Inspect for AtomicBroadcast<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

/// A node in one of its lives, counted from zero.
type Life = (NodeId, u32);

/// What became of the rounds.
#[derive(Debug, Default)]
struct Rounds {
    lives: BTreeMap<NodeId, u32>,
    began: BTreeMap<MessageId, (Time, Vec<Life>)>,
    /// True where it was delivered or committed, false where it was told to be aborted.
    ended: BTreeMap<(MessageId, Life), bool>,
    commit_ms: Vec<u64>,
    unknown: usize,
}

impl<X: Subject> Observer<X> for Rounds {
    fn event(&mut self, at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        let (id, committed) = match event {
            Event::Delivered(delivery) => (delivery.id, true),
            Event::Atomic { id, outcome, .. } => match outcome {
                AtomicOutcome::Committed => (*id, true),
                AtomicOutcome::Aborted { .. } => (*id, false),
                AtomicOutcome::Unknown => {
                    self.unknown += 1;
                    return;
                }
            },
            _ => return,
        };
        let life = self.lives.get(&node).copied().unwrap_or_default();
        self.ended.insert((id, (node, life)), committed);
        if let Some((began, _)) = self.began.get(&id).filter(|_| committed) {
            let millis = at.since(*began).as_millis();
            self.commit_ms
                .push(u64::try_from(millis).unwrap_or(u64::MAX));
        }
    }
}

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The cluster.
    pub experiment: Experiment,
    /// Members of each view, chosen at random.
    pub members: usize,
    /// Rounds, one each half second.
    pub rounds: usize,
    /// Share of the rounds in which a member of the view, the sender among them, crashes, 0 to 1.
    pub crashes: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The overlay.
    pub overlay: &'static str,
    /// Nodes.
    pub nodes: NodeId,
    /// The number that repeats it.
    pub seed: u64,
    /// Members of each view.
    pub members: usize,
    /// Rounds begun.
    pub rounds: usize,
    /// Members that crashed during a round; each starts again after five seconds.
    pub crashes: u32,
    /// Rounds that somebody delivered.
    pub committed: usize,
    /// Rounds that nobody did, and that somebody was told to be aborted.
    pub aborted: usize,
    /// Rounds delivered by one member and told to be aborted to another, in lives that go on.
    pub mixed: usize,
    /// Rounds that a member delivered and another one, that went on in its life, did not.
    pub incomplete: usize,
    /// Rounds of which somebody still does not know the end.
    pub undecided: usize,
    /// Told that the end is unknown.
    pub unknown: usize,
    /// From the start to a delivery: mean and most.
    pub commit_ms_mean: u64,
    /// See there.
    pub commit_ms_max: u64,
    /// Messages of all layers per round, while rounds were begun.
    pub messages_per_round: f64,
    /// Inputs handled in all.
    pub events: u64,
    /// Hash over all that happened.
    pub trace_hash: String,
}

impl Plan {
    /// Runs it.
    pub fn run(self, progress: Progress<'_>) -> Figures {
        let task = Measured {
            plan: self,
            progress,
        };
        self.experiment.overlay.run(self.experiment.nodes, task)
    }
}

struct Measured<'p> {
    plan: Plan,
    progress: Progress<'p>,
}

type Over<C> = Stack<C, AtomicBroadcast<NodeId>>;

/// The incarnation of a life.
fn incarnation(starts: u32) -> u64 {
    u64::from(starts) + 1
}

impl Task for Measured<'_> {
    type Output = Figures;

    fn run<C: Subject + 'static>(self, mut carrier: MakeCarrier<C>) -> Figures {
        let Self { plan, progress } = self;
        let Experiment {
            overlay,
            nodes,
            seed,
            network,
            join_spacing,
        } = plan.experiment;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6174_6f6d_6963_0000);
        let make: Make<Over<C>> = Box::new(move |node, starts| {
            let layer = AtomicBroadcast::new(node, incarnation(starts), Config::default());
            Stack::new(carrier(node), layer)
        });
        let mut world = World::new(seed, network, make, Rounds::default());
        for node in 0..nodes {
            progress("join", node as usize + 1, nodes as usize);
            world.add_node();
            if node > 0 {
                world.command(node, Command::Join(random.random_range(0..node)));
            }
            world.run_for(join_spacing);
        }
        world.run_for(SETTLE);
        let before = world.totals().messages;
        let mut crashes = 0;
        let mut away: BTreeMap<NodeId, Time> = BTreeMap::new();
        for number in 0..plan.rounds {
            progress("rounds", number + 1, plan.rounds);
            restart(&mut world, &mut away, nodes);
            let Some(view) = begin(&mut world, plan.members, &mut random) else {
                continue;
            };
            let crash_after = random.random_range(0..CRASH_WITHIN_MS);
            world.run_for(Duration::from_millis(crash_after));
            if random.random_bool(plan.crashes)
                && let Some(victim) = view.choose(&mut random)
            {
                let death = *[Death::Refuses, Death::Silent]
                    .choose(&mut random)
                    .unwrap_or(&Death::Silent);
                world.crash(*victim, death);
                away.insert(*victim, world.now() + AWAY);
                crashes += 1;
            }
            world.run_for(INTERVAL.saturating_sub(Duration::from_millis(crash_after)));
        }
        let messages = world.totals().messages - before;
        world.run_for(AWAY);
        restart(&mut world, &mut away, nodes);
        world.run_for(SETTLE);
        let undecided = world.running().filter_map(|node| world.state(node));
        let undecided = undecided.map(|state| state.upper.under_way()).sum();
        let living: Vec<Life> = world
            .running()
            .map(|node| (node, world.starts(node)))
            .collect();
        let verdict = Verdict::of(&world.observer, &living);
        let commit_ms = &world.observer.commit_ms;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let messages_per_round = messages as f64 / plan.rounds.max(1) as f64;
        Figures {
            overlay: overlay.name(),
            nodes,
            seed,
            members: plan.members,
            rounds: world.observer.began.len(),
            crashes,
            committed: verdict.committed,
            aborted: verdict.aborted,
            mixed: verdict.mixed,
            incomplete: verdict.incomplete,
            undecided,
            unknown: world.observer.unknown,
            commit_ms_mean: commit_ms.iter().sum::<u64>() / (commit_ms.len() as u64).max(1),
            commit_ms_max: commit_ms.iter().copied().max().unwrap_or(0),
            messages_per_round,
            events: world.totals().events,
            trace_hash: format!("{:016x}", world.trace_hash()),
        }
    }
}

/// Starts those nodes again that were away for long enough.
fn restart<C: Subject>(
    world: &mut World<Over<C>, Rounds>,
    away: &mut BTreeMap<NodeId, Time>,
    nodes: NodeId,
) {
    let now = world.now();
    let due: Vec<NodeId> = away
        .iter()
        .filter(|(_, at)| **at <= now)
        .map(|(node, _)| *node)
        .collect();
    for node in due {
        away.remove(&node);
        world.observer.lives.insert(node, world.starts(node));
        world.restart(node);
        world.command(node, Command::Join((node + 1) % nodes));
    }
}

/// Begins a round among random running nodes, from one of them: who they are.
fn begin<C: Subject>(
    world: &mut World<Over<C>, Rounds>,
    members: usize,
    random: &mut Xoshiro256PlusPlus,
) -> Option<Vec<NodeId>> {
    let view: Vec<NodeId> = world.running().sample(random, members);
    let sender = *view.choose(random)?;
    let lives: Vec<Life> = view
        .iter()
        .map(|node| (*node, world.starts(*node)))
        .collect();
    let before = world.state(sender)?.upper.last_sent();
    let command = Command::AtomicBroadcast {
        view: lives
            .iter()
            .map(|(node, starts)| (*node, incarnation(*starts)))
            .collect(),
        payload: vec![0; PAYLOAD_BYTES].into(),
    };
    let now = world.now();
    world.command(sender, command);
    let sent = world.state(sender)?.upper.last_sent();
    let id = sent.filter(|_| sent != before)?;
    world.observer.began.insert(id, (now, lives));
    Some(view)
}

/// How the rounds ended.
#[derive(Debug, Default)]
struct Verdict {
    committed: usize,
    aborted: usize,
    mixed: usize,
    incomplete: usize,
}

impl Verdict {
    fn of(rounds: &Rounds, living: &[Life]) -> Self {
        let mut verdict = Self::default();
        for (id, (_, view)) in &rounds.began {
            let ends = |life: &Life| rounds.ended.get(&(*id, *life)).copied();
            let any = |end| view.iter().any(|life| ends(life) == Some(end));
            let left = view.iter().filter(|life| living.contains(life));
            let left: Vec<Option<bool>> = left.map(ends).collect();
            verdict.committed += usize::from(any(true));
            verdict.aborted += usize::from(!any(true) && any(false));
            let delivered = left.contains(&Some(true));
            verdict.mixed += usize::from(delivered && left.contains(&Some(false)));
            verdict.incomplete += usize::from(delivered && left.contains(&None));
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::NetworkConfig;
    use crate::sim::carrier::Carrier;

    #[test]
    fn no_round_ends_in_two_ways_whatever_is_lost_and_whoever_crashes() {
        for seed in 1..=4 {
            let network = NetworkConfig {
                loss: 0.1,
                duplication: 0.1,
                duplication_delay: Duration::from_secs(10),
                reorder: 0.2,
                ..NetworkConfig::default()
            };
            let experiment = Experiment {
                overlay: Carrier::FullMesh,
                nodes: 12,
                seed,
                network,
                join_spacing: Duration::from_millis(10),
            };
            let plan = Plan {
                experiment,
                members: 5,
                rounds: 100,
                crashes: 0.3,
            };
            let figures = plan.run(&mut |_, _, _| {});
            println!("{figures:?}");
            assert_eq!((figures.mixed, figures.incomplete), (0, 0), "{figures:?}");
            assert_eq!((figures.undecided, figures.unknown), (0, 0), "{figures:?}");
            assert!(figures.committed > 50 && figures.aborted > 0, "{figures:?}");
        }
    }
}
