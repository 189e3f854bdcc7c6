//! `overlane node`: a node that runs until it is told to stop, and is administered by the other commands.

mod printing;

use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::Signal;
use overlane::config::{Admin, Config, Flags, Printable, Sources};
use overlane::{Node, StopReport};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::admin::places;
use crate::ending::{Ending, Failure, complain, print, told};
use crate::interrupt::interrupts;
use crate::json;

/// The channel of a node whose configuration has none.
const CHANNEL: &str = "messages";

/// Runs a node until Ctrl-C or SIGTERM.
///
/// It prints a line when it is up, what comes to its mailboxes, and how it stopped. A configuration without channels gets
/// one, named messages. Unless `admin` says otherwise it has an admin socket, named after it, in the folder overlane of
/// XDG_RUNTIME_DIR, or in /tmp/overlane-UID. RUST_LOG chooses what is logged on standard error [default: warn].
///
/// Exits with 0 if all that it had accepted was settled when it stopped, with 1 if not. A second signal ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A mailbox whose messages are printed, each on a line; can be given several times
    #[arg(long, value_name = "NAME", default_value = "inbox")]
    mailbox: Vec<String>,
    /// How long a stop may take to have settled what was accepted
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=3600))]
    stop_s: u64,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    /// End when that process ends, which has started this one
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<i32>,
    #[command(flatten)]
    flags: Flags,
}

/// Runs it.
pub(crate) fn run(arguments: Arguments) -> Ending {
    told("node", node(arguments))
}

fn node(arguments: Arguments) -> Result<Ending, Failure> {
    if let Some(parent) = arguments.parent {
        end_with(parent)?;
    }
    let (interrupt, ends) = channel();
    interrupts(interrupt, || ())?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(std::io::stderr).init();
    let config = configuration(arguments.flags)?;
    let admin = config
        .admin
        .path()
        .map(|path| path.to_string_lossy().into_owned());
    let cluster = config.cluster.clone();
    let channels: Vec<_> = config
        .channels
        .iter()
        .map(|channel| channel.name.clone())
        .collect();
    let builder = arguments.mailbox.iter();
    let builder = builder.fold(Node::builder(config), |builder, name| builder.inbox(name));
    let node = builder.start()?;
    let up = json!({
        "node": node.name(),
        "cluster": cluster,
        "address": node.local_addr(),
        "incarnation": node.incarnation(),
        "admin": admin,
        "channels": channels,
    });
    let text = format!(
        "node {} of cluster {cluster} is up at {}; admin socket: {}\n",
        node.name(),
        node.local_addr(),
        Printable(admin.as_deref().unwrap_or("none"))
    );
    say(arguments.json, &up, &text)?;
    printing::start(&node, &arguments.mailbox, arguments.json)?;
    // The other end is the thread that waits for signals.
    let _ = ends.recv();
    let report = node.stop(Duration::from_secs(arguments.stop_s));
    stopped(&report, arguments.json)
}

/// The configuration, with a channel and an admin socket where none are said.
fn configuration(flags: Flags) -> Result<Config, Failure> {
    let bad = |error| Failure::new(Ending::BadInput, format_args!("{error}"));
    let mut sources = Sources::of_process(flags);
    let mut config = sources.load().map_err(bad)?;
    if config.channels.is_empty() {
        sources.flags.channels.push(CHANNEL.to_owned());
        config = sources.load().map_err(bad)?;
    }
    if config.admin == Admin::Auto {
        config.admin = Admin::At(places::socket_for(&config.node_name)?);
    }
    Ok(config)
}

/// Ties the end of this process to that of the one that started it.
fn end_with(parent: i32) -> Result<(), Failure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).map_err(|errno| {
        let what = format!("the kernel does not tell the end of a process: {errno}");
        Failure::new(Ending::MachineLacks, what)
    })?;
    if nix::unistd::getppid().as_raw() == parent {
        return Ok(());
    }
    Err(Failure::new(
        Ending::BadInput,
        "the process that --parent names has not started this one, or has ended",
    ))
}

fn say(json: bool, object: &serde_json::Value, text: &str) -> Result<(), Failure> {
    if json {
        print(&json::line(object))?;
    } else {
        print(text)?;
    }
    Ok(())
}

fn stopped(report: &StopReport, json: bool) -> Result<Ending, Failure> {
    let metrics = &report.metrics;
    let all = || {
        metrics
            .lanes
            .iter()
            .chain(&metrics.departed)
            .chain(&metrics.removed)
    };
    let accepted: u64 = all().map(|lane| lane.accepted).sum();
    let acknowledged: u64 = all().map(|lane| lane.acknowledged).sum();
    let reported: u64 = all().map(|lane| lane.reported).sum();
    let delivered: u64 = all().map(|lane| lane.delivered).sum();
    for unfinished in &report.unfinished {
        complain(format_args!("overlane node: {unfinished}"));
    }
    let object = json!({
        "stopped": true,
        "drained": report.drained,
        "accepted": accepted,
        "acknowledged": acknowledged,
        "reported": reported,
        "delivered": delivered,
    });
    let drained = if report.drained {
        "all settled"
    } else {
        "NOT all settled in time"
    };
    let text = format!(
        "stopped, {drained}: {accepted} messages accepted, {acknowledged} acknowledged, {reported} reported; \
         {delivered} delivered here\n"
    );
    say(json, &object, &text)?;
    Ok(if report.drained {
        Ending::Done
    } else {
        Ending::CheckFailed
    })
}
