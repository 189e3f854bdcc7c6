//! The errors of the engine's boundaries: starting, sending, naming. Each text says what to do.
//!
//! The other boundaries have theirs beside them: `config::ConfigError`, `wire::DecodeError`,
//! `wire::HandshakeError`, `wire::CloseReason`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::attributes::AttributesError;
use crate::config::{ConfigError, Printable, debug_as_message};
use crate::wire::stream::CancelReason;

debug_as_message!(
    StartError,
    SecurityError,
    AdminError,
    NameError,
    ChannelError,
    ReloadError,
    NotConnected,
    WaitError,
    RecvError,
    Reported,
    RequestError,
    StreamError
);

/// Why a node did not start.
///
/// Its `Debug` reads as its message, so that a `main` that returns it tells its user.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The machine does not offer what the engine needs.
    #[error("{what}; {remedy}")]
    Machine {
        /// What is wrong.
        what: String,
        /// How to remedy it.
        remedy: String,
    },
    /// Lanes cannot be protected as the configuration says.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The listening address could not be taken.
    #[error(
        "cannot listen on {address}: {source}; choose another `listen` address or end the program that holds it"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address for HTTP could not be taken.
    #[error(
        "cannot serve HTTP on {address}: {source}; choose another `http` address, end the program that holds it, or take `off`"
    )]
    Http {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The token that is to be asked for over HTTP could not be read.
    #[error("{what}")]
    HttpToken {
        /// What is wrong with its file, and what would be right.
        what: String,
    },
    /// A name of a peer or mailbox cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The socket by which the node is to be administered could not be made.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A discovery could not begin.
    #[error("discovery {discovery} cannot begin: {why}")]
    Discovery {
        /// Its name.
        discovery: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A shard's thread could not be made or could not set itself up.
    #[error(
        "shard {shard} did not start: {reason}; run `overlane doctor` to see what this machine lacks"
    )]
    Shard {
        /// Which shard.
        shard: usize,
        /// What went wrong.
        reason: String,
    },
}

/// Why lanes cannot be protected as the configuration says. It shows no secret and no key.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct SecurityError {
    /// What is wrong.
    pub what: String,
    /// How to remedy it.
    pub remedy: String,
}

/// Why an admin socket could not be made.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Its path does not fit into an address.
    #[error(
        "the path of the admin socket has {bytes} bytes, and an address holds {bytes_max}: give `admin` or `admin_read` a shorter one"
    )]
    TooLong {
        /// Bytes of the path.
        bytes: usize,
        /// The most there can be.
        bytes_max: usize,
    },
    /// A process serves it.
    #[error(
        "the admin socket {} is served by a process that runs: stop it, or give this node another path with `admin` or `admin_read`",
        Printable(&path.to_string_lossy())
    )]
    InUse {
        /// Its path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error(
        "{} is there and is no socket: remove it, or give this node another path with `admin` or `admin_read`",
        Printable(&path.to_string_lossy())
    )]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel said no.
    #[error(
        "the admin socket {} cannot be made: {source}; its folder must exist and be this user's, or give another path with `admin` or `admin_read`",
        Printable(&path.to_string_lossy())
    )]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

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

/// How a request ended without a reply.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not accepted.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The node asked refused it: the request was not answered, and will not be.
    #[error("the request was refused: {why}")]
    Refused {
        /// What the node said, such as that it has no such mailbox.
        why: String,
    },
    /// No reply came by the deadline. The request may have been carried out.
    #[error("no reply came by the deadline; the request may have been carried out")]
    DeadlinePassed,
    /// The lane that the request went on ended before a reply came, or this node stopped. The request may
    /// have arrived.
    #[error(
        "the lane ended before a reply came: the peer is gone or was disconnected; the request may have been carried out"
    )]
    LaneEnded,
    /// It was accepted and did not reach the peer: it was surely not carried out, and can be sent again.
    #[error("the request was not delivered: {why}")]
    Undelivered {
        /// Why, in a sentence without a stop.
        why: &'static str,
    },
    /// There are too many open requests.
    #[error(
        "{requests_max} requests are open already: wait for replies, or ask with shorter deadlines"
    )]
    TooMany {
        /// The bound, of one node.
        requests_max: usize,
    },
}

