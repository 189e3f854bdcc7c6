//! `overlane reload`: a node reads its configuration again.

use overlane::admin::{Answer, Request};
use overlane::config::{Change, Printable};

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};

/// Has a node read its configuration again and follow what it changes: channels, routing rules, peers, rules for the topology.
///
/// Says what changed and what needs a restart; docs/tuning.md has it for each parameter. SIGHUP does the same. Exits with 2
/// if the configuration is wrong, and nothing is changed then.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long what was accepted on channels that are gone may take to be delivered
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=600))]
    wait_s: u64,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("reload", reload(arguments))
}

fn reload(arguments: &Arguments) -> Result<Ending, Failure> {
    let request = Request::Reload {
        wait_ms: arguments.wait_s * 1000,
    };
    match arguments.target.ask(&request)? {
        Answer::Reloaded {
            changed,
            needs_restart,
        } => {
            let object = serde_json::json!({"changed": changed, "needs_restart": needs_restart});
            arguments
                .target
                .print(&object, || text(&changed, &needs_restart))
        }
        other => Err(unexpected(&other)),
    }
}

/// What became of it, a line for each change.
pub(crate) fn text(changed: &[Change], needs_restart: &[Change]) -> String {
    if changed.is_empty() && needs_restart.is_empty() {
        return "nothing has changed\n".to_owned();
    }
    let line = |prefix: &str, change: &Change| {
        let part = |text: &str| match text {
            "" => "-".to_owned(),
            text => Printable(text).to_string(),
        };
        let Change { what, was, is } = change;
        format!(
            "{prefix} {}: {} -> {}\n",
            Printable(what),
            part(was),
            part(is)
        )
    };
    let changed = changed.iter().map(|change| line("changed      ", change));
    let left = needs_restart.iter();
    let left = left.map(|change| line("needs restart", change));
    changed.chain(left).collect()
}
