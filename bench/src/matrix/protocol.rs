//! What the parent asks the two processes of the matrix, and what they answer.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latencies::Buckets;

/// Role name of these processes. Their first line is the settings of their node.
pub(crate) const ROLE: &str = "matrix";
/// The channels; a layout has the first of them.
pub(super) const CHANNELS: [&str; 4] = ["m0", "m1", "m2", "m3"];
/// The node that asks.
pub(super) const CLIENT: &str = "a";
/// The node that answers.
pub(super) const SERVER: &str = "b";

/// Requests in a closed loop.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Threads, each with one request at a time.
    pub(super) senders: u32,
    pub(super) payload_bytes: usize,
    pub(super) lasts: Duration,
}

/// What a process can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// The server is there.
    Connect(SocketAddr),
    Request(Order),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The node listens here.
    Listening(SocketAddr),
    Connected,
    /// To [`Command::Request`].
    Timed(Timed),
}

/// Requests that were answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Timed {
    pub(super) buckets: Buckets,
    /// From the first request to the last answer.
    pub(super) took: Duration,
}
