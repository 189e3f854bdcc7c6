//! `overlane-bench partition --one-way-loss`: what the first host sends to the others is lost in part, what they send
//! to it comes: a bad cable or a full queue, where each end has its own idea of who is alive.
//!
//! Whether members are told down meanwhile, and by whom, is for the detector to say; in the end all are to agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::flags::PartitionFlags;
use super::hosts::Hosts;
use super::nodes::Nodes;
use super::protocol::Split;
use super::splits::{BROADCASTS, PAYLOAD_BYTES, unhealed};
use super::{ARRIVE_WITHIN, form, of_rows, print};
use crate::error::{Outcome, unless_faulty};
use crate::progress::Progress;

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    nodes: usize,
    hosts: usize,
    overlay: &'static str,
    one_way_loss_percent: usize,
    /// Members told down, over all nodes.
    told_down: u64,
    /// Nodes that told of a split.
    parted: usize,
    /// From the healing until all counted all.
    agree_s: f64,
    /// Whether each node that told of a split told of its end.
    events_right: bool,
    /// Of broadcasts after the healing.
    reach_percent: f64,
}

/// Runs it and prints its result.
pub(super) fn run(flags: &PartitionFlags, percent: usize) -> Outcome<()> {
    let cluster = flags.cluster();
    let progress = Progress::of_steps("partition", cluster.nodes as u64 + 3);
    let mut nodes = Nodes::new(&cluster)?.on_hosts(Hosts::make(flags.ways)?);
    form(&mut nodes, &cluster, &progress)?;
    nodes.splits()?;
    let before = nodes.told_down()?;
    progress.say("losing");
    nodes.lose_from_first(percent)?;
    std::thread::sleep(Duration::from_secs(flags.seconds.into()));
    let open = open_splits(nodes.splits()?);
    let parted = open.len();
    progress.say("healing");
    nodes.lose_from_first(0)?;
    let agree = nodes.agree(flags.run.patience())?;
    let waiting: BTreeSet<usize> = open
        .iter()
        .filter(|(_, is_open)| **is_open)
        .map(|(number, _)| *number)
        .collect();
    let mut faults = unhealed(&mut nodes, waiting)?;
    let events_right = faults.is_empty();
    let reach = nodes.broadcast(0..BROADCASTS, PAYLOAD_BYTES, ARRIVE_WITHIN)?;
    let told_down = nodes.told_down()? - before;
    drop(progress);
    let figures = Figures {
        nodes: cluster.nodes,
        hosts: flags.ways,
        overlay: cluster.overlay()?.name(),
        one_way_loss_percent: percent,
        told_down,
        parted,
        agree_s: agree.as_secs_f64(),
        events_right,
        reach_percent: reach.percent(),
    };
    print(&figures, figures.table(), flags.run.json);
    if reach.came < reach.expected {
        faults.push("broadcasts after the healing did not come to all".to_owned());
    }
    unless_faulty(&faults)
}

/// The nodes that told of a split, and whether the last of what they told is that it lasts.
fn open_splits(told: Vec<(usize, Vec<Split>)>) -> BTreeMap<usize, bool> {
    let told = told.into_iter();
    told.filter(|(_, splits)| splits.iter().any(Split::is_parted))
        .map(|(number, splits)| (number, splits.last().is_some_and(Split::is_parted)))
        .collect()
}

impl Figures {
    fn table(&self) -> String {
        of_rows([
            ("nodes", format!("{} on {}", self.nodes, self.overlay)),
            ("hosts", self.hosts.to_string()),
            (
                "lost of what the first host sends",
                format!("{} %", self.one_way_loss_percent),
            ),
            (
                "members told down, by all nodes",
                self.told_down.to_string(),
            ),
            ("nodes that told of a split", self.parted.to_string()),
            (
                "all agreed after the healing within",
                format!("{:.2} s", self.agree_s),
            ),
            (
                "each of them told of its end",
                self.events_right.to_string(),
            ),
            ("broadcasts came to", format!("{:.2} %", self.reach_percent)),
        ])
    }
}
