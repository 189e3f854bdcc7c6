//! What the parent asks a raw process, and what that process answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ping::{Pace, TimedBuckets};
use crate::sample::Sample;

/// Role name of these processes.
pub(crate) const ROLE: &str = "raw";

/// The first line: where this process runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {
    /// Core of its one busy thread; none leaves all its threads to the kernel.
    pub(crate) core: Option<usize>,
    /// Where it listens.
    pub(crate) listen: IpAddr,
    /// Connections from elsewhere are closed at once.
    pub(crate) only_from: IpAddr,
}

/// What a raw process can be asked; it receives and echoes all the time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Counters up to now.
    Sample,
    /// Begin to send to another raw process.
    StartSending(SendOrder),
    /// End sending.
    StopSending,
    /// Time round trips to another raw process.
    Ping(PingOrder),
}

/// Messages without answers, as many as go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SendOrder {
    /// Where the other process listens.
    pub(crate) to: SocketAddr,
    /// Bytes of each message.
    pub(crate) payload_bytes: usize,
    /// Bytes that are gathered for one write; none is one write for each message, without a copy.
    pub(crate) batch_bytes: Option<usize>,
}

/// Messages with answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PingOrder {
    /// Where the other process listens.
    pub(crate) to: SocketAddr,
    /// Bytes of each message.
    pub(crate) payload_bytes: usize,
    /// Whether both ends ask their sockets again and again instead of sleeping.
    pub(crate) busy: bool,
    /// When the next one begins.
    pub(crate) pace: Pace,
    /// Time that is not recorded.
    pub(crate) warm_up: Duration,
    /// Time that is.
    pub(crate) measure: Duration,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Done, nothing to say.
    Ready,
    /// It listens here.
    Listening(SocketAddr),
    /// To [`Command::Sample`].
    Sample(Sample),
    /// To [`Command::Ping`].
    Timed(TimedBuckets),
}
