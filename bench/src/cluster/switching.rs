//! `overlane-bench switch`: the overlay of a cluster is switched again and again while guaranteed messages flow, and
//! nodes are killed in the middle of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use overlane::OverlayKind;
use serde::Serialize;

use super::flags::SwitchFlags;
use super::nodes::{Nodes, unexpected};
use super::protocol::{Command, Reply};
use super::{form, of_rows, print};
use crate::error::{BenchError, Outcome, unless_faulty};
use crate::progress::Progress;

/// Each overlay takes the place of each other in twelve steps, from full mesh back to it.
const TOUR: [OverlayKind; 12] = [
    OverlayKind::HyParView,
    OverlayKind::ClientServer,
    OverlayKind::PubSub,
    OverlayKind::HyParView,
    OverlayKind::FullMesh,
    OverlayKind::ClientServer,
    OverlayKind::HyParView,
    OverlayKind::PubSub,
    OverlayKind::FullMesh,
    OverlayKind::PubSub,
    OverlayKind::ClientServer,
    OverlayKind::FullMesh,
];
/// A switch ends, or is given up, within this.
const SWITCH_WITHIN: Duration = Duration::from_secs(120);
/// Lives of one node that are told apart.
const LIVES_MAX: u32 = 10_000;

/// The figures; their names are a promise to scripts.
#[derive(Debug, Default, Serialize)]
struct Figures {
    nodes: usize,
    switches: u32,
    kills: u32,
    accepted: u64,
    acknowledged: u64,
    delivered: u64,
    reported: u64,
    duplicates: u64,
    out_of_order: u64,
    /// The longest time that a sender was kept from sending, or a receiver waited, between nodes that lived on.
    longest_gap_ms: u64,
    /// From the commit at the node that ordered it until all nodes had it, the longest.
    epoch_agree_ms: u64,
    rollbacks: u32,
    /// The time of a switch, the mean.
    switch_ms: u64,
}

struct Run<'a> {
    flags: &'a SwitchFlags,
    nodes: Nodes,
    random: fastrand::Rng,
    /// How often each node was started.
    lives: BTreeMap<usize, u32>,
    /// The overlay in force.
    current: String,
    /// Flows that a kill has touched are not held against the longest gap.
    touched: Vec<u32>,
    figures: Figures,
    faults: Vec<String>,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &SwitchFlags) -> Outcome<()> {
    flags.check()?;
    let seed = flags.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let progress = Progress::of_steps("switch", flags.nodes as u64 + u64::from(flags.switches));
    let cluster = flags.cluster();
    let mut nodes = Nodes::new(&cluster)?;
    form(&mut nodes, &cluster, &progress)?;
    let mut run = Run {
        flags,
        nodes,
        random: fastrand::Rng::with_seed(seed),
        lives: BTreeMap::new(),
        current: cluster.overlay()?.name().to_owned(),
        touched: Vec::new(),
        figures: Figures {
            nodes: flags.nodes,
            switches: flags.switches,
            ..Figures::default()
        },
        faults: Vec::new(),
    };
    for number in 0..flags.nodes {
        run.begin_flow(number)?;
    }
    let began = Instant::now();
    for number in 0..flags.switches {
        run.switch(number)?;
        progress.step();
    }
    let mean = began.elapsed() / flags.switches.max(1);
    run.figures.switch_ms = ms(mean);
    run.settle()?;
    drop(progress);
    let Run {
        figures, faults, ..
    } = run;
    print(&figures, figures.table(), flags.run.json);
    unless_faulty(&faults)
}

