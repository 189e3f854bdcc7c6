//! What the parent asks a process that hosts nodes, and what that process answers.
//!
//! Plain data, one JSON line each. Times are durations; moments are taken by the process itself.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::accounts::NodeAccounts;
use crate::flags::{Consumer, Producer};
use crate::ping::{Pace, TimedBuckets};
use crate::sample::Sample;

/// Role name of these processes.
pub(crate) const ROLE: &str = "node";

/// The first line: the nodes to start. The first one is the one that sends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {
    /// Their configurations.
    pub(crate) nodes: Vec<Settings>,
    /// Whether application threads read inboxes of each node.
    pub(crate) threads: bool,
}

/// Messages with answers, timed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoundTripOrder {
    /// The node that answers.
    pub(crate) peer: String,
    /// The channel, both ways.
    pub(crate) channel: String,
    /// Bytes of each message.
    pub(crate) payload_bytes: usize,
    /// When the next one is sent.
    pub(crate) pace: Pace,
    /// Who sends, and who answers: a shard and a handler, or two threads through inboxes.
    pub(crate) producer: Producer,
    /// Time that is not recorded.
    pub(crate) warm_up: Duration,
    /// Time that is.
    pub(crate) measure: Duration,
}

/// Messages without answers, as many as go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SendOrder {
    /// The nodes that get them, in turn.
    pub(crate) peers: Vec<String>,
    /// The channel.
    pub(crate) channel: String,
    /// Bytes of each message.
    pub(crate) payload_bytes: usize,
    /// Who sends.
    pub(crate) producer: Producer,
    /// Who takes it.
    pub(crate) consumer: Consumer,
    /// Core of the sending application thread; none leaves it to the kernel.
    pub(crate) producer_core: Option<usize>,
}

/// What a process with nodes can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Dial these nodes from the first one and wait until all their lanes are up.
    Connect { peers: Vec<(String, SocketAddr)> },
    /// Begin to send.
    StartSending(SendOrder),
    /// End sending and wait until each message has ended.
    StopSending,
    /// Time round trips; answered when they are over.
    RoundTrips(RoundTripOrder),
    /// Counters up to now.
    Sample,
    /// Both sides of the accounting identity, as this process knows them.
    Accounts,
    /// Resident memory and connections.
    Memory,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Done, nothing to say.
    Done,
    /// The nodes listen here, in the order of the specification.
    Listening(Vec<SocketAddr>),
    /// To [`Command::Sample`].
    Sample(Sample),
    /// To [`Command::RoundTrips`].
    Timed(TimedBuckets),
    /// To [`Command::Accounts`].
    Accounts(Vec<NodeAccounts>),
    /// To [`Command::Memory`].
    Memory {
        /// Resident memory of the process.
        resident_bytes: u64,
        /// Connections of all its nodes.
        connections: usize,
    },
}