/// How a stream ended before its end, or was not opened.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It cannot be opened there: as a message could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Messages of the channel may be dropped, so a stream could not come whole.
    #[error(
        "channel {channel} may drop messages: a stream needs one whose reliability is not best_effort and whose overflow is reject or block"
    )]
    NotReliable {
        /// The channel.
        channel: String,
    },
    /// The channel's order is causal.
    #[error(
        "channel {channel} has causal order, in which the chunks of a stream have no place: take another channel"
    )]
    Causal {
        /// The channel.
        channel: String,
    },
    /// There are too many open streams to that peer.
    #[error(
        "{streams_max} streams to that peer are open already: finish some, or raise streams_max"
    )]
    TooMany {
        /// The bound.
        streams_max: usize,
    },
    /// The other node did not let it in, or found that what came is not what was sent.
    #[error("the other node refused the stream: {}", refusal(*.reason))]
    Refused {
        /// Why.
        reason: CancelReason,
    },
    /// The application at the other end has ended it.
    #[error("the other end cancelled the stream: {}", Printable(why))]
    Cancelled {
        /// What it said, or that it let go of it.
        why: String,
    },
    /// Its lane ended, and is not resumed: what was under way may have come or not.
    #[error("the lane of the stream ended: {why}")]
    LaneEnded {
        /// Why, in a sentence without a stop.
        why: &'static str,
    },
    /// What came is not what was sent.
    #[error("the checksum of the stream is wrong: what came is not what was sent; send it again")]
    ChecksumMismatch,
    /// It was finished or cancelled before.
    #[error("the stream was finished or cancelled: open another")]
    Over,
    /// A blocking call on a thread of the engine, in a handler or a task.
    #[error(
        "a blocking call of a stream on a thread of the engine would wait for itself: await it in a task on a shard, or use a thread of the application"
    )]
    WouldDeadlock,
}

/// What a refusal means, in a sentence without a stop.
fn refusal(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Application => "its application ended it",
        CancelReason::Dropped => "its application let go of it",
        CancelReason::NobodyAccepts => "nobody accepts streams at that mailbox",
        CancelReason::TooMany => "it has streams_max open streams of this node",
        CancelReason::ChecksumMismatch => "the checksum is wrong, what came is not what was sent",
        CancelReason::Unknown => "it does not know the stream any more",
        CancelReason::NotReliable => "its channel may drop messages: see overflow",
    }
}

impl StreamError {
    /// What the other end said.
    pub(crate) fn cancelled(reason: CancelReason, why: &str) -> Self {
        match reason {
            CancelReason::Application => Self::Cancelled {
                why: why.to_owned(),
            },
            CancelReason::Dropped => Self::Cancelled {
                why: refusal(reason).to_owned(),
            },
            reason => Self::Refused { reason },
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Send(SendError::Unreachable) => io::ErrorKind::NotConnected,
            StreamError::Cancelled { .. } | StreamError::LaneEnded { .. } => {
                io::ErrorKind::ConnectionReset
            }
            StreamError::Refused { .. } => io::ErrorKind::ConnectionRefused,
            StreamError::ChecksumMismatch => io::ErrorKind::InvalidData,
            StreamError::Over => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Why a wait for a message or an event brought none.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// None came in the time allowed.
    #[error("none came in the time allowed")]
    TimedOut,
    /// The node has stopped and everything received has been read.
    #[error("the node has stopped, and everything that came has been read")]
    Closed,
    /// The wait was on a thread of the engine, in a handler or a task.
    #[error(
        "a blocking wait on a thread of the engine would wait for itself: await `recv` in a task on a shard, or wait on a thread of the application"
    )]
    WouldDeadlock,
}

/// Why a name could not be used.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No such channel in the configuration.
    #[error(
        "there is no channel named `{}`: the configured ones are {known}",
        Printable(name)
    )]
    UnknownChannel {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A name outside the allowed form.
    #[error("`{}` cannot be a name: {why}", Printable(name))]
    Malformed {
        /// The name given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// An address that no peer can have.
    #[error("{address} cannot be the address of a peer: {why}")]
    Address {
        /// The address given.
        address: SocketAddr,
        /// What is wrong with it.
        why: String,
    },
    /// A peer with no address, or with too many.
    #[error(
        "{count} addresses were given for the peer `{}`: give one to {addresses_max}",
        Printable(peer)
    )]
    Addresses {
        /// The peer.
        peer: String,
        /// How many were given.
        count: usize,
        /// How many may be given.
        addresses_max: usize,
    },
    /// The bound on names of this kind is reached.
    #[error("there are {names_max} {kind} already: raise {parameter}, or use fewer")]
    TooMany {
        /// What there are too many of.
        kind: &'static str,
        /// The bound.
        names_max: usize,
        /// The parameter that sets it.
        parameter: &'static str,
    },
    /// The mailbox has a receiver already.
    #[error("mailbox `{name}` has a receiver already: a mailbox has one handler or one inbox")]
    MailboxTaken {
        /// The mailbox.
        name: String,
    },
    /// The node is stopping or has stopped.
    #[error("the node is stopping")]
    Closed,
    /// A shard did not take the receiver in time.
    #[error(
        "shard {shard} did not answer within {seconds} s: a handler or a task keeps it busy or blocks; it must return soon"
    )]
    NoAnswer {
        /// The shard.
        shard: usize,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The call waits for shards and was made on a thread of the engine, in a handler or a task.
    #[error(
        "waiting for shards on a thread of the engine would wait for itself: call it on a thread of the application, or await its async variant in a task"
    )]
    WouldDeadlock,
    /// No such shard.
    #[error("there is no shard {shard}: this node has {shards}, counted from 0")]
    UnknownShard {
        /// The shard asked for.
        shard: usize,
        /// How many there are.
        shards: usize,
    },
}

