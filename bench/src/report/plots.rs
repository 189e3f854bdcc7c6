//! The pictures of a report, as SVG text.
//!
//! Drawn with plotters, in one style. A run without data gives empty axes, never an error: a failed run
//! needs its report most of all. What the colours mean is said beside a picture, not in it, where it
//! would lie over the lines.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::{Interval, Report};
use crate::latencies::Latencies;
use crate::{sample, table};

/// Small enough that its text is still read where a page is as narrow as a telephone.
const SIZE: (u32, u32) = (560, 330);
const INK: RGBColor = RGBColor(51, 65, 85);
const GRID: RGBColor = RGBColor(226, 232, 240);
const BAND: RGBColor = RGBColor(254, 243, 199);
const BLUE: RGBColor = RGBColor(37, 99, 235);
const ORANGE: RGBColor = RGBColor(217, 119, 6);
const RED: RGBColor = RGBColor(220, 38, 38);
const GREEN: RGBColor = RGBColor(22, 163, 74);

const SLATE: RGBColor = RGBColor(100, 116, 139);

/// A picture, and what its colours mean.
pub(super) struct Picture {
    /// The drawing.
    pub(super) svg: String,
    /// Names and CSS colours, in the order in which they should be read.
    pub(super) legend: Vec<(&'static str, String)>,
}

/// One-way latency of heartbeats over the time of the run.
pub(super) fn latency_over_time(report: &Report) -> Picture {
    let line = |name, colour, of: fn(&Interval) -> f64| {
        let points = report.intervals.iter().map(|step| (step.at_s, of(step)));
        Line::new(name, colour, points.collect())
    };
    let x = Axis::seconds(report);
    let bound = bound(report, &x);
    Chart {
        x,
        y: Axis::microseconds(),
        band: report.transfer,
        lines: vec![
            line("largest", RED, |step| step.max_us),
            line("99 %", ORANGE, |step| step.p99_us),
            line("median", BLUE, |step| step.p50_us),
            bound,
        ],
    }
    .logarithmic()
}

/// How fast the file was written at the receiver over the time of the run.
pub(super) fn throughput_over_time(report: &Report) -> Picture {
    let points = report
        .intervals
        .iter()
        .map(|step| (step.at_s, step.file_mib_per_s));
    let most = report
        .intervals
        .iter()
        .map(|step| step.file_mib_per_s)
        .fold(1.0, f64::max);
    Chart {
        x: Axis::seconds(report),
        y: Axis {
            name: "MiB per second",
            range: 0.0..most * 1.1,
            label: plain,
        },
        band: report.transfer,
        lines: vec![Line::new("file on channel data", GREEN, points.collect())],
    }
    .linear()
}

/// Percentiles of the latency without and beside the file.
pub(super) fn latency_percentiles(report: &Report) -> Picture {
    let x = Axis {
        name: "percentile",
        range: 0.0..5.0,
        label: percentile_name,
    };
    let bound = bound(report, &x);
    Chart {
        x,
        y: Axis::microseconds(),
        band: None,
        lines: vec![
            Line::new("beside the file", ORANGE, percentiles(&report.beside)),
            Line::new("before the file", BLUE, percentiles(&report.before)),
            Line::new("plain socket beside it", GREEN, percentiles(&report.plain)),
            bound,
        ],
    }
    .logarithmic()
}

/// The most that 99 % of heartbeats may take beside the file: what the check goes by.
fn bound(report: &Report, x: &Axis) -> Line {
    let most_us = report.heartbeat_cost.most_us();
    let ends = [x.range.start, x.range.end];
    let points = ends.map(|end| (end, most_us));
    Line::new("bound of 99 %", SLATE, points.to_vec())
}

/// Points of a percentile curve; the further right, the rarer: 1 is 90 %, 2 is 99 %, 3 is 99.9 %.
fn percentiles(latencies: &Latencies) -> Vec<(f64, f64)> {
    if latencies.count() == 0 {
        return Vec::new();
    }
    let nines_max = sample::figure(latencies.count()).log10().min(5.0);
    let nines = (0..=100_u32).map(|step| f64::from(step) / 100.0 * nines_max);
    let share = |nines: f64| 100.0 * (1.0 - 10_f64.powf(-nines));
    nines
        .map(|nines| (nines, latencies.percentile_us(share(nines))))
        .collect()
}

/// The name of a whole number of nines.
fn percentile_name(nines: f64) -> String {
    let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    let mut places = names.iter().zip(0_u32..);
    let found = places.find(|(_, place)| (nines - f64::from(*place)).abs() < 1e-6);
    found.map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// A number on an axis, without decimals that say nothing.
fn plain(value: f64) -> String {
    if (value - value.round()).abs() > 1e-9 {
        return format!("{value:.1}");
    }
    let text = table::number(value);
    text.split('.').next().unwrap_or_default().to_owned()
}

/// One line of a picture.
struct Line {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn new(name: &'static str, colour: RGBColor, points: Vec<(f64, f64)>) -> Self {
        Self {
            name,
            colour,
            points,
        }
    }
}

/// One axis of a picture.
struct Axis {
    name: &'static str,
    range: Range<f64>,
    label: fn(f64) -> String,
}

impl Axis {
    /// The whole run, or a second of nothing.
    fn seconds(report: &Report) -> Self {
        let end = report
            .intervals
            .iter()
            .map(|step| step.at_s)
            .fold(1.0, f64::max);
        Self {
            name: "seconds of the run",
            range: 0.0..end,
            label: plain,
        }
    }

    /// Made to fit the lines by [`Chart::logarithmic`].
    fn microseconds() -> Self {
        Self {
            name: "microseconds",
            range: 1.0..10.0,
            label: plain,
        }
    }
}

/// What a picture is made of.
struct Chart {
    x: Axis,
    y: Axis,
    band: Option<(f64, f64)>,
    lines: Vec<Line>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Chart {
    fn linear(self) -> Picture {
        self.picture(|chart, area| chart.draw(area, chart.y.range.clone()))
    }

    /// With a range of whole powers of ten around all points.
    fn logarithmic(mut self) -> Picture {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let heights = points.map(|(_, y)| y.max(0.1));
        let (least, most) = heights.fold((f64::INFINITY, 1.0_f64), |(least, most), y| {
            (least.min(y), most.max(y))
        });
        let least = if least.is_finite() { least } else { 1.0 };
        let bottom = 10_f64.powf(least.log10().floor());
        self.y.range = bottom..10_f64.powf((most * 1.01).log10().ceil());
        self.picture(|chart, area| chart.draw(area, chart.y.range.clone().log_scale()))
    }

    /// The picture; what could not be drawn is said in it.
    fn picture(self, draw: impl FnOnce(&Self, &Area<'_>) -> Drawn) -> Picture {
        let mut svg = String::new();
        let outcome = {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            draw(&self, &area).and_then(|()| area.present().map_err(Into::into))
        };
        if let Err(error) = outcome {
            svg = format!("<p>This picture could not be drawn: {error}</p>");
        }
        let lines = self.lines.iter().map(|line| (line.name, css(line.colour)));
        let band = self.band.map(|_| ("file under way", css(BAND)));
        Picture {
            svg,
            legend: lines.chain(band).collect(),
        }
    }

    fn draw<Y>(&self, area: &Area<'_>, y_range: Y) -> Drawn
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(30)
            .x_label_area_size(46)
            .y_label_area_size(82)
            .build_cartesian_2d(self.x.range.clone(), y_range)?;
        if let Some((begin, end)) = self.band {
            let corners = [(begin, self.y.range.start), (end, self.y.range.end)];
            chart.draw_series([Rectangle::new(corners, BAND.filled())])?;
        }
        let text = ("sans-serif", 18).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc(self.x.name)
            .y_desc(self.y.name)
            .x_label_formatter(&|x| (self.x.label)(*x))
            .y_label_formatter(&|y| (self.y.label)(*y))
            .x_labels(6)
            .y_labels(6)
            .draw()?;
        for line in &self.lines {
            let points = line.points.iter().copied();
            chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
        }
        Ok(())
    }
}

fn css(RGBColor(red, green, blue): RGBColor) -> String {
    format!("rgb({red} {green} {blue})")
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn pictures_name_their_axes_and_lines() {
        let report = example();
        let latency = latency_over_time(&report);
        for word in ["<svg", "seconds of the run", "microseconds"] {
            assert!(latency.svg.contains(word), "{word}");
        }
        let names: Vec<&str> = latency.legend.iter().map(|(name, _)| *name).collect();
        let wanted = [
            "largest",
            "99 %",
            "median",
            "bound of 99 %",
            "file under way",
        ];
        assert_eq!(names, wanted);
        assert!(throughput_over_time(&report).svg.contains("MiB per second"));
        assert!(latency_percentiles(&report).svg.contains("99.9 %"));
    }

    #[test]
    fn a_run_without_data_has_pictures_too() {
        let empty = Report::default();
        for of in [latency_over_time, throughput_over_time, latency_percentiles] {
            let svg = of(&empty).svg;
            assert!(svg.starts_with("<svg"), "{svg}");
        }
    }

    #[test]
    fn axes_have_no_needless_decimals() {
        assert_eq!(
            (plain(1.0), plain(10.0), plain(1_000.0)),
            ("1".into(), "10".into(), "1 000".into())
        );
        assert_eq!((plain(0.5), plain(0.0)), ("0.5".into(), "0".into()));
    }
}
