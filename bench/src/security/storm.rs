//! `overlane-bench storm`: hundreds of lanes to one node are cut at once, and come back with full handshakes.
//!
//! One node accepts, others dial it through the fault proxy, which cuts all connections in one go. Each has a lane for each of
//! its channels, so that every lane is in use. Every kind of protection has its turn with nodes of its own.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use overlane::Node;
use overlane::config::{Config, Flags};
use overlane_proxy::Proxy;
use serde::Serialize;

use super::{engine, lanes_up, start};
use crate::error::{BenchError, Outcome};
use crate::flags;
use crate::node::settings::{self, Defaults};
use crate::pair::Spread;
use crate::progress::Progress;
use crate::sample::Cpu;
use crate::shown::show;
use crate::table;

/// Lanes of each node that dials: one for each channel, and the engine's own.
const LANES_PER_NODE: usize = 20;
/// How long a storm may last.
const PATIENCE: Duration = Duration::from_secs(120);

/// Flags of `storm`.
#[derive(Debug, Args)]
pub(crate) struct StormFlags {
    /// Lanes that are cut at once, a multiple of 20
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    lanes: usize,
    /// Storms of each kind
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: u32,
    /// One JSON object on one line for each kind instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: Flags,
}

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    security: &'static str,
    lanes: usize,
    all_up_ms_median: f64,
    all_up_ms_max: f64,
    cpu_us_per_lane: f64,
    refused: u64,
}

/// Runs all kinds and prints their results.
pub(crate) fn run(flags: &StormFlags) -> Outcome<()> {
    flags::within("--lanes", flags.lanes, LANES_PER_NODE, 4_000)?;
    flags::within("--rounds", flags.rounds as usize, 1, 100)?;
    let kinds = ["plain", "psk", "tls"];
    let progress = Progress::of_steps("storm", 3 * u64::from(flags.rounds));
    let mut all = Vec::new();
    for kind in kinds {
        progress.say(kind);
        all.push(storms(flags, kind, &progress)?);
    }
    drop(progress);
    if flags.json {
        for figures in &all {
            show!(
                "{}",
                serde_json::to_string(figures).expect("figures are numbers")
            );
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = { all.iter() }
        .map(|of| {
            vec![
                of.security.to_owned(),
                of.lanes.to_string(),
                table::number(of.all_up_ms_median),
                table::number(of.all_up_ms_max),
                table::number(of.cpu_us_per_lane),
                of.refused.to_string(),
            ]
        })
        .collect();
    let header = [
        "security",
        "lanes",
        "all up, median ms",
        "most ms",
        "CPU us per lane, both ends",
        "connections refused",
    ];
    show!("lanes that are cut at once and come back");
    show!("{}", table::of(&header, &rows));
    Ok(())
}

fn storms(flags: &StormFlags, kind: &'static str, progress: &Progress) -> Outcome<Figures> {
    let lanes = flags.lanes / LANES_PER_NODE * LANES_PER_NODE;
    let common = configuration(flags, kind)?;
    let hub = start(&common, "hub", |_| {})?;
    let proxy = Proxy::start(hub.local_addr());
    let proxy = proxy.map_err(BenchError::system("starting the proxy"))?;
    hub.handle("in", |_, _| {}).map_err(engine)?;
    let mut nodes = Vec::new();
    for number in 0..lanes / LANES_PER_NODE {
        let node = start(&common, &format!("n{number}"), |_| {})?;
        use_all_lanes(&node, proxy.address())?;
        nodes.push(node);
    }
    await_lanes(&hub, lanes)?;
    let (mut times, mut cpu) = (Vec::new(), 0);
    let refused = |hub: &Node| hub.metrics().refused_connections.values().sum::<u64>();
    let refused_before = refused(&hub);
    for _ in 0..flags.rounds {
        let (began, before) = (Instant::now(), Cpu::of_this_process().ns());
        proxy.cut();
        // Until the cut is seen, lanes look as if they were up.
        while lanes_up(&hub) == lanes && began.elapsed() < Duration::from_secs(1) {
            thread::yield_now();
        }
        await_lanes(&hub, lanes)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        cpu += Cpu::of_this_process().ns() - before;
        progress.step();
        // Back-offs that grew are forgotten by a lane that has been up for a while.
        thread::sleep(Duration::from_millis(500));
    }
    let refused = refused(&hub) - refused_before;
    let spread =
        Spread::of(times).ok_or_else(|| BenchError::CheckFailed("no storm was measured".into()))?;
    let handshakes = lanes as f64 * f64::from(flags.rounds);
    Ok(Figures {
        security: kind,
        lanes,
        all_up_ms_median: spread.median,
        all_up_ms_max: spread.max,
        cpu_us_per_lane: cpu as f64 / 1e3 / handshakes,
        refused,
    })
}

fn configuration(flags: &StormFlags, kind: &'static str) -> Outcome<Config> {
    let channel = |number: usize| format!("c{number}:reliability=guaranteed,overflow=block");
    let channels: Vec<String> = (1..LANES_PER_NODE).map(channel).collect();
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut engine = flags.engine.clone();
    engine.node.push(("security", kind.to_owned()));
    settings::load(
        Defaults {
            places: true,
            node: &[("lane_idle_ms", "0")],
            channels: &channels,
        },
        &engine,
    )
}

/// Connects to the hub there, and makes each lane by a message.
fn use_all_lanes(node: &Node, hub: SocketAddr) -> Outcome<()> {
    node.connect("hub", hub).map_err(engine)?;
    node.wait_connected("hub", PATIENCE).map_err(engine)?;
    let to = node.destination("hub", "in").map_err(engine)?;
    for number in 1..LANES_PER_NODE {
        let channel = node.channel(&format!("c{number}")).map_err(engine)?;
        channel
            .send_blocking(&to, b"first".as_slice())
            .map_err(engine)?;
    }
    Ok(())
}

fn await_lanes(hub: &Node, lanes: usize) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let up = lanes_up(hub);
        if up == lanes {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(BenchError::CheckFailed(format!(
                "{up} of {lanes} lanes are up after {} s",
                PATIENCE.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(1));
    }
}
