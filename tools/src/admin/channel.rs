//! `overlane channel`: the channels of a node, or of all nodes of its cluster, listed, added, changed and removed.

use clap::Subcommand;
use overlane::admin::{Answer, ChannelChangeStatus, ChannelOrderReport, ChannelStatus, Request};
use overlane::config::Printable;

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::table::{Column, table};

/// Lists, adds, changes and removes channels of one node; with --cluster, of all nodes of its cluster.
///
/// A change of the whole cluster exits with 0 once all live members have made it, with 1 if one cannot, does not answer in
/// time, or if another node ordered something of the same channel at the same time.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the channels, or all parameters of one
    List {
        /// The channel whose parameters are listed
        channel: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Adds a channel
    Add {
        /// Its name
        channel: String,
        /// Parameters that are not the default, such as priority=high; docs/tuning.md has them all
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        everywhere: Everywhere,
        #[command(flatten)]
        target: Target,
    },
    /// Changes parameters of a channel, while it is used
    Set {
        /// Its name
        channel: String,
        /// The parameters and their new values
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
        #[command(flatten)]
        everywhere: Everywhere,
        #[command(flatten)]
        target: Target,
    },
    /// Removes a channel: what was accepted is delivered, or reported when the time is over
    Remove {
        /// Its name
        channel: String,
        /// How long what was accepted may take
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=600))]
        wait_s: u64,
        #[command(flatten)]
        everywhere: Everywhere,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the changes that were ordered for the whole cluster and are in force
    Changes {
        #[command(flatten)]
        target: Target,
    },
}

/// Whether a change is for all nodes.
#[derive(Debug, clap::Args)]
struct Everywhere {
    /// On all nodes of the cluster, and on those that join later
    #[arg(long)]
    cluster: bool,
    /// With --cluster: how long members may take to say that it is made
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "cluster", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout_s: u64,
}

impl Everywhere {
    const fn wait_ms(&self) -> u64 {
        self.timeout_s * 1000
    }
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let done = match &arguments.command {
        Command::List { channel, target } => list(channel.as_deref(), target),
        Command::Add {
            channel,
            settings,
            everywhere,
            target,
        } => {
            let channel = definition(channel, settings);
            if everywhere.cluster {
                let wait_ms = everywhere.wait_ms();
                order(&Request::AddClusterChannel { channel, wait_ms }, target)
            } else {
                target.order(&Request::AddChannel { channel }, "added")
            }
        }
        Command::Set {
            channel,
            settings,
            everywhere,
            target,
        } => {
            let channel = definition(channel, settings);
            if everywhere.cluster {
                let wait_ms = everywhere.wait_ms();
                order(&Request::SetClusterChannel { channel, wait_ms }, target)
            } else {
                target.order(&Request::SetChannel { channel }, "changed")
            }
        }
        Command::Remove {
            channel,
            wait_s,
            everywhere,
            target,
        } if everywhere.cluster => {
            let request = Request::RemoveClusterChannel {
                channel: channel.clone(),
                drain_ms: wait_s * 1000,
                wait_ms: everywhere.wait_ms(),
            };
            order(&request, target)
        }
        Command::Remove {
            channel,
            wait_s,
            target,
            ..
        } => remove(channel, *wait_s, target),
        Command::Changes { target } => changes(target),
    };
    told("channel", done)
}

fn definition(channel: &str, settings: &[String]) -> String {
    match settings {
        [] => channel.to_owned(),
        settings => format!("{channel}:{}", settings.join(",")),
    }
}

fn list(only: Option<&str>, target: &Target) -> Result<Ending, Failure> {
    let channels = match target.ask(&Request::Channels {})? {
        Answer::Channels(channels) => channels,
        other => return Err(unexpected(&other)),
    };
    let Some(name) = only else {
        return target.print(&channels, || text(&channels));
    };
    match channels.iter().find(|known| known.channel == name) {
        Some(channel) => target.print(channel, || parameters(channel)),
        None => {
            let names: Vec<_> = channels
                .iter()
                .map(|known| known.channel.as_str())
                .collect();
            let what = format!(
                "there is no channel named `{}`: those there are now are {}",
                Printable(name),
                names.join(", ")
            );
            Err(Failure::new(Ending::BadInput, what))
        }
    }
}

