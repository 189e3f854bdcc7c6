//! `overlane-bench link`: a slow link that bulk fills, and heartbeats beside it.
//!
//! Windows take turns: heartbeats alone, beside bulk on another channel, beside bulk in the same lane, as a
//! single connection would do. Heartbeats go there and back between application threads; bulk goes their way.
//!
//! - wire.rs: two network namespaces and the wire between them
//! - figures.rs: the medians of all rounds

mod figures;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use overlane::config::{Config, Flags};
use overlane_proxy::{Direction, Proxy, Rate};

use self::figures::{Figures, Round};
use self::wire::{End, Wire};
use crate::error::{BenchError, Outcome};
use crate::flags::{self, Consumer, Producer};
use crate::node::pair::{NodePair, NodeProcess, RECEIVER, SENDER};
use crate::node::protocol::{Command, RoundTripOrder, SendOrder};
use crate::node::settings::{self, Defaults};
use crate::ping::{Pace, Timed};
use crate::progress::Progress;
use crate::sample::Window;
use crate::shown;

/// The heartbeats' own channel.
const HEARTBEATS: &str = "coordination";
/// The channel of bulk, and of the heartbeats that share its lane.
const BULK: &str = "data";
/// Bytes of a heartbeat.
const HEARTBEAT_BYTES: usize = 50;
/// Time that is not measured, at the begin of a window: a congestion window opens, a queue fills.
const WARM_UP: Duration = Duration::from_secs(1);

/// Flags of `link`.
#[derive(Debug, Args)]
pub(crate) struct LinkFlags {
    /// What the link passes each way in a second
    #[arg(long, default_value = "100mbit")]
    rate: Rate,
    /// The most that the link's queue holds, in time at its rate
    #[arg(long, default_value_t = 50, value_name = "MILLISECONDS")]
    queue_ms: u32,
    /// Rounds of three windows
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: u32,
    /// Length of each window
    #[arg(long, default_value_t = 4, value_name = "SECONDS")]
    seconds: u32,
    /// Bytes of each bulk message
    #[arg(long, default_value_t = 65_536, value_name = "BYTES")]
    bulk_payload: usize,
    /// Heartbeats per second
    #[arg(long, default_value_t = 200, value_name = "HZ")]
    heartbeat_hz: u32,
    /// Throttles by the fault proxy on loopback, in place of a link between network namespaces
    #[arg(long)]
    proxy: bool,
    /// One JSON object on one line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: Flags,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &LinkFlags) -> Outcome<()> {
    flags::within("--queue-ms", flags.queue_ms as usize, 1, 10_000)?;
    flags::within("--rounds", flags.rounds as usize, 1, 1_000)?;
    flags::within("--seconds", flags.seconds as usize, 1, 600)?;
    flags::within("--heartbeat-hz", flags.heartbeat_hz as usize, 1, 10_000)?;
    flags::check_payload("--bulk-payload", flags.bulk_payload)?;
    let common = configuration(flags)?;
    let mut link = Link::make(flags, &common)?;
    let mut rounds = Vec::new();
    let progress = Progress::of_steps("link", 3 * u64::from(flags.rounds));
    for _ in 0..flags.rounds {
        rounds.push(link.round(flags, &progress)?);
    }
    drop(progress);
    link.nodes.settle()?;
    let figures = Figures::of(&rounds, flags.rate)?;
    figures.show(&link.what, flags.json);
    Ok(())
}

fn configuration(flags: &LinkFlags) -> Outcome<Config> {
    let heartbeats = format!("{HEARTBEATS}:priority=high,overflow=block");
    let bulk = format!("{BULK}:priority=low,overflow=block");
    settings::load(
        Defaults {
            places: false,
            node: &[],
            channels: &[
                &heartbeats,
                &settings::wide_enough(bulk, flags.bulk_payload),
            ],
        },
        &flags.engine,
    )
}

/// Two nodes with a slow link between them.
struct Link {
    nodes: NodePair,
    /// What the link is, for people.
    what: String,
    /// What throttles it, if that is not the wire.
    _proxy: Option<Proxy>,
}

impl Link {
    fn make(flags: &LinkFlags, common: &Config) -> Outcome<Self> {
        if flags.proxy {
            return Self::throttled(flags, common, "as asked for");
        }
        match Wire::make(flags.rate, flags.queue_ms) {
            Ok(wire) => Self::over(&wire, flags, common),
            Err(why) => Self::throttled(flags, common, &why),
        }
    }

