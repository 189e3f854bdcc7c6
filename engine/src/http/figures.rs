//! The metrics by name: what each says, its unit, and where it is counted. The only place that has them.
//!
//! Here is what a figure is; the tables are in `channel`, of which there is one for each channel and peer, and in `node`.
//! `exposition` writes them. Names and units follow Prometheus' conventions: base units, `_total` behind what only grows
//! (added when written), a unit as the last word before it.

mod channel;
mod node;

pub(super) use channel::{CHANNEL, EDGES_US};
pub(super) use node::{CLUSTER, DISCOVERY, FAULTS, SHARD};

/// How a figure behaves, and how those of several peers make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows; sums.
    Count,
    /// What it is now; sums.
    Now,
    /// What it is now; the most of them.
    NowMost,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Things.
    Plain,
    /// Bytes, which go behind the name.
    Bytes,
}

/// A figure of each `T`.
pub(super) struct Figure<T> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) measure: Measure,
    pub(super) get: fn(&T) -> u64,
}

const fn figure<T>(
    kind: Kind,
    measure: Measure,
    name: &'static str,
    help: &'static str,
    get: fn(&T) -> u64,
) -> Figure<T> {
    Figure {
        name,
        help,
        kind,
        measure,
        get,
    }
}
