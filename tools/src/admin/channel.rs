//! `overlane channel`: the channels of a node, listed, added, changed and removed.

use clap::Subcommand;
use overlane::admin::{Answer, ChannelStatus, Request};
use overlane::config::Printable;

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::table::{Column, table};

/// Lists, adds, changes and removes channels of one node; each node of a cluster has its own.
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
        target: Target,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    let done = match &arguments.command {
        Command::List { channel, target } => list(channel.as_deref(), target),
        Command::Add {
            channel,
            settings,
            target,
        } => {
            let channel = definition(channel, settings);
            target.order(&Request::AddChannel { channel }, "added")
        }
        Command::Set {
            channel,
            settings,
            target,
        } => {
            let channel = definition(channel, settings);
            target.order(&Request::SetChannel { channel }, "changed")
        }
        Command::Remove {
            channel,
            wait_s,
            target,
        } => remove(channel, *wait_s, target),
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
