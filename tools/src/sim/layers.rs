//! Workloads of what lies above or beside the plain overlays: membership, partitions, topics, relaying.

use std::time::{Duration, Instant};

use overlane_overlays::sim::anti_entropy;
use overlane_overlays::sim::atomic;
use overlane_overlays::sim::client_server::Star;
use overlane_overlays::sim::membership::{Experiment, Healing, Report, Trouble, Turnover};
use overlane_overlays::sim::pub_sub::{Reach, Topics};
use overlane_overlays::sim::{Death, NetworkConfig};
use serde::Serialize;

use super::output::{Bar, peak_rss_bytes, print_report};
use super::{Arguments, SimError, repeatable, span};

/// Crashes that membership is to tell: half of them with lanes that break, half silent.
const CRASHES: u32 = 10;
/// How long lost messages and a slow node are watched.
const TROUBLE: Duration = Duration::from_secs(120);
/// Length of the partition.
const PARTITION: Duration = Duration::from_secs(60);
/// Topics of the publish-subscribe workload; one node in ten subscribes to each.
const TOPICS: u64 = 20;
/// Servers of the relay workload.
const SERVERS: u32 = 8;
/// Payloads relayed, before and after servers crash.
const RELAYED: usize = 1_000;

/// Members of each view of the atomic workload.
const MEMBERS: usize = 5;
/// Largest value of the anti-entropy workload.
const VALUE_BYTES_MAX: u32 = 64 * 1024;
/// Keys of the anti-entropy workload.
const KEYS: u32 = 1_000;

/// The figures of an experiment, and what it took to get them.
#[derive(Serialize)]
struct Timed<F> {
    #[serde(flatten)]
    figures: F,
    elapsed_s: f64,
    events_per_s: f64,
    peak_rss_bytes: u64,
}

/// Runs an experiment, which gives its figures and the inputs handled, once or twice, and prints it.
pub(super) fn measure<F: Serialize>(
    arguments: &Arguments,
    run: impl Fn() -> (F, u64),
    trace_hash: impl Fn(&F) -> &str,
) -> Result<(), SimError> {
    let begun = Instant::now();
    let (figures, events) = run();
    let elapsed_s = begun.elapsed().as_secs_f64();
    if arguments.twice {
        repeatable(arguments, trace_hash(&figures), trace_hash(&run().0))?;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of events, far below 2^52"
    )]
    let events_per_s = events as f64 / elapsed_s;
    let timed = Timed {
        figures,
        elapsed_s,
        events_per_s,
        peak_rss_bytes: peak_rss_bytes(),
    };
    print_report(&timed, arguments.json)?;
    Ok(())
}

pub(super) fn experiment(arguments: &Arguments) -> Result<Experiment, SimError> {
    Ok(Experiment {
        overlay: arguments.overlay(),
        nodes: arguments.nodes(),
        seed: arguments.seed,
        network: arguments.network.config()?,
        join_spacing: span(arguments.join_spacing()),
    })
}

pub(super) fn membership(arguments: &Arguments) -> Result<(), SimError> {
    let experiment = experiment(arguments)?;
    let trouble = Trouble {
        slow: span(arguments.slow_ms),
        span: TROUBLE,
    };
    let run = || {
        let mut bar = Bar::new();
        let mut progress = |stage, done, all| bar.show(stage, done, all);
        let report = Report::of(experiment, CRASHES, trouble, &mut progress);
        bar.finish();
        let events = report.events;
        (report, events)
    };
    measure(arguments, run, |report| &report.trace_hash)
}

pub(super) fn partition(arguments: &Arguments) -> Result<(), SimError> {
    let experiment = experiment(arguments)?;
    let run = || {
        let mut bar = Bar::new();
        let mut progress = |stage, done, all| bar.show(stage, done, all);
        let healing = Healing::of(experiment, PARTITION, &mut progress);
        bar.finish();
        let events = healing.events;
        (healing, events)
    };
    measure(arguments, run, |healing| &healing.trace_hash)
}

pub(super) fn turnover(arguments: &Arguments) -> Result<(), SimError> {
    let turnover = Turnover {
        experiment: experiment(arguments)?,
        replacements: arguments.replacements,
        renamed: arguments.renamed.share,
    };
    let run = || {
        let mut bar = Bar::new();
        let replaced = turnover.run(&mut |stage, done, all| bar.show(stage, done, all));
        bar.finish();
        let events = replaced.events;
        (replaced, events)
    };
    measure(arguments, run, |replaced| &replaced.trace_hash)
}

pub(super) fn atomic(arguments: &Arguments) -> Result<(), SimError> {
    let plan = atomic::Plan {
        experiment: experiment(arguments)?,
        members: MEMBERS,
        rounds: arguments.broadcasts,
        crashes: arguments.fail.share,
    };
    let run = || {
        let mut bar = Bar::new();
        let figures = plan.run(&mut |stage, done, all| bar.show(stage, done, all));
        bar.finish();
        let events = figures.events;
        (figures, events)
    };
    measure(arguments, run, |figures| &figures.trace_hash)
}

pub(super) fn anti_entropy(arguments: &Arguments) -> Result<(), SimError> {
    let plan = anti_entropy::Plan {
        experiment: experiment(arguments)?,
        keys: KEYS,
        value_bytes: arguments.payload_bytes.min(VALUE_BYTES_MAX) as usize,
    };
    let run = || {
        let mut bar = Bar::new();
        let figures = plan.run(&mut |stage, done, all| bar.show(stage, done, all));
        bar.finish();
        let events = figures.events;
        (figures, events)
    };
    measure(arguments, run, |figures| &figures.trace_hash)
}

