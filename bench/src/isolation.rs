//! `overlane-bench isolation`: what a saturating bulk channel does to heartbeats.
//!
//! Heartbeats go there and back on one channel, in an open loop; their latency counts from the time at
//! which each was due. Four windows take turns: heartbeats alone, beside bulk on
//! another channel, beside bulk in the same lane (what a single connection would do), and bulk alone.

use overlane::config::Config;

use crate::cli::{self, IsolationFlags, Producer};
use crate::error::{BenchError, Outcome};
use crate::latencies::Latencies;
use crate::node::pair::{NodePair, RECEIVER};
use crate::node::protocol::{Command, OpenLoop, RoundTripOrder, SendOrder};
use crate::node::round_trip;
use crate::node::settings::{self, Defaults};
use crate::pair::Spread;
use crate::progress::Progress;
use crate::record::Record;
use crate::sample::Window;
use crate::shown::show;
use crate::table;

/// The heartbeats' own channel.
const HEARTBEATS: &str = "coordination";
/// The channel of the bulk messages, and of the heartbeats that share its lane.
const BULK: &str = "data";

/// Runs it and prints its result.
pub(crate) fn run(flags: &IsolationFlags) -> Outcome<()> {
    cli::check_payload("--bulk-payload", flags.bulk_payload)?;
    let heartbeat_bytes = flags.heartbeat_payload;
    cli::within(
        "--heartbeat-payload",
        heartbeat_bytes,
        round_trip::PAYLOAD_BYTES_MIN,
        1 << 20,
    )?;
    cli::within("--heartbeat-hz", flags.heartbeat_hz as usize, 1, 100_000)?;
    flags.pair.check()?;
    let mut phases = Phases::start(&configuration(flags)?, flags)?;
    let progress = Progress::of_steps("isolation", 4 * u64::from(flags.pair.pairs));
    let mut rounds = Vec::new();
    for _ in 0..flags.pair.pairs {
        rounds.push(phases.round(&progress)?);
    }
    drop(progress);
    phases.nodes.settle()?;
    let figures = Figures::of(&rounds)?;
    if flags.pair.json {
        show!("{}", figures.record().json_line());
    } else {
        show!(
            "heartbeats of {heartbeat_bytes} bytes at {} Hz, there and back, beside messages of {} bytes",
            flags.heartbeat_hz,
            flags.bulk_payload
        );
        figures.print();
    }
    Ok(())
}

/// Bulk messages that wait in their queue at most.
const BULK_QUEUED_MAX: usize = 64;
/// Room of that queue that no bulk message fits in: heartbeats in the same lane wait for their turn, not
/// for a place.
const HEARTBEAT_ROOM_BYTES: usize = 16 * 1024;

/// Two channels: bulk keeps little in the kernel, where priority has no say.
fn configuration(flags: &IsolationFlags) -> Outcome<Config> {
    let message_bytes_max = flags.bulk_payload.max(1 << 20);
    let queue_bytes_max = BULK_QUEUED_MAX * flags.bulk_payload + HEARTBEAT_ROOM_BYTES;
    let bulk = format!(
        "{BULK}:priority=medium,overflow=block,notsent_lowat_bytes=256KiB,\
         queue_bytes_max={queue_bytes_max},message_bytes_max={message_bytes_max}"
    );
    let heartbeats = format!("{HEARTBEATS}:priority=high,overflow=block");
    settings::load(
        Defaults {
            node: &[],
            channels: &[&heartbeats, &bulk],
        },
        &flags.engine,
    )
}

/// Two nodes and what they are asked in each window.
struct Phases {
    nodes: NodePair,
    bulk: SendOrder,
    beats: RoundTripOrder,
}

/// The four windows of one round.
struct Round {
    idle: Latencies,
    loaded: Latencies,
    shared: Latencies,
    bulk: Window,
    bulk_alone: Window,
}

impl Phases {
    fn start(common: &Config, flags: &IsolationFlags) -> Outcome<Self> {
        let bulk = SendOrder {
            peers: vec![RECEIVER.to_owned()],
            channel: BULK.to_owned(),
            payload_bytes: flags.bulk_payload,
            producer: Producer::Shard,
            producer_core: None,
        };
        let beats = RoundTripOrder {
            peer: RECEIVER.to_owned(),
            channel: HEARTBEATS.to_owned(),
            payload_bytes: flags.heartbeat_payload,
            open_loop: Some(OpenLoop {
                hz: flags.heartbeat_hz,
                pacing: flags.pacing,
            }),
            warm_up: flags.pair.warm_up(),
            measure: flags.pair.measure(),
        };
        Ok(Self {
            nodes: NodePair::start(common, flags.pair.cores())?,
            bulk,
            beats,
        })
    }

