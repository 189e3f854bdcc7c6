//! `overlane status`: what a node is, and how it is.

use overlane::admin::{Answer, NodeStatus, Request};
use overlane::config::Printable;

use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};

/// Says what a node is and how it is.
///
/// Exits with 0 if it answers and all its messages are accounted for, with 1 if they are not.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("status", status(&arguments.target))
}

fn status(target: &Target) -> Result<Ending, Failure> {
    let status = match target.ask(&Request::Status {})? {
        Answer::Status(status) => status,
        other => return Err(unexpected(&other)),
    };
    target.print(&status, || text(&status))?;
    if status.identity_holds {
        Ok(Ending::Done)
    } else {
        let what = "the accounting identity does not hold: see `overlane metrics`, and report it";
        Err(Failure::new(Ending::CheckFailed, what))
    }
}

fn in_cluster(status: &NodeStatus) -> String {
    match &status.in_cluster {
        None => "in no cluster".to_owned(),
        Some(cluster) if !cluster.joined => format!("not joined yet; overlay {}", cluster.overlay),
        Some(cluster) => format!("{}, overlay {}", cluster.members, cluster.overlay),
    }
}

fn text(status: &NodeStatus) -> String {
    let channels = match status.channels.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let lines = [
        ("node", status.node.clone()),
        ("cluster", status.cluster.clone()),
        ("incarnation", status.incarnation.to_string()),
        ("address", status.address.to_string()),
        (
            "overlane",
            format!(
                "{}, {} shards, io {}",
                status.overlane, status.shards, status.backend
            ),
        ),
        (
            "process",
            format!("{}, up {} s", status.pid, status.uptime_s),
        ),
        ("channels", channels),
        ("members", in_cluster(status)),
        (
            "peers",
            format!("{} of {} connected", status.peers_connected, status.peers),
        ),
        (
            "messages",
            format!(
                "{} open, {}",
                status.messages_open,
                if status.identity_holds {
                    "all accounted for"
                } else {
                    "NOT all accounted for"
                }
            ),
        ),
    ];
    let line = |(name, value): &(&str, String)| format!("{name:<12} {}\n", Printable(value));
    lines.iter().map(line).collect()
}
