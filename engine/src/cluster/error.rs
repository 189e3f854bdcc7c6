//! What can go wrong between an application and its cluster, each with what to do.

use std::time::Duration;

use overlane_overlays::Refusal;
use overlane_overlays::epoch::{OverlayKind, WhyBack};

use super::channels::CHANGE_BYTES_MAX;
use crate::error::{ChannelError, NameError};

/// Why the cluster did not take an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The control shard is far behind.
    #[error("too many orders to the cluster wait already; try again in a moment")]
    Busy,
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Metadata of a member is bounded, as every member keeps it.
    #[error(
        "{bytes} bytes of metadata; a member has at most 512, put the rest where others can ask for it"
    )]
    MetadataTooLarge {
        /// How many it was to be.
        bytes: usize,
    },
    /// Decisions are bounded, as every node keeps them.
    #[error(
        "{bytes} bytes of a decision; one has at most 4096, put the rest where others can ask for it"
    )]
    DecisionTooLarge {
        /// How many it was to be.
        bytes: usize,
    },
}

/// Why a node did not say what its cluster counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterMetricsError {
    /// The control shard is far behind.
    #[error("the control shard did not answer within {waited:?}; try again")]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Waited for on a thread of the engine.
    #[error(
        "a thread of the engine cannot wait for the cluster; ask on a thread of the application"
    )]
    WouldDeadlock,
    /// The question was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

/// Why a channel was not changed on the nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelChangeError {
    /// This node cannot make the change itself, so nobody was told.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Another node ordered something of the same channel at the same time, and its order counts.
    #[error(
        "an order of {by} for the same channel took the place of this one: look at what it did, and order again if that is not what you want"
    )]
    Outrun {
        /// The node whose order counts.
        by: String,
    },
    /// The parameters are bounded, as every node keeps them.
    #[error(
        "{bytes} bytes of parameters; a change of a channel has at most {CHANGE_BYTES_MAX}: shorten its lists of names"
    )]
    TooLarge {
        /// How many they were to be.
        bytes: usize,
    },
    /// There are bounds on what is open and kept.
    #[error(
        "too many changes of channels are open at this node, or are kept in the cluster: wait for those that are open, or remove channels"
    )]
    TooMany,
    /// The control shard is far behind.
    #[error(
        "the control shard did not answer within {waited:?}; the change may be made all the same"
    )]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Waited for on a thread of the engine.
    #[error(
        "a thread of the engine cannot wait for the cluster; change channels on a thread of the application"
    )]
    WouldDeadlock,
    /// The order was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

/// Why a member was not evicted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvictError {
    /// Nobody of that name is known here.
    #[error("{name} is no member that this node knows; `overlane members` lists them")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It is this node.
    #[error("this is the node itself: have it leave")]
    Itself,
    /// It is gone already.
    #[error("{name} is {status} already, and forgotten after membership_forget_after_ms")]
    Gone {
        /// The name.
        name: String,
        /// down or left.
        status: &'static str,
    },
    /// It has not said goodbye yet.
    #[error(
        "{name} has not said goodbye after {waited:?}: it may not be reached; what ends its process ends it"
    )]
    TimedOut {
        /// The name.
        name: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Waited for on a thread of the engine.
    #[error("a thread of the engine cannot wait for the cluster; ask on another one")]
    WouldDeadlock,
    /// The order was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

/// Why a node is not a member yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No seed has let this node in yet; it goes on trying.
    #[error("not a member after {waited:?}; {}", told(failures))]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
        /// Places where nobody was found, and why.
        failures: Vec<(String, String)>,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Waited for on a thread of the engine.
    #[error("a thread of the engine cannot wait for the cluster; use begin_join and follow events")]
    WouldDeadlock,
    /// The order was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

fn told(failures: &[(String, String)]) -> String {
    if failures.is_empty() {
        return "no seed was found wanting: it takes longer, or no seeds were named".to_owned();
    }
    let told: Vec<_> = failures
        .iter()
        .map(|(place, why)| format!("{place}: {why}"))
        .collect();
    format!("correct the seeds, or start them: {}", told.join("; "))
}

/// Why a goodbye was not said to everybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// It takes longer.
    #[error(
        "the goodbye was not said within {waited:?}; others will find out that this node is gone"
    )]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Waited for on a thread of the engine.
    #[error(
        "a thread of the engine cannot wait for the cluster; leave on a thread of the application"
    )]
    WouldDeadlock,
    /// The order was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