/// Figures of publications.
#[derive(Serialize)]
struct PubSubFigures {
    overlay: &'static str,
    nodes: u32,
    seed: u64,
    topics: u64,
    failed_percent: f64,
    /// Of publications from subscribers.
    reach_percent: f64,
    /// Of publications from nodes that do not take part.
    reach_percent_outside: f64,
    /// One minute after the failure.
    reach_percent_healed: f64,
    /// The same, of publications from nodes that do not take part.
    reach_percent_outside_healed: f64,
    /// Deliveries to nodes that did not subscribe.
    outsiders: usize,
    /// Deliveries beyond the first to one node.
    repeated: usize,
    trace_hash: String,
}

pub(super) fn pub_sub(arguments: &Arguments) -> Result<(), SimError> {
    let network = arguments.network.config()?;
    measure(
        arguments,
        || publish(arguments, network),
        |figures| &figures.trace_hash,
    )
}

fn publish(arguments: &Arguments, network: NetworkConfig) -> (PubSubFigures, u64) {
    let mut bar = Bar::new();
    let spacing = span(arguments.join_spacing());
    let mut progress = |stage, done, all| bar.show(stage, done, all);
    let (nodes, seed) = (arguments.nodes(), arguments.seed);
    let mut topics = Topics::new(seed, nodes, network, spacing, &mut progress);
    progress("subscribe", 0, 1);
    topics.world.run_for(Duration::from_secs(30));
    topics.subscribe(TOPICS, nodes as usize / 10, Duration::from_secs(30));
    topics.world.run_for(Duration::from_secs(60));
    let mut rounds = |topics: &mut Topics, stage, outside| {
        let mut total = Reach::default();
        for round in 0..10 {
            progress(stage, round, 10);
            total.add(topics.publish(outside, Duration::from_secs(5)));
        }
        total
    };
    let inside = rounds(&mut topics, "publish", false);
    let outside = rounds(&mut topics, "outside", true);
    topics.fail(arguments.fail.share);
    topics.world.run_for(Duration::from_secs(60));
    let healed = rounds(&mut topics, "healed", false);
    let outside_healed = rounds(&mut topics, "outside, healed", true);
    bar.finish();
    let mut all = inside;
    all.add(outside);
    all.add(healed);
    all.add(outside_healed);
    let figures = PubSubFigures {
        overlay: "pub_sub",
        nodes,
        seed,
        topics: TOPICS,
        failed_percent: 100.0 * arguments.fail.share,
        reach_percent: percent(inside.delivered, inside.receivers),
        reach_percent_outside: percent(outside.delivered, outside.receivers),
        reach_percent_healed: percent(healed.delivered, healed.receivers),
        reach_percent_outside_healed: percent(outside_healed.delivered, outside_healed.receivers),
        outsiders: all.outsiders,
        repeated: all.repeated,
        trace_hash: format!("{:016x}", topics.world.trace_hash()),
    };
    (figures, topics.world.totals().events)
}

/// Figures of relayed payloads.
#[derive(Serialize)]
struct RelayFigures {
    overlay: &'static str,
    nodes: u32,
    seed: u64,
    servers: u32,
    /// Of payloads between random nodes.
    reach_percent: f64,
    /// Servers crashed at once: half of them.
    servers_crashed: u32,
    /// Clients without two servers, ten seconds later.
    clients_short: usize,
    /// Of payloads between random nodes after that.
    reach_percent_healed: f64,
    trace_hash: String,
}

pub(super) fn relay(arguments: &Arguments) -> Result<(), SimError> {
    let network = arguments.network.config()?;
    measure(
        arguments,
        || relayed(arguments, network),
        |figures| &figures.trace_hash,
    )
}

fn relayed(arguments: &Arguments, network: NetworkConfig) -> (RelayFigures, u64) {
    let nodes = arguments.nodes();
    let servers = SERVERS.min(nodes);
    let spacing = span(arguments.join_spacing());
    let mut star = Star::new(arguments.seed, servers, nodes - servers, network, spacing);
    star.world.run_for(Duration::from_secs(10));
    let (interval, drain) = (Duration::from_millis(5), Duration::from_secs(2));
    let before = star.relay(RELAYED, interval, drain);
    let servers_crashed = servers / 2;
    for server in 0..servers_crashed {
        let death = if server % 2 == 1 {
            Death::Silent
        } else {
            network.death
        };
        star.world.crash(server, death);
    }
    star.world.run_for(Duration::from_secs(10));
    let clients_short = star.clients_short_of_servers(2);
    let after = star.relay(RELAYED, interval, drain);
    let figures = RelayFigures {
        overlay: "client_server",
        nodes,
        seed: arguments.seed,
        servers,
        reach_percent: percent(before, RELAYED),
        servers_crashed,
        clients_short,
        reach_percent_healed: percent(after, RELAYED),
        trace_hash: format!("{:016x}", star.world.trace_hash()),
    };
    (figures, star.world.totals().events)
}

fn percent(part: usize, whole: usize) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of deliveries, far below 2^52"
    )]
    let share = part as f64 / whole.max(1) as f64;
    100.0 * share
}
