//! `overlane node`: a node that runs until it is told to stop, and is administered by the other commands.

mod printing;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use overlane::config::{Admin, Config, ConfigError, Flags, Printable, Seed, Sources};
use overlane::{Cluster, Event, Events, JoinError, Node, StopReport};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::admin::{places, reload};
use crate::ending::{Ending, Failure, complain, print, told};
use crate::interrupt::interrupts_and_hangups;
use crate::json;
use crate::supervisor::Supervisor;

/// The channel of a node whose configuration has none.
const CHANNEL: &str = "messages";

/// The overlay of a node whose configuration says nothing of it: right for as many nodes as are started by hand.
const OVERLAY: &str = "full_mesh";

/// How long a node goes on trying to join before it says so.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long it is waited for the rest of the time: as good as for ever.
const JOIN_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// How long what was accepted may take to be delivered on channels that a configuration has no more.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a node until Ctrl-C or SIGTERM.
///
/// It prints a line when it is up, when it has joined the cluster, what comes to its mailboxes, and how it stopped. It is
/// in a cluster with the overlay full_mesh, and begins one unless --join or `seeds` say where there is one; `overlay = none`
/// leaves it alone. A configuration without channels gets one, named messages. Unless `admin` says otherwise it has an admin socket, named after it, in the folder overlane of
/// XDG_RUNTIME_DIR, or in /tmp/overlane-UID. RUST_LOG chooses what is logged on standard error [default: warn].
///
/// SIGHUP has it read its configuration again, as `overlane reload` does. SIGTERM and Ctrl-C have it say goodbye, settle
/// what it had accepted, and end; with lame_duck_ms it takes no new peers and lanes for so long before that.
///
/// Exits with 0 if all that it had accepted was settled when it stopped, with 1 if not. A second signal ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A mailbox whose messages are printed, each on a line; can be given several times
    #[arg(long, value_name = "NAME", default_value = "inbox")]
    mailbox: Vec<String>,
    /// Where a member of the cluster listens that the node joins, a host or an address with a port; can be given several times
    #[arg(long, value_name = "HOST:PORT")]
    join: Vec<Seed>,
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
    let json = arguments.json;
    if let Some(parent) = arguments.parent {
        end_with(parent)?;
    }
    let (tell, happens) = channel();
    interrupts_and_hangups(tell.clone(), || Happened::Hangup, || Happened::End)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    let colours = std::io::stderr().is_terminal();
    log.with_ansi(colours).with_writer(std::io::stderr).init();
    let given = Given::new(arguments.flags, arguments.join);
    let config = given.first()?;
    let admin = config.admin.clone();
    let started = Node::builder(config.clone()).reload_with(move || given.again(&admin));
    let builder = arguments.mailbox.iter();
    let builder = builder.fold(started, |builder, name| builder.inbox(name));
    let node = builder.start()?;
    introduce(&node, &config, json)?;
    printing::start(&node, &arguments.mailbox, json)?;
    if let Some(cluster) = node.cluster() {
        if !config.seeds.is_empty() {
            tell_when_joined(cluster.clone(), json);
        }
        end_when_left(node.events(), tell);
    }
    let supervisor = Supervisor::of_process();
    supervisor.ready(&node);
    // Until a signal says so, or the node has left its cluster.
    let is_asked = loop {
        match happens.recv_timeout(supervisor.patience()) {
            Ok(Happened::Hangup) => {
                supervisor.reloading();
                read_again(&node, json)?;
                supervisor.ready(&node);
            }
            Err(RecvTimeoutError::Timeout) => supervisor.beat(&node),
            Ok(Happened::End) => break true,
            Ok(Happened::Left) | Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    supervisor.stopping();
    if is_asked {
        be_lame_duck(&node, &config, &happens, &supervisor, json)?;
    }
    let report = node.stop(Duration::from_secs(arguments.stop_s));
    stopped(&report, json)
}

/// Goes on without new peers and lanes for as long as the configuration says, or until the node has left its cluster.
fn be_lame_duck(
    node: &Node,
    config: &Config,
    happens: &Receiver<Happened>,
    supervisor: &Supervisor,
    json: bool,
) -> Result<(), Failure> {
    let time = Duration::from_millis(config.lame_duck_ms);
    if time.is_zero() {
        return Ok(());
    }
    node.be_lame_duck();
    let text = format!("lame duck: no new peers and lanes, and stopped in {time:?}\n");
    say(json, &json!({"lame_duck_ms": config.lame_duck_ms}), &text)?;
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match happens.recv_timeout(left.min(supervisor.patience())) {
            Ok(Happened::Left) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // It stops: what is read again would count for nothing.
            Ok(Happened::Hangup | Happened::End) => {}
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(()),
            Err(RecvTimeoutError::Timeout) => supervisor.beat(node),
        }
    }
}

