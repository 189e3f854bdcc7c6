//! `overlane-bench stream`: one long stream between two processes, beside a TCP connection that is written and
//! read in the same chunks.
//!
//! Both ways take turns, and each carries the bytes twice in a round: once hashed at both ends, once timed and not
//! hashed. A hash takes the reader the same time either way: within the timed part it would move the ratio towards 1
//! and hide what a stream costs.
//!
//! raw/ is no twin of the raw side here: it carries framed messages for a while, this has a length and an end.
//!
//! - protocol.rs: what the processes are asked; process.rs: both of them
//! - sending.rs and receiving.rs: the two ends, each way; content.rs: what is carried
//! - figures.rs: the median of all rounds, and the verdict

mod content;
mod figures;
pub(crate) mod process;
pub(crate) mod protocol;
mod receiving;
mod sending;

use std::time::Duration;

use clap::Args;
use overlane::StreamError;
use overlane::config::{ChannelConfig, Config, Flags, Overflow};

use self::figures::{Hashed, Measured, Round};
use self::protocol::{
    Addresses, CHANNEL, Command, Order, RECEIVER, ROLE, Reply, SENDER, Specification, Way,
};
use crate::child::Child;
use crate::error::{BenchError, Outcome};
use crate::flags;
use crate::node::settings::{self, Defaults};
use crate::progress::Progress;
use crate::table;

/// Longest wait for an answer besides the time of a transfer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// A transfer that is slower than this on loopback has got stuck.
const SLOWEST_BYTES_PER_S: u64 = 4 << 20;
/// The most for one transfer: more says nothing more.
const BYTES_MAX: usize = 1 << 40;

/// Flags of `stream`.
#[derive(Debug, Args)]
pub(crate) struct StreamFlags {
    /// Length of the stream
    #[arg(long, default_value_t = 1 << 30, value_name = "BYTES")]
    bytes: usize,
    /// Rounds of a raw connection and a stream
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    rounds: u32,
    /// One JSON object on one line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: Flags,
}

/// Runs it and prints its result.
pub(crate) fn run(flags: &StreamFlags) -> Outcome<()> {
    flags::within("--bytes", flags.bytes, 1, BYTES_MAX)?;
    flags::within("--rounds", flags.rounds as usize, 1, 1_000)?;
    let common = configuration(&flags.engine)?;
    let channel = channel_of(&common)?;
    // What the engine makes of a smaller message_bytes_max.
    let chunk_bytes = common.stream_chunk_bytes.min(channel.message_bytes_max);
    let mut ends = Ends::start(&common, chunk_bytes)?;
    let bytes = flags.bytes as u64;
    let progress = Progress::of_steps("stream", 4 * u64::from(flags.rounds));
    let rounds = (0..flags.rounds).map(|_| ends.round(bytes, &progress));
    let rounds = rounds.collect::<Outcome<_>>()?;
    drop(progress);
    let measured = Measured { bytes, rounds };
    let what = format!(
        "{} bytes in chunks of {chunk_bytes}, on a channel of reliability {}",
        table::count(bytes),
        channel.reliability.word()
    );
    measured.show(&what, flags.json)?;
    measured.verdict()
}

/// The channel is what `overlane send-file` makes for its files.
fn configuration(engine: &Flags) -> Outcome<Config> {
    let channel = format!("{CHANNEL}:priority=low,reliability=guaranteed,overflow=block");
    settings::load(
        Defaults {
            places: false,
            node: &[],
            channels: &[&channel],
        },
        engine,
    )
}

/// The channel of the stream, as the flags left it; refused if it could carry none.
fn channel_of(common: &Config) -> Outcome<&ChannelConfig> {
    let mut channels = common.channels.iter();
    let channel = channels
        .find(|channel| channel.name == CHANNEL)
        .expect("the run defines its channel");
    let drops = matches!(
        channel.overflow,
        Overflow::DropOldest | Overflow::DropNewest
    );
    if drops || !channel.reliability.is_acknowledged() {
        let channel = CHANNEL.to_owned();
        let error = StreamError::NotReliable { channel };
        return Err(BenchError::BadInput(error.to_string()));
    }
    Ok(channel)
}

/// The two processes.
struct Ends {
    sender: Child,
    receiver: Child,
}

impl Ends {
    fn start(common: &Config, chunk_bytes: usize) -> Outcome<Self> {
        let (receiver, to) = start_end(common, RECEIVER, chunk_bytes)?;
        let (mut sender, _) = start_end(common, SENDER, chunk_bytes)?;
        match sender.ask_within(&Command::Connect(to), ANSWER_WITHIN)? {
            Reply::Connected => Ok(Self { sender, receiver }),
            other => Err(unexpected(&other)),
        }
    }

    /// The transfers that are hashed come first, so that those that are timed find warm connections, and follow
    /// each other at once.
    fn round(&mut self, bytes: u64, progress: &Progress) -> Outcome<Round> {
        let mut hashed = Vec::new();
        for way in Way::BOTH {
            hashed.push(self.hashed(way, bytes, progress)?);
        }
        let raw = self.timed(Way::Raw, bytes, progress)?;
        let stream = self.timed(Way::Stream, bytes, progress)?;
        Ok(Round {
            hashed,
            raw,
            stream,
        })
    }

    fn hashed(&mut self, way: Way, bytes: u64, progress: &Progress) -> Outcome<Hashed> {
        progress.say(format!("{way:?}, hashed"));
        let hashed = true;
        let (_, hashes) = self.carry(Order { way, bytes, hashed })?;
        progress.step();
        let [Some(sent), Some(received)] = hashes else {
            return Err(BenchError::Engine("a process did not hash".to_owned()));
        };
        Ok(Hashed {
            way,
            sent,
            received,
        })
    }

    fn timed(&mut self, way: Way, bytes: u64, progress: &Progress) -> Outcome<Duration> {
        progress.say(format!("{way:?}, timed"));
        let hashed = false;
        let (took, _) = self.carry(Order { way, bytes, hashed })?;
        progress.step();
        Ok(took)
    }

    /// One transfer: how long it took, and the hashes of the sender and the receiver.
    fn carry(&mut self, order: Order) -> Outcome<(Duration, [Option<String>; 2])> {
        let within = ANSWER_WITHIN + Duration::from_secs(order.bytes / SLOWEST_BYTES_PER_S);
        self.receiver.tell(&Command::Receive(order))?;
        let sent = self.sender.ask_within(&Command::Send(order), within)?;
        let received = self.receiver.answer(within)?;
        match (sent, received) {
            (Reply::Sent { took, hash: sent }, Reply::Received { bytes, hash })
                if bytes == order.bytes =>
            {
                Ok((took, [sent, hash]))
            }
            (Reply::Sent { .. }, Reply::Received { bytes, .. }) => Err(BenchError::CheckFailed(
                format!("{bytes} of {} bytes came ({:?})", order.bytes, order.way),
            )),
            (Reply::Sent { .. }, other) | (other, _) => Err(unexpected(&other)),
        }
    }
}

fn start_end(common: &Config, name: &str, chunk_bytes: usize) -> Outcome<(Child, Addresses)> {
    let specification = Specification {
        settings: settings::as_configured(common, name),
        chunk_bytes,
    };
    match Child::start(ROLE, name, &specification)? {
        (child, Reply::Listening(addresses)) => Ok((child, addresses)),
        (_, other) => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Engine(format!(
        "a process of the stream answered {reply:?} to another question"
    ))
}
