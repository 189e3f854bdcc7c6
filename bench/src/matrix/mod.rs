//! `overlane-bench matrix`: large requests from many senders over a distant link, by number of lanes and channels.
//!
//! The setup of the papers on Partisan: each sender sends one message, waits for its answer, and sends the next;
//! the fault proxy adds the round trip. Two nodes in two processes, new ones for each layout of lanes.
//!
//! - protocol.rs: what the processes are asked; process.rs: both of them

pub(crate) mod process;
pub(crate) mod protocol;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use overlane::config::{Config, Flags};
use overlane_proxy::{Direction, Proxy};
use serde::Serialize;

use self::protocol::{CHANNELS, CLIENT, Command, Order, ROLE, Reply, SERVER, Timed};
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::flags;
use crate::latencies::Latencies;
use crate::node::settings::{self, Defaults};
use crate::progress::Progress;
use crate::sample::figure;
use crate::shown::show;
use crate::table;

/// Longest wait for a cell besides its own time: requests end within a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// Channels, and lanes of each.
const LAYOUTS: [(usize, u16); 3] = [(1, 1), (1, 16), (4, 16)];

/// Flags of `matrix`.
#[derive(Debug, Args)]
pub(crate) struct MatrixFlags {
    /// Bytes of each request
    #[arg(long, default_value_t = 8 << 20, value_name = "BYTES")]
    payload: usize,
    /// Time there and back that the proxy adds
    #[arg(long, default_value_t = 20, value_name = "MILLISECONDS")]
    rtt_ms: u32,
    /// Numbers of senders, each a row
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32, 64, 128], value_name = "COUNTS")]
    senders: Vec<u32>,
    /// How long requests are sent for each cell
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u32,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: Flags,
}

/// One cell; the names are a promise to scripts.
#[derive(Debug, Serialize)]
struct Cell {
    senders: u32,
    channels: usize,
    lanes: u16,
    payload_bytes: usize,
    rtt_ms: u32,
    requests: u64,
    requests_per_s: f64,
    mib_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &MatrixFlags) -> Outcome<()> {
    // A request carries 24 bytes of its own beside the payload, within the largest frame.
    flags::within("--payload", flags.payload, 1, 16 << 20)?;
    flags::within("--rtt-ms", flags.rtt_ms as usize, 0, 10_000)?;
    flags::within("--seconds", flags.seconds as usize, 1, 3_600)?;
    for senders in &flags.senders {
        flags::within("--senders", *senders as usize, 1, 1_024)?;
    }
    let configurations: Vec<Config> = LAYOUTS
        .iter()
        .map(|layout| configuration(flags, *layout))
        .collect::<Outcome<_>>()?;
    let cells = LAYOUTS.len() * flags.senders.len();
    let progress = Progress::of_steps("matrix", cells as u64);
    let mut rows = Vec::new();
    for (layout, common) in LAYOUTS.into_iter().zip(&configurations) {
        let mut nodes = Nodes::start(flags, common)?;
        for senders in &flags.senders {
            let cell = nodes.cell(flags, layout, *senders)?;
            if flags.json {
                let line = serde_json::to_string(&cell).expect("cells are numbers");
                show!("{line}");
            } else {
                rows.push(cell.row());
            }
            progress.step();
        }
    }
    drop(progress);
    if !flags.json {
        show!(
            "requests of {} bytes, {} ms there and back",
            flags.payload,
            flags.rtt_ms
        );
        let header = [
            "channels x lanes",
            "senders",
            "requests/s",
            "MiB/s",
            "p50 ms",
            "p99 ms",
        ];
        show!("{}", table::of(&header, &rows));
    }
    Ok(())
}

fn configuration(flags: &MatrixFlags, (channels, lanes): (usize, u16)) -> Outcome<Config> {
    let definition = |name: &&str| {
        let channel = format!("{name}:priority=medium,overflow=block,parallelism={lanes}");
        settings::wide_enough(channel, flags.payload)
    };
    let definitions: Vec<String> = CHANNELS[..channels].iter().map(definition).collect();
    let definitions: Vec<&str> = definitions.iter().map(String::as_str).collect();
    settings::load(
        Defaults {
            places: false,
            node: &[],
            channels: &definitions,
        },
        &flags.engine,
    )
}

/// A node that asks, one that answers, and the distance between them.
struct Nodes {
    client: Child,
    /// Ends with the rest.
    _server: Child,
    _proxy: Proxy,
}

impl Nodes {
    fn start(flags: &MatrixFlags, common: &Config) -> Outcome<Self> {
        let (server, at) = start_node(common, SERVER)?;
        let (mut client, _) = start_node(common, CLIENT)?;
        let proxy = Proxy::start(at).map_err(BenchError::system("starting the proxy"))?;
        for direction in Direction::BOTH {
            proxy.set_delay(direction, Duration::from_millis(flags.rtt_ms.into()) / 2);
        }
        match client.ask_within(&Command::Connect(proxy.address()), ANSWER_WITHIN)? {
            Reply::Connected => Ok(Self {
                client,
                _server: server,
                _proxy: proxy,
            }),
            other => Err(unexpected(&other)),
        }
    }

    fn cell(
        &mut self,
        flags: &MatrixFlags,
        (channels, lanes): (usize, u16),
        senders: u32,
    ) -> Outcome<Cell> {
        let lasts = Duration::from_secs(flags.seconds.into());
        let order = Command::Request(Order {
            senders,
            payload_bytes: flags.payload,
            lasts,
        });
        let timed = match self.client.ask_within(&order, lasts + ANSWER_WITHIN)? {
            Reply::Timed(timed) => timed,
            other => return Err(unexpected(&other)),
        };
        let Timed { buckets, took } = timed;
        let mut latencies = Latencies::default();
        latencies.add(&buckets);
        let requests = latencies.count();
        let requests_per_s = figure(requests) / took.as_secs_f64();
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        Ok(Cell {
            senders,
            channels,
            lanes,
            payload_bytes: flags.payload,
            rtt_ms: flags.rtt_ms,
            requests,
            requests_per_s: rounded(requests_per_s),
            mib_per_s: rounded(requests_per_s * figure(flags.payload as u64) / f64::from(1 << 20)),
            p50_ms: rounded(latencies.percentile_us(50.0) / 1e3),
            p99_ms: rounded(latencies.percentile_us(99.0) / 1e3),
        })
    }
}

impl Cell {
    fn row(&self) -> Vec<String> {
        let Self {
            channels, lanes, ..
        } = self;
        let numbers = [
            self.requests_per_s,
            self.mib_per_s,
            self.p50_ms,
            self.p99_ms,
        ];
        let names = [format!("{channels} x {lanes}"), self.senders.to_string()];
        names
            .into_iter()
            .chain(numbers.map(table::number))
            .collect()
    }
}

fn start_node(common: &Config, name: &str) -> Outcome<(Child, SocketAddr)> {
    let settings = settings::as_configured(common, name);
    match Child::start(ROLE, name, &settings)? {
        (child, Reply::Listening(address)) => Ok((child, address)),
        (_, other) => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a process of the matrix answered {reply:?} to another question"
    ))
}
