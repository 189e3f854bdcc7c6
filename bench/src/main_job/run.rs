//! The main job in its steps: heartbeats alone, the file beside them, heartbeats alone again, checks.
//!
//! The whole run has a budget of 60 s; a file that would not fit in ends as a failed check, not as a hang.

use std::time::{Duration, Instant};

use overlane::config::{Config, Flags};

use super::cluster::{Cluster, RECEIVER, SENDER};
use super::file_source::FileSource;
use super::outcome::Run;
use super::plain::Plain;
use super::protocol::{COORDINATION, DATA, GOSSIP};
use super::run_folder::RunFolder;
use crate::clock;
use crate::error::{BenchError, Outcome};
use crate::flags::MainJobFlags;
use crate::node::settings::{self, Defaults};
use crate::progress::Progress;

/// A whole run takes no longer.
const RUN_WITHIN: Duration = Duration::from_secs(60);
/// Of that, what is kept for draining, checking and the report.
const CHECK_WITHIN: Duration = Duration::from_secs(12);
/// One step of the pictures: short beside a transfer of a second, long enough for a 99th percentile.
const STEP: Duration = Duration::from_millis(100);

/// Runs the main job; failed checks are an error after everything was printed.
pub(crate) fn run(flags: &MainJobFlags) -> Outcome<()> {
    flags.check()?;
    let common = configuration(&flags.engine)?;
    let deadline = Instant::now() + RUN_WITHIN - CHECK_WITHIN;
    let of_user = flags.file.as_deref().map(FileSource::of_user).transpose()?;
    let mut folder = RunFolder::make(&flags.folder)?;
    let file = match of_user {
        Some(file) => file,
        None => FileSource::generated(folder.file("generated.bin"), flags.file_mib << 20)?,
    };
    let into = folder.file("received.bin");
    let mut cluster = Cluster::start(&common, flags)?;
    let plain = Plain::start(flags.heartbeat_hz)?;
    let mut run = Run::new(file, cluster.differences.clone(), flags.heartbeat_bound_us);
    let quiet = Duration::from_secs_f64(flags.quiet_seconds);
    let progress = Progress::of_bytes("main job", run.file.bytes);
    cluster.start_traffic()?;
    progress.say("heartbeats and rumours");
    let until = Instant::now() + quiet;
    watch(&mut cluster, &plain, &mut run, &progress, until, |_| false)?;
    progress.say("file beside them");
    cluster.start_file(&run.file, &into, flags.chunk_kib * 1024)?;
    let until = deadline - quiet;
    watch(
        &mut cluster,
        &plain,
        &mut run,
        &progress,
        until,
        Run::file_is_over,
    )?;
    progress.say("heartbeats and rumours");
    let until = Instant::now() + quiet;
    watch(&mut cluster, &plain, &mut run, &progress, until, |_| false)?;
    progress.say("checking");
    cluster.stop_traffic()?;
    run.flows = cluster.settle()?;
    run.take(clock::now_ns(), &cluster.poll()?, &plain.take());
    drop(progress);
    if !run.check_file_on_disk(&into)? {
        folder.keep_all();
    }
    drop(cluster);
    run.finish(flags, &folder)
}

/// The three channels, each for one kind of traffic.
fn configuration(engine: &Flags) -> Outcome<Config> {
    let data = format!("{DATA}:priority=medium,overflow=block");
    let coordination = format!("{COORDINATION}:priority=high");
    let gossip = format!("{GOSSIP}:priority=low,reliability=best_effort,overflow=drop_newest");
    settings::load(
        Defaults {
            places: true,
            // Three nodes find each other by the address of the first.
            node: &[("overlay", "full_mesh")],
            channels: &[&coordination, &data, &gossip],
        },
        engine,
    )
}

/// Polls all nodes, step by step, until `deadline` or until `over`.
fn watch(
    cluster: &mut Cluster,
    plain: &Plain,
    run: &mut Run,
    progress: &Progress,
    deadline: Instant,
    over: fn(&Run) -> bool,
) -> Outcome<()> {
    // What came before belongs to the step before.
    run.take(clock::now_ns(), &cluster.poll()?, &plain.take());
    while Instant::now() < deadline && !over(run) {
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::sleep(STEP.min(left));
        let nodes = cluster.poll()?;
        progress.reach(nodes[RECEIVER].file.bytes);
        run.take(clock::now_ns(), &nodes, &plain.take());
        let mut ends = [SENDER, RECEIVER].iter();
        if let Some((exit, fault)) = ends.find_map(|end| nodes[*end].file.fault.clone()) {
            return Err(BenchError::ChildFailed {
                name: "the file did not get through".to_owned(),
                exit,
                detail: fault,
            });
        }
    }
    Ok(())
}
