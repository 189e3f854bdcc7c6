//! `overlane-bench rotation`: five nodes in a full mesh send guaranteed messages to each other while their secret, or their
//! certificates, are rotated node by node; every lane is made anew at each step.
//!
//! All nodes are in this process. Each message is counted at both ends; how long a lane was down is measured by its events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use overlane::config::{Config, Flags, SecurityMode};
use overlane::wire::CloseReason;
use overlane::{Event, Node};
use serde::Serialize;

use super::credentials::{Authority, Folder, secret, secret_file, use_certificate};
use super::{engine, start};
use crate::error::{BenchError, Outcome};
use crate::flags;
use crate::node::settings::{self, Defaults};
use crate::progress::Progress;
use crate::shown::show;
use crate::table;

const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
const CHANNEL: &str = "data";
const MAILBOX: &str = "in";
/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of `rotation`.
#[derive(Debug, Args)]
pub(crate) struct RotationFlags {
    /// Guaranteed messages per second, of all nodes together
    #[arg(long, default_value_t = 20_000, value_name = "COUNT")]
    rate: usize,
    /// Bytes of each message
    #[arg(long, default_value_t = 100, value_name = "BYTES")]
    payload: usize,
    /// Time between two steps of a rotation, in which all lanes are made anew
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    step_seconds: u64,
    /// One JSON object on one line for each kind instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: Flags,
}

/// What a rotation came to; the names are a promise to scripts.
#[derive(Debug, Default, Serialize)]
struct Figures {
    rotated: &'static str,
    sent: u64,
    delivered: u64,
    reported: u64,
    messages_per_s: f64,
    lanes_renewed: usize,
    down_ms_p50: f64,
    down_ms_max: f64,
    slowest_send_ms: f64,
    other_ends: u64,
    peers_down: u64,
}

/// What one node was told.
#[derive(Debug, Default)]
struct Told {
    /// How long each lane was down that was made anew.
    down: Vec<Duration>,
    other_ends: u64,
    peers_down: u64,
}

/// Runs both kinds and prints their results.
pub(crate) fn run(flags: &RotationFlags) -> Outcome<()> {
    flags::within("--rate", flags.rate, 20, 1_000_000)?;
    flags::check_payload("--payload", flags.payload)?;
    let all = [
        rotate(flags, SecurityMode::Psk)?,
        rotate(flags, SecurityMode::Tls)?,
    ];
    for figures in &all {
        if flags.json {
            show!(
                "{}",
                serde_json::to_string(figures).expect("figures are numbers")
            );
        }
    }
    if !flags.json {
        print(&all);
    }
    let is_whole = |figures: &Figures| {
        figures.reported == 0
            && figures.delivered == figures.sent
            && figures.other_ends == 0
            && figures.peers_down == 0
    };
    if all.iter().all(is_whole) {
        return Ok(());
    }
    Err(BenchError::CheckFailed(
        "messages were lost or doubled, or lanes ended for another reason: see above".into(),
    ))
}

/// A step of a rotation: what becomes of the files of a node.
type Step<'a> = Box<dyn Fn(&str) -> Outcome<()> + 'a>;

fn rotate(flags: &RotationFlags, mode: SecurityMode) -> Outcome<Figures> {
    let common = configuration(flags, mode)?;
    let folder = Folder::make()?;
    let (old, new) = (Authority::make("old")?, Authority::make("new")?);
    let secrets = [secret(), secret()];
    for node in NODES {
        old.certify(node, &folder)?;
        folder.write(&format!("{node}.authorities"), &old.pem)?;
        folder.write(&format!("{node}.secret"), &secrets[0])?;
    }
    let write = |kind: &'static str, text: String| -> Step<'_> {
        let folder = &folder;
        Box::new(move |node| folder.write(&format!("{node}.{kind}"), &text))
    };
    let steps: Vec<Step<'_>> = if mode == SecurityMode::Tls {
        vec![
            write("authorities", format!("{}{}", old.pem, new.pem)),
            Box::new(|node| new.certify(node, &folder)),
            write("authorities", new.pem.clone()),
        ]
    } else {
        let [old, new] = &secrets;
        vec![
            write("secret", format!("{old}\n{new}")),
            write("secret", format!("{new}\n{old}")),
            write("secret", new.clone()),
        ]
    };
    let mesh = Mesh::start(&common, &folder)?;
    let mut figures = mesh.run(flags, &steps)?;
    figures.rotated = if mode == SecurityMode::Tls {
        "certificates"
    } else {
        "secret"
    };
    Ok(figures)
}

