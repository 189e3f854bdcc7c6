//! Workload `broadcast`: the experiments of the HyParView and Plumtree papers.

use std::time::Instant;

use overlane_overlays::sim::carrier::Carrier;
use overlane_overlays::sim::{Outcome, Plan, Round, Senders, Spreading};
use overlane_overlays::{hyparview, plumtree};
use serde::Serialize;

use super::output::{Bar, peak_rss_bytes, print_report, print_rows};
use super::{Arguments, SimError, Spread, plot, repeatable, span};

/// Cycles after which an overlay that has not healed never will.
const CYCLES_TO_HEAL_MAX: usize = 30;

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let plan = plan(arguments)?;
    let outcome = measured(&plan);
    if arguments.twice {
        let again = measured(&plan).report.trace_hash;
        repeatable(arguments, &outcome.report.trace_hash, &again)?;
    }
    if arguments.each {
        print_rows(&each(&outcome), arguments.json)?;
    }
    print_report(&outcome.report, arguments.json)?;
    match &arguments.plot {
        None => Ok(()),
        Some(path) => plot::draw(path, &outcome).map_err(|reason| SimError::Plot {
            path: path.display().to_string(),
            reason,
        }),
    }
}

fn measured(plan: &Plan) -> Outcome {
    let begun = Instant::now();
    let mut bar = Bar::new();
    let mut outcome = plan.run(&mut |stage, done, all| bar.show(stage, done, all));
    bar.finish();
    let report = &mut outcome.report;
    report.elapsed_s = begun.elapsed().as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of events, far below 2^52"
    )]
    let events = report.events as f64;
    report.events_per_s = events / report.elapsed_s;
    report.peak_rss_bytes = peak_rss_bytes();
    outcome
}

/// One broadcast.
#[derive(Serialize)]
struct Broadcast {
    /// Counted from one.
    number: usize,
    reach_percent: f64,
    rmr: f64,
    missed: u32,
    last_hop: u16,
    last_delivery_ms: f64,
}

/// The broadcasts in the order in which they were sent; after a failure, those three cycles later follow.
fn each(outcome: &Outcome) -> Vec<Broadcast> {
    let rounds = outcome.rounds.iter().chain(&outcome.rounds_healed);
    let broadcast = |(index, round): (usize, &Round)| Broadcast {
        number: index + 1,
        reach_percent: round.reach_percent(),
        rmr: round.redundancy(),
        missed: round.missed(),
        last_hop: round.hops_max,
        last_delivery_ms: round.time_to_last().as_secs_f64() * 1e3,
    };
    rounds.enumerate().map(broadcast).collect()
}

fn plan(arguments: &Arguments) -> Result<Plan, SimError> {
    let spreading = match arguments.spread {
        Spread::Plumtree => Spreading::Plumtree,
        Spread::Flood => Spreading::Flood,
        Spread::Epidemic => Spreading::Epidemic,
    };
    let other = arguments.overlay() != Carrier::HyParView;
    if other && (spreading != Spreading::Plumtree || arguments.xbot) {
        return Err(SimError::Arguments(
            "--spread and --xbot need --overlay hyparview",
        ));
    }
    let mut plumtree = plumtree::Config::default();
    if let Some(threshold) = arguments.optimization_threshold {
        plumtree.optimization_threshold = threshold;
    }
    Ok(Plan {
        overlay: arguments.overlay(),
        hyparview: hyparview::Config {
            xbot: arguments.xbot.then(hyparview::XbotConfig::default),
            partisan_deviations: arguments.partisan_deviations,
            ..hyparview::Config::default()
        },
        spreading,
        plumtree,
        nodes: arguments.nodes(),
        seed: arguments.seed,
        network: arguments.network.config()?,
        join_spacing: span(arguments.join_spacing()),
        cycles: arguments.cycles,
        fail: arguments.fail.share,
        broadcasts: arguments.broadcasts,
        senders: match arguments.senders {
            super::Senders::One => Senders::One,
            super::Senders::Many => Senders::Many,
        },
        at_once: arguments.at_once as usize,
        payload_bytes: arguments.payload_bytes as usize,
        interval: span(arguments.interval_ms),
        cycles_to_heal_max: CYCLES_TO_HEAL_MAX,
    })
}
