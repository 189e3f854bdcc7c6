//! `overlane-bench pause`: a node of a cluster is stopped for a while (SIGSTOP), as a debugger, a full disk or a
//! hypervisor does it, while guaranteed messages flow between all.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::flags::PauseFlags;
use super::flows::Sums;
use super::nodes::{Nodes, name};
use super::{ARRIVE_WITHIN, form, judge, of_rows, print};
use crate::error::{Outcome, unless_faulty};
use crate::progress::Progress;

/// Broadcasts while it is stopped, and as many when it is back.
const BROADCASTS: u32 = 50;
/// Bytes of each.
const PAYLOAD_BYTES: usize = 64;

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    nodes: usize,
    overlay: &'static str,
    stopped: String,
    /// From the stop until no other node counted it as live.
    found_out_s: f64,
    /// Of broadcasts among the others meanwhile.
    reach_percent: f64,
    /// The longest time that a sender was kept from sending, or a receiver waited, between others.
    others_longest_gap_ms: u64,
    /// Members told down that had not been stopped, over all nodes.
    false_down: u64,
    /// From its going on until all counted all.
    back_s: f64,
    /// Of broadcasts among all after that.
    back_reach_percent: f64,
    accepted: u64,
    delivered: u64,
    reported: u64,
    duplicates: u64,
    out_of_order: u64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &PauseFlags) -> Outcome<()> {
    flags.check()?;
    let seed = flags.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let victim = fastrand::Rng::with_seed(seed).usize(1..flags.nodes);
    let cluster = flags.cluster();
    let patience = flags.run.patience();
    let progress = Progress::of_steps("pause", flags.nodes as u64 + 3);
    let mut nodes = Nodes::new(&cluster)?;
    form(&mut nodes, &cluster, &progress)?;
    for number in 0..flags.nodes {
        let to = (number + 1) % flags.nodes;
        nodes.begin_flow(number, to, sender(number), flags.share_hz())?;
    }
    progress.say("one is stopped");
    let stopped = nodes.pause(victim)?;
    let began = Instant::now();
    let found_out = nodes.agree(patience)?;
    let others = nodes.running.len() as u64;
    let reach = nodes.broadcast(0..BROADCASTS, PAYLOAD_BYTES, ARRIVE_WITHIN)?;
    let until = began + Duration::from_secs(flags.seconds.into());
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    progress.say("it goes on");
    nodes.go_on(victim, stopped)?;
    let back = nodes.agree(patience)?;
    let false_down = nodes.told_down()?.saturating_sub(others);
    let numbers = BROADCASTS..2 * BROADCASTS;
    let back_reach = nodes.broadcast(numbers, PAYLOAD_BYTES, ARRIVE_WITHIN)?;
    let before = (victim + flags.nodes - 1) % flags.nodes;
    let sums = nodes.end_flows(sender, &[victim, before].map(sender))?;
    drop(progress);
    let figures = Figures {
        nodes: flags.nodes,
        overlay: cluster.overlay()?.name(),
        stopped: name(victim),
        found_out_s: found_out.as_secs_f64(),
        reach_percent: reach.percent(),
        others_longest_gap_ms: sums.longest_gap_ms,
        false_down,
        back_s: back.as_secs_f64(),
        back_reach_percent: back_reach.percent(),
        accepted: sums.accepted,
        delivered: sums.delivered,
        reported: sums.reported,
        duplicates: sums.duplicates,
        out_of_order: sums.out_of_order,
    };
    print(&figures, figures.table(), flags.run.json);
    let Sums { faults, .. } = sums;
    judge(&[&reach, &back_reach])?;
    unless_faulty(&faults)
}

/// The number of a node's flow.
fn sender(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Figures {
    fn table(&self) -> String {
        of_rows([
            ("nodes", format!("{} on {}", self.nodes, self.overlay)),
            (
                "stopped, and found out after",
                format!("{}, {:.2} s", self.stopped, self.found_out_s),
            ),
            (
                "broadcasts of the others came to",
                format!("{:.2} %", self.reach_percent),
            ),
            (
                "longest gap between others",
                format!("{} ms", self.others_longest_gap_ms),
            ),
            ("told down by mistake", self.false_down.to_string()),
            ("all agreed again after", format!("{:.2} s", self.back_s)),
            (
                "broadcasts came to",
                format!("{:.2} %", self.back_reach_percent),
            ),
            ("messages accepted", self.accepted.to_string()),
            ("delivered", self.delivered.to_string()),
            ("reported", self.reported.to_string()),
            (
                "twice, out of order",
                format!("{}, {}", self.duplicates, self.out_of_order),
            ),
        ])
    }
}
