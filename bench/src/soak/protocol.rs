//! What the parent of a soak asks its two processes, and what they answer.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::gaps::{Gaps, Told};
use super::ledger::Entry;
use crate::accounts::NodeAccounts;
use crate::node::settings::Settings;

/// Role name of these processes.
pub(crate) const ROLE: &str = "soak";
/// The channel under test.
pub(super) const CHANNEL: &str = "soak";
/// The sending node.
pub(super) const SENDER: &str = "a";
/// The receiving node.
pub(super) const RECEIVER: &str = "b";

/// The first line: the node to start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Specification {
    pub(super) settings: Settings,
    /// How many threads of the other node send.
    pub(super) senders: u32,
    /// Where a receiver notes what it has delivered, so that it outlives it.
    pub(super) ledger: Option<PathBuf>,
}

/// What is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Where the receiver is dialled.
    pub(super) address: SocketAddr,
    /// Messages per second of each sender.
    pub(super) hz: u32,
    pub(super) senders: u32,
    pub(super) payload_bytes: usize,
}

/// What a process can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// Connect, and begin to send.
    Start(Order),
    /// Stop sending.
    Stop,
    /// The counters of the node.
    Accounts,
    /// What was delivered.
    Delivered,
    /// What the sender was told.
    Told,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    /// The node listens here.
    Listening(SocketAddr),
    /// To [`Command::Accounts`].
    Accounts(NodeAccounts),
    /// To [`Command::Delivered`].
    Delivered(Delivered),
    /// To [`Command::Told`].
    Told(Vec<(u64, Told)>),
}

/// What a receiver has got.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Delivered {
    /// By sender.
    pub(super) entries: Vec<Entry>,
    /// Messages that were not as they were sent, or of a sender that there is not.
    pub(super) damaged: u64,
    pub(super) gaps: Gaps,
    /// Why the ledger could not be written.
    pub(super) fault: Option<String>,
}