/// The parameters that have a column of their own.
const SHOWN: [&str; 5] = [
    "priority",
    "reliability",
    "ordering",
    "compression",
    "parallelism",
];

fn text(channels: &[ChannelStatus]) -> String {
    let columns: Vec<_> = [Column::Word("channel")]
        .into_iter()
        .chain(SHOWN.map(Column::Word))
        .chain([Column::Word("besides")])
        .collect();
    let row = |known: &ChannelStatus| {
        let value = |key: &str| known.parameters.get(key).map_or("-", String::as_str);
        let besides = known
            .set
            .iter()
            .filter(|key| !SHOWN.contains(&key.as_str()));
        let besides: Vec<_> = besides.map(|key| format!("{key}={}", value(key))).collect();
        let mut row = vec![known.channel.clone()];
        row.extend(SHOWN.map(|key| value(key).to_owned()));
        row.push(besides.join(","));
        row
    };
    table(&columns, &channels.iter().map(row).collect::<Vec<_>>())
}

fn parameters(channel: &ChannelStatus) -> String {
    let columns = [
        Column::Word("parameter"),
        Column::Word("value"),
        Column::Word(""),
    ];
    let row = |(key, value): (&String, &String)| {
        let set = if channel.set.contains(key) {
            "set"
        } else {
            "default"
        };
        vec![key.clone(), value.clone(), set.to_owned()]
    };
    table(
        &columns,
        &channel.parameters.iter().map(row).collect::<Vec<_>>(),
    )
}

fn remove(channel: &str, wait_s: u64, target: &Target) -> Result<Ending, Failure> {
    let request = Request::RemoveChannel {
        channel: channel.to_owned(),
        wait_ms: wait_s * 1000,
    };
    let answer = target.ask(&request)?;
    let Answer::Removed { reported, dropped } = answer else {
        return Err(unexpected(&answer));
    };
    let object = serde_json::json!({"done": true, "reported": reported, "dropped": dropped});
    target.print(&object, || {
        format!("removed; {reported} messages reported, {dropped} dropped\n")
    })
}

/// Orders a change for all nodes, and prints how each did.
fn order(request: &Request, target: &Target) -> Result<Ending, Failure> {
    let report = match target.ask(request)? {
        Answer::ChannelOrdered(report) => report,
        other => return Err(unexpected(&other)),
    };
    target.print(&report, || ordered(&report))?;
    if report.refused.is_empty() && report.silent.is_empty() {
        Ok(Ending::Done)
    } else {
        Ok(Ending::CheckFailed)
    }
}

fn ordered(report: &ChannelOrderReport) -> String {
    let mut text = format!(
        "change {}: made at {} of {} members\n",
        report.epoch,
        report.made.len(),
        report.made.len() + report.refused.len() + report.silent.len()
    );
    for (member, why) in &report.refused {
        text += &format!("{member} cannot: {}\n", Printable(why));
    }
    for member in &report.silent {
        text += &format!("{member} has not answered; it makes the change when it hears of it\n");
    }
    text
}

fn changes(target: &Target) -> Result<Ending, Failure> {
    let changes = match target.ask(&Request::ChannelChanges {})? {
        Answer::ChannelChanges(changes) => changes,
        other => return Err(unexpected(&other)),
    };
    target.print(&changes, || {
        let columns = ["channel", "epoch", "by", "made here", "change"].map(Column::Word);
        let row = |known: &ChannelChangeStatus| {
            let made = match (&known.why_not, known.made) {
                (Some(why), _) => format!("no: {}", Printable(why)),
                (None, true) => "yes".to_owned(),
                (None, false) => "not yet".to_owned(),
            };
            let (channel, epoch) = (known.channel.clone(), known.epoch.to_string());
            vec![channel, epoch, known.by.clone(), made, known.change.clone()]
        };
        table(&columns, &changes.iter().map(row).collect::<Vec<_>>())
    })
}
