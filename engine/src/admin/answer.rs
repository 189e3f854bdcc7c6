//! What a node says over its admin socket, and the line that says so.
//!
//! Written by the server, read by the client and rendered by commands. Plain values: who makes them looks at the node.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::PROTOCOL_VERSION;
use super::cluster_report::ClusterMetricsReport;
use super::event_report::EventReport;
use super::fault_report::FaultReport;
use super::metrics_report::MetricsReport;
use crate::config::Change;
use crate::metrics::RuleMetrics;
use crate::recording::Recording;

/// A line from a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It did what was asked.
    Answer(Box<Answer>),
    /// It did not.
    Refused(Refusal),
    /// Something happened; after the answer to [`Request::Events`](super::Request::Events).
    Event(EventReport),
}

#[derive(Serialize, Deserialize)]
struct ReplyLine<'a> {
    version: u32,
    #[serde(flatten)]
    reply: Cow<'a, Reply>,
}

impl Reply {
    /// Its line, without the end.
    #[must_use]
    pub fn line(&self) -> String {
        let line = ReplyLine {
            version: PROTOCOL_VERSION,
            reply: Cow::Borrowed(self),
        };
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Reads the line of a reply.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        let line: ReplyLine<'_> =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if line.version != PROTOCOL_VERSION {
            return Err(format!(
                "the node speaks version {} of the admin protocol, this program version {PROTOCOL_VERSION}",
                line.version
            ));
        }
        Ok(line.reply.into_owned())
    }
}

/// Why a node did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }

    /// A name or a value that cannot be.
    pub(crate) fn invalid(error: impl std::fmt::Display) -> Self {
        Self::new(RefusalKind::Invalid, error.to_string())
    }

    /// It was tried and did not come about.
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::new(RefusalKind::Failed, error.to_string())
    }
}

/// Kinds of reasons for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The line is no request that this version knows.
    Malformed,
    /// The node does not speak that version of the protocol.
    Unsupported,
    /// There are too many connections. Nothing was done: try again.
    Busy,
    /// A name or a value cannot be as it is.
    Invalid,
    /// It was tried, and did not come about.
    Failed,
    /// The node is stopping.
    Stopping,
    /// The socket is for looking alone.
    NotAllowed,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// It is done, and there is nothing more to say.
    Done,
    /// What the node is.
    Status(NodeStatus),
    /// The peers that it knows, by name.
    Peers(Vec<PeerStatus>),
    /// The members of its cluster, by name.
    Members(Vec<MemberReport>),
    /// The overlay that it is in.
    Overlay(OverlayReport),
    /// What rules say, what became of switches, or the rules and their values.
    Topology(serde_json::Value),
    /// A broadcast was begun.
    Broadcasting {
        /// The channel that it goes on.
        channel: String,
        /// Live members besides this node, as far as it knows.
        members: usize,
    },
    /// A publication was begun.
    Publishing {
        /// The channel that it goes on.
        channel: String,
    },
    /// Its counters.
    Metrics(MetricsReport),
    /// Those of the members of its cluster, added up.
    ClusterMetrics(ClusterMetricsReport),
    /// Its channels, in their order.
    Channels(Vec<ChannelStatus>),
    /// A channel was removed.
    Removed {
        /// Messages that were reported since the removal began.
        reported: u64,
        /// Messages that were dropped since then.
        dropped: u64,
    },
    /// Parameters of the node, in no channel, as files and flags have them; secrets are none.
    Parameters(BTreeMap<String, String>),
    /// What the threads of the node did last.
    Recording(Recording),
    /// Faults on purpose that are open.
    Faults(Vec<FaultReport>),
    /// A fault is open.
    FaultAdded {
        /// By which it is removed.
        id: u64,
    },
    /// How a change of a channel on all nodes went.
    ChannelOrdered(ChannelOrderReport),
    /// The changes of channels that are in force in the cluster, by channel.
    ChannelChanges(Vec<ChannelChangeStatus>),
    /// Its routing rules, in order.
    Rules(Vec<RuleMetrics>),
    /// A round trip.
    Ping {
        /// The channel that it took.
        channel: String,
        /// Microseconds from the request to the reply, as the asking node has measured them.
        round_trip_us: f64,
    },
    /// A message was sent.
    Sent {
        /// The channel that it was named for; hints and rules may have led it to another.
        channel: Option<String>,
        /// What became of it.
        outcome: SendOutcome,
    },
    /// Its configuration was read again and followed.
    Reloaded {
        /// What is as it says now.
        changed: Vec<Change>,
        /// What will be as it says when the node is started again.
        needs_restart: Vec<Change>,
    },
    /// What happens follows, a line each.
    Following,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendOutcome {
    /// It was delivered.
    Acknowledged,
    /// It was accepted on a channel that acknowledges nothing.
    Accepted,
}

/// What a node is, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// The cluster it belongs to.
    pub cluster: String,
    /// The number of this start of it.
    pub incarnation: u64,
    /// Where it listens.
    pub address: SocketAddr,
    /// Version of the engine.
    pub overlane: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// How its shards do their I/O.
    pub backend: String,
    /// Data shards.
    pub shards: usize,
    /// Names of its channels.
    pub channels: Vec<String>,
    /// Peers that it knows.
    pub peers: usize,
    /// Of those, peers that are connected.
    pub peers_connected: usize,
    /// Its cluster, if it is in one.
    pub in_cluster: Option<ClusterStatus>,
    /// Whether the accounting identity of every channel holds.
    pub identity_holds: bool,
    /// Messages accepted and not settled yet.
    pub messages_open: u64,
}

