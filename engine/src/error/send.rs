//! Why a message was not accepted, and what became of one that was and was not acknowledged.

use crate::attributes::AttributesError;
use crate::config::debug_as_message;

debug_as_message!(Reported);

/// Why a message was not accepted. The message is the caller's still: a payload that was handed over
/// comes back in [`Unsent`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The lane's queue is at its bound. Wait with `send` or `send_blocking`, or send less.
    #[error(
        "the queue to that peer is full: wait for room with `send` or `send_blocking`, or raise queue_bytes_max or queue_messages_max"
    )]
    Full,
    /// There is no lane to that peer now, and none can be made. Connect to it, or wait for the event that it is
    /// up. A peer that is reached ([`Node::reach`](crate::Node::reach)) did not answer just now.
    #[error("there is no lane to that peer: connect to it, or wait for its lane to come up")]
    Unreachable,
    /// The cluster is parted, and the channel is not to send then (`on_partition`). It is over with the event
    /// [`Healed`](crate::Event::Healed), or once the channel is retuned.
    #[error(
        "the cluster is parted, and on_partition of channel {channel} forbids to send meanwhile: send again when it has healed, or set on_partition to degraded"
    )]
    Partitioned {
        /// The channel.
        channel: String,
    },
    /// The payload is above the channel's `message_bytes_max`, here or at the peer.
    #[error(
        "a payload of {bytes} bytes is above the {bytes_max} that both nodes take on the channel: raise message_bytes_max on both, or split the payload"
    )]
    TooLarge {
        /// The payload's length.
        bytes: usize,
        /// The smaller of both nodes' limits.
        bytes_max: usize,
    },
    /// The node is stopping.
    #[error("the node is stopping and accepts no more messages")]
    Closed,
    /// The channel was removed from this node.
    #[error(
        "the channel was removed from this node: add it again, and look it up again, or send on another"
    )]
    ChannelRemoved,
    /// The destination or mailbox was looked up on another node of this process.
    #[error(
        "the destination belongs to another node of this process: look it up on the node whose channel sends"
    )]
    OtherNode,
    /// A request, or a message with metadata, a deadline or a receipt, was to go to a peer that runs a version without them.
    #[error(
        "that peer speaks version 1 of the wire, which has no requests, metadata, deadlines or receipts: upgrade it, or send the payload alone"
    )]
    OldPeer,
    /// The deadline of the message passed before it was accepted.
    #[error("the deadline of the message passed before there was room for it")]
    Expired,
    /// What the message says besides its payload is not allowed.
    #[error(transparent)]
    Attributes(#[from] AttributesError),
    /// No channel was named, and no routing rule matches the message.
    #[error(
        "no channel was named, and no rule matches the message: send it on a channel, or add a rule without conditions behind the others"
    )]
    NoRule,
    /// The message has hints that its channel does not allow.
    #[error(
        "no channel of priority {priority} and reliability {reliability} is among the hints of channel {channel}: add one to its `hints`, or send without the hint"
    )]
    NoSuchHint {
        /// The channel that was named, or that a rule chose.
        channel: String,
        /// What was hinted, or else what the channel has.
        priority: u8,
        /// The same.
        reliability: &'static str,
    },
    /// A receipt was asked for on a best-effort channel.
    #[error(
        "a best-effort channel acknowledges nothing, so there are no receipts on it: choose another reliability, or send without one"
    )]
    NoReceipts,
    /// Too many receipts are open.
    #[error(
        "{receipts_max} receipts of this node are open: wait for some of them, or send without one"
    )]
    TooManyReceipts {
        /// How many can be open.
        receipts_max: usize,
    },
    /// `send_blocking` was called on a thread of the engine, in a handler or a task.
    #[error(
        "send_blocking on a thread of the engine would wait for itself: use try_send in a handler, and `send(..).await` in a task on a shard"
    )]
    WouldDeadlock,
}

/// A payload that was handed over and not accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Unsent<P> {
    /// Why the message was not accepted.
    pub error: SendError,
    /// What was to be sent, to be sent again or put elsewhere.
    pub payload: P,
}

impl<P> Unsent<P> {
    pub(crate) fn map<Q>(self, change: impl FnOnce(P) -> Q) -> Unsent<Q> {
        Unsent {
            error: self.error,
            payload: change(self.payload),
        }
    }
}

impl<P> From<Unsent<P>> for SendError {
    fn from(unsent: Unsent<P>) -> Self {
        unsent.error
    }
}

/// What became of messages whose deadline came while they waited.
pub(crate) const EXPIRED: &str = "their deadline passed before they were sent";

/// What became of messages that the receiver refused for being late.
pub(crate) const LATE: &str =
    "the receiving node refused it, because its deadline had passed: see on_late";

/// What became of an accepted message that was not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reported {
    /// The peer surely did not get it.
    #[error("not delivered: {why}")]
    Undelivered {
        /// What happened.
        why: &'static str,
    },
    /// The peer got it and has no such mailbox.
    #[error("not delivered: the peer has no such mailbox")]
    Refused,
    /// On a monotonic channel: a newer message with its key was accepted before it was sent.
    #[error("replaced by a newer message with the same key")]
    Replaced,
    /// The peer may have got it.
    #[error("it is not known whether it was delivered: {why}")]
    Unknown {
        /// What happened.
        why: &'static str,
    },
}
