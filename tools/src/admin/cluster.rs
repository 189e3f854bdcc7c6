//! `overlane leave`, `evict` and `broadcast`: what a node does in its cluster.

use overlane::admin::{Answer, Request};
use overlane::config::Printable;

use super::send::content;
use super::{Target, unexpected};
use crate::ending::{Ending, Failure, told};

/// Has a node say goodbye to its cluster; `overlane node` ends then.
///
/// Exits with 0 once the goodbye is said, with 1 if it is not in time: others will find out that the node is gone.
#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    /// How long that may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    wait_s: u64,
    #[command(flatten)]
    target: Target,
}

/// Has another member say goodbye to the cluster; an `overlane node` ends then.
///
/// Exits with 0 once that is known here, with 1 if it is not in time: one that is not reached is found to be down by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Evict {
    /// The member
    #[arg(value_name = "NODE")]
    member: String,
    /// How long that may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    wait_s: u64,
    #[command(flatten)]
    target: Target,
}

/// Sends a message to a mailbox of every other member of the cluster.
///
/// Exits with 0 once it is begun; what becomes of it, `overlane topology show` counts.
#[derive(Debug, clap::Args)]
pub(crate) struct Broadcast {
    /// The mailbox there
    mailbox: String,
    /// What is sent; - or nothing: what comes on standard input
    text: Option<String>,
    /// The channel it goes on [default: the only one of the node]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn leave(arguments: &Leave) -> Ending {
    let request = Request::Leave {
        wait_ms: arguments.wait_s * 1000,
    };
    told("leave", arguments.target.order(&request, "left"))
}

pub(crate) fn evict(arguments: Evict) -> Ending {
    let request = Request::Evict {
        member: arguments.member,
        wait_ms: arguments.wait_s * 1000,
    };
    told("evict", arguments.target.order(&request, "evicted"))
}

pub(crate) fn broadcast(arguments: Broadcast) -> Ending {
    told("broadcast", begin(arguments))
}

fn begin(arguments: Broadcast) -> Result<Ending, Failure> {
    let request = Request::Broadcast {
        mailbox: arguments.mailbox,
        channel: arguments.channel,
        payload: content(arguments.text)?,
    };
    let answer = arguments.target.ask(&request)?;
    let Answer::Broadcasting { channel, members } = &answer else {
        return Err(unexpected(&answer));
    };
    let object = serde_json::json!({"channel": channel, "members": members});
    arguments.target.print(&object, || {
        format!(
            "on its way to {members} members over {}\n",
            Printable(channel)
        )
    })
}