impl NameError {
    pub(crate) fn malformed(name: &str, why: &impl std::fmt::Display) -> Self {
        Self::Malformed {
            name: name.escape_debug().take(64).collect(),
            why: why.to_string(),
        }
    }
}

/// Shards that gave no sign in time that they go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "shards {shards:?} do not go on: a handler or a task keeps each of them busy or waits for something; it must return soon and never block"
)]
pub struct NoPulse {
    /// Which, from 0.
    pub shards: Vec<usize>,
}

/// Why a configuration that was read again was not followed. Nothing was changed then, but for
/// [`Halfway`](Self::Halfway).
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// Nobody said where the configuration comes from.
    #[error(
        "the program has not said how the configuration of this node is read again: start it with NodeBuilder::reload_with, or as `overlane node`"
    )]
    NoSource,
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is right for a start, and not for this node as it runs.
    #[error(
        "what can be changed while the node runs does not go together with what needs a restart: {0}; start the node again"
    )]
    Together(ConfigError),
    /// Something came between. What was done before that stays, and the next time the rest is tried again.
    #[error(
        "a part of the changes was made, then it broke off: {why}; correct that and read it again"
    )]
    Halfway {
        /// What came between.
        why: String,
    },
}

/// Why a channel was not added, retuned or removed. Nothing was changed then, but for
/// [`NoAnswer`](Self::NoAnswer).
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// A name or a value that a channel cannot have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is a channel of that name.
    #[error(
        "there is a channel named `{}` already: retune it, or remove it first",
        Printable(name)
    )]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no channel of that name.
    #[error(
        "there is no channel named `{}`: those there are now are {known}",
        Printable(name)
    )]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A change for the whole cluster is of a channel that this node does not have.
    #[error(
        "this node has no channel named `{}`: add it on all nodes, or in the configuration of this one",
        Printable(name)
    )]
    NotHere {
        /// The name.
        name: String,
    },
    /// The channel was removed, and what it had accepted is not settled yet.
    #[error(
        "channel `{}` is being removed: wait for the event that it is, and add it again then",
        Printable(name)
    )]
    Leaving {
        /// The name.
        name: String,
    },
    /// A parameter that is fixed as long as there is the channel.
    #[error(
        "{parameter} of channel `{}` is {is} as long as there is the channel, and cannot become {wanted}: remove the channel and add it again",
        Printable(name)
    )]
    Fixed {
        /// The channel.
        name: String,
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        is: String,
        /// The value that it was to have.
        wanted: String,
    },
    /// The bound on channels is reached.
    #[error("there are {channels_max} channels, as many as a node has: remove one first")]
    TooMany {
        /// The bound.
        channels_max: usize,
    },
    /// Lanes of removed channels are still in use, by messages that nobody has read or sent.
    #[error(
        "channels that were removed are still in use, because messages of them are unread in inboxes: read those, and try again"
    )]
    StillInUse,
    /// There would be more lanes to a peer than connections.
    #[error(
        "{lanes} lanes to a peer are more than connections_max, which is {connections_max}: give channels less parallelism, or remove one"
    )]
    TooManyLanes {
        /// Lanes to each peer there would be.
        lanes: usize,
        /// The bound.
        connections_max: usize,
    },
    /// The node is stopping, or has stopped.
    #[error("the node is stopping")]
    Closed,
    /// The change is made, and a shard did not take it up in time.
    #[error(
        "a shard did not take the change up within {seconds} s: a handler or a task keeps it busy or blocks; it must return soon"
    )]
    NoAnswer {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The call waits for shards and was made on a thread of the engine, in a handler or a task.
    #[error(
        "waiting for shards on a thread of the engine would wait for itself: call it on a thread of the application, or await its async variant in a task"
    )]
    WouldDeadlock,
}

/// Why a wait for a peer was given up.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// It took longer than allowed.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The name cannot be one, or the call was made where it would wait for itself.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Waiting for a peer took longer than allowed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` was not connected in time, with {lanes_up} of {lanes} lanes up: check its address, that it runs, and that both nodes are of one cluster; events() tells the reason of each refusal",
    Printable(peer)
)]
pub struct NotConnected {
    /// The peer waited for.
    pub peer: String,
    /// Lanes up when the time was over.
    pub lanes_up: u32,
    /// Lanes there are when all are up.
    pub lanes: usize,
}