    fn over(wire: &Wire, flags: &LinkFlags, common: &Config) -> Outcome<Self> {
        let receiver = wire.inside(End::Far, |address| node(common, RECEIVER, address))??;
        let sender = wire.inside(End::Near, |address| node(common, SENDER, address))??;
        let megabits = flags.rate.bits_per_s() / 1_000_000;
        let what = format!(
            "a wire of {megabits} Mbit/s between two network namespaces, with a queue of {} ms",
            flags.queue_ms
        );
        let to = receiver.addresses[0];
        Self::connect(sender, receiver, to, what, None)
    }

    fn throttled(flags: &LinkFlags, common: &Config, why: &str) -> Outcome<Self> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let receiver = node(common, RECEIVER, loopback)?;
        let sender = node(common, SENDER, loopback)?;
        let proxy = Proxy::start(receiver.addresses[0]);
        let proxy = proxy.map_err(BenchError::system("starting the proxy"))?;
        for direction in Direction::BOTH {
            proxy.set_rate(direction, Some(flags.rate.bytes_per_s()));
        }
        let megabits = flags.rate.bits_per_s() / 1_000_000;
        let what = format!(
            "loopback through the fault proxy at {megabits} Mbit/s, which lets connections pass in turn; \
             no network namespaces: {why}"
        );
        if flags.json {
            shown::complain(format_args!("{what}"));
        }
        let to = proxy.address();
        Self::connect(sender, receiver, to, what, Some(proxy))
    }

    fn connect(
        mut sender: NodeProcess,
        receiver: NodeProcess,
        to: SocketAddr,
        what: String,
        proxy: Option<Proxy>,
    ) -> Outcome<Self> {
        let peers = vec![(RECEIVER.to_owned(), to)];
        sender.order(&Command::Connect { peers })?;
        Ok(Self {
            nodes: NodePair { sender, receiver },
            what,
            _proxy: proxy,
        })
    }

    fn round(&mut self, flags: &LinkFlags, progress: &Progress) -> Outcome<Round> {
        progress.say("heartbeats alone");
        let beats = beats(flags, HEARTBEATS, flags.seconds);
        let alone = self.nodes.sender.round_trips(beats)?;
        progress.step();
        progress.say("beside bulk");
        let (beside, bulk) = self.beside_bulk(flags, HEARTBEATS)?;
        progress.step();
        progress.say("in one lane with bulk");
        let (shared, _) = self.beside_bulk(flags, BULK)?;
        progress.step();
        Ok(Round {
            alone: alone.begun,
            beside: beside.begun,
            shared: shared.begun,
            bulk,
        })
    }

    fn beside_bulk(&mut self, flags: &LinkFlags, channel: &str) -> Outcome<(Timed, Window)> {
        let NodePair { sender, receiver } = &mut self.nodes;
        let order = SendOrder {
            peers: vec![RECEIVER.to_owned()],
            channel: BULK.to_owned(),
            payload_bytes: flags.bulk_payload,
            producer: Producer::App,
            consumer: Consumer::Inbox,
            producer_core: None,
        };
        sender.order(&Command::StartSending(order))?;
        std::thread::sleep(WARM_UP);
        let before = (sender.sample()?, receiver.sample()?);
        let timed = sender.round_trips(beats(flags, channel, flags.seconds))?;
        let after = (sender.sample()?, receiver.sample()?);
        sender.order(&Command::StopSending)?;
        let window = Window::between((before.0, after.0), (before.1, after.1));
        Ok((timed, window))
    }
}

fn node(common: &Config, name: &str, address: IpAddr) -> Outcome<NodeProcess> {
    let settings = settings::as_configured(common, name);
    NodeProcess::listening_at(address, name, settings)
}

fn beats(flags: &LinkFlags, channel: &str, seconds: u32) -> RoundTripOrder {
    RoundTripOrder {
        peer: RECEIVER.to_owned(),
        channel: channel.to_owned(),
        payload_bytes: HEARTBEAT_BYTES,
        pace: Pace::Open {
            hz: flags.heartbeat_hz,
        },
        producer: Producer::App,
        warm_up: Duration::from_millis(100),
        measure: Duration::from_secs(seconds.into()),
    }
}
