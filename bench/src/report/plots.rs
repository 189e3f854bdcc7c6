//! The pictures of a report, as SVG text.
//!
//! Drawn with plotters, in one style. A run without data gives empty axes, never an error: a failed run
//! needs its report most of all.

use std::ops::Range;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Interval, Report};
use crate::latencies::Latencies;
use crate::table;

const SIZE: (u32, u32) = (1_000, 340);
const INK: RGBColor = RGBColor(51, 65, 85);
const GRID: RGBColor = RGBColor(226, 232, 240);
const BAND: RGBColor = RGBColor(254, 243, 199);
const BLUE: RGBColor = RGBColor(37, 99, 235);
const ORANGE: RGBColor = RGBColor(217, 119, 6);
const RED: RGBColor = RGBColor(220, 38, 38);
const GREEN: RGBColor = RGBColor(22, 163, 74);

type Drawn = Result<(), Box<dyn std::error::Error>>;
/// A line: its name, its colour, its points.
type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

/// One-way latency of heartbeats over the time of the run.
pub(super) fn latency_over_time(report: &Report) -> String {
    let line = |name, colour, of: fn(&Interval) -> f64| {
        (
            name,
            colour,
            report
                .intervals
                .iter()
                .map(|step| (step.at_s, of(step)))
                .collect(),
        )
    };
    let lines: [Line; 3] = [
        line("largest", RED, |step| step.max_us),
        line("99 %", ORANGE, |step| step.p99_us),
        line("median", BLUE, |step| step.p50_us),
    ];
    drawn(|root| {
        let chart = Chart {
            x: "seconds of the run",
            y: "microseconds",
            x_range: 0.0..end_of(report),
            x_label: |x| table::number(*x),
        };
        chart.logarithmic(root, latency_range(&lines), report.transfer, &lines)
    })
}

/// How fast the file was written at the receiver over the time of the run.
pub(super) fn throughput_over_time(report: &Report) -> String {
    let points = report
        .intervals
        .iter()
        .map(|step| (step.at_s, step.file_mib_per_s));
    let lines: [Line; 1] = [("file on channel data", GREEN, points.collect())];
    let most = report
        .intervals
        .iter()
        .map(|step| step.file_mib_per_s)
        .fold(1.0, f64::max);
    drawn(|root| {
        let chart = Chart {
            x: "seconds of the run",
            y: "MiB per second",
            x_range: 0.0..end_of(report),
            x_label: |x| table::number(*x),
        };
        chart.linear(root, 0.0..most * 1.15, report.transfer, &lines)
    })
}

/// Percentiles of the latency without and beside the file.
pub(super) fn latency_percentiles(report: &Report) -> String {
    let lines: [Line; 2] = [
        ("beside the file", ORANGE, percentiles(&report.loaded)),
        ("heartbeats only", BLUE, percentiles(&report.quiet)),
    ];
    drawn(|root| {
        let chart = Chart {
            x: "percentile",
            y: "microseconds",
            x_range: 0.0..5.0,
            x_label: |nines| percentile_name(*nines),
        };
        chart.logarithmic(root, latency_range(&lines), None, &lines)
    })
}

/// Points of a percentile curve; the further right, the rarer: 1 is 90 %, 2 is 99 %, 3 is 99.9 %.
fn percentiles(latencies: &Latencies) -> Vec<(f64, f64)> {
    if latencies.count() == 0 {
        return Vec::new();
    }
    let nines_max = crate::sample::figure(latencies.count()).log10().min(5.0);
    let steps = (0..=100_u32).map(|step| f64::from(step) / 100.0 * nines_max);
    steps
        .map(|nines| {
            (
                nines,
                latencies.percentile_us(100.0 * (1.0 - 10_f64.powf(-nines))),
            )
        })
        .map(|(nines, latency_us)| (nines, latency_us.max(0.1)))
        .collect()
}