fn configuration(flags: &RotationFlags, mode: SecurityMode) -> Outcome<Config> {
    let channel = format!("{CHANNEL}:reliability=guaranteed,overflow=block");
    let channel = settings::wide_enough(channel, flags.payload);
    let mut engine = flags.engine.clone();
    engine.node.push(("security", mode.word().to_owned()));
    let mut config = settings::load(
        Defaults {
            places: true,
            node: &[("security_reload_ms", "0")],
            channels: &[&channel],
        },
        &engine,
    )?;
    config.tls.names = Config::default().tls.names;
    Ok(config)
}

/// Five nodes, all connected.
struct Mesh {
    nodes: Vec<Node>,
    delivered: Arc<AtomicU64>,
}

impl Mesh {
    fn start(common: &Config, folder: &Folder) -> Outcome<Self> {
        let mut nodes = Vec::new();
        for name in NODES {
            nodes.push(start(common, name, |config| {
                use_certificate(config, name, folder);
                if config.security == SecurityMode::Psk {
                    config.psk.secret_file = secret_file(folder, name);
                }
            })?);
        }
        let delivered = Arc::new(AtomicU64::new(0));
        for (place, node) in nodes.iter().enumerate() {
            let counted = Arc::clone(&delivered);
            node.handle(MAILBOX, move |_, _| {
                counted.fetch_add(1, Ordering::Relaxed);
            })
            .map_err(engine)?;
            for peer in &nodes[place + 1..] {
                let connected = node.connect(peer.name(), peer.local_addr());
                connected.map_err(engine)?;
            }
        }
        let mesh = Self { nodes, delivered };
        mesh.connected()?;
        Ok(mesh)
    }

    fn connected(&self) -> Outcome<()> {
        for node in &self.nodes {
            for peer in NODES.into_iter().filter(|peer| *peer != node.name()) {
                node.wait_connected(peer, PATIENCE).map_err(engine)?;
                // The first message makes the lane: until then it takes none while its peer is away.
                send(node, peer, &[0])?;
            }
        }
        let first = (NODES.len() * (NODES.len() - 1)) as u64;
        self.await_delivered(first)
    }