impl Run<'_> {
    /// Each node sends to the next.
    fn target(&self, number: usize) -> usize {
        (number + 1) % self.flags.nodes
    }

    fn begin_flow(&mut self, number: usize) -> Outcome<()> {
        *self.lives.entry(number).or_default() += 1;
        let share = usize::try_from(self.flags.rate).unwrap_or(usize::MAX) / self.flags.nodes;
        let hz = u32::try_from(share.max(1)).unwrap_or(u32::MAX);
        let (to, sender) = (self.target(number), sender(&self.lives, number));
        self.nodes.begin_flow(number, to, sender, hz)
    }

    fn switch(&mut self, number: u32) -> Outcome<()> {
        let tour = TOUR.iter().cycle().skip(number as usize % TOUR.len());
        let mut others = tour.filter(|kind| kind.name() != self.current);
        let kind = *others.next().expect("there are several overlays");
        let proposer = self.random.usize(0..self.flags.nodes);
        self.nodes
            .tell(proposer, &Command::Switch(kind.name().to_owned()))?;
        let every = self.flags.switches / self.flags.kills.max(1);
        let is_killing =
            self.figures.kills < self.flags.kills && number.is_multiple_of(every.max(1));
        if is_killing {
            return self.kill_in_the_middle(kind, proposer);
        }
        match self.nodes.answer(proposer, SWITCH_WITHIN)? {
            Reply::Switched(Ok(())) => self.agree_on_epoch(kind),
            Reply::Switched(Err(why)) => {
                self.figures.rollbacks += 1;
                self.faults
                    .push(format!("switch {number} to {kind}: {why}"));
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until all nodes have the overlay in one epoch.
    fn agree_on_epoch(&mut self, kind: OverlayKind) -> Outcome<()> {
        let began = Instant::now();
        loop {
            let looks = self.nodes.look()?;
            let newest = looks.iter().map(|look| look.epoch).max();
            let alike = looks
                .iter()
                .all(|look| Some(look.epoch) == newest && look.overlay == kind.name());
            if alike {
                kind.name().clone_into(&mut self.current);
                let agree = ms(began.elapsed());
                self.figures.epoch_agree_ms = self.figures.epoch_agree_ms.max(agree);
                return Ok(());
            }
            if began.elapsed() > SWITCH_WITHIN {
                let seen: Vec<_> = looks
                    .iter()
                    .map(|look| (look.epoch, &look.overlay))
                    .collect();
                return Err(BenchError::CheckFailed(format!(
                    "the nodes do not agree on one overlay: {seen:?}"
                )));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills a node while the switch goes on: every other time the one that ordered it.
    fn kill_in_the_middle(&mut self, kind: OverlayKind, proposer: usize) -> Outcome<()> {
        std::thread::sleep(Duration::from_millis(self.random.u64(0..300)));
        self.figures.kills += 1;
        let is_proposer = self.figures.kills.is_multiple_of(2) && proposer != 0;
        let victim = if is_proposer {
            proposer
        } else {
            let others: Vec<usize> = (1..self.flags.nodes)
                .filter(|number| *number != proposer)
                .collect();
            others[self.random.usize(0..others.len())]
        };
        let before = (victim + self.flags.nodes - 1) % self.flags.nodes;
        self.touched
            .extend([victim, before].map(|number| sender(&self.lives, number)));
        self.nodes.kill(victim)?;
        let kept = if is_proposer {
            None
        } else {
            match self.nodes.answer(proposer, SWITCH_WITHIN)? {
                Reply::Switched(outcome) => Some(outcome),
                other => return Err(unexpected(&other)),
            }
        };
        let patience = self.flags.run.patience();
        self.nodes.agree(patience)?;
        self.nodes.start(victim)?;
        self.nodes.agree(patience)?;
        let settled = self.settled_overlay(patience)?;
        let rolled_back = settled != kind.name();
        self.current = settled;
        self.figures.rollbacks += u32::from(rolled_back);
        if let Some(Ok(())) = kept
            && rolled_back
        {
            self.faults
                .push(format!("a switch to {kind} was committed and is gone"));
        }
        self.begin_flow(victim)
    }

    /// Waits until all nodes have one overlay and change to no other; which.
    fn settled_overlay(&mut self, within: Duration) -> Outcome<String> {
        let deadline = Instant::now() + within;
        loop {
            let looks = self.nodes.look()?;
            let first = &looks[0];
            let alike = looks.iter().all(|look| {
                look.epoch == first.epoch && look.overlay == first.overlay && !look.is_changing
            });
            if alike {
                return Ok(first.overlay.clone());
            }
            if Instant::now() > deadline {
                return Err(BenchError::CheckFailed(
                    "after a kill the nodes do not agree on one overlay".to_owned(),
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops all flows, and holds what was accepted against what came.
    fn settle(&mut self) -> Outcome<()> {
        let Self { nodes, lives, .. } = self;
        let sums = nodes.end_flows(|number| sender(lives, number), &self.touched)?;
        self.figures.accepted = sums.accepted;
        self.figures.acknowledged = sums.acknowledged;
        self.figures.delivered = sums.delivered;
        self.figures.reported = sums.reported;
        self.figures.duplicates = sums.duplicates;
        self.figures.out_of_order = sums.out_of_order;
        self.figures.longest_gap_ms = sums.longest_gap_ms;
        self.faults.extend(sums.faults);
        Ok(())
    }
}

/// The number of a sender in its present life.
fn sender(lives: &BTreeMap<usize, u32>, number: usize) -> u32 {
    let life = lives.get(&number).copied().unwrap_or(0);
    u32::try_from(number).unwrap_or(u32::MAX / LIVES_MAX) * LIVES_MAX + life
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Figures {
    fn table(&self) -> String {
        of_rows([
            ("nodes", self.nodes.to_string()),
            (
                "switches",
                format!("{}, {} rolled back", self.switches, self.rollbacks),
            ),
            ("nodes killed in the middle", self.kills.to_string()),
            ("messages accepted", self.accepted.to_string()),
            ("acknowledged", self.acknowledged.to_string()),
            ("delivered", self.delivered.to_string()),
            ("reported", self.reported.to_string()),
            (
                "twice, out of order",
                format!("{}, {}", self.duplicates, self.out_of_order),
            ),
            ("longest gap", format!("{} ms", self.longest_gap_ms)),
            (
                "one epoch everywhere within",
                format!("{} ms", self.epoch_agree_ms),
            ),
            ("a switch takes", format!("{} ms", self.switch_ms)),
        ])
    }
}
