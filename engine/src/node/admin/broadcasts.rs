//! Requests to send to all members, or to those who subscribe.

use std::time::Duration;

use super::stopping;
use crate::admin::request::ATOMIC_WAIT_MS;
use crate::admin::{Answer, BroadcastReport, Refusal, Request};
use crate::cluster::{
    AtomicError, BroadcastError, BroadcastKind, Cluster, ClusterError, KindCounts, TopicError,
};
use crate::node::Node;

pub(super) fn answer(node: &Node, cluster: &Cluster, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Broadcast {
            mailbox,
            channel,
            kind,
            wait_ms,
            payload,
        } => {
            let channel = channel_or_only(node, channel)?;
            let kind = kind.as_deref().unwrap_or(BroadcastKind::Plain.name());
            let kind: BroadcastKind = kind.parse().map_err(Refusal::invalid)?;
            let payload = payload.into_bytes();
            let members = cluster.live().saturating_sub(1);
            if kind == BroadcastKind::Atomic {
                let wait = Duration::from_millis(wait_ms.unwrap_or(ATOMIC_WAIT_MS));
                let ended = cluster.broadcast_atomic(&channel, &mailbox, payload, wait);
                ended.map_err(atomic_refused)?;
            } else {
                let begun = cluster.broadcast_as(kind, &channel, &mailbox, payload);
                begun.map_err(broadcast_refused)?;
            }
            Ok(Answer::Broadcasting { channel, members })
        }
        Request::Publish {
            topic,
            channel,
            payload,
        } => {
            let channel = channel_or_only(node, channel)?;
            let published = cluster.publish(&channel, &topic, payload.into_bytes());
            published.map_err(topic_refused)?;
            Ok(Answer::Publishing { channel })
        }
        Request::Subscribe { topic, mailbox } => {
            let subscribed = cluster.subscribe(&topic, &mailbox);
            subscribed.map_err(topic_refused)?;
            Ok(Answer::Done)
        }
        Request::Unsubscribe { topic } => {
            cluster.unsubscribe(&topic).map_err(topic_refused)?;
            Ok(Answer::Done)
        }
        _ => Err(Refusal::invalid("no request about broadcasts")),
    }
}

/// Counts of one kind.
pub(super) fn report(counts: &KindCounts) -> BroadcastReport {
    BroadcastReport {
        kind: counts.kind.to_owned(),
        started: counts.started,
        delivered: counts.delivered,
        missed: counts.missed,
        refused: counts.refused,
    }
}

/// The channel that was named, or the only one that there is.
fn channel_or_only(node: &Node, channel: Option<String>) -> Result<String, Refusal> {
    let open = node.fabric.channels.open();
    match (channel, open.as_slice()) {
        (Some(channel), _) => Ok(channel),
        (None, [only]) => Ok(only.name.to_string()),
        (None, _) => {
            let names: Vec<_> = open.iter().map(|plan| &*plan.name).collect();
            let text = format!("say which channel: there are {}", names.join(", "));
            Err(Refusal::invalid(text))
        }
    }
}

fn broadcast_refused(error: BroadcastError) -> Refusal {
    match error {
        BroadcastError::Order(ClusterError::Closed) => stopping(),
        BroadcastError::Order(_) => Refusal::failed(error),
        error => Refusal::invalid(error),
    }
}

fn atomic_refused(error: AtomicError) -> Refusal {
    match error {
        AtomicError::Broadcast(error) => broadcast_refused(error),
        error => Refusal::failed(error),
    }
}

fn topic_refused(error: TopicError) -> Refusal {
    match error {
        TopicError::Broadcast(error) => broadcast_refused(error),
        error => Refusal::invalid(error),
    }
}
