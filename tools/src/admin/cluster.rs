//! `overlane leave`, `evict`, `broadcast`, `publish`, `subscribe` and `unsubscribe`: what a node does in its cluster.

use overlane::BroadcastKind;
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
/// Exits with 0 once it is begun; what becomes of it, `overlane topology show` counts. An atomic one comes to all members that
/// are live or to none of them: exits with 0 once all have it, with 1 if nobody gets it or it is not known in time.
#[derive(Debug, clap::Args)]
pub(crate) struct Broadcast {
    /// The mailbox there
    mailbox: String,
    /// What is sent; - or nothing: what comes on standard input
    text: Option<String>,
    /// The channel it goes on [default: the only one of the node]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// plain: repaired, in no order; causal: after what its sender had sent and got of this kind; atomic: to all or to none;
    /// epidemic: not repaired, reaches most
    #[arg(long, value_name = "KIND", default_value_t = BroadcastKind::Plain)]
    kind: BroadcastKind,
    /// How long an atomic one may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    wait_s: u64,
    #[command(flatten)]
    target: Target,
}

/// Sends a message to every other node that subscribes to a topic.
///
/// Exits with 0 once it is begun.
#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// The topic
    topic: String,
    /// What is sent; - or nothing: what comes on standard input
    text: Option<String>,
    /// The channel it goes on [default: the only one of the node]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Has a node take part in a topic: what is published to it comes to one of its mailboxes, and `overlane node` prints it.
#[derive(Debug, clap::Args)]
pub(crate) struct Subscribe {
    /// The topic
    topic: String,
    /// The mailbox
    #[arg(long, value_name = "NAME", default_value = "inbox")]
    mailbox: String,
    #[command(flatten)]
    target: Target,
}

/// Has a node no longer take part in a topic.
#[derive(Debug, clap::Args)]
pub(crate) struct Unsubscribe {
    /// The topic
    topic: String,
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
        kind: Some(arguments.kind.name().to_owned()),
        wait_ms: Some(arguments.wait_s * 1000),
        payload: content(arguments.text)?,
    };
    let answer = arguments.target.ask(&request)?;
    let Answer::Broadcasting { channel, members } = &answer else {
        return Err(unexpected(&answer));
    };
    let kind = arguments.kind;
    let object = serde_json::json!({"channel": channel, "members": members, "kind": kind.name()});
    arguments.target.print(&object, || {
        let to = format!("{members} members over {}\n", Printable(channel));
        match kind {
            BroadcastKind::Atomic => format!("delivered by {to}"),
            _ => format!("on its way to {to}"),
        }
    })
}

pub(crate) fn publish(arguments: Publish) -> Ending {
    told("publish", begin_publishing(arguments))
}

fn begin_publishing(arguments: Publish) -> Result<Ending, Failure> {
    let request = Request::Publish {
        topic: arguments.topic,
        channel: arguments.channel,
        payload: content(arguments.text)?,
    };
    let answer = arguments.target.ask(&request)?;
    let Answer::Publishing { channel } = &answer else {
        return Err(unexpected(&answer));
    };
    let object = serde_json::json!({"channel": channel});
    arguments.target.print(&object, || {
        format!("on its way over {}\n", Printable(channel))
    })
}

pub(crate) fn subscribe(arguments: Subscribe) -> Ending {
    let Subscribe {
        topic,
        mailbox,
        target,
    } = arguments;
    let request = Request::Subscribe { topic, mailbox };
    told("subscribe", target.order(&request, "subscribed"))
}

pub(crate) fn unsubscribe(arguments: Unsubscribe) -> Ending {
    let Unsubscribe { topic, target } = arguments;
    let request = Request::Unsubscribe { topic };
    told("unsubscribe", target.order(&request, "unsubscribed"))
}
