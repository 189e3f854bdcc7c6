//! `overlane doctor`: the checks that every start makes, alone. Changes nothing.

use std::io::{self, Write};
use std::process::ExitCode;

use overlane::config::{Config, Flags, Sources};
use overlane::preflight::{self, Check, Outcome};
use serde_json::json;

/// Says whether a node with this configuration can start here, and what to mend if not.
///
/// Exits with 0 if every check passes, with or without warnings, and with 2 if one fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object per check, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the checks and prints what came of them.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let checks = checks(&Sources::of_process(arguments.flags));
    let text = if arguments.json {
        lines(&checks)
    } else {
        table(&checks)
    };
    let failed = checks
        .iter()
        .any(|check| matches!(check.outcome, Outcome::Fail(_)));
    // A reader that went away, as `head` does, has seen what it wanted.
    let printed = io::stdout().write_all(text.as_bytes());
    if failed || printed.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// The configuration is the first check; without one there is nothing to check the machine against.
fn checks(sources: &Sources) -> Vec<Check> {
    const NAME: &str = "configuration";
    match sources.load() {
        Ok(config) => {
            let mut checks = vec![Check {
                name: NAME,
                outcome: Outcome::Ok(summary(sources, &config)),
            }];
            checks.extend(preflight::checks(&config));
            checks
        }
        Err(error) => {
            let failure = preflight::Failure {
                what: error.to_string(),
                mend: "correct it there; docs/tuning.md lists all parameters".to_string(),
            };
            vec![Check {
                name: NAME,
                outcome: Outcome::Fail(failure),
            }]
        }
    }
}

fn summary(sources: &Sources, config: &Config) -> String {
    let file = sources
        .file()
        .map_or_else(|| "no file".into(), |file| file.display().to_string());
    format!(
        "name {} in cluster {}, channels: {}, peers: {}, lanes to each: {}, from {file}",
        config.node_name,
        config.cluster,
        config.channels.len(),
        config.peers.len(),
        config.lanes_per_peer()
    )
}

/// One line per check: outcome, name, and what was found or how to mend it.
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
                "mend": failure.mend,
            }),
        };
        format!("{object}\n")
    };
    checks.iter().map(object).collect()
}