/// Why a broadcast was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// This node has no such channel.
    #[error("this node has no channel {0}")]
    NoChannel(String),
    /// The mailbox is none.
    #[error(transparent)]
    Mailbox(#[from] NameError),
    /// It is too large to be passed on from node to node.
    #[error(
        "a broadcast of {bytes} bytes; at most {bytes_max} are allowed, send a stream or several"
    )]
    TooLarge {
        /// Bytes of its payload.
        bytes: usize,
        /// Bytes allowed with names as long as these.
        bytes_max: usize,
    },
    /// As much as may waits to be broadcast, or the node has stopped.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

/// Why an atomic broadcast was not delivered by all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AtomicError {
    /// It was not taken.
    #[error(transparent)]
    Broadcast(#[from] BroadcastError),
    /// The protocol did not begin it.
    #[error("the atomic broadcast was not begun: {0}")]
    Refused(Refusal),
    /// Nobody delivers it.
    #[error("nobody delivers it: {}", not_ready(missing))]
    Aborted {
        /// Members that were not ready in time.
        missing: Vec<String>,
    },
    /// Nobody remembers how it ended, as this node was cut off meanwhile.
    #[error("nobody remembers how it ended, as this node was cut off for too long")]
    Unknown,
    /// It takes longer. An event tells how it ends.
    #[error("it had not ended after {waited:?}; it goes on, and an event tells how it ends")]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// Waited for on a thread of the engine.
    #[error(
        "a thread of the engine cannot wait for the cluster; use broadcast_as and follow events"
    )]
    WouldDeadlock,
}

fn not_ready(missing: &[String]) -> String {
    if missing.is_empty() {
        return "a member had no room, or went away; send it again".to_owned();
    }
    let missing = missing.join(", ");
    format!("{missing} did not say in time to be ready; send it again, or without waiting for them")
}

/// Why a topic was not subscribed to, or nothing was published to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Topics are named as channels are.
    #[error("a topic is named as a channel is, by 1 to 255 bytes of printable text: {0}")]
    Name(String),
    /// The mailbox is none.
    #[error(transparent)]
    Mailbox(#[from] NameError),
    /// The node takes part in as many as it may.
    #[error(
        "the node subscribes to {most} topics already; give one up, or raise pub_sub_topics_max"
    )]
    TooMany {
        /// How many are allowed.
        most: usize,
    },
    /// There is no such subscription.
    #[error("the node does not subscribe to {0}")]
    NotSubscribed(String),
    /// The publication was not taken.
    #[error(transparent)]
    Broadcast(#[from] BroadcastError),
}

/// Why the overlay was not switched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// Nothing to do.
    #[error("{0} is the overlay already")]
    AlreadyCurrent(OverlayKind),
    /// Another reason not to begin.
    #[error("{0}")]
    Refused(Refusal),
    /// Another switch was begun at the same time, and goes on.
    #[error("another switch of the overlay was ordered at the same time, and goes on instead")]
    Overtaken,
    /// Not all members could be reached over the new overlay.
    #[error("the new overlay was given up, the old one goes on: {}", why_back(*.0))]
    RolledBack(WhyBack),
    /// It takes longer, and goes on.
    #[error("the switch had not ended after {waited:?}; it goes on, or is given up, by itself")]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Closed,
    /// Waited for on a thread of the engine.
    #[error(
        "a thread of the engine cannot wait for the cluster; switch on a thread of the application"
    )]
    WouldDeadlock,
    /// The order was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}

/// Why a switch was given up, in words.
pub(super) const fn why_back(why: WhyBack) -> &'static str {
    match why {
        WhyBack::Deadline => "not every member was reached over it in time",
        WhyBack::Overtaken => "another switch took its place",
        WhyBack::ProposerGone => "the node that ordered it is gone",
        WhyBack::TrialFailed => {
            "it was tried, and measured worse than topology_trial_* allow: `overlane topology history` says what"
        }
        WhyBack::TrialNodeGone => "a node on which it was tried is gone; order it again",
        WhyBack::Parted => "the network was split while it was tried",
    }
}
