//! What a node answers over its admin socket, with its own public face.
//!
//! Made when a node with an admin socket starts. Called on the server's threads, which may block; whatever a request
//! brings, it does no more than an application could.

mod broadcasts;
mod channels;
mod cluster;
mod cluster_channels;
mod faults;
mod messages;
mod peers;
mod topology;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Node;
use crate::admin::{
    Answer, Claim, Desk, MetricsReport, NodeStatus, Refusal, RefusalKind, Request, Role, Server,
};
use crate::config::{Config, NODE_PARAMETERS, Place, Rule};
use crate::error::{AdminError, ChannelError, NameError, ReloadError, StartError};
use crate::events::Events;

pub(super) use messages::answer_pings;

/// Answers for a node.
pub(super) struct FrontDesk {
    /// A second handle, without the node's threads: dropping it ends nothing.
    pub(super) node: Node,
    pub(super) started: Instant,
}

impl FrontDesk {
    /// For a node that starts now.
    pub(super) fn of(node: &Node) -> Self {
        Self {
            node: node.without_threads(),
            started: Instant::now(),
        }
    }
}

/// Takes the sockets that the configuration names: the one by which the node is administered, and the one for looking.
pub(super) fn claims(config: &Config) -> Result<Vec<Claim>, AdminError> {
    let read = Some(&*config.admin_read).filter(|path| !path.as_os_str().is_empty());
    let sockets = [(config.admin.path(), Role::Admin), (read, Role::Read)];
    let sockets = { sockets.into_iter() }.filter_map(|(path, role)| Some((path?, role)));
    sockets
        .map(|(path, role)| Claim::take(path, role))
        .collect()
}

/// Serves a socket that was taken for the node.
pub(super) fn serve(node: &Node, claim: Claim) -> Result<Server, StartError> {
    let desk = Arc::new(FrontDesk::of(node));
    Server::start(claim, desk).map_err(|error| StartError::Machine {
        what: format!("the admin socket is not served: no thread could be made ({error})"),
        remedy: "raise the limit of threads (ulimit -u), or start without `admin`".to_owned(),
    })
}

impl Desk for FrontDesk {
    fn answer(&self, request: Request) -> Result<Answer, Refusal> {
        if self.node.fabric.is_stopping() {
            return Err(stopping());
        }
        let node = &self.node;
        match request {
            Request::Status {} => Ok(self.status()),
            Request::Metrics { peer, channel } => {
                let metrics = node.metrics();
                let report = MetricsReport::of(metrics, peer.as_deref(), channel.as_deref());
                Ok(Answer::Metrics(report))
            }
            Request::Parameters {} => Ok(parameters(&node.fabric.config)),
            Request::Recording {} => Ok(Answer::Recording(node.recording())),
            Request::Rules {} => Ok(Answer::Rules(node.metrics().rules)),
            Request::Reload { wait_ms } => reload(node, Duration::from_millis(wait_ms)),
            Request::SetRules { rules } => set_rules(node, &rules),
            Request::Faults {} | Request::AddFault { .. } | Request::RemoveFault { .. } => {
                faults::answer(node, request)
            }
            Request::Channels {}
            | Request::AddChannel { .. }
            | Request::SetChannel { .. }
            | Request::RemoveChannel { .. } => channels::answer(node, request),
            Request::Peers {}
            | Request::Connect { .. }
            | Request::Disconnect { .. }
            | Request::Forget { .. } => peers::answer(node, request),
            Request::Members {}
            | Request::Overlay {}
            | Request::SwitchOverlay { .. }
            | Request::Analysis {}
            | Request::SwitchHistory {}
            | Request::ClusterMetrics {}
            | Request::TopologyRules {}
            | Request::SetTopologyRules { .. }
            | Request::Evict { .. }
            | Request::AddClusterChannel { .. }
            | Request::SetClusterChannel { .. }
            | Request::RemoveClusterChannel { .. }
            | Request::ChannelChanges {}
            | Request::Leave { .. }
            | Request::Broadcast { .. }
            | Request::Publish { .. }
            | Request::Subscribe { .. }
            | Request::Unsubscribe { .. } => cluster::answer(node, request),
            Request::Ping { .. } | Request::Send { .. } => messages::answer(node, request),
            // The connection answers it.
            Request::Events {} => Ok(Answer::Following),
        }
    }

    fn follow(&self) -> Events {
        self.node.events()
    }
}

impl FrontDesk {
    fn status(&self) -> Answer {
        let node = &self.node;
        let (metrics, peers) = (node.metrics(), node.peers());
        let connected = peers.iter().filter(|known| known.peer.is_connected());
        let open = node.fabric.channels.open();
        Answer::Status(NodeStatus {
            node: node.name().to_owned(),
            cluster: node.fabric.config.cluster.clone(),
            incarnation: node.incarnation(),
            address: node.local_addr(),
            overlane: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            backend: node.backend().to_string(),
            shards: node.shards(),
            channels: open.iter().map(|plan| plan.name.to_string()).collect(),
            peers_connected: connected.count(),
            peers: peers.len(),
            in_cluster: node.cluster().map(cluster::status),
            identity_holds: metrics.identity_holds(),
            messages_open: metrics
                .lanes
                .iter()
                .map(|lane| lane.queued + lane.in_flight)
                .sum(),
        })
    }
}

fn parameters(config: &Config) -> Answer {
    let known = NODE_PARAMETERS.iter();
    Answer::Parameters(
        known
            .map(|it| (it.name.to_owned(), it.get(config)))
            .collect(),
    )
}

fn reload(node: &Node, wait: Duration) -> Result<Answer, Refusal> {
    match node.reload(wait) {
        Ok(report) => Ok(Answer::Reloaded {
            changed: report.changed,
            needs_restart: report.needs_restart,
        }),
        Err(error @ ReloadError::Halfway { .. }) => Err(Refusal::failed(error)),
        Err(error) => Err(Refusal::invalid(error)),
    }
}

fn set_rules(node: &Node, rules: &[String]) -> Result<Answer, Refusal> {
    let place = Place::Request;
    let rules: Result<Vec<_>, _> = rules.iter().map(|rule| Rule::read(rule, &place)).collect();
    let rules = rules.map_err(Refusal::invalid)?;
    node.set_rules(&rules).map_err(Refusal::invalid)?;
    Ok(Answer::Done)
}

fn stopping() -> Refusal {
    Refusal::new(RefusalKind::Stopping, "the node is stopping")
}

/// Why a name was not taken.
fn name_refused(error: NameError) -> Refusal {
    match error {
        NameError::Closed => stopping(),
        NameError::NoAnswer { .. } | NameError::TooMany { .. } => Refusal::failed(error),
        error => Refusal::invalid(error),
    }
}

/// Why a channel was not changed.
fn channel_refused(error: ChannelError) -> Refusal {
    match error {
        ChannelError::Closed => stopping(),
        ChannelError::Config(_)
        | ChannelError::Exists { .. }
        | ChannelError::Unknown { .. }
        | ChannelError::NotHere { .. }
        | ChannelError::Fixed { .. } => Refusal::invalid(error),
        error => Refusal::failed(error),
    }
}
