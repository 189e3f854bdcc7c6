//! `overlane-bench relay`: guaranteed messages of one client to another that it has no lane to, over the servers.
//!
//! Clients say of themselves that they are at an address where nobody listens, so that nobody can dial them, as behind a
//! firewall: they have lanes to servers alone. Messages go one at a time first, for the time that one takes, then as many
//! as there is room for.

use serde::Serialize;

use super::flags::RelayFlags;
use super::nodes::{Nodes, name, unexpected};
use super::protocol::{Command, Relayed, Reply};
use super::{form, of_rows, print, short};
use crate::error::{Outcome, unless_faulty};
use crate::progress::Progress;
use crate::sample::figure;

/// Messages that go one at a time.
const ONE_BY_ONE: u32 = 1_000;

/// The figures; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    nodes: usize,
    /// From the first message to the last receipt, with as many under way as there is room for.
    messages_per_s: f64,
    /// From the sender to the handler of the receiver, one at a time.
    p50_us: f64,
    p99_us: f64,
    /// Lanes from the sender to the receiver, the most.
    hops_max: u32,
    delivered: u64,
    duplicates: u64,
    reported: u64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &RelayFlags) -> Outcome<()> {
    flags.check()?;
    let cluster = flags.cluster();
    let progress = Progress::of_steps("relay", cluster.nodes as u64 + 2);
    let mut nodes = Nodes::new(&cluster)?;
    form(&mut nodes, &cluster, &progress)?;
    let (from, to) = (cluster.nodes - 2, cluster.nodes - 1);
    progress.say("one at a time");
    let slow = send(&mut nodes, from, to, 0..ONE_BY_ONE, flags.payload, true)?;
    let latencies = heard(&mut nodes, to)?;
    progress.say("as many as there is room for");
    let numbers = ONE_BY_ONE..ONE_BY_ONE + flags.messages;
    let fast = send(&mut nodes, from, to, numbers, flags.payload, false)?;
    let heard = heard(&mut nodes, to)?;
    drop(progress);
    let came = latencies.numbers.len() + heard.numbers.len();
    let mut numbers: Vec<u32> = [&latencies.numbers[..], &heard.numbers[..]].concat();
    numbers.sort_unstable();
    numbers.dedup();
    let seconds = figure(fast.took_ns) / 1e9;
    let mut times = crate::latencies::Latencies::default();
    times.add(&latencies.latencies);
    let figures = Figures {
        nodes: cluster.nodes,
        messages_per_s: figure(fast.acknowledged) / seconds.max(1e-9),
        p50_us: times.percentile_us(50.0),
        p99_us: times.percentile_us(99.0),
        hops_max: latencies.hops_max.max(heard.hops_max),
        delivered: numbers.len() as u64,
        duplicates: (came - numbers.len()) as u64,
        reported: slow.reported + fast.reported,
    };
    print(&figures, figures.table(), flags.run.json);
    judge(
        &figures,
        &[slow, fast],
        u64::from(ONE_BY_ONE + flags.messages),
    )
}

/// Sends messages of these numbers, and waits until each has ended.
fn send(
    nodes: &mut Nodes,
    from: usize,
    to: usize,
    numbers: std::ops::Range<u32>,
    bytes: usize,
    one_by_one: bool,
) -> Outcome<Relayed> {
    let command = Command::Relay {
        to: name(to),
        numbers,
        bytes,
        one_by_one,
    };
    match nodes.ask(from, &command)? {
        Reply::Relayed(relayed) => Ok(relayed),
        other => Err(unexpected(&other)),
    }
}

fn heard(nodes: &mut Nodes, at: usize) -> Outcome<super::protocol::Heard> {
    match nodes.ask(at, &Command::Heard)? {
        Reply::Heard(heard) => Ok(heard),
        other => Err(unexpected(&other)),
    }
}

fn judge(figures: &Figures, sent: &[Relayed], messages: u64) -> Outcome<()> {
    let relayed: u64 = sent
        .iter()
        .map(|sent| sent.acknowledged + sent.reported)
        .sum();
    let mut faults = Vec::new();
    if relayed != messages {
        faults.push(format!(
            "{relayed} of {messages} messages went over others, and ended: the rest found a lane, or are open"
        ));
    }
    if figures.delivered + figures.reported < messages || figures.duplicates > 0 {
        faults.push(format!(
            "{} of {messages} were delivered and {} reported, {} came twice",
            figures.delivered, figures.reported, figures.duplicates
        ));
    }
    unless_faulty(&faults)
}

impl Figures {
    fn table(&self) -> String {
        of_rows([
            ("nodes", format!("{} on client_server", self.nodes)),
            ("messages per second", short(self.messages_per_s)),
            (
                "from sender to receiver p50",
                format!("{} us", short(self.p50_us)),
            ),
            ("p99", format!("{} us", short(self.p99_us))),
            ("hops at most", self.hops_max.to_string()),
            ("delivered", self.delivered.to_string()),
            ("came twice", self.duplicates.to_string()),
            ("reported", self.reported.to_string()),
        ])
    }
}
