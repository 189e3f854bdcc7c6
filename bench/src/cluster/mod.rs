//! `overlane-bench cluster`, `churn`, `broadcast`, `switch`, `auto`, `partition`, `pause` and `relay`: real nodes, each a process, that form a cluster by themselves.
//!
//! - flags.rs: what may be asked; protocol.rs: what the processes are asked; process.rs: one of them
//! - nodes.rs: all of them; this file: two of the runs, and what they came to; switching.rs with traffic.rs: the third; automatic.rs: the same by rules;
//!   flows.rs: what that came to; partition.rs and one_way.rs with hosts.rs and splits.rs: the fourth; pausing.rs: a node that is stopped
//!   for a while; flood.rs: broadcasts as fast as one node takes them;
//!   relaying.rs: messages between clients

mod automatic;
mod flags;
mod flood;
mod flows;
mod hosts;
mod nodes;
mod one_way;
mod partition;
mod pausing;
pub(crate) mod process;
pub(crate) mod protocol;
mod relaying;
mod splits;
mod switching;
mod traffic;

use std::time::Duration;

use serde::Serialize;

pub(crate) use automatic::run as run_auto;
pub(crate) use flags::{
    AutoFlags, BroadcastFlags, ChurnFlags, ClusterFlags, PartitionFlags, PauseFlags, RelayFlags,
    SwitchFlags,
};
pub(crate) use flood::run as run_broadcast;
use nodes::{Nodes, Reach};
pub(crate) use partition::run as run_partition;
pub(crate) use pausing::run as run_pause;
pub(crate) use relaying::run as run_relay;
pub(crate) use switching::run as run_switch;

use crate::error::{BenchError, Outcome};
use crate::progress::Progress;
use crate::sample::figure;
use crate::shown::show;
use crate::table;

/// What has not come within this is not waited for.
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);

/// The figures of `cluster`; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    nodes: usize,
    overlay: &'static str,
    /// From the start of the first process until all nodes agreed on who is a member.
    join_s: f64,
    /// Resident memory of a process, the mean.
    rss_per_node_bytes: u64,
    /// Of one core, all nodes together, while nothing happens.
    idle_cpu_percent: f64,
    /// Of the deliveries that there were to be.
    reach_percent: f64,
    duplicates: u64,
    p50_us: f64,
    p99_us: f64,
    /// The most nodes that a broadcast passed to the last it came to.
    last_hop_max: u32,
    neighbors_max: usize,
}

/// The figures of `churn`.
#[derive(Debug, Serialize)]
struct ChurnFigures {
    nodes: usize,
    overlay: &'static str,
    killed: usize,
    /// From the kill until all survivors agreed.
    agree_s: f64,
    /// Of broadcasts among the survivors after that.
    reach_percent: f64,
    /// Members told down that had not been killed, over all nodes.
    false_down: u64,
    /// From the start of the killed until all agreed again.
    back_s: f64,
    /// Of broadcasts among all after that.
    back_reach_percent: f64,
}

/// Runs `cluster` and prints its result.
pub(crate) fn run(flags: &ClusterFlags) -> Outcome<()> {
    flags.check()?;
    let progress = Progress::of_steps("cluster", flags.nodes as u64 + 3);
    let mut nodes = Nodes::new(flags)?;
    let join_s = form(&mut nodes, flags, &progress)?;
    progress.say("idle");
    let idle = flags.idle_seconds;
    let before: u64 = nodes.look()?.iter().map(|look| look.cpu_ns).sum();
    std::thread::sleep(Duration::from_secs(idle.into()));
    let looks = nodes.look()?;
    let used_ns = looks.iter().map(|look| look.cpu_ns).sum::<u64>() - before;
    let rss = looks.iter().map(|look| look.resident_bytes).sum::<u64>() / looks.len() as u64;
    let neighbors_max = looks.iter().map(|look| look.neighbors).max().unwrap_or(0);
    progress.say("broadcasts");
    let reach = nodes.broadcast(0..flags.broadcasts, flags.payload, ARRIVE_WITHIN)?;
    drop(progress);
    let figures = Figures {
        nodes: flags.nodes,
        overlay: flags.overlay()?.name(),
        join_s: join_s.as_secs_f64(),
        rss_per_node_bytes: rss,
        idle_cpu_percent: figure(used_ns) / 1e7 / f64::from(idle.max(1)),
        reach_percent: reach.percent(),
        duplicates: reach.duplicates,
        p50_us: reach.latencies.percentile_us(50.0),
        p99_us: reach.latencies.percentile_us(99.0),
        last_hop_max: reach.hops_max,
        neighbors_max,
    };
    print(&figures, figures.table(), flags.run.json);
    judge(&[&reach])
}

