//! `overlane-bench rules`: what routing rules cost the thread that sends, for each message.
//!
//! One node sends to one that is not there, on a best-effort channel: each message is checked, refused a place and counted as
//! dropped, so what is measured is the decision, without rings, shards and sockets. The cases take turns, round by round, on one
//! thread.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use overlane::config::{ChannelConfig, Config, RULES_MAX, Reliability, Rule};
use overlane::{Channel, Destination, Envelope, Node, SendError};
use serde::Serialize;

use crate::error::{BenchError, Outcome};
use crate::flags;
use crate::pair::Spread;
use crate::progress::Progress;
use crate::shown::show;
use crate::table;

/// Flags of `rules`.
#[derive(Debug, Args)]
pub(crate) struct RulesFlags {
    /// One JSON object on one line instead of a table
    #[arg(long)]
    json: bool,
    /// How many rules there are where there are some
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    rules: usize,
    /// Windows of each case
    #[arg(long, default_value_t = 21, value_name = "COUNT")]
    rounds: u32,
    /// Messages in each window
    #[arg(long, default_value_t = 200_000, value_name = "COUNT")]
    messages: u32,
}

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    plain_ns: f64,
    others_ruled_ns: f64,
    none_matches_ns: f64,
    last_matches_ns: f64,
    routed_ns: f64,
    envelope_ns: f64,
    envelope_last_matches_ns: f64,
}

/// What is sent, and by whom the channel is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sends {
    /// Payloads on a named channel.
    Named,
    /// Payloads without one.
    Routed,
    /// Payloads with a type and metadata, on a named channel.
    Envelope,
}

/// One row of the result.
struct Case {
    what: &'static str,
    sends: Sends,
    rules: Vec<Rule>,
    /// Every message is decided by a rule.
    matches: bool,
    windows: Vec<f64>,
}

const CHANNEL: &str = "data";
const OTHER: &str = "other";
/// The node that is not there.
const NOBODY: &str = "nobody";
const PAYLOAD: [u8; 64] = [7; 64];

/// Runs it and prints its result.
pub(crate) fn run(flags: &RulesFlags) -> Outcome<()> {
    flags::within("--rules", flags.rules, 1, RULES_MAX)?;
    flags::within("--rounds", flags.rounds as usize, 1, 10_000)?;
    flags::within("--messages", flags.messages as usize, 1000, 100_000_000)?;
    let node = start()?;
    let sender = Sender::new(&node)?;
    let mut cases = cases(flags.rules);
    let progress = Progress::of_steps("rules", u64::from(flags.rounds) * cases.len() as u64);
    for _ in 0..flags.rounds {
        for case in &mut cases {
            sender.window(case, flags.messages)?;
            progress.step();
        }
    }
    drop(progress);
    let windows = u64::from(flags.rounds) * cases.len() as u64;
    sender.check(windows * u64::from(flags.messages))?;
    print(&cases, flags)
}

fn start() -> Outcome<Node> {
    let channel = |name| ChannelConfig::new(name).reliability(Reliability::BestEffort);
    let config = Config::builder()
        .name("sender")
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .shards(1)
        // It is dialled once, and not while windows are timed.
        .reconnect_base_ms(600_000)
        .reconnect_max_ms(600_000)
        .channel(channel(CHANNEL))
        .channel(channel(OTHER))
        .build()
        .map_err(engine)?;
    let node = Node::start(config).map_err(engine)?;
    // Wanted, so that it has a place in the counters.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    node.connect(NOBODY, nowhere).map_err(engine)?;
    Ok(node)
}

fn engine(error: impl std::fmt::Display) -> BenchError {
    BenchError::Engine(error.to_string())
}

/// The cases, in the order of the figures.
fn cases(rules: usize) -> Vec<Case> {
    let never = |named: &'static str| Rule::new(OTHER).named(named).payload_bytes_min(1000_usize);
    let last = |last: Rule| {
        let mut all = vec![never(CHANNEL); rules - 1];
        all.push(last);
        all
    };
    let case = |what, sends, rules, matches| Case {
        what,
        sends,
        rules,
        matches,
        windows: Vec::new(),
    };
    let typed = Rule::new(OTHER)
        .named(CHANNEL)
        .message_type("order.*")
        .metadata([("tenant", "7")]);
    let routed = {
        let mut all = vec![Rule::new(OTHER).payload_bytes_min(1000_usize); rules - 1];
        all.push(Rule::new(CHANNEL));
        all
    };
    let to_other = || Rule::new(OTHER).named(CHANNEL);
    vec![
        case("a named channel, no rules", Sends::Named, Vec::new(), false),
        case(
            "rules for other channels",
            Sends::Named,
            vec![never(OTHER); rules],
            false,
        ),
        case(
            "none of the rules matches",
            Sends::Named,
            vec![never(CHANNEL); rules],
            false,
        ),
        case(
            "the last matches, and overrides",
            Sends::Named,
            last(to_other()),
            true,
        ),
        case(
            "no channel named, the last matches",
            Sends::Routed,
            routed,
            true,
        ),
        case(
            "type and metadata, no rules",
            Sends::Envelope,
            Vec::new(),
            false,
        ),
        case(
            "the last matches them, and overrides",
            Sends::Envelope,
            last(typed),
            true,
        ),
    ]
}

