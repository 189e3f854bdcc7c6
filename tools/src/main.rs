//! The command line of Overlane: one file or folder per subcommand, which this file only names.

mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Command line of Overlane, the cluster networking engine.
#[derive(Debug, Parser)]
#[command(name = "overlane", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sim(Box<sim::Arguments>),
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Sim(arguments) => sim::run(&arguments),
    }
}
