//! `overlane rules`: the routing rules of a node, listed and replaced.

use clap::Subcommand;
use overlane::RuleMetrics;
use overlane::admin::{Answer, Request};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};
use crate::table::{Column, table};

/// Lists or replaces the routing rules of a node.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the rules in their order, and how often each was used
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Replaces all rules by these, in this order; without any there are none
    Set {
        /// A rule, such as data:message_type=order.*
        #[arg(value_name = "CHANNEL:KEY=VALUE,...")]
        rules: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) fn run(arguments: Arguments) -> Ending {
    let done = match arguments.command {
        Command::List { target } => list(&target),
        Command::Set { rules, target } => target.order(&Request::SetRules { rules }, "replaced"),
    };
    told("rules", done)
}

fn list(target: &Target) -> Result<Ending, Failure> {
    match target.ask(&Request::Rules {})? {
        Answer::Rules(rules) => target.print(&rules, || text(&rules)),
        other => Err(unexpected(&other)),
    }
}

fn text(rules: &[RuleMetrics]) -> String {
    let columns = [Column::Word("rule"), Column::Number("matched")];
    let row = |rule: &RuleMetrics| vec![rule.rule.clone(), rule.matched.to_string()];
    table(&columns, &rules.iter().map(row).collect::<Vec<_>>())
}
