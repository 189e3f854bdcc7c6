//! Workload `table`: every overlay at every size under every loss and latency, one row each.
//!
//! What is given on the command line (`--overlay`, `--nodes`, `--loss`, `--latency-*`) is kept, so that
//! the table can be made in pieces; what is not given takes all its values in turn.

use std::time::Instant;

use overlane_overlays::sim::Latency;
use overlane_overlays::sim::carrier::Carrier;
use overlane_overlays::sim::table::{Cell, Figures};
use serde::Serialize;

use super::output::{Bar, print_rows};
use super::{Arguments, SimError, span};

/// Losses, in percent.
const LOSSES: [f64; 4] = [1.0, 5.0, 10.0, 20.0];
/// Least and most latency, in milliseconds.
const LATENCIES: [(u64, u64); 3] = [(1, 5), (10, 50), (20, 300)];
const SIZES: [u32; 3] = [30, 300, 3_000];
/// The largest full mesh: the square of its size is what it costs.
const FULL_MESH_MAX: u32 = 300;

/// One row.
#[derive(Serialize)]
struct Row {
    overlay: &'static str,
    nodes: u32,
    loss_percent: f64,
    latency_min_ms: u64,
    latency_max_ms: u64,
    seed: u64,
    #[serde(flatten)]
    figures: Figures,
    elapsed_s: f64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), SimError> {
    let mut rows = Vec::new();
    for cell in cells(arguments)? {
        let begun = Instant::now();
        let mut bar = Bar::new();
        let figures = cell.run(&mut |stage, done, all| bar.show(stage, done, all));
        bar.finish();
        let row = row(cell, figures, begun.elapsed().as_secs_f64());
        // A long table is worth having as far as it got.
        if arguments.json {
            print_rows(&[row], true)?;
        } else {
            rows.push(row);
        }
    }
    if !arguments.json {
        print_rows(&rows, false)?;
    }
    Ok(())
}

fn row(cell: Cell, figures: Figures, elapsed_s: f64) -> Row {
    let (min, max) = match cell.network.latency {
        Latency::PerLink { min, max } | Latency::PerMessage { min, max } => (min, max),
        Latency::HeavyTail { min, mean } => (min, mean),
    };
    let milliseconds = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(0);
    Row {
        overlay: cell.overlay.name(),
        nodes: cell.nodes,
        loss_percent: 100.0 * cell.network.loss,
        latency_min_ms: milliseconds(min),
        latency_max_ms: milliseconds(max),
        seed: cell.seed,
        figures,
        elapsed_s,
    }
}

/// All cells that are wanted.
fn cells(arguments: &Arguments) -> Result<Vec<Cell>, SimError> {
    let overlays = arguments
        .overlay
        .map_or_else(|| Carrier::ALL.to_vec(), |one| vec![one]);
    let sizes = arguments
        .nodes
        .map_or_else(|| SIZES.to_vec(), |one| vec![one]);
    let losses = arguments
        .network
        .loss
        .map_or_else(|| LOSSES.to_vec(), |one| vec![100.0 * one.share]);
    let given = &arguments.network;
    let is_given = given.latency_min_ms.is_some() || given.latency_max_ms.is_some();
    let mut networks = Vec::new();
    for loss in losses {
        for (min, max) in LATENCIES {
            let latency = (!is_given).then_some((min, max));
            let network = given.with(loss / 100.0, latency).config()?;
            networks.push(network);
            if is_given {
                break;
            }
        }
    }
    let mut cells = Vec::new();
    for overlay in overlays {
        for nodes in &sizes {
            let too_large = overlay == Carrier::FullMesh && *nodes > FULL_MESH_MAX;
            if too_large && arguments.nodes.is_none() {
                continue;
            }
            cells.extend(networks.iter().map(|network| Cell {
                overlay,
                nodes: *nodes,
                seed: arguments.seed,
                network: *network,
                join_spacing: span(arguments.join_spacing()),
            }));
        }
    }
    Ok(cells)
}