/// The line that says that the node is up.
fn introduce(node: &Node, config: &Config, json: bool) -> Result<(), Failure> {
    let admin = config.admin.path().map(|path| path.to_string_lossy());
    let channels = config.channels.iter().map(|channel| &*channel.name);
    let up = json!({
        "node": node.name(),
        "cluster": config.cluster,
        "address": node.local_addr(),
        "incarnation": node.incarnation(),
        "admin": admin,
        "http": node.http_addr(),
        "overlay": config.overlay.word(),
        "channels": channels.collect::<Vec<_>>(),
    });
    let http = node.http_addr();
    let http = http.map_or_else(String::new, |address| format!("; http://{address}"));
    let text = format!(
        "node {} of cluster {} is up at {}; overlay {}; admin socket {}{http}\n",
        node.name(),
        config.cluster,
        node.local_addr(),
        config.overlay.word(),
        Printable(admin.as_deref().unwrap_or("none"))
    );
    say(json, &up, &text)
}

/// What a running node waits for.
enum Happened {
    /// It is to read its configuration again.
    Hangup,
    /// It is to end.
    End,
    /// It has left its cluster.
    Left,
}

/// Where the configuration comes from.
struct Given {
    sources: Sources,
    join: Vec<Seed>,
}

impl Given {
    fn new(flags: Flags, join: Vec<Seed>) -> Self {
        let mut sources = Sources::of_process(flags);
        sources.defaults.push(("overlay", OVERLAY.to_owned()));
        Self { sources, join }
    }

    /// The configuration, with an overlay, a channel and an admin socket where none are said.
    fn first(&self) -> Result<Config, Failure> {
        let bad = |error| Failure::new(Ending::BadInput, format_args!("{error}"));
        let mut config = self.load().map_err(bad)?;
        if !self.join.is_empty() && config.overlay.kind().is_none() {
            let what =
                "--join needs an overlay, the same as the cluster's: leave out overlay = none";
            return Err(Failure::new(Ending::BadInput, what));
        }
        if config.admin == Admin::Auto {
            config.admin = Admin::At(places::socket_for(&config.node_name)?);
        }
        Ok(config)
    }

    /// The same once more, for a node that runs.
    fn again(&self, admin: &Admin) -> Result<Config, ConfigError> {
        let mut config = self.load()?;
        if config.admin == Admin::Auto {
            config.admin.clone_from(admin);
        }
        Ok(config)
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = self.sources.load()?;
        if config.channels.is_empty() {
            let mut sources = self.sources.clone();
            sources.flags.channels.push(CHANNEL.to_owned());
            config = sources.load()?;
        }
        config.seeds.extend(self.join.iter().cloned());
        Ok(config)
    }
}

/// Has the node read its configuration again, and says what came of it.
fn read_again(node: &Node, json: bool) -> Result<(), Failure> {
    match node.reload(REMOVAL_PATIENCE) {
        Ok(report) => {
            let text = reload::text(&report.changed, &report.needs_restart);
            say(json, &json!({"reloaded": report}), &text)
        }
        Err(error) => {
            // The node goes on as it was.
            complain(format_args!("overlane node: not reloaded: {error}"));
            Ok(())
        }
    }
}

/// Says when the node is a member among others, and once if that takes long.
fn tell_when_joined(cluster: Cluster, json: bool) {
    std::thread::spawn(move || {
        let mut joined = cluster.wait_joined(JOIN_PATIENCE);
        if let Err(error @ JoinError::TimedOut { .. }) = &joined {
            complain(format_args!("overlane node: {error}; it goes on trying"));
            joined = cluster.wait_joined(JOIN_WAIT);
        }
        if joined.is_ok() {
            let members = cluster.live();
            let object = json!({"joined": true, "members": members});
            let text = format!("joined the cluster: {members} members\n");
            if let Err(failure) = say(json, &object, &text) {
                complain(format_args!("overlane node: {}", failure.what));
            }
        }
    });
}

/// A node that has left its cluster has no more to do, and cannot join again.
fn end_when_left(events: Events, tell: Sender<Happened>) {
    std::thread::spawn(move || {
        while let Ok(event) = events.recv() {
            if matches!(event, Event::Left) {
                // Nobody listens any more when it ends already.
                let _ = tell.send(Happened::Left);
            }
        }
    });
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
