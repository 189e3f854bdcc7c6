//! The flags that measurements share, those of the main job and of the older measurements, and the checks
//! of their values. Later measurements have theirs beside them.
//!
//! Read by `cli`, which puts them together, and by the measurements; knows none of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use overlane::config::Flags;

use crate::error::{BenchError, Outcome};
use crate::{pin, raw};

/// Fewest pairs that a median and a spread can be made of.
const PAIRS_MIN: u32 = 5;

/// Who sends the messages of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Producer {
    /// A task on the shard that owns the lane
    Shard,
    /// An application thread
    App,
}

/// Who takes the messages of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Consumer {
    /// A handler on the shard that received them
    Handler,
    /// An application thread that reads an inbox
    Inbox,
}

/// What a shard without work does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Idle {
    /// Goes on looking; compared with busy raw sockets
    Spin,
    /// Sleeps in the kernel; compared with blocking raw sockets
    Park,
}

/// When the next heartbeat is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoopKind {
    /// When it is due, whatever became of those before
    Open,
    /// As soon as the one before was answered
    Closed,
}

/// Where and how long a paired measurement runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct PairFlags {
    /// One JSON object on one line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// A host that runs `overlane-bench serve`: the far processes run there
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) remote: Option<String>,
    /// Pairs of windows, raw and engine in turn; at least 5
    #[arg(long, default_value_t = PAIRS_MIN, value_name = "COUNT")]
    pub(crate) pairs: u32,
    /// Length of each measured window
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub(crate) seconds: f64,
    /// Time before each window that is not measured
    #[arg(long, default_value_t = 0.3, value_name = "SECONDS")]
    pub(crate) warm_up_seconds: f64,
    /// Core of the sending thread, raw or shard [default: 0]
    #[arg(long, value_name = "CORE")]
    pub(crate) sender_core: Option<usize>,
    /// Core of the receiving thread, raw or shard [default: 1, or 0 with --remote]
    #[arg(long, value_name = "CORE")]
    pub(crate) receiver_core: Option<usize>,
    /// Bytes that the raw sender gathers for one write; left out, the fastest of 128 to 1024 KiB
    #[arg(long, value_name = "KIB")]
    pub(crate) raw_batch_kib: Option<usize>,
}

/// Flags of `throughput`.
#[derive(Debug, Args)]
pub(crate) struct ThroughputFlags {
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(crate) payload: usize,
    /// Who sends
    #[arg(long, value_enum, default_value_t = Producer::Shard)]
    pub(crate) producer: Producer,
    /// Who takes them; an inbox goes with `--producer app`, and then nothing is pinned but the shards
    #[arg(long, value_enum, default_value_t = Consumer::Handler)]
    pub(crate) consumer: Consumer,
    /// Core of a sending application thread; left out, the kernel moves it as it likes
    #[arg(long, value_name = "CORE")]
    pub(crate) producer_core: Option<usize>,
    #[command(flatten)]
    pub(crate) pair: PairFlags,
    #[command(flatten)]
    pub(crate) engine: Flags,
}

/// Flags of `latency`.
#[derive(Debug, Args)]
pub(crate) struct LatencyFlags {
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(crate) payload: usize,
    /// What a shard without work does
    #[arg(long, value_enum, default_value_t = Idle::Spin)]
    pub(crate) idle: Idle,
    #[command(flatten)]
    pub(crate) pair: PairFlags,
    #[command(flatten)]
    pub(crate) engine: Flags,
}

/// Flags of `isolation`.
#[derive(Debug, Args)]
pub(crate) struct IsolationFlags {
    /// Bytes of each bulk message
    #[arg(long, default_value_t = 65_536, value_name = "BYTES")]
    pub(crate) bulk_payload: usize,
    /// Who sends heartbeats and bulk; application threads also take and answer them, through inboxes
    #[arg(long, value_enum, default_value_t = Producer::Shard)]
    pub(crate) producer: Producer,
    /// When the next heartbeat is sent
    #[arg(long = "loop", value_enum, default_value_t = LoopKind::Open)]
    pub(crate) loop_kind: LoopKind,
    /// Bytes of each heartbeat [default: 50 in an open loop, 64 in a closed one]
    #[arg(long, value_name = "BYTES")]
    pub(crate) heartbeat_payload: Option<usize>,
    /// Heartbeats per second in an open loop [default: 1000]
    #[arg(long, value_name = "HZ")]
    pub(crate) heartbeat_hz: Option<u32>,
    #[command(flatten)]
    pub(crate) pair: PairFlags,
    #[command(flatten)]
    pub(crate) engine: Flags,
}

/// Flags of `fan`.
#[derive(Debug, Args)]
pub(crate) struct FanFlags {
    /// Peers that are sent to
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    pub(crate) peers: usize,
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) pair: PairFlags,
    #[command(flatten)]
    pub(crate) engine: Flags,
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// Address of this host that others reach; strangers who reach it can use some of its time
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
}

/// Flags of `raw`.
#[derive(Debug, Args)]
pub(crate) struct RawFlags {
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) pair: PairFlags,
}