/// Who sends, and what it needs for it.
struct Sender<'n> {
    node: &'n Node,
    channel: Channel,
    to: Destination,
}

impl<'n> Sender<'n> {
    fn new(node: &'n Node) -> Outcome<Self> {
        Ok(Self {
            node,
            channel: node.channel(CHANNEL).map_err(engine)?,
            to: node.destination(NOBODY, "in").map_err(engine)?,
        })
    }

    /// Sends a window's messages, and notes how long each took.
    fn window(&self, case: &mut Case, messages: u32) -> Outcome<()> {
        self.node.set_rules(&case.rules).map_err(engine)?;
        let time = match case.sends {
            Sends::Named => self.time(messages, |to| self.channel.try_send(to, &PAYLOAD)),
            Sends::Routed => self.time(messages, |to| self.node.try_send(to, &PAYLOAD)),
            Sends::Envelope => self.time(messages, |to| {
                let message = Envelope::new(&PAYLOAD).message_type("order.created");
                self.channel.try_send(to, message.metadata("tenant", "7"))
            }),
        };
        let time = time.map_err(engine)?;
        case.windows
            .push(time.as_secs_f64() * 1e9 / f64::from(messages));
        let matched: u64 = self
            .node
            .metrics()
            .rules
            .iter()
            .map(|rule| rule.matched)
            .sum();
        let expected = if case.matches { u64::from(messages) } else { 0 };
        if matched != expected {
            let what = case.what;
            return Err(BenchError::CheckFailed(format!(
                "{what}: rules decided for {matched} messages of {expected}"
            )));
        }
        Ok(())
    }

    fn time(
        &self,
        messages: u32,
        send: impl Fn(&Destination) -> Result<(), SendError>,
    ) -> Result<Duration, SendError> {
        let began = Instant::now();
        for _ in 0..messages {
            send(black_box(&self.to))?;
        }
        Ok(began.elapsed())
    }

    /// Every message was accepted, and dropped because nobody is there.
    fn check(&self, sent: u64) -> Outcome<()> {
        let metrics = self.node.metrics();
        let counted: u64 = metrics
            .lanes
            .iter()
            .chain(&metrics.departed)
            .map(|lane| lane.dropped)
            .sum();
        if counted != sent {
            return Err(BenchError::CheckFailed(format!(
                "{counted} messages were dropped of {sent}"
            )));
        }
        Ok(())
    }
}

fn print(cases: &[Case], flags: &RulesFlags) -> Outcome<()> {
    let spreads: Option<Vec<Spread>> = cases
        .iter()
        .map(|case| Spread::of(case.windows.iter().copied()))
        .collect();
    let spreads = spreads.ok_or_else(|| BenchError::CheckFailed("no window".into()))?;
    let median = |case: usize| (spreads[case].median * 10.0).round() / 10.0;
    if flags.json {
        let figures = Figures {
            plain_ns: median(0),
            others_ruled_ns: median(1),
            none_matches_ns: median(2),
            last_matches_ns: median(3),
            routed_ns: median(4),
            envelope_ns: median(5),
            envelope_last_matches_ns: median(6),
        };
        let line = serde_json::to_string(&figures).expect("figures are numbers");
        show!("{line}");
        return Ok(());
    }
    let rows: Vec<_> = cases
        .iter()
        .zip(&spreads)
        .map(|(case, spread)| vec![case.what.to_owned(), table::spread(*spread)])
        .collect();
    show!(
        "{} rules, nanoseconds for each message, median of windows",
        flags.rules
    );
    show!("{}", table::of(&["sent by", "ns"], &rows));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_promised_ones() {
        let figures = Figures {
            plain_ns: 1.0,
            others_ruled_ns: 2.0,
            none_matches_ns: 3.0,
            last_matches_ns: 4.0,
            routed_ns: 5.0,
            envelope_ns: 6.0,
            envelope_last_matches_ns: 7.0,
        };
        assert_eq!(
            serde_json::to_string(&figures).unwrap(),
            r#"{"plain_ns":1.0,"others_ruled_ns":2.0,"none_matches_ns":3.0,"last_matches_ns":4.0,"routed_ns":5.0,"envelope_ns":6.0,"envelope_last_matches_ns":7.0}"#
        );
    }

    #[test]
    fn there_is_a_case_for_each_figure_with_as_many_rules_as_were_asked_for() {
        let rules: Vec<_> = cases(5).iter().map(|case| case.rules.len()).collect();
        assert_eq!(rules, [0, 5, 5, 5, 5, 0, 5]);
    }
}