    fn await_delivered(&self, messages: u64) -> Outcome<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.delivered.load(Ordering::Relaxed) < messages {
            if Instant::now() > deadline {
                return Err(BenchError::CheckFailed(
                    "not all that was sent came within a minute".into(),
                ));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn run(self, flags: &RotationFlags, steps: &[Step<'_>]) -> Outcome<Figures> {
        let over = AtomicBool::new(false);
        let progress = Progress::of_steps("rotation", steps.len() as u64);
        let began = Instant::now();
        let before = self.delivered.load(Ordering::Relaxed);
        let (sent, slowest, told) = thread::scope(|scope| -> Outcome<_> {
            let over = &over;
            let followers: Vec<_> = { self.nodes.iter() }
                .map(|node| scope.spawn(move || follow(node, over)))
                .collect();
            let senders: Vec<_> = { self.nodes.iter() }
                .map(|node| scope.spawn(move || traffic(node, flags, over)))
                .collect();
            let stepped = self.step_all(flags, steps, &progress);
            over.store(true, Ordering::Relaxed);
            let (mut sent, mut slowest) = (0, Duration::ZERO);
            for sender in senders {
                let (of_one, longest) = sender.join().expect("senders do not panic")?;
                sent += of_one;
                slowest = slowest.max(longest);
            }
            self.await_delivered(before + sent)?;
            let told = followers
                .into_iter()
                .map(|follower| follower.join().expect("followers do not panic"))
                .collect::<Vec<Told>>();
            stepped?;
            Ok((sent, slowest, told))
        })?;
        let lasted = began.elapsed();
        // A message that came twice would come late.
        thread::sleep(Duration::from_millis(200));
        let delivered = self.delivered.load(Ordering::Relaxed) - before;
        let metrics: Vec<_> = self.nodes.iter().map(Node::metrics).collect();
        if !metrics.iter().all(overlane::Metrics::identity_holds) {
            return Err(BenchError::CheckFailed(
                "the accounting identity does not hold".into(),
            ));
        }
        let lanes = metrics.iter().flat_map(|metrics| &metrics.lanes);
        let reported = lanes.map(|lane| lane.reported).sum();
        let mut down: Vec<_> = told.iter().flat_map(|told| told.down.clone()).collect();
        down.sort_unstable();
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        Ok(Figures {
            rotated: "",
            sent,
            delivered,
            reported,
            messages_per_s: sent as f64 / lasted.as_secs_f64(),
            lanes_renewed: down.len(),
            down_ms_p50: ms(down.get(down.len() / 2)),
            down_ms_max: ms(down.last()),
            slowest_send_ms: slowest.as_secs_f64() * 1e3,
            other_ends: told.iter().map(|told| told.other_ends).sum(),
            peers_down: told.iter().map(|told| told.peers_down).sum(),
        })
    }

    fn step_all(
        &self,
        flags: &RotationFlags,
        steps: &[Step<'_>],
        progress: &Progress,
    ) -> Outcome<()> {
        let pause = Duration::from_secs(flags.step_seconds);
        for step in steps {
            thread::sleep(pause);
            for node in &self.nodes {
                step(node.name())?;
                node.reload_security().map_err(engine)?;
            }
            progress.step();
        }
        thread::sleep(pause);
        Ok(())
    }
}

fn send(node: &Node, peer: &str, payload: &[u8]) -> Outcome<()> {
    let channel = node.channel(CHANNEL).map_err(engine)?;
    let to = node.destination(peer, MAILBOX).map_err(engine)?;
    channel.send_blocking(&to, payload.to_vec()).map_err(engine)
}

/// Sends to each of the others in turn, at an even pace. Returns how many, and the longest time that one took.
fn traffic(node: &Node, flags: &RotationFlags, over: &AtomicBool) -> Outcome<(u64, Duration)> {
    let channel = node.channel(CHANNEL).map_err(engine)?;
    let peers = NODES.into_iter().filter(|peer| *peer != node.name());
    let to: Vec<_> = peers
        .map(|peer| node.destination(peer, MAILBOX).map_err(engine))
        .collect::<Outcome<_>>()?;
    let payload = vec![7; flags.payload];
    let per_second = (flags.rate / NODES.len()) as u128;
    let (began, mut sent, mut slowest) = (Instant::now(), 0_u64, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let due = began.elapsed().as_micros() * per_second / 1_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        while sent < due {
            let place = usize::try_from(sent).unwrap_or_default() % to.len();
            let before = Instant::now();
            channel
                .send_blocking(&to[place], payload.as_slice())
                .map_err(engine)?;
            slowest = slowest.max(before.elapsed());
            sent += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok((sent, slowest))
}

/// Follows what a node tells of its lanes.
fn follow(node: &Node, over: &AtomicBool) -> Told {
    let events = node.events();
    let mut told = Told::default();
    let mut down: BTreeMap<(String, String, u16), Instant> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) || !down.is_empty() {
        let Ok(event) = events.recv_deadline(Instant::now() + Duration::from_millis(50)) else {
            if over.load(Ordering::Relaxed) {
                break;
            }
            continue;
        };
        let key = |peer: &overlane::Peer, channel: &str, lane: u16| {
            (peer.name().to_owned(), channel.to_owned(), lane)
        };
        match event {
            Event::LaneDown {
                peer,
                channel,
                lane,
                reason: CloseReason::Renewed,
                ..
            } => {
                down.insert(key(&peer, &channel, lane), Instant::now());
            }
            Event::LaneUp {
                peer,
                channel,
                lane,
                ..
            } => {
                let since = down.remove(&key(&peer, &channel, lane));
                told.down.extend(since.map(|since| since.elapsed()));
            }
            Event::LaneDown { .. } => told.other_ends += 1,
            Event::PeerDown { .. } => told.peers_down += 1,
            _ => {}
        }
    }
    told
}

fn print(all: &[Figures]) {
    let rows: Vec<Vec<String>> = { all.iter() }
        .map(|of| {
            vec![
                of.rotated.to_owned(),
                table::count(of.sent),
                table::count(of.delivered),
                table::count(of.reported),
                table::number(of.messages_per_s),
                of.lanes_renewed.to_string(),
                table::number(of.down_ms_p50),
                table::number(of.down_ms_max),
                table::number(of.slowest_send_ms),
                (of.other_ends + of.peers_down).to_string(),
            ]
        })
        .collect();
    let header = [
        "rotated",
        "sent",
        "delivered",
        "reported",
        "messages/s",
        "lanes renewed",
        "down, median ms",
        "down, most ms",
        "slowest send ms",
        "other ends",
    ];
    show!("{} nodes in a full mesh, guaranteed messages", NODES.len());
    show!("{}", table::of(&header, &rows));
}
