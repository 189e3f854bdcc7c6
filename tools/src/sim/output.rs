//! What a simulation shows: a progress bar while it runs, a table or JSON when it is done.

use std::fs;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::ending::{NotWritten, print};

/// A progress bar on standard error, where that is a terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    stage: &'static str,
}

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg:10} {wide_bar} {pos}/{len} {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, stage: "" }
    }

    pub(super) fn show(&mut self, stage: &'static str, done: usize, all: usize) {
        if stage != self.stage {
            self.stage = stage;
            self.bar.set_message(stage);
            self.bar.set_length(all as u64);
        }
        self.bar.set_position(done as u64);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Prints the figures that were measured: as one JSON object, or one below the other.
pub(super) fn print_report(report: &impl Serialize, json: bool) -> Result<(), NotWritten> {
    let Ok(Value::Object(figures)) = serde_json::to_value(report) else {
        return Ok(());
    };
    let measured = figures.into_iter().filter(|(_, figure)| !figure.is_null());
    let text = if json {
        let object: serde_json::Map<String, Value> = measured.collect();
        format!("{}\n", Value::Object(object))
    } else {
        measured
            .map(|(name, figure)| format!("{name:<28}{}\n", readable(&figure)))
            .collect()
    };
    print(&text)
}

/// Prints figures that there are many of: one JSON object a line, or one row each under their names.
pub(super) fn print_rows(rows: &[impl Serialize], json: bool) -> Result<(), NotWritten> {
    let mut text = String::new();
    for row in rows {
        let Ok(Value::Object(figures)) = serde_json::to_value(row) else {
            continue;
        };
        if json {
            text.push_str(&format!("{}\n", Value::Object(figures)));
            continue;
        }
        if text.is_empty() {
            text.extend(figures.keys().map(|name| format!("{name:>18}")));
            text.push('\n');
        }
        text.extend(
            figures
                .values()
                .map(|figure| format!("{:>18}", readable(figure))),
        );
        text.push('\n');
    }
    print(&text)
}

fn readable(figure: &Value) -> String {
    match figure {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if number.abs() < 10.0 {
                format!("{number:.5}")
            } else {
                format!("{number:.1}")
            }
        }
        other => other.to_string(),
    }
}

/// The most memory that this process has had.
pub(super) fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1_024
}
