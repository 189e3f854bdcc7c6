//! `docs/tuning.md`: every parameter with its unit, default, the origin of that, and its cost.

use overlane::Config;
use overlane::config::{
    CHANNEL_PARAMETERS, DISCOVERIES_MAX, DISCOVERY_PARAMETERS, NODE_GROUPS, NODE_PARAMETERS,
    Parameter, Preset, Profile, RULE_PARAMETERS, RULES_MAX, StrategyChoice, flag, reloadable,
    retunable, strategies_of, variable,
};

use super::{assert_document, default_of, head, row};
use crate::support::{FileText, load, sources};

const INTRODUCTION: &str = "\
# Tuning

Every parameter of a node, its channels, its routing rules and its discoveries. This file follows from the definitions in
`engine/src/config/node.rs`, `node/`, `channel.rs`, `rule.rs` and `discovery.rs`; a test fails when it differs from them, and
`OVERLANE_BLESS=1 cargo test -p overlane --test config documents` writes it anew.

## Where values come from

Later ones win:

1. the defaults below, and those in which the profile differs from them
2. a TOML file: `--config FILE`, else the one that `OVERLANE_CONFIG` names, else `overlane.toml` in
   the working directory if it is there
3. the part `[profile.NAME]` of that file, for the profile that `--profile` or `OVERLANE_PROFILE`
   names, which is `dev`, `test` or `prod`, the default
4. environment variables `OVERLANE_*`
5. flags

Single values are replaced, and so are the rules, as a whole; channels, discoveries and peers are merged by name. A peer with the node's own name
is left out, so that all nodes of a cluster can share one list. A key, variable or flag that is not
in this file is refused, and so is a value outside its range, with the place (of a file also the
line), the value and what would be right. `overlane doctor` takes the same sources and says whether
a node would start with them; its exit code says what is wrong (`docs/exit-codes.md`).

An empty variable counts as unset. What Kubernetes sets for a Service named `overlane` or
`overlane-...` (`OVERLANE_SERVICE_HOST`, `OVERLANE_PORT` with a URL, and so on) is left alone. Both
are logged as a warning when the configuration is loaded.

