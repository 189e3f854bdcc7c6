//! A node at one moment, as `overlane top` asks for it.

use std::path::Path;
use std::time::Instant;

use overlane::admin::{
    Answer, Client, MemberReport, MetricsReport, NodeStatus, OverlayReport, PeerStatus, Request,
};

use crate::admin::unexpected;
use crate::ending::Failure;

/// What a node said, all of it within a moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) status: NodeStatus,
    /// Of a node that is in a cluster.
    pub(super) cluster: Option<(OverlayReport, Vec<MemberReport>)>,
    pub(super) peers: Vec<PeerStatus>,
    pub(super) metrics: MetricsReport,
}

impl Snapshot {
    /// Asks the node at that socket.
    pub(super) fn ask(path: &Path) -> Result<Self, Failure> {
        let mut client = Client::connect(path)?;
        let status = match client.ask(&Request::Status {})? {
            Answer::Status(status) => status,
            other => return Err(unexpected(&other)),
        };
        let cluster = match status.in_cluster {
            Some(_) => Some(ask_cluster(&mut client)?),
            None => None,
        };
        let peers = match client.ask(&Request::Peers {})? {
            Answer::Peers(peers) => peers,
            other => return Err(unexpected(&other)),
        };
        let everything = Request::Metrics {
            peer: None,
            channel: None,
        };
        let metrics = match client.ask(&everything)? {
            Answer::Metrics(metrics) => metrics,
            other => return Err(unexpected(&other)),
        };
        Ok(Self {
            at: Instant::now(),
            status,
            cluster,
            peers,
            metrics,
        })
    }
}

fn ask_cluster(client: &mut Client) -> Result<(OverlayReport, Vec<MemberReport>), Failure> {
    let overlay = match client.ask(&Request::Overlay {})? {
        Answer::Overlay(overlay) => overlay,
        other => return Err(unexpected(&other)),
    };
    match client.ask(&Request::Members {})? {
        Answer::Members(members) => Ok((overlay, members)),
        other => Err(unexpected(&other)),
    }
}
