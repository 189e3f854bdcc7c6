//! `overlane-bench auto`: a cluster that follows rules grows and shrinks again under load, and is to switch its overlay once each
//! way, not more, and to lose nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use overlane::OverlayKind;
use serde::Serialize;

use super::flags::AutoFlags;
use super::nodes::{Nodes, name, unexpected};
use super::protocol::{Command, Flow, Got, Reply, STEADY};
use super::{of_rows, print};
use crate::error::{BenchError, Outcome, unless_faulty};
use crate::progress::Progress;

/// Between two looks which overlay there is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long what is under way at an end may take.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// The figures; their names are a promise to scripts.
#[derive(Debug, Default, Serialize)]
struct Figures {
    small: usize,
    large: usize,
    /// Overlays that came into force after the first.
    switches: usize,
    /// Their kinds, in order.
    overlays: Vec<String>,
    accepted: u64,
    delivered: u64,
    reported: u64,
    duplicates: u64,
    out_of_order: u64,
    /// From the last node's start, and from the last one's goodbye, until all had the overlay for that size.
    grown_s: f64,
    shrunk_s: f64,
}

struct Run<'a> {
    flags: &'a AutoFlags,
    nodes: Nodes,
    figures: Figures,
    /// The epoch and the overlay that the first node had last.
    seen: (u64, String),
    /// What each sender came to, those that are gone too.
    flows: BTreeMap<usize, Flow>,
    faults: Vec<String>,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &AutoFlags) -> Outcome<()> {
    flags.check()?;
    let steps = flags.large + flags.large - flags.small;
    let progress = Progress::of_steps("auto", steps as u64);
    let nodes = Nodes::new(&flags.cluster())?;
    let mut run = Run {
        flags,
        nodes,
        figures: Figures {
            small: flags.small,
            large: flags.large,
            ..Figures::default()
        },
        seen: (0, OverlayKind::FullMesh.name().to_owned()),
        flows: BTreeMap::new(),
        faults: Vec::new(),
    };
    run.grow(0..flags.small, &progress)?;
    run.hold()?;
    run.grow(flags.small..flags.large, &progress)?;
    run.figures.grown_s = run.wait_for(OverlayKind::HyParView)?;
    run.hold()?;
    run.shrink(&progress)?;
    run.figures.shrunk_s = run.wait_for(OverlayKind::FullMesh)?;
    run.hold()?;
    run.settle()?;
    drop(progress);
    let Run {
        figures, faults, ..
    } = run;
    print(&figures, figures.table(), flags.run.json);
    unless_faulty(&faults)
}

