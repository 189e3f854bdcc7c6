//! Requests about channels of all nodes of the cluster.

use std::time::Duration;

use super::channels::{changed, read};
use super::{channel_refused, stopping};
use crate::admin::{Answer, ChannelChangeStatus, ChannelOrderReport, Refusal, Request};
use crate::cluster::{ChannelChange, ChannelChangeError, ChannelChangeReport, Cluster};
use crate::config::ChannelConfig;

pub(super) fn answer(cluster: &Cluster, request: Request) -> Result<Answer, Refusal> {
    let ordered = match request {
        Request::AddClusterChannel { channel, wait_ms } => {
            let defined = read(&channel)?;
            let channel = changed(ChannelConfig::new(defined.name()), &defined);
            cluster.add_channel(&channel, Duration::from_millis(wait_ms))
        }
        Request::SetClusterChannel { channel, wait_ms } => {
            let defined = read(&channel)?;
            let settings: Vec<_> = defined.settings().collect();
            cluster.set_channel(defined.name(), &settings, Duration::from_millis(wait_ms))
        }
        Request::RemoveClusterChannel {
            channel,
            drain_ms,
            wait_ms,
        } => {
            let drain = Duration::from_millis(drain_ms);
            cluster.remove_channel(&channel, drain, Duration::from_millis(wait_ms))
        }
        _ => {
            let changes = cluster.channel_changes().map_err(refused)?;
            let changes = changes.into_iter().map(status).collect();
            return Ok(Answer::ChannelChanges(changes));
        }
    };
    Ok(Answer::ChannelOrdered(report(ordered.map_err(refused)?)))
}

fn report(report: ChannelChangeReport) -> ChannelOrderReport {
    ChannelOrderReport {
        epoch: report.epoch,
        made: report.made,
        refused: report.refused.into_iter().collect(),
        silent: report.silent,
    }
}

fn status(change: ChannelChange) -> ChannelChangeStatus {
    ChannelChangeStatus {
        channel: change.channel,
        epoch: change.epoch,
        by: change.by,
        change: change.change,
        made: change.is_made,
        why_not: change.why_not,
    }
}

/// Why a change was not ordered.
fn refused(error: ChannelChangeError) -> Refusal {
    match error {
        ChannelChangeError::Channel(error) => channel_refused(error),
        ChannelChangeError::Closed => stopping(),
        ChannelChangeError::TooLarge { .. } => Refusal::invalid(error),
        error => Refusal::failed(error),
    }
}
