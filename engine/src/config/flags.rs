//! Command-line flags: adds them to any clap command and reads them into layers.

use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::error::{ConfigError, Place};
use super::layers::{Kind, Layers, PEERS};
use super::node::NODE_PARAMETERS;

/// The values of the engine's flags, as they were given; nothing is checked yet.
///
/// A program adds the flags to its own command with [`augment`], or flattens this struct into a
/// struct that derives [`clap::Parser`]:
///
/// ```
/// use clap::Parser;
/// use overlane::config::{Flags, Sources};
///
/// #[derive(Parser)]
/// struct Arguments {
///     #[arg(long)]
///     greeting: Option<String>,
///     #[command(flatten)]
///     engine: Flags,
/// }
///
/// let line = ["hello", "--spin-us", "20", "--channel", "data:priority=high"];
/// let arguments = Arguments::parse_from(line);
/// let config = Sources { flags: arguments.engine, ..Sources::default() }.load()?;
/// assert_eq!(config.spin_us, 20);
/// # Ok::<(), overlane::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--channel`, each time it was given.
    pub channels: Vec<String>,
    /// `--discovery`, each time it was given.
    pub discoveries: Vec<String>,
    /// `--rule`, each time it was given.
    pub rules: Vec<String>,
    /// `--peer`, each time it was given.
    pub peers: Vec<String>,
    /// Node parameters by name, with their text.
    pub node: Vec<(&'static str, String)>,
}

/// clap wants names that live as long as the program: the flag of each node parameter.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    NODE_PARAMETERS
        .iter()
        .map(|parameter| parameter.name.replace('_', "-"))
        .collect()
});

/// The parameters that have a flag of their own name, with it.
fn named() -> impl Iterator<Item = (&'static super::Parameter<super::Config>, &'static str)> {
    let pairs = NODE_PARAMETERS.iter().zip(NAMES.iter().map(String::as_str));
    pairs.filter(|(parameter, _)| parameter.name != PEERS)
}

/// The flag that gives a node's parameter, with its dashes.
#[must_use]
pub fn flag(parameter: &str) -> String {
    match parameter {
        PEERS => "--peer".to_string(),
        _ => format!("--{}", parameter.replace('_', "-")),
    }
}

/// Adds the flags of all parameters to a command; [`Flags::of`] reads them back.
#[must_use]
pub fn augment(command: Command) -> Command {
    let several = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
    let mut command = command
        .next_help_heading("Configuration")
        .arg(Arg::new("config").long("config").value_name("FILE").help(
            "Configuration file in TOML [default: overlane.toml if it is there] \
             [env: OVERLANE_CONFIG]",
        ))
        .arg(Arg::new("profile").long("profile").value_name("NAME").help(
            "Which defaults and which [profile.NAME] of the file: dev, test or prod \
             [default: prod] [env: OVERLANE_PROFILE]",
        ))
        .arg(several("channel").value_name("NAME:KEY=VALUE,...").help(
            "Adds a channel or changes its parameters; can be given several times \
             [env: OVERLANE_CHANNEL]",
        ))
        .arg(several("discovery").value_name("NAME:KEY=VALUE,...").help(
            "Adds a way to find other nodes or changes its parameters; can be given several times \
             [env: OVERLANE_DISCOVERY]",
        ))
        .arg(several("rule").value_name("CHANNEL:KEY=VALUE,...").help(
            "Adds a routing rule: which messages go on that channel; can be given several times, in order \
             [env: OVERLANE_RULE]",
        ))
        .arg(several("peer").value_name("NAME=ADDRESS").help(
            "Adds a node to keep lanes to; can be given several times [env: OVERLANE_PEERS]",
        ));
    for (parameter, name) in named() {
        let default = parameter.default_text();
        let default = if default.is_empty() {
            "none".to_string()
        } else {
            default
        };
        let help = format!(
            "{} [{}] [default: {default}] [env: {}]",
            parameter.doc.trim(),
            parameter.expected(),
            super::environment::variable(parameter.name)
        );
        command = command.arg(
            Arg::new(parameter.name)
                .long(name)
                .value_name("VALUE")
                // A flag that comes next is no value: who forgot one is told so.
                .allow_negative_numbers(true)
                .help(help)
                .hide_short_help(true),
        );
    }
    command.next_help_heading(None::<&'static str>)
}

impl Flags {
    /// What was given on the command line of a command that [`augment`] was applied to.
    #[must_use]
    pub fn of(matches: &ArgMatches) -> Self {
        let one = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
        let all = |name: &str| {
            let values = matches.try_get_many::<String>(name).ok().flatten();
            values.into_iter().flatten().cloned().collect()
        };
        Self {
            config: one("config"),
            profile: one("profile"),
            channels: all("channel"),
            discoveries: all("discovery"),
            rules: all("rule"),
            peers: all("peer"),
            node: named()
                .filter_map(|(parameter, _)| Some((parameter.name, one(parameter.name)?)))
                .collect(),
        }
    }

    /// Lays the flags over what is there.
    pub(super) fn apply(&self, layers: &mut Layers) -> Result<(), ConfigError> {
        for (name, value) in &self.node {
            layers.node(name, value, Place::Flag { flag: flag(name) })?;
        }
        for value in &self.peers {
            layers.node(PEERS, value, Place::Flag { flag: flag(PEERS) })?;
        }
        for (kind, texts) in [
            (Kind::Channel, &self.channels),
            (Kind::Discovery, &self.discoveries),
        ] {
            let place = Place::Flag {
                flag: format!("--{}", kind.table()),
            };
            for text in texts {
                layers.define(kind, text, &place)?;
            }
        }
        let place = Place::Flag {
            flag: "--rule".to_string(),
        };
        layers.rules(self.rules.iter().map(String::as_str), &place)?;
        Ok(())
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::of(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::of(matches);
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        augment(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        augment(command)
    }
}