impl Run<'_> {
    fn patience(&self) -> Duration {
        self.flags.run.patience()
    }

    /// Starts nodes, each of which sends to one of those that stay.
    fn grow(&mut self, numbers: std::ops::Range<usize>, progress: &Progress) -> Outcome<()> {
        for number in numbers.clone() {
            self.nodes.start(number)?;
            progress.step();
        }
        self.nodes.agree(self.patience())?;
        let hz = usize::try_from(self.flags.rate).unwrap_or(usize::MAX) / self.flags.large;
        for number in numbers {
            let flow = Command::BeginFlow {
                to: name((number + 1) % self.flags.small),
                sender: u32::try_from(number).unwrap_or(u32::MAX),
                hz: u32::try_from(hz.max(1)).unwrap_or(u32::MAX),
            };
            self.nodes.ask(number, &flow)?;
        }
        Ok(())
    }

    /// Those that came last leave, one after the other, once what they have sent is acknowledged.
    fn shrink(&mut self, progress: &Progress) -> Outcome<()> {
        let leaving = self.flags.small..self.flags.large;
        for number in leaving.clone() {
            self.end_flow(number)?;
        }
        for number in leaving {
            self.settle_sender(number)?;
            self.nodes.ask(number, &Command::Leave)?;
            self.nodes.kill(number)?;
            self.note()?;
            progress.step();
        }
        self.nodes.agree(self.patience()).map(drop)
    }

    /// Notes whether the first node has another overlay than before.
    fn note(&mut self) -> Outcome<()> {
        let Reply::Look(look) = self.nodes.ask(0, &Command::Look)? else {
            return Err(BenchError::Engine("no look at the first node".into()));
        };
        let now = (look.epoch, look.overlay);
        if now.0 != self.seen.0 {
            self.figures.switches += 1;
            self.figures.overlays.push(now.1.clone());
            self.seen = now;
        }
        Ok(())
    }

    /// Waits until all nodes have that overlay. How long that took.
    fn wait_for(&mut self, kind: OverlayKind) -> Outcome<f64> {
        let began = Instant::now();
        loop {
            self.note()?;
            let looks = self.nodes.look()?;
            let has = looks.iter().filter(|look| look.overlay == kind.name());
            if has.count() == looks.len() {
                return Ok(began.elapsed().as_secs_f64());
            }
            if began.elapsed() > self.patience() {
                return Err(BenchError::CheckFailed(format!(
                    "not all of {} nodes had {kind} within {} s: give more --patience than the cooldown and the looks take",
                    looks.len(),
                    self.flags.run.patience().as_secs()
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Goes on for as long as rules could switch again.
    fn hold(&mut self) -> Outcome<()> {
        let until = Instant::now() + Duration::from_secs(self.flags.hold_seconds.into());
        while Instant::now() < until {
            self.note()?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn end_flow(&mut self, number: usize) -> Outcome<()> {
        match self.nodes.ask(number, &Command::EndFlow)? {
            Reply::Flow(flow) => drop(self.flows.insert(number, flow)),
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }

    /// Waits until a sender has settled all that it accepted, and holds it against the identity.
    fn settle_sender(&mut self, number: usize) -> Outcome<()> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        loop {
            let Reply::Accounts(node) = self.nodes.ask(number, &Command::Accounts)? else {
                return Err(BenchError::Engine("no accounts of a sender".into()));
            };
            let steady = node.accounts.iter();
            let steady: Vec<_> = steady.filter(|account| account.channel == STEADY).collect();
            if steady.iter().all(|account| account.is_settled()) || Instant::now() > deadline {
                for account in steady {
                    let faults = account.sender_fault().into_iter();
                    self.faults
                        .extend(faults.map(|fault| format!("to {}: {fault}", account.peer)));
                    self.figures.reported += account.reported;
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the flows that are left, and holds what was accepted against what came.
    fn settle(&mut self) -> Outcome<()> {
        for number in 0..self.flags.small {
            self.end_flow(number)?;
        }
        for number in 0..self.flags.small {
            self.settle_sender(number)?;
        }
        let mut got: BTreeMap<u32, Got> = BTreeMap::new();
        for reply in self.nodes.ask_all(&Command::Got)? {
            match reply {
                Reply::Got(streams) => got.extend(streams),
                other => return Err(unexpected(&other)),
            }
        }
        for flow in self.flows.values() {
            self.figures.accepted += flow.accepted;
        }
        for got in got.values() {
            self.figures.delivered += got.delivered;
            self.figures.duplicates += got.duplicates;
            self.figures.out_of_order += got.out_of_order;
        }
        self.judge();
        Ok(())
    }

    fn judge(&mut self) {
        let figures = &self.figures;
        let expected = [OverlayKind::HyParView, OverlayKind::FullMesh].map(OverlayKind::name);
        if figures.overlays != expected {
            self.faults.push(format!(
                "the overlays that came into force are {:?}, and not once each way {expected:?}",
                figures.overlays
            ));
        }
        if figures.delivered + figures.reported != figures.accepted {
            self.faults.push(format!(
                "{} messages were accepted, {} delivered and {} reported",
                figures.accepted, figures.delivered, figures.reported
            ));
        }
        if figures.duplicates + figures.out_of_order > 0 {
            let fault = "messages came twice, or out of order";
            self.faults.push(fault.to_owned());
        }
    }
}

impl Figures {
    fn table(&self) -> String {
        of_rows([
            (
                "nodes",
                format!("{} to {} and back", self.small, self.large),
            ),
            (
                "switches",
                format!("{}: {}", self.switches, self.overlays.join(", ")),
            ),
            ("messages accepted", self.accepted.to_string()),
            ("delivered", self.delivered.to_string()),
            ("reported", self.reported.to_string()),
            (
                "twice, out of order",
                format!("{}, {}", self.duplicates, self.out_of_order),
            ),
            (
                "switched when grown after",
                format!("{:.1} s", self.grown_s),
            ),
            (
                "switched when small again after",
                format!("{:.1} s", self.shrunk_s),
            ),
        ])
    }
}
