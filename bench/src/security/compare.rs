//! `overlane-bench sessions`: the same traffic over `plain`, `psk` and `tls`, and over one QUIC stream, in turn.
//!
//! Each kind has a sending and a receiving process of its own, on the same two cores; QUIC runs in this process, which does
//! nothing else meanwhile. CPU is that of both ends.

use std::time::Duration;

use clap::Args;
use overlane::config::Flags;
use serde::Serialize;

use crate::error::{BenchError, Outcome};
use crate::flags::{self, Consumer, Producer};
use crate::node::pair::{NodePair, RECEIVER};
use crate::node::protocol::SendOrder;
use crate::pair::{Pair, Spread};
use crate::progress::Progress;
use crate::remote::site::Hosts;
use crate::sample::Window;
use crate::shown::show;
use crate::table;
use crate::throughput;

/// Time before each window that is not measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// Flags of `sessions`.
#[derive(Debug, Args)]
pub(crate) struct SessionsFlags {
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    payload: usize,
    /// Rounds, in each of which every kind has one window
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: u32,
    /// Length of each window
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    seconds: f64,
    /// One JSON object on one line for each kind instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: Flags,
}

/// One kind of protection.
struct Side {
    kind: &'static str,
    /// None: QUIC.
    nodes: Option<NodePair>,
    windows: Vec<Window>,
}

/// The figures of one kind; their names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Figures {
    security: &'static str,
    payload_bytes: usize,
    messages_per_s: f64,
    mib_per_s: f64,
    cpu_ns_per_byte: f64,
    ratio_to_plain: f64,
}

/// Runs it and prints its results.
pub(crate) fn run(flags: &SessionsFlags) -> Outcome<()> {
    flags::check_payload("--payload", flags.payload)?;
    flags::within("--rounds", flags.rounds as usize, 1, 1_000)?;
    if !(0.1..=60.0).contains(&flags.seconds) {
        let what = format!("--seconds {}: give 0.1 to 60", flags.seconds);
        return Err(BenchError::BadInput(what));
    }
    let mut sides = Vec::new();
    for kind in ["plain", "psk", "tls"] {
        sides.push(Side::start(flags, kind)?);
    }
    if cfg!(feature = "quinn") {
        sides.push(Side {
            kind: "quinn",
            nodes: None,
            windows: Vec::new(),
        });
    }
    measure(flags, &mut sides)?;
    let plain = sides[0].windows.clone();
    let all: Vec<Figures> = { sides.iter() }
        .map(|side| side.figures(flags, &plain))
        .collect::<Outcome<_>>()?;
    print(flags, &all);
    Ok(())
}

fn measure(flags: &SessionsFlags, sides: &mut [Side]) -> Outcome<()> {
    let order = SendOrder {
        peers: vec![RECEIVER.to_owned()],
        channel: throughput::CHANNEL.to_owned(),
        payload_bytes: flags.payload,
        producer: Producer::Shard,
        consumer: Consumer::Handler,
        producer_core: None,
    };
    let measured = Duration::from_secs_f64(flags.seconds);
    let steps = u64::from(flags.rounds) * sides.len() as u64;
    let progress = Progress::of_steps("sessions", steps);
    for side in &mut *sides {
        if let Some(nodes) = &mut side.nodes {
            nodes.stream(&order, WARM_UP, Duration::ZERO)?;
        }
    }
    for _ in 0..flags.rounds {
        for side in &mut *sides {
            progress.say(side.kind);
            let window = match &mut side.nodes {
                Some(nodes) => nodes.stream(&order, WARM_UP, measured)?,
                None => quic(flags.payload, measured)?,
            };
            side.windows.push(window);
            progress.step();
        }
    }
    drop(progress);
    for side in sides {
        if let Some(nodes) = &mut side.nodes {
            nodes.settle()?;
        }
    }
    Ok(())
}

#[cfg(feature = "quinn")]
fn quic(payload_bytes: usize, measured: Duration) -> Outcome<Window> {
    super::quic::stream(payload_bytes, WARM_UP, measured)
}

#[cfg(not(feature = "quinn"))]
fn quic(_: usize, _: Duration) -> Outcome<Window> {
    Err(BenchError::BadInput(
        "this program was built without the feature quinn".into(),
    ))
}

impl Side {
    fn start(flags: &SessionsFlags, kind: &'static str) -> Outcome<Self> {
        let mut engine = flags.engine.clone();
        engine.node.push(("security", kind.to_owned()));
        let room_bytes = throughput::queue_bytes_max(flags.payload);
        let common = throughput::configuration(flags.payload, room_bytes, &engine)?;
        let nodes = NodePair::on_cores(&Hosts::this_one(), &common, (0, 1))?;
        Ok(Self {
            kind,
            nodes: Some(nodes),
            windows: Vec::new(),
        })
    }

    fn figures(&self, flags: &SessionsFlags, plain: &[Window]) -> Outcome<Figures> {
        let nothing = || BenchError::CheckFailed("nothing arrived within a window".into());
        let rate = Spread::of(self.windows.iter().map(Window::messages_per_s));
        let mib = Spread::of(self.windows.iter().map(Window::mib_per_s));
        let pairs: Vec<Pair> = { self.windows.iter().zip(plain) }
            .map(|(ours, plain)| Pair {
                ours: ours.messages_per_s(),
                raw: plain.messages_per_s(),
            })
            .collect();
        let all = self.windows.iter().copied();
        let all = all.fold(Window::default(), Window::and);
        Ok(Figures {
            security: self.kind,
            payload_bytes: flags.payload,
            messages_per_s: rate.ok_or_else(nothing)?.median,
            mib_per_s: mib.ok_or_else(nothing)?.median,
            cpu_ns_per_byte: all.cpu_ns() as f64 / all.bytes.max(1) as f64,
            ratio_to_plain: Spread::of_ratios(&pairs).ok_or_else(nothing)?.median,
        })
    }
}

fn print(flags: &SessionsFlags, all: &[Figures]) {
    if flags.json {
        for figures in all {
            show!(
                "{}",
                serde_json::to_string(figures).expect("figures are numbers")
            );
        }
        return;
    }
    let rows: Vec<Vec<String>> = { all.iter() }
        .map(|of| {
            vec![
                of.security.to_owned(),
                table::number(of.messages_per_s),
                table::number(of.mib_per_s),
                table::number(of.cpu_ns_per_byte),
                format!("{:.2}", of.ratio_to_plain),
            ]
        })
        .collect();
    let header = [
        "security",
        "messages/s",
        "MiB/s",
        "CPU ns per byte, both ends",
        "ratio to plain",
    ];
    show!(
        "messages of {} bytes, sent by a task on the shard",
        flags.payload
    );
    show!("{}", table::of(&header, &rows));
    if !cfg!(feature = "quinn") {
        show!("without QUIC beside them: build with --features quinn");
    }
}
