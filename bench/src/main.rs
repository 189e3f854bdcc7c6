//! The bench harness of Overlane: the main job, and every figure beside its raw limit.
//!
//! `main` parses, hands over to one subcommand, and turns its outcome into an exit code. The same
//! binary is its own child processes: a hidden first argument says so (see child.rs).
//!
//! - cli.rs: what may be asked
//! - main_job/: three nodes, a file, heartbeats, gossip, checks, and report/ for its pictures
//! - throughput.rs, latency.rs, isolation.rs, fan.rs, raw_limit.rs: one measurement each
//! - raw/ and node/: the processes under test; pair.rs, sample.rs, latencies.rs: their figures

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::error::{BenchError, Outcome};

mod accounts;
mod allocations;
mod child;
mod cli;
mod clock;
mod error;
mod fan;
mod heartbeat;
mod isolation;
mod latencies;
mod latency;
mod main_job;
mod node;
mod pair;
mod payloads;
mod pin;
mod ping;
mod progress;
mod raw;
mod raw_limit;
mod record;
mod report;
mod sample;
mod shown;
mod table;
mod throughput;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [child::SUBCOMMAND, role, parent] => serve_as_child(role, parent),
        _ => run(Cli::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overlane-bench: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Outcome<()> {
    match cli.command {
        None => main_job::run(&cli.main_job),
        Some(Command::Throughput(flags)) => throughput::run(&flags),
        Some(Command::Latency(flags)) => latency::run(&flags),
        Some(Command::Isolation(flags)) => isolation::run(&flags),
        Some(Command::Fan(flags)) => fan::run(&flags),
        Some(Command::Raw(flags)) => raw_limit::run(&flags),
    }
}

/// Runs as a child of another run of this binary.
fn serve_as_child(role: &str, parent: &str) -> Outcome<()> {
    let started_by_hand =
        || BenchError::BadInput("the role of a child cannot be run by hand; see --help".to_owned());
    let parent = parent.parse().map_err(|_| started_by_hand())?;
    let parent = child::Parent::of_this_process(parent)?;
    // What the engine warns of is seen on the terminal; RUST_LOG asks for more.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match role {
        raw::protocol::ROLE => raw::process::serve(parent),
        node::protocol::ROLE => node::process::serve(parent),
        main_job::protocol::ROLE => main_job::process::serve(parent),
        _ => return Err(started_by_hand()),
    }
    Ok(())
}
