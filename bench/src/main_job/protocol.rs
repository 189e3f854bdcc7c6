//! What the main job's parent asks its three node processes, and what they answer.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::accounts::NodeAccounts;
use crate::exit::Exit;
use crate::latencies::Buckets;
use crate::node::settings::Settings;

/// Role name of these processes.
pub(crate) const ROLE: &str = "main-job";

/// Channel of the file.
pub(crate) const DATA: &str = "data";
/// Channel of the heartbeats.
pub(crate) const COORDINATION: &str = "coordination";
/// Channel of the rumours.
pub(crate) const GOSSIP: &str = "gossip";

/// The first line: the node to start and the traffic it makes by itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {
    /// Its configuration.
    pub(crate) settings: Settings,
    /// Its number, from 0: the origin of its rumours.
    pub(crate) number: u8,
    /// Heartbeats per second to each other node.
    pub(crate) heartbeat_hz: u32,
    /// Rumours per second that it starts.
    pub(crate) gossip_hz: u32,
}

/// What a node process can be asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Enter the cluster at that address.
    Join(SocketAddr),
    /// Wait until these nodes are members, and connected to this one.
    WaitForMembers(Vec<String>),
    /// Begin heartbeats and rumours to these nodes.
    StartTraffic(Vec<String>),
    /// Begin to write the file that will come to this path.
    ReceiveFile(PathBuf),
    /// Begin to send a file.
    SendFile {
        path: PathBuf,
        hash: String,
        to: String,
        chunk_bytes: usize,
    },
    /// What happened since the last time this was asked.
    Poll,
    /// Start no more heartbeats and rumours.
    StopTraffic,
    /// The counters.
    Accounts,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Done, nothing to say.
    Done,
    /// The node listens here.
    Listening(SocketAddr),
    /// To [`Command::Poll`].
    Progress(Progress),
    /// To [`Command::Accounts`].
    Accounts(NodeAccounts),
}

/// What happened on a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Latencies of heartbeats that came since the last time.
    pub(crate) heartbeats: Buckets,
    /// Heartbeats that came out of their order, since the start.
    pub(crate) out_of_order: u64,
    /// Heartbeats that were not accepted, since the start.
    pub(crate) refused: u64,
    /// Rumours started, heard for the first time, heard again; since the start.
    pub(crate) rumours: (u64, u64, u64),
    /// The file, where this node sends or receives it.
    pub(crate) file: FileProgress,
}

/// How far a file is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileProgress {
    /// Bytes read and accepted, or received and written.
    pub(crate) bytes: u64,
    /// All of it is through.
    pub(crate) finished: Option<Finished>,
    /// Why it will not get through.
    pub(crate) fault: Option<(Exit, String)>,
}

/// The end of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// When the first byte was read, or the first message came.
    pub(crate) began_ns: u64,
    /// When the last message was accepted, or the last byte was written.
    pub(crate) ended_ns: u64,
}
