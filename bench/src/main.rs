//! The bench harness of Overlane: the main job, and every figure beside its raw limit.
//!
//! `main` parses, hands over to one subcommand, and turns its outcome into an exit code. The same
//! binary is its own child processes: a hidden first argument says so (see child.rs).
//!
//! - cli.rs: what may be asked; flags.rs: with which values
//! - main_job/: three nodes, a file, heartbeats, gossip, checks, and report/ for its pictures
//! - throughput.rs, latency.rs, isolation.rs, fan.rs, raw_limit.rs: one measurement each
//! - guarantee_cost.rs, setting_cost.rs: what `guaranteed` costs beside `reliable`, and any setting beside another, in turns.rs
//! - security/: what protection costs, and that it can be changed under load
//! - rules.rs: what routing rules cost for each message
//! - slow_consumer/: one consumer that stops among many peers
//! - stream/: one long stream beside a TCP connection
//! - link/: bulk and heartbeats on a slow link
//! - matrix/: large requests from many senders over a distant link
//! - cluster/: real nodes, each a process, that form a cluster; some are killed
//! - soak/: every message held against what became of it, while a proxy cuts and stalls
//! - remote/: the far processes of a run on another host
//! - raw/ and node/: the processes under test; pair.rs, sample.rs, latencies.rs: their figures

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::error::{BenchError, Outcome};
use crate::exit::Exit;

mod accounts;
mod allocations;
mod child;
mod cli;
mod clock;
mod cluster;
mod error;
mod exit;
mod fan;
mod flags;
mod guarantee_cost;
mod heartbeat;
mod interrupt;
mod isolation;
mod latencies;
mod latency;
mod link;
mod machine;
mod main_job;
mod matrix;
mod namespace;
mod node;
mod pair;
mod payloads;
mod pin;
mod ping;
mod progress;
mod raw;
mod raw_limit;
mod record;
mod remote;
mod report;
mod rules;
mod sample;
mod security;
mod setting_cost;
mod shown;
mod slow_consumer;
mod soak;
mod stream;
mod table;
mod throughput;
mod turns;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [child::SUBCOMMAND, role, parent] => serve_as_child(role, parent),
        _ => match Cli::try_parse() {
            Ok(cli) => interrupt::install().and_then(|()| run(cli)),
            Err(answer) => return answered_by_clap(&answer),
        },
    };
    node::protection::clean();
    let shown = shown::lost().map_or(Ok(()), |lost| Err(BenchError::StandardOutput(lost)));
    match outcome.and(shown) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shown::complain(format_args!("{error}"));
            ExitCode::from(error.exit().code())
        }
    }
}

/// A help text, the version, or what is wrong with the flags; clap itself ignores that it could not
/// show it.
fn answered_by_clap(answer: &clap::Error) -> ExitCode {
    let exit = if answer.use_stderr() {
        Some(Exit::Usage)
    } else {
        None
    };
    let printed = if answer.use_stderr() {
        // Names the argument as it was given.
        let text = shown::tame(&answer.render().to_string());
        write!(std::io::stderr().lock(), "{text}")
    } else {
        answer.print().and_then(|()| std::io::stdout().flush())
    };
    match printed {
        Err(error) if exit.is_none() && error.kind() != std::io::ErrorKind::BrokenPipe => {
            shown::complain(format_args!("{}", BenchError::StandardOutput(error)));
            ExitCode::from(Exit::Output.code())
        }
        _ => exit.map_or(ExitCode::SUCCESS, |exit| ExitCode::from(exit.code())),
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
        Some(Command::GuaranteeCost(flags)) => guarantee_cost::run(&flags),
        Some(Command::SettingCost(flags)) => setting_cost::run(&flags),
        Some(Command::SlowConsumer(flags)) => slow_consumer::run(&flags),
        Some(Command::Stream(flags)) => stream::run(&flags),
        Some(Command::Link(flags)) => link::run(&flags),
        Some(Command::Matrix(flags)) => matrix::run(&flags),
        Some(Command::Soak(flags)) => soak::run(&flags),
        Some(Command::Rules(flags)) => rules::run(&flags),
        Some(Command::Sessions(flags)) => security::run_sessions(&flags),
        Some(Command::Rotation(flags)) => security::run_rotation(&flags),
        Some(Command::Storm(flags)) => security::run_storm(&flags),
        Some(Command::Cluster(flags)) => cluster::run(&flags),
        Some(Command::Churn(flags)) => cluster::run_churn(&flags),
        Some(Command::Broadcast(flags)) => cluster::run_broadcast(&flags),
        Some(Command::Switch(flags)) => cluster::run_switch(&flags),
        Some(Command::Auto(flags)) => cluster::run_auto(&flags),
        Some(Command::Partition(flags)) => cluster::run_partition(&flags),
        Some(Command::Pause(flags)) => cluster::run_pause(&flags),
        Some(Command::Relay(flags)) => cluster::run_relay(&flags),
        Some(Command::Serve(flags)) => remote::server::run(&flags),
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
        matrix::protocol::ROLE => matrix::process::serve(parent),
        slow_consumer::protocol::ROLE => slow_consumer::serve(parent),
        stream::protocol::ROLE => stream::process::serve(parent),
        cluster::protocol::ROLE => cluster::process::serve(parent),
        soak::protocol::ROLE => soak::process::serve(parent),
        main_job::protocol::ROLE => main_job::process::serve(parent),
        _ => return Err(started_by_hand()),
    }
    Ok(())
}
