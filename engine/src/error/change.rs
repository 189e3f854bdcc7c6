//! Why a node that runs was not changed: its configuration, or a channel.

use crate::config::{ConfigError, Printable, debug_as_message};

debug_as_message!(ReloadError, ChannelError);

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
