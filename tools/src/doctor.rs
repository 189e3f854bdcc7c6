//! `overlane doctor`: the checks that every start makes, alone. Changes nothing.

use overlane::config::{Config, Flags, Printable, Sources};
use overlane::preflight::{self, Check, Outcome};
use overlane::protection_checks;
use serde_json::json;

use crate::ending::{Ending, ended, print};

/// Says whether a node with this configuration can start here, and what to fix if not.
///
/// Exits with 0 if every check passes, with or without warnings, with 2 if the configuration is
/// wrong, and with 3 if the machine lacks something.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object per check, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the checks and prints what came of them.
pub(crate) fn run(arguments: Arguments) -> Ending {
    let checks = checks(&Sources::of_process(arguments.flags));
    let text = if arguments.json {
        lines(&checks)
    } else {
        table(&checks)
    };
    let failed = checks
        .iter()
        .find(|check| matches!(check.outcome, Outcome::Fail(_)));
    let found = match failed {
        None => Ending::Done,
        Some(check) if check.name == CONFIGURATION => Ending::BadInput,
        Some(_) => Ending::MachineLacks,
    };
    ended(print(&text), found)
}

/// The check that comes before those of the machine.
const CONFIGURATION: &str = "configuration";

/// The configuration is the first check; without one there is nothing to check the machine against.
fn checks(sources: &Sources) -> Vec<Check> {
    match sources.load() {
        Ok(config) => {
            let mut checks = vec![
                Check {
                    name: CONFIGURATION,
                    outcome: Outcome::Ok(summary(sources, &config)),
                },
                environment(sources),
            ];
            checks.extend(preflight::checks(&config));
            checks.extend(protection_checks(&config));
            checks
        }
        Err(error) => {
            let failure = preflight::Failure {
                what: error.to_string(),
                remedy: "correct it there; docs/tuning.md lists all parameters".to_string(),
            };
            vec![Check {
                name: CONFIGURATION,
                outcome: Outcome::Fail(failure),
            }]
        }
    }
}

/// Variables that were left alone are worth a look; the configuration has those that were not.
fn environment(sources: &Sources) -> Check {
    let hints = sources.hints();
    let outcome = if hints.is_empty() {
        Outcome::Ok("no variable OVERLANE_* is left alone".to_string())
    } else {
        Outcome::Warn(hints.join("; "))
    };
    Check {
        name: "environment",
        outcome,
    }
}

fn summary(sources: &Sources, config: &Config) -> String {
    let file = sources
        .file()
        .map(|file| Printable(&file.to_string_lossy()).to_string())
        .unwrap_or_else(|| "no file".to_string());
    format!(
        "name {} in cluster {}, channels: {}, peers: {}, lanes to each: {}, from {file}",
        config.node_name,
        config.cluster,
        config.channels.len(),
        config.peers.len(),
        config.lanes_per_peer()
    )
}

/// One line per check: outcome, name, and what was found or how to fix it.
fn table(checks: &[Check]) -> String {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let line = |check: &Check| {
        let (word, text) = match &check.outcome {
            Outcome::Ok(detail) => ("ok  ", detail.clone()),
            Outcome::Warn(detail) => ("warn", detail.clone()),
            Outcome::Fail(failure) => ("FAIL", failure.to_string()),
        };
        format!("{word}  {:width$}  {text}\n", check.name)
    };
    checks.iter().map(line).collect()
}

/// One JSON object per check.
fn lines(checks: &[Check]) -> String {
    let object = |check: &Check| {
        let name = check.name;
        let object = match &check.outcome {
            Outcome::Ok(detail) => json!({"check": name, "outcome": "ok", "detail": detail}),
            Outcome::Warn(detail) => json!({"check": name, "outcome": "warn", "detail": detail}),
            Outcome::Fail(failure) => json!({
                "check": name,
                "outcome": "fail",
                "detail": failure.what,
                "remedy": failure.remedy,
            }),
        };
        format!("{object}\n")
    };
    checks.iter().map(object).collect()
}
