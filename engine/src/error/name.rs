//! Why the name of a channel, a peer or a mailbox could not be used.

use std::net::SocketAddr;

use crate::config::{Printable, debug_as_message};

debug_as_message!(NameError);

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
