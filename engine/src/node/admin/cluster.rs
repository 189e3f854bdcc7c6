//! Requests about the cluster.

use std::time::Duration;

use super::{broadcasts, cluster_channels, stopping, topology};
use crate::admin::{
    Answer, ClusterStatus, MemberReport, OverlayReport, Refusal, Request, TrialRequest,
};
use crate::cluster::{
    Cluster, ClusterMetricsError, EvictError, LeaveError, Member, OverlayKind, OverlayTrial,
    SwitchError,
};
use crate::node::Node;

pub(super) fn answer(node: &Node, request: Request) -> Result<Answer, Refusal> {
    let Some(cluster) = node.cluster() else {
        return Err(Refusal::invalid(
            "the node is in no cluster: start it with an `overlay`, the same on all nodes",
        ));
    };
    match request {
        Request::SwitchOverlay {
            overlay,
            servers,
            trial,
            wait_ms,
        } => {
            let wait = Duration::from_millis(wait_ms);
            switch(cluster, &overlay, &servers, trial, wait)
        }
        Request::Evict { member, wait_ms } => {
            let evicted = cluster.evict(&member, Duration::from_millis(wait_ms));
            evicted.map_err(|error| match error {
                EvictError::Closed => stopping(),
                EvictError::TimedOut { .. } | EvictError::Order(_) => Refusal::failed(error),
                error => Refusal::invalid(error),
            })?;
            Ok(Answer::Done)
        }
        Request::Leave { wait_ms } => {
            let left = cluster.leave(Duration::from_millis(wait_ms));
            left.map_err(|error| match error {
                LeaveError::Closed => stopping(),
                error => Refusal::failed(error),
            })?;
            Ok(Answer::Done)
        }
        Request::Broadcast { .. }
        | Request::Publish { .. }
        | Request::Subscribe { .. }
        | Request::Unsubscribe { .. } => broadcasts::answer(node, cluster, request),
        Request::AddClusterChannel { .. }
        | Request::SetClusterChannel { .. }
        | Request::RemoveClusterChannel { .. }
        | Request::ChannelChanges {} => cluster_channels::answer(cluster, request),
        Request::Analysis {}
        | Request::SwitchHistory {}
        | Request::TopologyRules {}
        | Request::SetTopologyRules { .. } => topology::answer(cluster, request),
        Request::ClusterMetrics {} => {
            let total = cluster.metrics().map_err(|error| match error {
                ClusterMetricsError::Closed => stopping(),
                error => Refusal::failed(error),
            })?;
            Ok(Answer::ClusterMetrics(total.into()))
        }
        Request::Overlay {} => Ok(Answer::Overlay(overlay_report(cluster))),
        _ => {
            let members = cluster.members();
            Ok(Answer::Members(members.into_iter().map(member).collect()))
        }
    }
}

/// The cluster in short.
pub(super) fn status(cluster: &Cluster) -> ClusterStatus {
    ClusterStatus {
        joined: cluster.is_joined(),
        members: cluster.live(),
        overlay: cluster.overlay().kind.to_string(),
    }
}

fn member(member: Member) -> MemberReport {
    MemberReport {
        status: member.status.word().to_owned(),
        metadata_bytes: member.metadata.len(),
        metadata: String::from_utf8(member.metadata).ok(),
        role: member.role.word().to_owned(),
        capacity: member.capacity,
        zone: Some(member.zone).filter(|zone| !zone.is_empty()),
        member: member.name,
        incarnation: member.incarnation,
        addresses: member.addresses,
        is_self: member.is_self,
        is_neighbor: member.is_neighbor,
    }
}

fn overlay_report(cluster: &Cluster) -> OverlayReport {
    let (view, counts) = (cluster.overlay(), cluster.broadcast_counts());
    let mut neighbors = view.neighbors;
    neighbors.sort_unstable();
    OverlayReport {
        overlay: view.kind.to_string(),
        epoch: view.epoch,
        changing_to: view.next.map(|kind| kind.to_string()),
        servers: view.servers,
        neighbors,
        coordinator: cluster.coordinator(),
        members: cluster.live(),
        broadcasts_started: counts.started,
        broadcasts_delivered: counts.delivered,
        broadcasts_missed: counts.missed,
        broadcasts_given_up: counts.given_up,
        broadcasts: counts.kinds.iter().map(broadcasts::report).collect(),
        topics: cluster
            .subscriptions()
            .into_iter()
            .map(|(topic, _)| topic)
            .collect(),
    }
}

fn switch(
    cluster: &Cluster,
    overlay: &str,
    servers: &[String],
    trial: Option<TrialRequest>,
    wait: Duration,
) -> Result<Answer, Refusal> {
    let kind: OverlayKind = overlay.parse().map_err(Refusal::invalid)?;
    let switched = match trial {
        None => cluster.switch_overlay(kind, servers, wait),
        Some(trial) => {
            let trial = OverlayTrial {
                nodes: trial.nodes,
                percent: trial.percent,
                span: trial.for_ms.map(Duration::from_millis),
            };
            cluster.try_overlay(kind, servers, &trial, wait)
        }
    };
    switched.map_err(|error| match error {
        SwitchError::Closed => stopping(),
        SwitchError::AlreadyCurrent(_) | SwitchError::Refused(_) => Refusal::invalid(error),
        error => Refusal::failed(error),
    })?;
    Ok(Answer::Overlay(overlay_report(cluster)))
}