    fn round(&mut self, progress: &Progress) -> Outcome<Round> {
        progress.say("heartbeats alone");
        let idle = self.nodes.sender.round_trips(self.beats.clone())?;
        progress.step();
        progress.say("beside bulk");
        let (loaded, bulk) = self.beside_bulk(HEARTBEATS)?;
        progress.step();
        progress.say("in one lane with bulk");
        let (shared, _) = self.beside_bulk(BULK)?;
        progress.step();
        progress.say("bulk alone");
        let (warm_up, measure) = (self.beats.warm_up, self.beats.measure);
        let bulk_alone = self.nodes.stream(&self.bulk, warm_up, measure)?;
        progress.step();
        Ok(Round {
            idle,
            loaded,
            shared,
            bulk,
            bulk_alone,
        })
    }

    /// Heartbeats on `channel` while bulk messages saturate theirs.
    fn beside_bulk(&mut self, channel: &str) -> Outcome<(Latencies, Window)> {
        let NodePair { sender, receiver } = &mut self.nodes;
        sender.order(&Command::StartSending(self.bulk.clone()))?;
        std::thread::sleep(self.beats.warm_up);
        let before = (sender.sample()?, receiver.sample()?);
        let beats = RoundTripOrder {
            channel: channel.to_owned(),
            ..self.beats.clone()
        };
        let latencies = sender.round_trips(beats)?;
        let after = (sender.sample()?, receiver.sample()?);
        sender.order(&Command::StopSending)?;
        Ok((
            latencies,
            Window::between((before.0, after.0), (before.1, after.1)),
        ))
    }
}

/// The medians of all rounds.
struct Figures {
    idle: [Spread; 3],
    loaded: [Spread; 3],
    shared: [Spread; 3],
    bulk: Spread,
    bulk_alone: Spread,
    bulk_kept: Spread,
}

/// The percentiles that are printed; the second is the one that is promised.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

impl Figures {
    fn of(rounds: &[Round]) -> Outcome<Self> {
        let spread = |figures: &mut dyn Iterator<Item = f64>| {
            Spread::of(figures).ok_or_else(|| {
                BenchError::CheckFailed("a window without messages; give longer --seconds".into())
            })
        };
        let percentiles = |of: fn(&Round) -> &Latencies| -> Outcome<[Spread; 3]> {
            let at = |percent| spread(&mut rounds.iter().map(|r| of(r).percentile_us(percent)));
            let [median, promised, rare] = PERCENTILES;
            Ok([at(median)?, at(promised)?, at(rare)?])
        };
        let kept = |round: &Round| round.bulk.mib_per_s() / round.bulk_alone.mib_per_s();
        Ok(Self {
            idle: percentiles(|round| &round.idle)?,
            loaded: percentiles(|round| &round.loaded)?,
            shared: percentiles(|round| &round.shared)?,
            bulk: spread(&mut rounds.iter().map(|round| round.bulk.mib_per_s()))?,
            bulk_alone: spread(&mut rounds.iter().map(|round| round.bulk_alone.mib_per_s()))?,
            bulk_kept: spread(&mut rounds.iter().map(kept))?,
        })
    }

    fn record(&self) -> Record {
        Record {
            test: "isolation".into(),
            idle_p99_us: Some(self.idle[1].median),
            loaded_p99_us: Some(self.loaded[1].median),
            shared_lane_p99_us: Some(self.shared[1].median),
            bulk_mib_per_s: Some(self.bulk.median),
            bulk_alone_mib_per_s: Some(self.bulk_alone.median),
            ..Record::default()
        }
    }

    fn print(&self) {
        let row = |name: &str, percentiles: &[Spread; 3]| {
            let mut cells = vec![name.to_owned()];
            cells.extend(
                percentiles
                    .iter()
                    .map(|spread| table::number(spread.median)),
            );
            cells.push(format!(
                "{} to {}",
                table::number(percentiles[1].min),
                table::number(percentiles[1].max)
            ));
            cells
        };
        let rows = [
            row("idle", &self.idle),
            row("beside bulk", &self.loaded),
            row("in one lane with bulk", &self.shared),
        ];
        let header = [
            "heartbeat, median of rounds",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "p99 of rounds",
        ];
        show!("{}", table::of(&header, &rows));
        show!(
            "bulk {} MiB/s beside heartbeats, {} alone: {} kept",
            table::number(self.bulk.median),
            table::number(self.bulk_alone.median),
            table::spread(self.bulk_kept)
        );
    }
}
