//! Workload `causal`: both causal layers on one or many seeds, each judged by clocks of the simulator.

use std::time::Instant;

use overlane_overlays::sim::causal::{Figures, Layer, Plan};
use serde::Serialize;

use super::output::{peak_rss_bytes, print_report};
use super::seeds::on_seeds;
use super::{Arguments, SimError, repeatable, span};
use crate::ending::complain;

/// Nodes where none are given.
const NODES: u32 = 30;

/// Figures of all seeds of one layer together.
#[derive(Serialize)]
struct Total {
    layer: &'static str,
    overlay: &'static str,
    nodes: u32,
    loss_percent: f64,
    failed_percent: f64,
    seed: u64,
    seeds: u64,
    /// Seeds in which the order was broken, or something was lost without a word.
    failed: usize,
    sent: u64,
    deliveries: u64,
    /// Deliveries by nodes that ran from the sending to the end.
    expected: u64,
    /// Of those: told to the receiver as missed.
    missed: u64,
    /// Given back to the sender.
    refused: u64,
    /// Gone with the nodes that had them.
    gone: u64,
    /// Lost without a word.
    unheard: u64,
    /// Messages that any node passed over or gave back.
    given_up: u64,
    /// Most messages that one node held back at once.
    held_max: usize,
    /// Messages kept or under way at the end, by all nodes.
    kept_at_end: usize,
    /// Bytes that the layer added to a message, mean over the seeds.
    overhead_bytes: f64,
    /// Questions for missing messages.
    asked: u64,
    /// Messages sent again.
    sent_again: u64,
    /// Of all layers.
    bytes_per_node_s: f64,
    trace_hash: String,
    elapsed_s: f64,
    peak_rss_bytes: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let (mut failed, seeds) = (0, arguments.seeds.unwrap_or(1).max(1));
    for layer in Layer::ALL {
        failed += run_layer(arguments, layer, seeds)?;
    }
    if failed == 0 {
        return Ok(());
    }
    Err(SimError::Faults { failed, seeds })
}

/// How many seeds failed.
fn run_layer(arguments: &Arguments, layer: Layer, seeds: u64) -> Result<usize, SimError> {
    let begun = Instant::now();
    let nodes = arguments.nodes.unwrap_or(NODES);
    let plan = Plan {
        overlay: arguments.overlay(),
        network: arguments.network.config()?,
        join_spacing: span(arguments.join_spacing()),
        messages: arguments.broadcasts,
        at_once: arguments.at_once as usize,
        interval: span(arguments.interval_ms),
        payload_bytes: arguments.payload_bytes as usize,
        fail: arguments.fail.share,
        ..Plan::new(layer, nodes, arguments.seed)
    };
    let simulate = |seed| {
        Figures::of(&Plan {
            seed,
            ..plan.clone()
        })
    };
    let mut all = on_seeds(layer.name(), arguments.seed, seeds, simulate);
    all.sort_by_key(|figures| figures.seed);
    if arguments.twice {
        for figures in &all {
            repeatable(
                arguments,
                &figures.trace_hash,
                &simulate(figures.seed).trace_hash,
            )?;
        }
    }
    let failures: Vec<String> = all.iter().filter_map(failure).collect();
    for failure in &failures {
        complain(format_args!("{failure}"));
    }
    let total = Total {
        loss_percent: 100.0 * arguments.network.loss(),
        failed_percent: 100.0 * arguments.fail.share,
        failed: failures.len(),
        elapsed_s: begun.elapsed().as_secs_f64(),
        ..total(layer, &plan, seeds, &all)
    };
    print_report(&total, arguments.json)?;
    Ok(failures.len())
}

/// What is wrong with a run, if anything is.
fn failure(figures: &Figures) -> Option<String> {
    let on = format!("seed {} ({})", figures.seed, figures.layer);
    if let Some(violation) = &figures.violation {
        Some(format!("{on}: {violation}"))
    } else if figures.unheard > 0 {
        Some(format!(
            "{on}: {} deliveries lost without a word",
            figures.unheard
        ))
    } else if figures.held_at_end > 0 {
        Some(format!(
            "{on}: {} messages wait for ever",
            figures.held_at_end
        ))
    } else {
        None
    }
}

fn total(layer: Layer, plan: &Plan, seeds: u64, all: &[Figures]) -> Total {
    let sum = |figure: fn(&Figures) -> u64| all.iter().map(figure).sum::<u64>();
    let count = u32::try_from(all.len().max(1)).unwrap_or(u32::MAX);
    let mean = |figure: fn(&Figures) -> f64| all.iter().map(figure).sum::<f64>() / f64::from(count);
    let last = all.last().map(|figures| figures.trace_hash.clone());
    Total {
        layer: layer.name(),
        overlay: plan.overlay.name(),
        nodes: plan.nodes,
        loss_percent: 0.0,
        failed_percent: 0.0,
        seed: plan.seed,
        seeds,
        failed: 0,
        sent: sum(|figures| figures.sent),
        deliveries: sum(|figures| figures.deliveries),
        expected: sum(|figures| figures.expected),
        missed: sum(|figures| figures.missed),
        refused: sum(|figures| figures.refused),
        gone: sum(|figures| figures.gone),
        unheard: sum(|figures| figures.unheard),
        given_up: sum(|figures| figures.given_up),
        held_max: all
            .iter()
            .map(|figures| figures.held_max)
            .max()
            .unwrap_or(0),
        kept_at_end: all.iter().map(|figures| figures.kept_at_end).sum(),
        overhead_bytes: mean(|figures| figures.words_bytes),
        asked: sum(|figures| figures.asked),
        sent_again: sum(|figures| figures.answered),
        bytes_per_node_s: mean(|figures| figures.bytes_per_node_s),
        trace_hash: last.unwrap_or_default(),
        elapsed_s: 0.0,
        peak_rss_bytes: peak_rss_bytes(),
    }
}
