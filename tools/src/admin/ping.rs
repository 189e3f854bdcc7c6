//! `overlane ping`: round trips from one node to another, through the engine.

use std::time::Duration;

use overlane::admin::{Answer, Client, ClientError, RefusalKind, Request};
use overlane::config::Printable;
use serde::Serialize;

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, complain, print, told};
use crate::json;

/// Measures round trips from a node to another one, through the engine: a request and its reply on a channel.
///
/// Both nodes need an admin socket. Exits with 0 if every request was answered, with 1 if not.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The node to ping
    #[arg(value_name = "NODE")]
    peer: String,
    /// How many round trips
    #[arg(long, short = 'n', value_name = "TIMES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    count: u64,
    /// Pause between two
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(..=60_000))]
    interval_ms: u64,
    /// Payload, there and back
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    bytes: usize,
    /// How long each may take
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
    /// The channel to take [default: the most urgent of the node]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// What came of all of them.
#[derive(Debug, Default, Serialize)]
struct Summary {
    peer: String,
    channel: String,
    bytes: usize,
    asked: u64,
    answered: usize,
    min_us: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    round_trips_us: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("ping", ping(arguments))
}

fn ping(arguments: &Arguments) -> Result<Ending, Failure> {
    let mut client = Client::connect(&arguments.target.path()?)?;
    let request = Request::Ping {
        peer: arguments.peer.clone(),
        channel: arguments.channel.clone(),
        bytes: arguments.bytes,
        timeout_ms: arguments.timeout_ms,
    };
    // The first makes the lane, where there is none yet: it is not counted.
    let mut channel = once(&mut client, &request)?.map_or_else(String::new, |(channel, _)| channel);
    let mut round_trips_us = Vec::new();
    for number in 1..=arguments.count {
        if number > 1 {
            std::thread::sleep(Duration::from_millis(arguments.interval_ms));
        }
        if let Some((taken, took_us)) = once(&mut client, &request)? {
            if !arguments.target.json {
                let peer = Printable(&arguments.peer);
                print(&format!("{number}  {peer}  {took_us:.1} us\n"))?;
            }
            channel = taken;
            round_trips_us.push(took_us);
        }
    }
    let summary = Summary {
        peer: arguments.peer.clone(),
        channel,
        bytes: arguments.bytes,
        ..summary(arguments.count, round_trips_us)
    };
    print(&if arguments.target.json {
        json::line(&summary)
    } else {
        text(&summary)
    })?;
    if summary.answered as u64 == summary.asked {
        Ok(Ending::Done)
    } else {
        Ok(Ending::CheckFailed)
    }
}

/// One round trip; `None` if it was not answered, which is said.
fn once(client: &mut Client, request: &Request) -> Result<Option<(String, f64)>, Failure> {
    match client.ask(request) {
        Ok(Answer::Ping {
            channel,
            round_trip_us,
        }) => Ok(Some((channel, round_trip_us))),
        Ok(other) => Err(unexpected(&other)),
        Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::Failed => {
            complain(format_args!("overlane ping: {}", refusal.text));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn summary(asked: u64, round_trips_us: Vec<f64>) -> Summary {
    let mut sorted = round_trips_us.clone();
    sorted.sort_by(f64::total_cmp);
    Summary {
        asked,
        answered: sorted.len(),
        min_us: sorted.first().copied().unwrap_or_default(),
        p50_us: at(&sorted, 50),
        p99_us: at(&sorted, 99),
        max_us: sorted.last().copied().unwrap_or_default(),
        round_trips_us,
        ..Summary::default()
    }
}

/// The smallest value that so many percent are not above.
fn at(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn text(summary: &Summary) -> String {
    let peer = Printable(&summary.peer);
    let Summary {
        asked,
        answered,
        bytes,
        ..
    } = summary;
    if *answered == 0 {
        return format!("{peer}: none of {asked} answered\n");
    }
    format!(
        "{peer} over {}, {bytes} bytes: {answered} of {asked} answered; min {:.1} us, p50 {:.1} us, p99 {:.1} us, max {:.1} us\n",
        Printable(&summary.channel),
        summary.min_us,
        summary.p50_us,
        summary.p99_us,
        summary.max_us
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_those_that_were_answered() {
        let round_trips_us = (1..=200_u32).rev().map(f64::from).collect();
        let all = summary(201, round_trips_us);
        let figures = [all.min_us, all.p50_us, all.p99_us, all.max_us];
        assert_eq!(figures, [1.0, 100.0, 198.0, 200.0]);
        assert_eq!((all.asked, all.answered), (201, 200));
        assert_eq!(text(&summary(3, Vec::new())), ": none of 3 answered\n");
        let one = summary(1, vec![7.0]);
        assert_eq!([one.min_us, one.p50_us, one.p99_us, one.max_us], [7.0; 4]);
    }
}
