//! The outcome of a main job as tables for a terminal.

use crate::report::{Held, Report};
use crate::shown::show;
use crate::table;

/// Shows the figures, every channel in every direction, and the checks.
pub(super) fn print(report: &Report) {
    let headlines: Vec<Vec<String>> = report
        .headlines
        .iter()
        .map(|line| {
            vec![
                line.name.to_owned(),
                line.value.clone(),
                line.beside.clone(),
            ]
        })
        .collect();
    show!("{}", table::of(&["main job", "", ""], &headlines));
    let flows: Vec<Vec<String>> = report
        .flows
        .iter()
        .map(|flow| {
            let account = &flow.account;
            let ended = [
                account.acknowledged,
                account.reported,
                account.sent,
                account.dropped,
            ];
            let way = format!("{} {} > {}", account.channel, flow.from, account.peer);
            let mut cells = vec![way, table::count(account.accepted)];
            cells.extend(ended.map(table::count));
            cells.push(table::count(flow.delivered));
            cells
        })
        .collect();
    let header = [
        "channel",
        "accepted",
        "acknowledged",
        "reported",
        "sent",
        "dropped",
        "delivered",
    ];
    show!("{}", table::of(&header, &flows));
    for check in &report.checks {
        match &check.held {
            Held::Yes => show!("ok      {}", check.what),
            Held::No(why) => show!("FAILED  {}: {why}", check.what),
            Held::NotJudged(why) => show!("-       {}: {why}", check.what),
        }
    }
}