/// Runs `churn` and prints its result.
pub(crate) fn run_churn(flags: &ChurnFlags) -> Outcome<()> {
    flags.check()?;
    let of_all = &flags.cluster;
    let patience = of_all.run.patience();
    let progress = Progress::of_steps("churn", of_all.nodes as u64 + 3);
    let mut nodes = Nodes::new(of_all)?;
    form(&mut nodes, of_all, &progress)?;
    let victims = victims(flags);
    for victim in &victims {
        nodes.kill(*victim)?;
    }
    progress.say("killed");
    let agree = nodes.agree(patience)?;
    let survivors = nodes.running.len() as u64;
    let false_down = nodes
        .told_down()?
        .saturating_sub(survivors * victims.len() as u64);
    let reach = nodes.broadcast(0..of_all.broadcasts, of_all.payload, ARRIVE_WITHIN)?;
    progress.say("started again");
    let began = std::time::Instant::now();
    for victim in &victims {
        nodes.start(*victim)?;
    }
    nodes.agree(patience)?;
    let back = began.elapsed();
    let numbers = of_all.broadcasts..2 * of_all.broadcasts;
    let back_reach = nodes.broadcast(numbers, of_all.payload, ARRIVE_WITHIN)?;
    drop(progress);
    let figures = ChurnFigures {
        nodes: of_all.nodes,
        overlay: of_all.overlay()?.name(),
        killed: victims.len(),
        agree_s: agree.as_secs_f64(),
        reach_percent: reach.percent(),
        false_down,
        back_s: back.as_secs_f64(),
        back_reach_percent: back_reach.percent(),
    };
    print(&figures, figures.table(), of_all.run.json);
    judge(&[&reach, &back_reach])
}

/// Prints the result of a run: one JSON object on one line, or a table.
fn print(figures: &impl Serialize, table: String, json: bool) {
    if json {
        let line = serde_json::to_string(figures).expect("figures are numbers");
        show!("{line}");
    } else {
        show!("{table}");
    }
}

/// Starts all nodes and waits until they agree. How long it took.
fn form(nodes: &mut Nodes, flags: &ClusterFlags, progress: &Progress) -> Outcome<Duration> {
    let began = std::time::Instant::now();
    for number in 0..flags.nodes {
        nodes.start(number)?;
        progress.step();
    }
    progress.say("agreeing");
    nodes.agree(flags.run.patience())?;
    Ok(began.elapsed())
}

/// Which nodes are killed.
fn victims(flags: &ChurnFlags) -> Vec<usize> {
    let seed = flags.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut numbers: Vec<usize> = (1..flags.cluster.nodes).collect();
    random.shuffle(&mut numbers);
    numbers.truncate((flags.cluster.nodes * flags.kill / 100).max(1));
    numbers
}

fn judge(all: &[&Reach]) -> Outcome<()> {
    let missed: u64 = all.iter().map(|reach| reach.expected - reach.came).sum();
    let duplicates: u64 = all.iter().map(|reach| reach.duplicates).sum();
    if missed == 0 && duplicates == 0 {
        return Ok(());
    }
    Err(BenchError::CheckFailed(format!(
        "{missed} deliveries of broadcasts did not come, {duplicates} came twice"
    )))
}

impl Figures {
    fn table(&self) -> String {
        let rows = [
            ("nodes", format!("{} on {}", self.nodes, self.overlay)),
            ("formed within", format!("{} s", short(self.join_s))),
            (
                "resident memory of a node",
                format!("{} KiB", self.rss_per_node_bytes >> 10),
            ),
            (
                "of one core, all idle",
                format!("{} %", short(self.idle_cpu_percent)),
            ),
            (
                "deliveries of broadcasts",
                format!("{} %", short(self.reach_percent)),
            ),
            (
                "from sender to receiver p50",
                format!("{} us", short(self.p50_us)),
            ),
            ("p99", format!("{} us", short(self.p99_us))),
            ("hops at most", self.last_hop_max.to_string()),
            ("neighbors at most", self.neighbors_max.to_string()),
        ];
        of_rows(rows)
    }
}

impl ChurnFigures {
    fn table(&self) -> String {
        let rows = [
            ("nodes", format!("{} on {}", self.nodes, self.overlay)),
            ("killed at once", self.killed.to_string()),
            (
                "survivors agreed after",
                format!("{} s", short(self.agree_s)),
            ),
            (
                "their broadcasts came to",
                format!("{} %", short(self.reach_percent)),
            ),
            ("told down by mistake", self.false_down.to_string()),
            (
                "started again, all agreed after",
                format!("{} s", short(self.back_s)),
            ),
            (
                "broadcasts came to",
                format!("{} %", short(self.back_reach_percent)),
            ),
        ];
        of_rows(rows)
    }
}

/// Some digits, as a person reads them.
fn short(value: f64) -> String {
    format!("{value:.2}")
}

fn of_rows<const COUNT: usize>(rows: [(&str, String); COUNT]) -> String {
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(what, value)| vec![what.to_owned(), value])
        .collect();
    table::of(&["", ""], &rows)
}
