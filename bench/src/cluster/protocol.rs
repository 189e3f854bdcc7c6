//! What the parent of a cluster run asks its processes, and what they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::accounts::NodeAccounts;
use crate::latencies::Buckets;
use crate::node::settings::Settings;

/// Role name of these processes.
pub(crate) const ROLE: &str = "cluster";
/// The channel of broadcasts.
pub(super) const CHANNEL: &str = "data";
/// The channel of what nodes send to each other while the overlay is switched.
pub(super) const STEADY: &str = "steady";
/// Its mailbox.
pub(super) const STEADY_MAILBOX: &str = "steady";
/// The channel of what goes over other nodes.
pub(super) const RELAYED: &str = "relayed";
/// The mailbox of broadcasts.
pub(super) const MAILBOX: &str = "news";

/// The first line: the node to start.
pub(super) type Specification = Settings;

/// What a process can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// Enter the cluster at that address.
    Join(SocketAddr),
    /// How the node sees the cluster.
    Look,
    /// The members that it counts as live, by name.
    Members,
    /// Broadcast the messages of these numbers, with so many bytes each.
    Broadcast {
        numbers: std::ops::Range<u32>,
        bytes: usize,
    },
    /// The same of a kind, as fast as the node takes them.
    Flood {
        numbers: std::ops::Range<u32>,
        bytes: usize,
        kind: String,
    },
    /// What it has heard since it was asked last.
    Heard,
    /// Give all nodes that overlay.
    Switch(String),
    /// Send the messages of these numbers to that node over others, and wait until each has ended.
    Relay {
        to: String,
        numbers: std::ops::Range<u32>,
        bytes: usize,
        /// The next when the one before has arrived.
        one_by_one: bool,
    },
    /// Begin to send to that node, as that sender.
    BeginFlow { to: String, sender: u32, hz: u32 },
    /// Send no more.
    EndFlow,
    /// What has come from each sender.
    Got,
    /// Say goodbye to the cluster.
    Leave,
    /// The counters of the node.
    Accounts,
    /// What was told of splits of the cluster since this was asked last.
    Splits,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    /// The node listens here.
    Listening(SocketAddr),
    /// To [`Command::Look`].
    Look(Look),
    /// To [`Command::Members`].
    Members(Vec<String>),
    /// To [`Command::Heard`].
    Heard(Heard),
    /// To [`Command::Relay`].
    Relayed(Relayed),
    /// To [`Command::EndFlow`].
    Flow(Flow),
    /// To [`Command::Got`].
    Got(BTreeMap<u32, Got>),
    /// To [`Command::Accounts`].
    Accounts(NodeAccounts),
    /// To [`Command::Splits`].
    Splits(Vec<Split>),
    /// To [`Command::Switch`]: whether it was switched, and why not.
    Switched(Result<(), String>),
}

/// What a node told of a split.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Split {
    /// The cluster has split: who is here, and who was lost.
    Parted {
        here: BTreeSet<String>,
        there: BTreeSet<String>,
    },
    /// Most of the lost are back, but for these.
    Healed { missing: BTreeSet<String> },
}

impl Split {
    /// It begins, or is another one.
    pub(super) const fn is_parted(&self) -> bool {
        matches!(self, Self::Parted { .. })
    }
}

/// How a node sees the cluster, and what it costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) live: usize,
    pub(super) is_joined: bool,
    pub(super) neighbors: usize,
    pub(super) epoch: u64,
    pub(super) overlay: String,
    /// Another one is being built.
    pub(super) is_changing: bool,
    pub(super) resident_bytes: u64,
    /// Time of a core that the process has used.
    pub(super) cpu_ns: u64,
    /// Broadcasts heard in all.
    pub(super) heard: u64,
    /// Members that the node was told are down.
    pub(super) told_down: u64,
}

/// What a node has heard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Heard {
    /// Numbers of the broadcasts, each as often as it came.
    pub(super) numbers: Vec<u32>,
    pub(super) latencies: Buckets,
    /// The most nodes that one of them passed.
    pub(super) hops_max: u32,
}

/// What a sender came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) accepted: u64,
    /// The longest time between two messages that were accepted.
    pub(super) longest_gap_ns: u64,
}

/// What became of messages that went over other nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Relayed {
    pub(super) acknowledged: u64,
    pub(super) reported: u64,
    pub(super) took_ns: u64,
}

/// What came from one sender.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Got {
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    pub(super) missing: u64,
    /// The longest time between two messages.
    pub(super) longest_gap_ns: u64,
}
