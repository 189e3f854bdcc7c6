//! What a node shows over HTTP, looked at with its own public face.
//!
//! The server is made when a node with an `http` address starts. Called on its threads, which may block.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::admin::FrontDesk;
use crate::admin::{Answer, Desk, Refusal, Request};
use crate::cluster::{Cluster, MemberStatus};
use crate::config::Config;
use crate::error::StartError;
use crate::http::{Claim, ClusterScrape, Exhibit, Scrape, Server, Token, Topology};

/// How long shards may take to show that they go on. 2 s: a guess, far above the longest turn, and less than the patience
/// of whoever asks for health.
const PULSE_PATIENCE: Duration = Duration::from_secs(2);

/// Takes the address that the configuration names, if it does.
pub(super) fn claim(config: &Config) -> Result<Option<Claim>, StartError> {
    let Some(address) = config.http.address() else {
        return Ok(None);
    };
    let token = config.http_token_file.path().map(Token::read).transpose();
    let token = token.map_err(|what| StartError::HttpToken { what })?;
    let claimed = Claim::take(address, token);
    let claim = claimed.map_err(|source| StartError::Http { address, source })?;
    Ok(Some(claim))
}

/// Serves an address that was taken for the node.
pub(super) fn serve(node: &Node, claim: Claim) -> Result<Server, StartError> {
    let desk = Arc::new(FrontDesk::of(node));
    Server::start(claim, desk).map_err(|error| StartError::Machine {
        what: format!("HTTP is not served: no thread could be made ({error})"),
        remedy: "raise the limit of threads (ulimit -u), or start without `http`".to_owned(),
    })
}

impl Exhibit for FrontDesk {
    fn scrape(&self, totals: bool) -> Scrape {
        let node = &self.node;
        let peers = node.peers();
        let connected = peers.iter().filter(|known| known.peer.is_connected());
        Scrape {
            node: node.name().to_owned(),
            cluster_name: node.fabric.config.cluster.clone(),
            backend: node.backend().to_string(),
            incarnation: node.incarnation(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            peers_connected: connected.count(),
            peers: peers.len(),
            metrics: node.metrics(),
            cluster: node.cluster().map(|of| cluster(of, totals)),
        }
    }

    fn answer(&self, request: Request) -> Result<Answer, Refusal> {
        Desk::answer(self, request)
    }

    fn topology(&self) -> Result<Topology, Refusal> {
        let Some(cluster) = self.node.cluster() else {
            return Err(Refusal::invalid(
                "the node is in no cluster, and has no overlay",
            ));
        };
        Ok(Topology {
            analysis: cluster.analyze().map_err(Refusal::failed)?,
            history: cluster.topology_history().map_err(Refusal::failed)?,
        })
    }

    fn health(&self) -> Result<(), String> {
        let pulse = self.node.pulse(PULSE_PATIENCE);
        pulse.map_err(|error| error.to_string())
    }

    fn readiness(&self) -> Result<(), String> {
        if self.node.fabric.is_lame_duck() && !self.node.fabric.is_stopping() {
            return Err("the node takes no new peers: it is to be stopped soon".to_owned());
        }
        if self.node.fabric.is_retiring() {
            return Err("the node is stopping".to_owned());
        }
        match self.node.cluster() {
            Some(cluster) if !cluster.is_joined() => {
                Err("the node has not joined its cluster yet".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn cluster(cluster: &Cluster, totals: bool) -> ClusterScrape {
    let members = cluster.members();
    let count = |status: MemberStatus| {
        let of_status = members.iter().filter(|member| member.status == status);
        (status.word(), of_status.count())
    };
    let overlay = cluster.overlay();
    ClusterScrape {
        is_joined: cluster.is_joined(),
        members: vec![
            count(MemberStatus::Alive),
            count(MemberStatus::Suspect),
            count(MemberStatus::Down),
            count(MemberStatus::Left),
        ],
        overlay: overlay.kind.name(),
        epoch: overlay.epoch,
        neighbors: overlay.neighbors.len(),
        broadcasts: cluster.broadcast_counts(),
        // A control shard that does not answer is told by the lack of them, and by `/healthz`.
        totals: totals.then(|| cluster.metrics().ok()).flatten(),
    }
}
