//! `overlane fault`: messages dropped or held back, and links cut, on purpose and for a while.

use std::time::Duration;

use clap::Subcommand;
use overlane::admin::{Answer, FaultReport, Request};
use overlane::{FAULT_DELAY_MAX, FAULT_DROPS_ALL, FAULT_LASTS_MAX};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::span::{Percent, parse_percent, parse_span};
use crate::table::{Column, table};

/// Makes one node drop messages, hold them back or cut links, on purpose and for a while.
///
/// Only a node that was started with `faults = true` does. What it drops ends as any message that is not sent: reported, or on a best-effort
/// channel counted as dropped. Both directions of a link take a fault at each of the two nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begins a fault, which ends by itself
    Add {
        /// Only on lanes to that peer
        #[arg(long, value_name = "NAME")]
        peer: Option<String>,
        /// Only on lanes of that channel
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// The share of messages that are dropped, such as 5%
        #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
        drop: Option<Percent>,
        /// How long each message is held back, such as 20ms
        #[arg(long, value_name = "TIME", value_parser = parse_span)]
        delay: Option<Duration>,
        /// Cut links: they end, and none can be made
        #[arg(long)]
        cut: bool,
        /// How long it lasts, such as 30s or 5m
        #[arg(long = "for", value_name = "TIME", value_parser = parse_span)]
        lasts: Duration,
        /// What decides which messages are dropped
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the faults that are open, and what they have done
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Ends a fault before its time
    Remove {
        /// Its number
        id: u64,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) fn run(arguments: Arguments) -> Ending {
    let done = match arguments.command {
        Command::Add {
            peer,
            channel,
            drop,
            delay,
            cut,
            lasts,
            seed,
            target,
        } => {
            let request = Request::AddFault {
                peer,
                channel,
                drop_ppm: drop.map_or(0, ppm),
                delay_us: micros(delay.unwrap_or_default(), FAULT_DELAY_MAX),
                cut,
                lasts_ms: micros(lasts, FAULT_LASTS_MAX) / 1000,
                seed,
            };
            add(&request, &target)
        }
        Command::List { target } => list(&target),
        Command::Remove { id, target } => target.order(&Request::RemoveFault { id }, "removed"),
    };
    told("fault", done)
}

/// A share as messages of a million; the smallest is one.
fn ppm(percent: Percent) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is from 0 to 1"
    )]
    let ppm = (percent.share * f64::from(FAULT_DROPS_ALL)).ceil() as u32;
    ppm
}

/// In microseconds; what is above the most is refused by the node, and stays above it.
fn micros(span: Duration, most: Duration) -> u64 {
    let bounded = span.min(most + Duration::from_secs(1));
    u64::try_from(bounded.as_micros()).unwrap_or(u64::MAX)
}

fn add(request: &Request, target: &Target) -> Result<Ending, Failure> {
    match target.ask(request)? {
        Answer::FaultAdded { id } => target.print(&serde_json::json!({"id": id}), || {
            format!("fault {id} is open; overlane fault remove {id} ends it\n")
        }),
        other => Err(unexpected(&other)),
    }
}

const COLUMNS: [Column; 7] = [
    Column::Number("id"),
    Column::Word("fault"),
    Column::Number("left s"),
    Column::Number("dropped"),
    Column::Number("held back"),
    Column::Number("cut"),
    Column::Number("dials failed"),
];

fn list(target: &Target) -> Result<Ending, Failure> {
    match target.ask(&Request::Faults {})? {
        Answer::Faults(open) => target.print(&open, || text(&open)),
        other => Err(unexpected(&other)),
    }
}

fn text(open: &[FaultReport]) -> String {
    if open.is_empty() {
        return "no fault is open\n".to_owned();
    }
    let row = |open: &FaultReport| {
        let done = &open.done;
        let counts = [done.dropped, done.delayed, done.cut, done.dials_failed];
        let mut row = vec![
            open.id.to_string(),
            open.fault.clone(),
            (open.left_ms / 1000).to_string(),
        ];
        row.extend(counts.map(|count| count.to_string()));
        row
    };
    table(&COLUMNS, &open.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_messages_of_a_million() {
        for (text, expected) in [
            ("5%", 50_000),
            ("0.0001", 1),
            ("0.00001%", 1),
            ("100", FAULT_DROPS_ALL),
            ("0", 0),
        ] {
            assert_eq!(
                ppm(parse_percent(text).expect("a share")),
                expected,
                "{text}"
            );
        }
    }
}
