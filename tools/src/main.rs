//! The command line of Overlane: one file or folder per subcommand, which this file only names.

mod doctor;
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
    Doctor(Box<doctor::Arguments>),
    Sim(Box<sim::Arguments>),
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Doctor(arguments) => doctor::run(*arguments),
        Command::Sim(arguments) => sim::run(&arguments),
    }
}
