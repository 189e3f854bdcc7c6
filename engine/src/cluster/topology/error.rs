//! What can go wrong between an application and the rules of its cluster's overlay.

use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use crate::cluster::error::{ClusterError, SwitchError};
use crate::config::ConfigError;

/// Why rules were not changed, or the overlay not switched by them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// Nothing to do: no rule asks for another overlay.
    #[error("{0} is the overlay already, and no rule asks for another one; analyze says why")]
    AlreadyCurrent(OverlayKind),
    /// The last switch is too short a time ago for rules.
    #[error(
        "the last switch is too short a time ago: rules wait {left:?} more; switch by hand, or lower topology_cooldown_s"
    )]
    CooldownActive {
        /// How long it still lasts.
        left: Duration,
    },
    /// The rules are not right.
    #[error(transparent)]
    Rules(Box<ConfigError>),
    /// There is no such workload.
    #[error("there is no workload {name}: take one of {}, or configure it in topology_workloads", known.join(", "))]
    UnknownWorkload {
        /// The name that was given.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// No more gauges are taken.
    #[error("a node has at most {most} gauges: set one that there is")]
    TooManyGauges {
        /// How many there are.
        most: usize,
    },
    /// Not the name of a gauge.
    #[error("`{0}` names no gauge: take 1 to 255 of the characters a-z 0-9 _ . -")]
    GaugeName(String),
    /// The switch did not come about.
    #[error(transparent)]
    Switch(#[from] SwitchError),
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
    /// The order was not taken.
    #[error(transparent)]
    Order(#[from] ClusterError),
}
