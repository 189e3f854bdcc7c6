//! The command line of Overlane: one file or folder per subcommand, which this file only names.

mod doctor;
mod ending;
mod files;
mod proxy;
mod sim;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use ending::Ending;

/// Command line of Overlane, the cluster networking engine.
///
/// docs/exit-codes.md says what its exit codes mean.
#[derive(Debug, Parser)]
#[command(name = "overlane", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Doctor(Box<doctor::Arguments>),
    Proxy(Box<proxy::Arguments>),
    SendFile(Box<files::send::Arguments>),
    ReceiveFile(Box<files::receive::Arguments>),
    Sim(Box<sim::Arguments>),
}

fn main() -> ExitCode {
    let ending = match CommandLine::try_parse() {
        Ok(line) => match line.command {
            Command::Doctor(arguments) => doctor::run(*arguments),
            Command::Proxy(arguments) => proxy::run(&arguments),
            Command::SendFile(arguments) => files::send::run(*arguments),
            Command::ReceiveFile(arguments) => files::receive::run(*arguments),
            Command::Sim(arguments) => sim::run(&arguments),
        },
        Err(answer) => without_command(&answer),
    };
    ending.into()
}

/// What clap answers by itself: help and version on standard output, mistakes on standard error.
fn without_command(answer: &clap::Error) -> Ending {
    // An answer to a mistake repeats it: what would command the terminal is left out.
    let printed =
        if std::env::args_os().any(|word| word.to_string_lossy().contains(char::is_control)) {
            write!(io::stderr(), "{}", answer.render())
        } else {
            answer.print()
        };
    if answer.use_stderr() {
        return Ending::BadInput;
    }
    ending::ended(ending::unless_unread(printed), Ending::Done)
}