/// The cluster of a node, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Whether it is a member among others, or the only one that there is to be.
    pub joined: bool,
    /// Live members, itself among them.
    pub members: usize,
    /// The overlay that carries.
    pub overlay: String,
}

/// A member of a cluster, as one node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Its name.
    pub member: String,
    /// alive, suspect, down or left.
    pub status: String,
    /// The number of this start of it.
    pub incarnation: u64,
    /// Where it is found, best first.
    pub addresses: Vec<SocketAddr>,
    /// What its application says of it, if that is text.
    pub metadata: Option<String>,
    /// Bytes of that.
    pub metadata_bytes: usize,
    /// Whether it is to be a server where servers are chosen: auto, server or client.
    pub role: String,
    /// How much it can carry as one, compared with others.
    pub capacity: u16,
    /// The zone that it runs in, if it is in one.
    pub zone: Option<String>,
    /// It is the node that answers.
    pub is_self: bool,
    /// The overlay connects the node that answers to it.
    pub is_neighbor: bool,
}

/// The overlay as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayReport {
    /// Which it is.
    pub overlay: String,
    /// Grows with each switch; 0 is the one that the cluster began with.
    pub epoch: u64,
    /// What it is being changed to.
    pub changing_to: Option<String>,
    /// Of client_server: its servers.
    pub servers: Vec<String>,
    /// To whom it connects this node.
    pub neighbors: Vec<String>,
    /// The member that all who reach one another agree on.
    pub coordinator: Option<String>,
    /// Live members, this node among them.
    pub members: usize,
    /// Broadcasts that were begun here.
    pub broadcasts_started: u64,
    /// Broadcasts of others that were delivered here.
    pub broadcasts_delivered: u64,
    /// Broadcasts of others that came and found no room or no channel here, or causal ones that did not come in time.
    pub broadcasts_missed: u64,
    /// Broadcasts of others, of the cluster's own protocols too, that were heard of and got from nobody.
    #[serde(default)]
    pub broadcasts_given_up: u64,
    /// Broadcasts by kind, and publications.
    #[serde(default)]
    pub broadcasts: Vec<BroadcastReport>,
    /// Topics that the node subscribes to.
    #[serde(default)]
    pub topics: Vec<String>,
}

/// Broadcasts of one kind, or publications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastReport {
    /// plain, causal, atomic, epidemic or topic.
    pub kind: String,
    /// Begun here.
    pub started: u64,
    /// Of others, delivered here.
    pub delivered: u64,
    /// Of others, which came and found no room or no channel, or not in time.
    pub missed: u64,
    /// Ordered here and not begun.
    pub refused: u64,
}

/// A peer of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name.
    pub peer: String,
    /// Whether messages to it are accepted.
    pub connected: bool,
    /// Where it is dialled; none if that is left to it.
    pub address: Option<SocketAddr>,
    /// The incarnation that its lanes were last made with; 0 before the first.
    pub incarnation: u64,
    /// Lanes up, the engine's own among them.
    pub lanes_up: u32,
    /// Lanes there are when all are up.
    pub lanes: usize,
}

/// How a change of a channel on all nodes of a cluster went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelOrderReport {
    /// Grows with each change of channels in the cluster.
    pub epoch: u64,
    /// Members where it is made.
    pub made: Vec<String>,
    /// Members that cannot make it, and why.
    pub refused: BTreeMap<String, String>,
    /// Live members that did not answer in time.
    pub silent: Vec<String>,
}

/// A change of a channel that is in force in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelChangeStatus {
    /// The channel.
    pub channel: String,
    /// Grows with each change of channels in the cluster.
    pub epoch: u64,
    /// The node that ordered it.
    pub by: String,
    /// `add`, `set` or `remove`, and the parameters that were ordered.
    pub change: String,
    /// Whether it is made at the node that answers.
    pub made: bool,
    /// Why it is not, if that node cannot.
    pub why_not: Option<String>,
}

/// A channel of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its name.
    pub channel: String,
    /// Its parameters, as files and flags have them.
    pub parameters: BTreeMap<String, String>,
    /// Those of them that are not the default.
    pub set: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_goes_there_and_back() {
        let refusal = Refusal::invalid("no \u{1b} such \"thing\"");
        let ping = Answer::Ping {
            channel: "data".to_owned(),
            round_trip_us: 83.4,
        };
        for reply in [
            Reply::Answer(Box::new(Answer::Done)),
            Reply::Answer(Box::new(ping)),
            Reply::Refused(refusal),
        ] {
            let line = reply.line();
            assert!(!line.contains(char::is_control), "{line:?}");
            assert_eq!(Reply::read(line.as_bytes()), Ok(reply), "{line}");
        }
    }

    #[test]
    fn a_reply_of_another_version_is_told() {
        let line = br#"{"version":7,"answer":"done"}"#;
        let error = Reply::read(line).expect_err("it is of another version");
        assert!(error.contains("speaks version 7"), "{error}");
        assert!(Reply::read(b"{}").is_err());
    }
}