A preset sets several parameters at once, but none that is given anywhere, by a profile too ([Presets](#presets)).

Sizes can be written as `65536`, `64KiB`, `1MiB` or `1GB`; times are plain numbers in the unit that
their name ends in. `auto` leaves a value to the engine or to the kernel.
";

const FILE_EXAMPLE: &str = r#"node_name = "a"
listen = "127.0.0.1:7400"
spin_us = 20
inbox_bytes = "2MiB"
overlay = "hyparview"

[peers]
b = "127.0.0.1:7401"
c = "127.0.0.1:7402"

[hyparview]
active_max = 6

[channel.coordination]
priority = "high"

[channel.data]
priority = "medium"
parallelism = 4
notsent_lowat_bytes = "256KiB"

[channel.gossip]
priority = "low"
reliability = "best_effort"

[discovery.nodes]
strategy = "dns"
query = "nodes.example"

[[rule]]
channel = "coordination"
message_type = "vote.*"

[[rule]]
channel = "data"

[profile.dev]
shards = 1

[profile.dev.channel.data]
parallelism = 1
"#;

const VARIABLES: &str = "\
The same as environment variables, with semicolons between channels, and between rules:

    OVERLANE_NODE_NAME=a
    OVERLANE_LISTEN=127.0.0.1:7400
    OVERLANE_SPIN_US=20
    OVERLANE_PEERS=b=127.0.0.1:7401,c=127.0.0.1:7402
    OVERLANE_CHANNEL=coordination:priority=high;data:parallelism=4,notsent_lowat_bytes=256KiB
    OVERLANE_RULE=coordination:message_type=vote.*;data
    OVERLANE_OVERLAY=hyparview
    OVERLANE_DISCOVERY=nodes:strategy=dns,query=nodes.example

And as flags, of every program that takes them:

    --node-name a --listen 127.0.0.1:7400 --spin-us 20
    --peer b=127.0.0.1:7401 --peer c=127.0.0.1:7402
    --channel coordination:priority=high
    --channel data:parallelism=4,notsent_lowat_bytes=256KiB
    --rule coordination:message_type=vote.* --rule data
    --overlay hyparview --discovery nodes:strategy=dns,query=nodes.example
";

const GROUPS: &str = "\
\n## Parameters of the cluster's protocols\n\n\
In a file at the top level by their names, or in a table of their group without its name: `hyparview_active_max = 6`\n\
is `active_max = 6` under `[hyparview]`. All nodes of a cluster should have the same. They say nothing to a node whose\n\
`overlay` is `none`.\n";

const RETUNING: &str = "\
\n## Changing a channel while it is used\n\n\
`Node::add_channel`, `retune_channel` and `remove_channel` change the channels of one node while it runs.\n\
Of the parameters of a channel, by when a change counts on lanes that are up:\n\n";

const RELOADING: &str = "\
\n## Reading the configuration again\n\n\
`overlane reload`, SIGHUP to `overlane node`, and `Node::reload` read file, environment and flags again and follow what they say\n\
otherwise than when they were read last; what was changed by hand meanwhile stays otherwise. Where the configuration is wrong,\n\
nothing is changed. Channels that are new are added, those that are gone removed, parameters of channels changed as the table\n\
above says, rules replaced as a whole. These parameters of a node can change while it runs; all others are reported as waiting for a restart:\n\n";

fn document() -> String {
    let example: String = FILE_EXAMPLE
        .lines()
        .map(|line| {
            if line.is_empty() {
                "\n".to_string()
            } else {
                format!("    {line}\n")
            }
        })
        .collect();
    [
        INTRODUCTION.to_string(),
        format!("\n## Examples\n\nA file:\n\n{example}\n{VARIABLES}"),
        profiles(),
        presets(),
        format!(
            "\n## Parameters of a node\n\nIn a file at the top level. A variable has the name in \
             capitals after `OVERLANE_`.\n\n{}",
            table(ungrouped(), names_of_node)
        ),
        groups(),
        format!(
            "\n## Parameters of a channel\n\nIn a file under `[channel.NAME]`; in `--channel \
             NAME:KEY=VALUE,...` and `OVERLANE_CHANNEL` as keys.\n\n{}{RETUNING}{}",
            table(CHANNEL_PARAMETERS, |name| format!("`{name}`")),
            retuning()
        ) + RELOADING
            + &reloading(),
        format!(
            "\n## Parameters of a routing rule\n\nIn a file under `[[rule]]`, one for each, with \
             `channel = \"NAME\"`; in `--rule CHANNEL:KEY=VALUE,...` and `OVERLANE_RULE` as keys. The first \
             rule whose conditions all hold chooses the channel, at most {RULES_MAX} \
             ([decision 0032](decisions/0032-routing-rules-and-hints.md)).\n\n{}",
            table(RULE_PARAMETERS, |name| format!("`{name}`"))
        ),
        format!(
            "\n## Parameters of a discovery\n\nIn a file under `[discovery.NAME]`; in `--discovery \
             NAME:KEY=VALUE,...` and `OVERLANE_DISCOVERY` as keys. At most {DISCOVERIES_MAX}; \
             [discovery.md](discovery.md) has an example of each strategy.\n\n{}\nWhich parameters a \
             strategy has:\n\n{}",
            table(DISCOVERY_PARAMETERS, |name| format!("`{name}`")),
            of_strategies()
        ),
    ]
    .concat()
}

/// For each strategy its parameters.
fn of_strategies() -> String {
    let mut text = head(&["Strategy", "Parameters"]);
    for strategy in StrategyChoice::ALL {
        let names = DISCOVERY_PARAMETERS.iter().map(|known| known.name);
        let names =
            names.filter(|name| *name != "strategy" && strategies_of(name).contains(strategy));
        let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
        text += &row(&[&format!("`{}`", strategy.word()), &names.join(", ")]);
    }
    text
}

/// The parameters of a node that are in no group.
fn ungrouped() -> &'static [Parameter<Config>] {
    let grouped = NODE_GROUPS.iter().map(|group| group.parameters.len());
    &NODE_PARAMETERS[..NODE_PARAMETERS.len() - grouped.sum::<usize>()]
}

fn names_of_node(name: &str) -> String {
    format!("`{name}` <br> `{}` <br> `{}`", flag(name), variable(name))
}

fn groups() -> String {
    let groups = NODE_GROUPS.iter().map(|group| {
        format!(
            "\n### `[{}]`\n\n{}\n\n{}",
            group.name,
            group.doc.trim(),
            table(group.parameters, names_of_node)
        )
    });
    format!("{GROUPS}{}", groups.collect::<String>())
}

fn profiles() -> String {
    let mut text =
        "\n## Profiles\n\nThe defaults in which the profiles differ; `prod` has those of \
                    the tables below.\n\n"
            .to_string();
    text += &head(&["Parameter", "`dev`", "`test`", "`prod`"]);
    let value = |profile: Profile, parameter: &str| {
        let mut differences = profile.differences().iter();
        differences
            .find(|(name, _)| *name == parameter)
            .map(|(_, value)| format!("`{value}`"))
    };
    for parameter in NODE_PARAMETERS {
        let name = parameter.name;
        let values = Profile::ALL.map(|profile| value(profile, name));
        if values.iter().any(Option::is_some) {
            let cells = values.map(|value| value.unwrap_or_else(|| default_of(parameter)));
            text += &row(&[&format!("`{name}`"), &cells[0], &cells[1], &cells[2]]);
        }
    }
    text
}

/// What each parameter becomes with a preset.
fn presets() -> String {
    let mut text = "\n## Presets\n\nWith `preset = \"small\"` a node takes one thread and little memory, for many nodes on a machine \
                    or for a small one. It sets these parameters, where neither file, environment, flag nor profile does; in code, \
                    where they are at their default. A channel that is added later has its defaults.\n\n"
        .to_string();
    text += &head(&["Parameter", "Default", "`small`"]);
    let small = Preset::Small;
    for (name, value) in small.values() {
        let parameter = NODE_PARAMETERS.iter().find(|known| known.name == *name);
        let default = default_of(parameter.expect("it is one"));
        text += &row(&[&format!("`{name}`"), &default, &format!("`{value}`")]);
    }
    for (name, value) in small.channel_values() {
        let parameter = CHANNEL_PARAMETERS.iter().find(|known| known.name == *name);
        let default = default_of(parameter.expect("it is one"));
        text += &row(&[
            &format!("`{name}` of each channel"),
            &default,
            &format!("`{value}`"),
        ]);
    }
    text
}

/// Which parameters of a channel can be changed while it is used.
fn retuning() -> String {
    let mut text = head(&["Parameter", "A change counts"]);
    for parameter in CHANNEL_PARAMETERS {
        let takes = retunable(parameter.name).map_or(
            "never: remove the channel and add it again",
            overlane::config::Takes::text,
        );
        text += &row(&[&format!("`{}`", parameter.name), takes]);
    }
    text
}

/// Which parameters of a node can be changed while it runs.
fn reloading() -> String {
    let can = NODE_PARAMETERS
        .iter()
        .filter(|known| reloadable(known.name));
    let names: Vec<_> = can.map(|known| format!("`{}`", known.name)).collect();
    names.join(", ") + "\n"
}

fn table<S: Default>(parameters: &[Parameter<S>], names: impl Fn(&str) -> String) -> String {
    let mut text = head(&[
        "Parameter",
        "What it does",
        "Values",
        "Default",
        "Its origin",
        "Cost",
    ]);
    for parameter in parameters {
        text += &row(&[
            &names(parameter.name),
            parameter.doc.trim(),
            &parameter.expected(),
            &default_of(parameter),
            parameter.origin,
            parameter.cost,
        ]);
    }
    text
}

#[test]
fn tuning_has_every_parameter() {
    assert_document("tuning.md", &document());
}

#[test]
fn the_examples_of_tuning_load_and_agree() {
    let file = FileText::new(FILE_EXAMPLE);
    let config = load(&sources(Some(&file), &[], &["--profile", "dev"]));
    let lanes: Vec<_> = config
        .channels
        .iter()
        .map(|channel| channel.parallelism)
        .collect();
    assert_eq!(
        (lanes, config.shards, config.spin_us),
        (vec![1, 1, 1], 1, 20)
    );

    let indented = |prefix: &str| -> Vec<String> {
        let lines = VARIABLES
            .lines()
            .filter_map(|line| line.strip_prefix("    "));
        lines
            .filter(|line| line.starts_with(prefix))
            .map(str::to_string)
            .collect()
    };
    let variables: Vec<(String, String)> = indented("OVERLANE_")
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let flags = indented("--").join(" ");
    let flags: Vec<&str> = flags.split(' ').collect();
    let by_variables = load(&sources(None, &variables, &[]));
    assert_eq!(by_variables, load(&sources(None, &[], &flags)));
    assert_eq!(
        (
            by_variables.channels.len(),
            by_variables.peers.len(),
            by_variables.rules.len()
        ),
        (2, 2, 2)
    );
}
