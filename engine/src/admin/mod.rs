//! Administering a node that runs: a Unix socket by which commands ask it and change it.
//!
//! The server is started by `node` where the parameter `admin` names a path, and is handed a desk that answers: it
//! knows no node itself. It runs on threads of its own, one that accepts and one for each connection, both bounded,
//! never on a shard or the control shard. Whoever can open the socket is trusted with the node; what
//! comes over it is bounded all the same. A second socket, at the path of `admin_read`, is for who may look and not
//! change ([`Role`]).
//!
//! # Protocol
//!
//! One JSON object a line. A request names the version of the protocol and itself; a line is at most
//! [`REQUEST_BYTES_MAX`] bytes:
//!
//! ```json
//! {"version":1,"request":"ping","peer":"b","bytes":64,"timeout_ms":1000}
//! ```
//!
//! Each is answered with one line, and a connection takes one request after the other:
//!
//! ```json
//! {"version":1,"answer":{"ping":{"channel":"data","round_trip_us":83.4}}}
//! {"version":1,"refused":{"kind":"invalid","text":"there is no channel named ..."}}
//! ```
//!
//! After the answer to `events` a line comes for each event, until the client goes: `{"version":1,"event":{...}}`.
//! [`Client`] speaks it.

pub mod answer;
pub mod client;
mod cluster_report;
mod connection;
mod event_report;
mod fault_report;
pub mod lines;
mod metrics_report;
mod places;
pub mod request;
mod role;
mod server;
mod socket;

pub use crate::serving::{CONNECTIONS_MAX, FOLLOWERS_MAX};
pub use answer::{
    Answer, BroadcastReport, ChannelChangeStatus, ChannelOrderReport, ChannelStatus, ClusterStatus,
    MemberReport, NodeStatus, OverlayReport, PeerStatus, Refusal, RefusalKind, Reply, SendOutcome,
};
pub use client::{Client, ClientError, Following};
pub use cluster_report::{ChannelTotalReport, ClusterMetricsReport};
pub use event_report::EventReport;
pub use fault_report::FaultReport;
pub use lines::{LineTooLong, Lines};
pub use metrics_report::{LatencyReport, MetricsReport};
pub use places::{SOCKET_SUFFIX, folder, is_own, sockets_in};
pub use request::{
    Content, REQUEST_BYTES_MAX, Request, TRIAL_MS_MAX, TRIAL_MS_MIN, TrialRequest, WAIT_MS_MAX,
};
pub use role::Role;
pub(crate) use server::Server;
pub(crate) use socket::Claim;

use crate::events::Events;

/// The version of the protocol.
pub const PROTOCOL_VERSION: u32 = 1;

/// Who answers what the server reads. Called on the thread of the connection, which may block.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Answers a request, but for [`Request::Events`].
    fn answer(&self, request: Request) -> Result<Answer, Refusal>;

    /// Subscribes to what happens from now on.
    fn follow(&self) -> Events;
}
