//! `overlane-bench partition`: a cluster over several hosts (network namespaces), which are cut off from one another for
//! a while and connected again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::flags::PartitionFlags;
use super::hosts::Hosts;
use super::nodes::{Nodes, name};
use super::protocol::Split;
use super::splits::{BROADCASTS, PAYLOAD_BYTES, unhealed};
use super::{ARRIVE_WITHIN, form, of_rows, one_way, print};
use crate::error::{BenchError, Outcome, unless_faulty};
use crate::progress::Progress;

/// Lanes to a host that was cut off are found to be dead, and its members down, within this.
const LOST_WITHIN: Duration = Duration::from_secs(60);

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    nodes: usize,
    ways: usize,
    overlay: &'static str,
    /// From the cut until each part counted its own members alone.
    parted_s: f64,
    /// From the healing until all counted all.
    agree_s: f64,
    /// Whether each node named both sides as they were, and told of the healing.
    events_right: bool,
    /// Of broadcasts after the healing.
    reach_percent: f64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &PartitionFlags) -> Outcome<()> {
    flags.check()?;
    if let Some(percent) = flags.one_way_loss {
        return one_way::run(flags, percent);
    }
    let cluster = flags.cluster();
    let progress = Progress::of_steps("partition", cluster.nodes as u64 + 3);
    let mut nodes = Nodes::new(&cluster)?.on_hosts(Hosts::make(flags.ways)?);
    form(&mut nodes, &cluster, &progress)?;
    nodes.splits()?;
    progress.say("cut off");
    let cut = Instant::now();
    nodes.connect_hosts(false)?;
    let parted = part(&mut nodes, flags)?;
    let told_by = cut + Duration::from_secs(flags.seconds.into());
    std::thread::sleep(told_by.saturating_duration_since(Instant::now()));
    let mut faults = Vec::new();
    for (number, splits) in nodes.splits()? {
        faults.extend(split_fault(number, &splits, flags));
    }
    progress.say("healing");
    nodes.connect_hosts(true)?;
    let agree = nodes.agree(cluster.run.patience())?;
    let all = nodes.running.keys().copied().collect();
    faults.extend(unhealed(&mut nodes, all)?);
    let reach = nodes.broadcast(0..BROADCASTS, PAYLOAD_BYTES, ARRIVE_WITHIN)?;
    drop(progress);
    let figures = Figures {
        nodes: cluster.nodes,
        ways: flags.ways,
        overlay: cluster.overlay()?.name(),
        parted_s: parted.as_secs_f64(),
        agree_s: agree.as_secs_f64(),
        events_right: faults.is_empty(),
        reach_percent: reach.percent(),
    };
    print(&figures, figures.table(), flags.run.json);
    if reach.came < reach.expected {
        faults.push("broadcasts after the healing did not come to all".to_owned());
    }
    unless_faulty(&faults)
}

/// Waits until each node counts the nodes of its own host as live, and nobody else. How long it took.
fn part(nodes: &mut Nodes, flags: &PartitionFlags) -> Outcome<Duration> {
    let began = Instant::now();
    loop {
        let views = nodes.views()?;
        let alike = views.iter().all(|(number, view)| {
            view.iter().cloned().collect::<BTreeSet<_>>() == side(*number, flags)
        });
        if alike {
            return Ok(began.elapsed());
        }
        if began.elapsed() > LOST_WITHIN {
            return Err(BenchError::CheckFailed(format!(
                "the parts do not count their own members alone after {} s",
                LOST_WITHIN.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The nodes on the host of a node.
fn side(number: usize, flags: &PartitionFlags) -> BTreeSet<String> {
    let numbers = (0..flags.nodes).filter(|other| other % flags.ways == number % flags.ways);
    numbers.map(name).collect()
}

/// What is wrong with what a node told of the split, if anything is.
fn split_fault(number: usize, splits: &[Split], flags: &PartitionFlags) -> Option<String> {
    let here = side(number, flags);
    let there: BTreeSet<String> = (0..flags.nodes)
        .map(name)
        .filter(|name| !here.contains(name))
        .collect();
    match splits.last() {
        Some(Split::Parted {
            here: told_here,
            there: told_there,
        }) if *told_here == here && *told_there == there => None,
        told => Some(format!(
            "n{number} is with {} others and told of {told:?}",
            here.len() - 1
        )),
    }
}

impl Figures {
    fn table(&self) -> String {
        of_rows([
            ("nodes", format!("{} on {}", self.nodes, self.overlay)),
            ("parts", self.ways.to_string()),
            (
                "each part on its own after",
                format!("{:.2} s", self.parted_s),
            ),
            (
                "all agreed after the healing within",
                format!("{:.2} s", self.agree_s),
            ),
            (
                "each node told both sides, and the healing",
                self.events_right.to_string(),
            ),
            ("broadcasts came to", format!("{:.2} %", self.reach_percent)),
        ])
    }
}
