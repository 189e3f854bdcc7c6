//! What a node shows over HTTP: metrics for Prometheus, its state as JSON, whether it is well, and a page for people.
//!
//! The server is started by `node` where the parameter `http` names an address, and is handed what it shows: it knows
//! no node itself. It answers GET and HEAD alone and changes nothing. It runs on threads of its own, never on a shard or the control
//! shard. Whoever reaches it is a stranger: what it takes is bounded in bytes, time and connections.
//!
//! | path | what it shows |
//! |---|---|
//! | `/metrics` | counters, as OpenMetrics where that is asked for; `?peers=1`: of each peer; `?cluster=1`: those of all members besides, added up |
//! | `/api/cluster` | the JSON that `metrics --cluster` prints with `--json` |
//! | `/api/status`, `members`, `overlay`, `peers`, `channels`, `rules`, `metrics` | the JSON that the commands of these names print with `--json` |
//! | `/api/topology` | what rules say of the overlay, and what became of switches |
//! | `/` | a page with all of that |
//! | `/healthz` | 200 if all shards go on |
//! | `/readyz` | 200 if the node has joined its cluster, and is not stopping |

mod api;
mod exposition;
mod figures;
mod page;
mod plain;
mod request;
mod response;
mod routes;
mod server;
mod token;

pub use request::{HEAD_BYTES_MAX, HEADERS_MAX};
pub(crate) use server::{Claim, Server};
pub(crate) use token::Token;

use crate::admin::{Answer, Refusal, Request};
use crate::cluster::{Analysis, BroadcastCounts, ClusterMetrics, SwitchRecord};
use crate::metrics::Metrics;

/// What there is to show. Called on the thread of a connection, which may block.
pub(crate) trait Exhibit: Send + Sync + 'static {
    /// What is counted, for `/metrics`; on all members too, if `totals`.
    fn scrape(&self, totals: bool) -> Scrape;
    /// What the same request over the admin socket is answered with. Only those that change nothing come.
    fn answer(&self, request: Request) -> Result<Answer, Refusal>;
    /// What rules say of the overlay, and what became of switches.
    fn topology(&self) -> Result<Topology, Refusal>;
    /// Whether the node works: what is wrong if not.
    fn health(&self) -> Result<(), String>;
    /// Whether it is to be sent work: why not, if not.
    fn readiness(&self) -> Result<(), String>;
}

/// The overlay: what rules say of it, and what became of switches.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Topology {
    pub(crate) analysis: Analysis,
    pub(crate) history: Vec<SwitchRecord>,
}

/// A node at one moment, as `/metrics` tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) node: String,
    pub(crate) cluster_name: String,
    pub(crate) backend: String,
    pub(crate) incarnation: u64,
    pub(crate) uptime_seconds: f64,
    pub(crate) peers: usize,
    pub(crate) peers_connected: usize,
    pub(crate) metrics: Metrics,
    pub(crate) cluster: Option<ClusterScrape>,
}

/// The cluster of a node at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterScrape {
    pub(crate) is_joined: bool,
    /// How many members there are of each status, by its word.
    pub(crate) members: Vec<(&'static str, usize)>,
    pub(crate) overlay: &'static str,
    pub(crate) epoch: u64,
    pub(crate) neighbors: usize,
    pub(crate) broadcasts: BroadcastCounts,
    /// What all members count, if that was asked for and is known.
    pub(crate) totals: Option<ClusterMetrics>,
}