fn percentile_name(nines: f64) -> String {
    let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    let place = names
        .iter()
        .zip(0_u32..)
        .find(|(_, place)| (nines - f64::from(*place)).abs() < 1e-6);
    place.map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// The whole run, or a second of nothing.
fn end_of(report: &Report) -> f64 {
    report
        .intervals
        .iter()
        .map(|step| step.at_s)
        .fold(1.0, f64::max)
}

/// A range of whole powers of ten around all points.
fn latency_range(lines: &[Line]) -> Range<f64> {
    let all = || {
        lines
            .iter()
            .flat_map(|(_, _, points)| points.iter().map(|(_, y)| y.max(0.1)))
    };
    let (least, most) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(1.0, f64::max),
    );
    let least = if least.is_finite() {
        least.min(most)
    } else {
        1.0
    };
    10_f64.powf(least.log10().floor())..10_f64.powf((most * 1.01).log10().ceil())
}

/// An SVG of one picture; what could not be drawn is said in it.
fn drawn(
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn,
) -> String {
    let mut svg = String::new();
    let outcome = {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&root).and_then(|()| root.present().map_err(Into::into))
    };
    match outcome {
        Ok(()) => svg,
        Err(error) => format!("<p>This picture could not be drawn: {error}</p>"),
    }
}

/// What the axes of a picture say.
struct Chart {
    x: &'static str,
    y: &'static str,
    x_range: Range<f64>,
    x_label: fn(&f64) -> String,
}

impl Chart {
    fn logarithmic(
        self,
        root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        y_range: Range<f64>,
        band: Option<(f64, f64)>,
        lines: &[Line],
    ) -> Drawn {
        let corners = (y_range.start, y_range.end);
        self.draw(root, y_range.log_scale(), corners, band, lines)
    }

    fn linear(
        self,
        root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        y_range: Range<f64>,
        band: Option<(f64, f64)>,
        lines: &[Line],
    ) -> Drawn {
        let corners = (y_range.start, y_range.end);
        self.draw(root, y_range, corners, band, lines)
    }

    fn draw<Y>(
        self,
        root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        y_range: Y,
        (bottom, top): (f64, f64),
        band: Option<(f64, f64)>,
        lines: &[Line],
    ) -> Drawn
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(46)
            .y_label_area_size(78)
            .build_cartesian_2d(self.x_range, y_range)?;
        if let Some((begin, end)) = band {
            let area = Rectangle::new([(begin, bottom), (end, top)], BAND.filled());
            chart.draw_series([area])?;
        }
        let text = ("sans-serif", 15).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&self.x_label)
            .y_label_formatter(&|y| table::number(*y))
            .x_labels(11)
            .y_labels(6)
            .draw()?;
        if let Some((begin, end)) = band {
            let middle = f64::midpoint(begin, end);
            let style = text.clone().pos(Pos::new(HPos::Center, VPos::Top));
            chart.draw_series([Text::new("file under way", (middle, top), style)])?;
        }
        for (name, colour, points) in lines {
            chart
                .draw_series(LineSeries::new(
                    points.iter().copied(),
                    colour.stroke_width(2),
                ))?
                .label(*name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .label_font(text)
            .draw()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn pictures_name_their_axes_and_lines() {
        let report = example();
        let latency = latency_over_time(&report);
        for word in [
            "<svg",
            "seconds of the run",
            "microseconds",
            "median",
            "file under way",
        ] {
            assert!(latency.contains(word), "{word}");
        }
        assert!(throughput_over_time(&report).contains("MiB per second"));
        assert!(latency_percentiles(&report).contains("99.9 %"));
    }

    #[test]
    fn a_run_without_data_has_pictures_too() {
        let empty = Report::default();
        for picture in [
            latency_over_time(&empty),
            throughput_over_time(&empty),
            latency_percentiles(&empty),
        ] {
            assert!(picture.starts_with("<svg"), "{picture}");
        }
    }
}
