//! Draws what became of each broadcast: redundancy or reach, hops, and time, over its number.

use std::error::Error;
use std::path::Path;

use overlane_overlays::sim::{Outcome, Round};
use plotters::prelude::*;

type Panel = (&'static str, fn(&Round) -> f64);

/// Writes one SVG file with a panel below the other.
pub(super) fn draw(path: &Path, outcome: &Outcome) -> Result<(), String> {
    let panels: [Panel; 3] = if outcome.report.failed_percent > 0.0 {
        [
            (
                "reach, % of survivors, before healing",
                Round::reach_percent,
            ),
            ("hops to the last delivery", |round| {
                f64::from(round.hops_max)
            }),
            ("time to the last delivery, ms", milliseconds),
        ]
    } else {
        [
            ("relative message redundancy", Round::redundancy),
            ("hops to the last delivery", |round| {
                f64::from(round.hops_max)
            }),
            ("time to the last delivery, ms", milliseconds),
        ]
    };
    draw_panels(path, outcome, &panels).map_err(|error| error.to_string())
}

fn milliseconds(round: &Round) -> f64 {
    round.time_to_last().as_secs_f64() * 1e3
}

fn draw_panels(path: &Path, outcome: &Outcome, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (900, 900)).into_drawing_area();
    root.fill(&WHITE)?;
    let report = &outcome.report;
    let title = format!(
        "{}, {}, {} nodes, seed {}, {}% failed",
        report.overlay, report.broadcast, report.nodes, report.seed, report.failed_percent
    );
    let area = root.titled(&title, ("sans-serif", 20))?;
    for (panel, (name, figure)) in area.split_evenly((panels.len(), 1)).iter().zip(panels) {
        let points: Vec<(f64, f64)> = (0_u32..)
            .zip(&outcome.rounds)
            .map(|(number, round)| (f64::from(number), figure(round)))
            .collect();
        let most = points.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
        let last = points.last().map_or(1.0, |(number, _)| number.max(1.0));
        let mut chart = ChartBuilder::on(panel)
            .caption(name, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, 0.0..(most * 1.1).max(0.01))?;
        chart.configure_mesh().x_desc("broadcast").draw()?;
        chart.draw_series(LineSeries::new(points, &BLUE))?;
    }
    root.present()?;
    Ok(())
}
