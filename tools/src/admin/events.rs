//! `overlane events`: what happens around a node.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use overlane::admin::{Client, EventReport};
use overlane::config::Printable;
use serde_json::Value;

use super::Target;
use crate::ending::{Ending, Failure, complain, print, told};
use crate::json;

/// Prints what happens around a node from now on: the next event, so many of them, or all.
///
/// Exits with 0 once they have come, with 1 if they do not come in the time allowed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Go on until Ctrl-C, or until the node stops
    #[arg(long, conflicts_with = "count")]
    follow: bool,
    /// How many events to wait for
    #[arg(long, value_name = "EVENTS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Only events of that kind, such as peer_up
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
    timeout_s: Option<u64>,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("events", events(arguments))
}

fn events(arguments: &Arguments) -> Result<Ending, Failure> {
    let mut following = Client::connect(&arguments.target.path()?)?.follow()?;
    // On standard error, for whoever has to know that nothing is missed from here on.
    complain(format_args!("overlane events: what happens from now on"));
    let (to, came) = channel();
    std::thread::spawn(move || {
        // Until the node has stopped, or nobody waits any more.
        while to.send(following.next_event()).is_ok() {}
    });
    let deadline = arguments
        .timeout_s
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut left = arguments.count;
    loop {
        let event = match deadline {
            Some(deadline) => came.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => came.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let event = match event {
            Ok(event) => event?,
            Err(_) if arguments.follow => return Ok(Ending::Done),
            Err(_) => {
                return Err(Failure::new(
                    Ending::CheckFailed,
                    "it did not happen in the time allowed",
                ));
            }
        };
        let Some(event) = event else {
            return stopped(arguments.follow);
        };
        if arguments
            .kind
            .as_ref()
            .is_some_and(|kind| *kind != event.event)
        {
            continue;
        }
        print(&if arguments.target.json {
            json::line(&event)
        } else {
            line_of(&event)
        })?;
        left -= 1;
        if left == 0 && !arguments.follow {
            return Ok(Ending::Done);
        }
        left = left.max(1);
    }
}

fn stopped(follow: bool) -> Result<Ending, Failure> {
    if follow {
        return Ok(Ending::Done);
    }
    Err(Failure::new(
        Ending::CheckFailed,
        "the node has stopped before it happened",
    ))
}

/// Time of day in UTC, the kind, and what the event says by name.
pub(crate) fn line_of(event: &EventReport) -> String {
    let (seconds, ms) = (event.time_ms / 1000 % 86_400, event.time_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut line = format!(
        "{hour:02}:{minute:02}:{second:02}.{ms:03}  {:<15}",
        Printable(&event.event).to_string()
    );
    for (name, value) in &event.fields {
        line += &format!("  {}={}", Printable(name), Printable(&plain(value)));
    }
    line.trim_end().to_owned() + "\n"
}

/// A value without quotes: a list as its entries with commas.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(entries) => entries.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_whatever_it_says() {
        let line = r#"{"time_ms":3723004,"event":"dial_failed","peer":"b","lane":0,"detail":"no\u001b[2J way\n","parameters":["x","y"],"address":null}"#;
        let event: EventReport = serde_json::from_str(line).expect("an event");
        assert_eq!(
            line_of(&event),
            "01:02:03.004  dial_failed      peer=b  lane=0  detail=no\\u{1b}[2J way\\n  parameters=x,y  address=-\n"
        );
    }
}
