//! What the parent asks the two processes of a stream run, and what they answer.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::settings::Settings;

/// Role name of these processes.
pub(crate) const ROLE: &str = "stream";
/// The channel of the stream.
pub(super) const CHANNEL: &str = "data";
/// The node that writes.
pub(super) const SENDER: &str = "a";
/// The node that reads.
pub(super) const RECEIVER: &str = "b";

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Specification {
    pub(super) settings: Settings,
    /// What is written, and read from a socket, at a time.
    pub(super) chunk_bytes: usize,
}

/// How bytes come from one process to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// A TCP connection.
    Raw,
    /// A stream of the engine.
    Stream,
}

impl Way {
    /// In the order in which they take turns.
    pub(super) const BOTH: [Self; 2] = [Self::Raw, Self::Stream];
}

/// One transfer; both processes get the same.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) way: Way,
    pub(super) bytes: u64,
    /// Whether both ends hash what passes.
    pub(super) hashed: bool,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Addresses {
    pub(super) node: SocketAddr,
    pub(super) raw: SocketAddr,
}

/// What a process can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// The receiver is there: once, before anything is sent.
    Connect(Addresses),
    Send(Order),
    Receive(Order),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Listening(Addresses),
    Connected,
    /// To [`Command::Send`].
    Sent {
        /// Until the other application had read all of it.
        took: Duration,
        hash: Option<String>,
    },
    /// To [`Command::Receive`].
    Received {
        bytes: u64,
        hash: Option<String>,
    },
}
