//! `overlane metrics --cluster`: what the members of a cluster have counted, added up.

use overlane::FigureTotal;
use overlane::admin::{Answer, ChannelTotalReport, ClusterMetricsReport, Request};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure};
use crate::table::{Column, table};

pub(super) fn print(target: &Target) -> Result<Ending, Failure> {
    match target.ask(&Request::ClusterMetrics {})? {
        Answer::ClusterMetrics(report) => target.print(&report, || text(&report)),
        other => Err(unexpected(&other)),
    }
}

fn text(report: &ClusterMetricsReport) -> String {
    let mut text = String::new();
    if !report.channels.is_empty() {
        let rows: Vec<_> = report.channels.iter().map(channel_row).collect();
        text += &table(&CHANNEL_COLUMNS, &rows);
        text += "\n";
    }
    let rows: Vec<_> = report.node.iter().map(node_row).collect();
    if !rows.is_empty() {
        text += &table(&NODE_COLUMNS, &rows);
        text += "\n";
    }
    text += &format!(
        "{} of {} members are in the sums",
        report.covered, report.members
    );
    if let Some(oldest) = &report.oldest {
        let (seconds, tenths) = (oldest.age_ms / 1_000, oldest.age_ms % 1_000 / 100);
        text += &format!(
            "; the oldest part is {seconds}.{tenths} s old, of {}",
            oldest.member
        );
    }
    text += "\n";
    if !report.missing.is_empty() {
        text += &format!("not yet heard of: {}\n", some_of(&report.missing));
    }
    if let Some(unaccounted) = report.node.get("unaccounted").filter(|total| total.sum > 0) {
        let nodes = unaccounted.sum;
        text += &format!("NOT all messages are accounted for on {nodes} of them\n");
    }
    text
}

/// As many as fit on a line or two.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 16;
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

const CHANNEL_COLUMNS: [Column; 10] = [
    Column::Word("channel"),
    Column::Number("members"),
    Column::Number("accepted"),
    Column::Number("acked"),
    Column::Number("reported"),
    Column::Number("dropped"),
    Column::Number("delivered"),
    Column::Number("open"),
    Column::Number("most queued bytes"),
    Column::Number("p50/p99 us"),
];

fn channel_row((name, channel): (&String, &ChannelTotalReport)) -> Vec<String> {
    let figures = &channel.figures;
    let sum = |name: &str| figures.get(name).map_or(0, |total| total.sum);
    let queue = figures.get("queue_bytes").map(most);
    let latency = channel.latency.as_ref();
    let latency = latency.map(|took| format!("{}/{}", took.p50_us, took.p99_us));
    let mut row = vec![name.clone(), channel.members.to_string()];
    let counts = [
        sum("accepted"),
        sum("acknowledged"),
        sum("reported"),
        sum("dropped"),
        sum("delivered"),
        sum("queued").saturating_add(sum("in_flight")),
    ];
    row.extend(counts.map(|count| count.to_string()));
    row.push(queue.unwrap_or_else(|| "0".to_owned()));
    row.push(latency.unwrap_or_else(|| "-".to_owned()));
    row
}

const NODE_COLUMNS: [Column; 3] = [
    Column::Word("of nodes"),
    Column::Number("sum"),
    Column::Number("most"),
];

fn node_row((name, total): (&String, &FigureTotal)) -> Vec<String> {
    vec![name.clone(), total.sum.to_string(), most(total)]
}

/// What the member with the most has, and which that is.
fn most(total: &FigureTotal) -> String {
    match total.max_at.as_str() {
        "" => total.max.to_string(),
        member => format!("{} ({member})", total.max),
    }
}
