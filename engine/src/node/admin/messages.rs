//! Requests that send: a ping, and a message.
//!
//! Every node with an admin socket answers pings at a mailbox of the engine's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{name_refused, stopping};
use crate::admin::{Answer, Refusal, Request, SendOutcome};
use crate::channel::Channel;
use crate::config::RESERVED_PREFIX;
use crate::error::{NameError, RequestError, SendError};
use crate::message::Destination;
use crate::node::Node;
use crate::receipt::Receipt;

/// Where pings go, behind [`RESERVED_PREFIX`].
const PING: &str = "ping";

fn ping_mailbox() -> String {
    format!("{RESERVED_PREFIX}{PING}")
}

/// The node answers pings from now on, each on the channel that it came on.
pub(in crate::node) fn answer_pings(node: &Node) -> Result<(), NameError> {
    let fabric = Arc::clone(&node.fabric);
    node.handle(&ping_mailbox(), move |shard, message| {
        let Some(asked) = message.reply_handle() else {
            return;
        };
        if let Some(plan) = fabric.channels.find(message.channel()) {
            let channel = Channel::new(Arc::clone(&fabric), Arc::clone(&plan.entry));
            // Who asks hears by its deadline that there was no room.
            let _ = shard.try_reply(&channel, &asked, message.payload());
        }
    })?;
    Ok(())
}

pub(super) fn answer(node: &Node, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Ping {
            peer,
            channel,
            bytes,
            timeout_ms,
        } => ping(
            node,
            &peer,
            channel,
            bytes,
            Duration::from_millis(timeout_ms),
        ),
        Request::Send {
            peer,
            mailbox,
            channel,
            payload,
            timeout_ms,
        } => {
            let to = node.destination(&peer, &mailbox).map_err(name_refused)?;
            let payload = payload.into_bytes();
            send(
                node,
                &to,
                channel,
                &payload,
                Duration::from_millis(timeout_ms),
            )
        }
        _ => Ok(Answer::Done),
    }
}

fn ping(
    node: &Node,
    peer: &str,
    channel: Option<String>,
    bytes: usize,
    timeout: Duration,
) -> Result<Answer, Refusal> {
    let to = node
        .destination(peer, &ping_mailbox())
        .map_err(name_refused)?;
    let Some(name) = channel.or_else(|| most_urgent(node)) else {
        return Err(no_channel());
    };
    let channel = node.channel(&name).map_err(name_refused)?;
    let payload = vec![0; bytes];
    let began = Instant::now();
    let reply = channel.request_blocking(&to, payload.as_slice(), timeout);
    let took = began.elapsed();
    match reply {
        Ok(_) => Ok(Answer::Ping {
            channel: name,
            round_trip_us: took.as_secs_f64() * 1e6,
        }),
        Err(RequestError::Send(error)) => Err(send_refused(error)),
        Err(RequestError::Refused { why }) => Err(Refusal::failed(format_args!(
            "{why}: nodes answer pings that have an admin socket"
        ))),
        Err(error) => Err(Refusal::failed(error)),
    }
}

/// The first of the channels that are served first.
fn most_urgent(node: &Node) -> Option<String> {
    let open = node.fabric.channels.open();
    let first = open.iter().min_by_key(|plan| plan.config.priority)?;
    Some(first.name.to_string())
}

fn send(
    node: &Node,
    to: &Destination,
    channel: Option<String>,
    payload: &[u8],
    timeout: Duration,
) -> Result<Answer, Refusal> {
    let channel =
        match channel.map_or_else(|| the_only_one(node), |name| node.channel(&name).map(Some)) {
            Ok(channel) => channel,
            Err(error) => return Err(name_refused(error)),
        };
    let sent = match &channel {
        Some(channel) => channel.try_send_with_receipt(to, payload),
        None => node.router().try_send_with_receipt(to, payload),
    };
    let name = channel.as_ref().map(|channel| channel.name().to_owned());
    match sent {
        Ok(receipt) => {
            settled(receipt, timeout)?;
            Ok(Answer::Sent {
                channel: name,
                outcome: SendOutcome::Acknowledged,
            })
        }
        Err(SendError::NoReceipts) => {
            let sent = match &channel {
                Some(channel) => channel.try_send(to, payload),
                None => node.try_send(to, payload),
            };
            sent.map_err(send_refused)?;
            Ok(Answer::Sent {
                channel: name,
                outcome: SendOutcome::Accepted,
            })
        }
        Err(error) => Err(send_refused(error)),
    }
}

/// Where nothing is said and there are no rules to choose: the only channel, if there is just one.
fn the_only_one(node: &Node) -> Result<Option<Channel>, NameError> {
    let open = node.fabric.channels.open();
    match open.as_slice() {
        [only] if node.fabric.rules.table().counts().next().is_none() => {
            node.channel(&only.name).map(Some)
        }
        _ => Ok(None),
    }
}

fn settled(mut receipt: Receipt, timeout: Duration) -> Result<(), Refusal> {
    match receipt.wait(timeout) {
        Some(Ok(())) => Ok(()),
        Some(Err(reported)) => Err(Refusal::failed(reported)),
        None => Err(Refusal::failed(format_args!(
            "the message was accepted, and what became of it was not known within {} ms",
            timeout.as_millis()
        ))),
    }
}

fn send_refused(error: SendError) -> Refusal {
    match error {
        SendError::Closed => stopping(),
        SendError::NoRule => Refusal::invalid(
            "no channel was named, and no routing rule matches the message: name a channel",
        ),
        SendError::TooLarge { .. } | SendError::NoSuchHint { .. } => Refusal::invalid(error),
        error => Refusal::failed(error),
    }
}

fn no_channel() -> Refusal {
    Refusal::invalid("the node has no channels: add one first, on both nodes")
}
