//! What the parent asks its two processes, and what they answer.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::accounts::NodeAccounts;
use crate::latencies::Buckets;
use crate::node::settings::Settings;

/// Role name of these processes.
pub(crate) const ROLE: &str = "slow-consumer";
/// The channel under test.
pub(super) const CHANNEL: &str = "data";
/// The sending node.
pub(super) const SENDER: &str = "a";
/// Where messages go.
pub(super) const MAILBOX: &str = "in";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Specification {
    Sender(Settings),
    /// The first one has the consumer that stops.
    Receivers(Vec<Settings>),
}

/// What is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Names and addresses; the first one has the consumer that stops.
    pub(super) peers: Vec<(String, SocketAddr)>,
    /// Messages per second to it, and bytes of each.
    pub(super) hz: u32,
    pub(super) payload_bytes: usize,
    /// Messages per second to each other.
    pub(super) others_hz: u32,
}

/// What a process can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// The sender: connect, and begin to send.
    Start(Order),
    /// The sender: send no more.
    Stop,
    /// The receivers: the consumer of the first one reads, or not.
    Read(bool),
    /// What has happened since it was asked last.
    Look,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    /// The nodes listen here.
    Listening(Vec<SocketAddr>),
    /// The sender, to [`Command::Look`].
    Sender {
        resident_bytes: u64,
        heap_bytes: u64,
        accounts: NodeAccounts,
    },
    /// The receivers, to [`Command::Look`].
    Receivers(Receivers),
}

/// What the receivers have got.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Receivers {
    pub(super) resident_bytes: u64,
    /// Of the heap, in use.
    pub(super) heap_bytes: u64,
    /// Latencies of messages to others than the first, since the last time.
    pub(super) others: Buckets,
    /// Of those, damaged or out of order, since the start.
    pub(super) disorders: u64,
    /// Different messages that the consumer of the first has read.
    pub(super) consumed: u64,
    /// Of those that came to it, damaged, twice, out of order or missing.
    pub(super) faults: u64,
}
