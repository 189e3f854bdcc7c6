//! The command line of Overlane: one file or folder per subcommand, which this file only names.

mod admin;
mod cert;
mod completions;
mod demo;
mod doctor;
mod ending;
mod files;
mod import_libcluster;
mod interrupt;
mod json;
mod node;
mod proxy;
mod recording;
mod sim;
mod span;
mod supervisor;
mod table;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
    Node(Box<node::Arguments>),
    Demo(demo::Arguments),
    Status(admin::status::Arguments),
    Members(admin::members::Arguments),
    Topology(admin::topology::Arguments),
    Leave(admin::cluster::Leave),
    Evict(admin::cluster::Evict),
    Broadcast(admin::cluster::Broadcast),
    Publish(admin::cluster::Publish),
    Subscribe(admin::cluster::Subscribe),
    Unsubscribe(admin::cluster::Unsubscribe),
    Peers(admin::peer_list::Arguments),
    Events(admin::events::Arguments),
    Channel(admin::channel::Arguments),
    Rules(admin::rules::Arguments),
    Fault(admin::fault::Arguments),
    Recording(recording::Arguments),
    Metrics(admin::metrics::Arguments),
    Top(top::Arguments),
    Reload(admin::reload::Arguments),
    Ping(admin::ping::Arguments),
    Send(admin::send::Arguments),
    Connect(admin::peers::Connect),
    Disconnect(admin::peers::Disconnect),
    Forget(admin::peers::Forget),
    Cert(cert::Arguments),
    Doctor(Box<doctor::Arguments>),
    Proxy(Box<proxy::Arguments>),
    SendFile(Box<files::send::Arguments>),
    ReceiveFile(Box<files::receive::Arguments>),
    ImportLibcluster(import_libcluster::Arguments),
    Sim(Box<sim::Arguments>),
    Completions(completions::Completions),
    Man(completions::Man),
}

impl Command {
    fn run(self) -> Ending {
        match self {
            Self::Node(arguments) => node::run(*arguments),
            Self::Demo(arguments) => demo::run(&arguments),
            Self::Status(arguments) => admin::status::run(&arguments),
            Self::Members(arguments) => admin::members::run(&arguments),
            Self::Topology(arguments) => admin::topology::run(arguments),
            Self::Leave(arguments) => admin::cluster::leave(&arguments),
            Self::Evict(arguments) => admin::cluster::evict(arguments),
            Self::Broadcast(arguments) => admin::cluster::broadcast(arguments),
            Self::Publish(arguments) => admin::cluster::publish(arguments),
            Self::Subscribe(arguments) => admin::cluster::subscribe(arguments),
            Self::Unsubscribe(arguments) => admin::cluster::unsubscribe(arguments),
            Self::Peers(arguments) => admin::peer_list::run(&arguments),
            Self::Events(arguments) => admin::events::run(&arguments),
            Self::Channel(arguments) => admin::channel::run(&arguments),
            Self::Rules(arguments) => admin::rules::run(arguments),
            Self::Fault(arguments) => admin::fault::run(arguments),
            Self::Recording(arguments) => recording::run(&arguments),
            Self::Metrics(arguments) => admin::metrics::run(&arguments),
            Self::Top(arguments) => top::run(&arguments),
            Self::Reload(arguments) => admin::reload::run(&arguments),
            Self::Ping(arguments) => admin::ping::run(&arguments),
            Self::Send(arguments) => admin::send::run(arguments),
            Self::Connect(arguments) => admin::peers::connect(arguments),
            Self::Disconnect(arguments) => admin::peers::disconnect(arguments),
            Self::Forget(arguments) => admin::peers::forget(arguments),
            Self::Cert(arguments) => cert::run(&arguments),
            Self::Doctor(arguments) => doctor::run(*arguments),
            Self::Proxy(arguments) => proxy::run(&arguments),
            Self::SendFile(arguments) => files::send::run(*arguments),
            Self::ReceiveFile(arguments) => files::receive::run(*arguments),
            Self::ImportLibcluster(arguments) => import_libcluster::run(&arguments),
            Self::Sim(arguments) => sim::run(&arguments),
            Self::Completions(arguments) => {
                completions::completions(&arguments, CommandLine::command())
            }
            Self::Man(arguments) => completions::man(&arguments, CommandLine::command()),
        }
    }
}

fn main() -> ExitCode {
    let ending = match CommandLine::try_parse() {
        Ok(line) => line.command.run(),
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