/// Flags of the main job.
#[derive(Debug, Clone, Args)]
pub(crate) struct MainJobFlags {
    /// One JSON object a line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// File to send; without it one is generated for the run
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Size of the generated file
    #[arg(
        long,
        default_value_t = 1_024,
        value_name = "MIB",
        conflicts_with = "file"
    )]
    pub(crate) file_mib: u64,
    /// Bytes of the file in one message
    #[arg(long, default_value_t = 64, value_name = "KIB")]
    pub(crate) chunk_kib: usize,
    /// Heartbeats per second from each node to each other node
    #[arg(long, default_value_t = 1_000, value_name = "HZ")]
    pub(crate) heartbeat_hz: u32,
    /// How much later than before the file 99 % of heartbeats may come beside it
    #[arg(long, default_value_t = 400, value_name = "MICROSECONDS")]
    pub(crate) heartbeat_bound_us: u32,
    /// Rumours per second that each node starts
    #[arg(long, default_value_t = 20, value_name = "HZ")]
    pub(crate) gossip_hz: u32,
    /// Time with heartbeats only, before the file and again after it
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    pub(crate) quiet_seconds: f64,
    /// Where each run makes a folder for its files; of those only its report stays
    #[arg(long, default_value = "target/overlane-bench", value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) engine: Flags,
}

impl PairFlags {
    /// Refuses what no run could be made of.
    pub(crate) fn check(&self) -> Outcome<()> {
        if self.pairs < PAIRS_MIN {
            return refuse(format!(
                "--pairs {}: a median with a spread needs at least {PAIRS_MIN} pairs",
                self.pairs
            ));
        }
        seconds("--seconds", self.seconds, 0.02, 60.0)?;
        seconds("--warm-up-seconds", self.warm_up_seconds, 0.0, 60.0)?;
        if let Some(batch_kib) = self.raw_batch_kib {
            within("--raw-batch-kib", batch_kib, 1, 4_096)?;
        }
        let (sender_core, receiver_core) = self.cores();
        pin::require_core("--sender-core", sender_core)?;
        match self.remote {
            // The other host knows its cores.
            Some(_) => Ok(()),
            None => pin::require_core("--receiver-core", receiver_core),
        }
    }

    /// Refuses cores for threads that the kernel and the configuration place.
    pub(crate) fn check_unplaced(&self) -> Outcome<()> {
        let given = [
            ("--sender-core", self.sender_core),
            ("--receiver-core", self.receiver_core),
        ];
        match given.iter().find_map(|(flag, core)| Some((flag, (*core)?))) {
            None => Ok(()),
            Some((flag, core)) => refuse(format!(
                "{flag} {core}: application threads run where the kernel puts them; leave the flag \
                 out, and place shards by --shards, --cores and --pin"
            )),
        }
    }

    /// Length of each measured window.
    pub(crate) fn measure(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Time before each window.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }

    /// Cores of the sending and of the receiving thread.
    pub(crate) fn cores(&self) -> (usize, usize) {
        // On a host of its own each may have the first core.
        let far = usize::from(self.remote.is_none());
        (
            self.sender_core.unwrap_or(0),
            self.receiver_core.unwrap_or(far),
        )
    }
}

impl ThroughputFlags {
    /// Refuses what no run could be made of.
    pub(crate) fn check(&self) -> Outcome<()> {
        check_payload("--payload", self.payload)?;
        self.pair.check()?;
        match (self.consumer, self.producer, self.producer_core) {
            (Consumer::Handler, _, _) => Ok(()),
            (Consumer::Inbox, Producer::Shard, _) => refuse(
                "--consumer inbox: measured between application threads; give --producer app too"
                    .to_owned(),
            ),
            (Consumer::Inbox, Producer::App, Some(core)) => refuse(format!(
                "--producer-core {core}: with --consumer inbox application threads run where the \
                 kernel puts them; leave the flag out"
            )),
            (Consumer::Inbox, Producer::App, None) => self.pair.check_unplaced(),
        }
    }
}

impl MainJobFlags {
    /// Refuses what no run could be made of.
    pub(crate) fn check(&self) -> Outcome<()> {
        seconds("--quiet-seconds", self.quiet_seconds, 0.1, 20.0)?;
        within("--chunk-kib", self.chunk_kib, 1, 1_023)?;
        within("--heartbeat-hz", self.heartbeat_hz as usize, 1, 10_000)?;
        within("--gossip-hz", self.gossip_hz as usize, 1, 10_000)?;
        if !(1..=65_536).contains(&self.file_mib) {
            return refuse(format!("--file-mib {}: give 1 to 65536 MiB", self.file_mib));
        }
        Ok(())
    }
}

/// Refuses a payload that the framing of `raw` or the harness could not carry.
pub(crate) fn check_payload(flag: &str, payload_bytes: usize) -> Outcome<()> {
    within(flag, payload_bytes, 1, raw::frame::PAYLOAD_BYTES_MAX)
}

/// Refuses a number outside `least..=most`.
pub(crate) fn within(flag: &str, value: usize, least: usize, most: usize) -> Outcome<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    refuse(format!("{flag} {value}: give {least} to {most}"))
}

fn seconds(flag: &str, value: f64, least: f64, most: f64) -> Outcome<()> {
    if value.is_finite() && (least..=most).contains(&value) {
        return Ok(());
    }
    refuse(format!("{flag} {value}: give {least} to {most} seconds"))
}

fn refuse(sentence: String) -> Outcome<()> {
    Err(BenchError::BadInput(sentence))
}
