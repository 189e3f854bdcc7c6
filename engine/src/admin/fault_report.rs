//! A fault on purpose as the admin protocol has it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::faults::{FaultCounts, FaultStatus};

/// A fault that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// By which it is removed.
    pub id: u64,
    /// What it does, and where.
    pub fault: String,
    /// The peer; none: all of them.
    pub peer: Option<String>,
    /// The channel; none: all of them.
    pub channel: Option<String>,
    /// Messages that are dropped, of a million.
    pub drop_ppm: u32,
    /// How long each message is held back, in microseconds.
    pub delay_us: u64,
    /// Whether links are cut.
    pub cut: bool,
    /// What decides which messages are dropped.
    pub seed: u64,
    /// How long it still lasts, in milliseconds.
    pub left_ms: u64,
    /// What it has done.
    pub done: FaultCounts,
}

impl FaultReport {
    pub(crate) fn of(open: &FaultStatus) -> Self {
        let fault = &open.fault;
        let units = |span: Duration, unit: u128| u64::try_from(span.as_nanos() / unit);
        Self {
            id: open.id,
            fault: fault.to_string(),
            peer: fault.peer.clone(),
            channel: fault.channel.clone(),
            drop_ppm: fault.drop_ppm,
            delay_us: units(fault.delay, 1000).unwrap_or(u64::MAX),
            cut: fault.cut,
            seed: fault.seed,
            left_ms: units(open.left, 1_000_000).unwrap_or(u64::MAX),
            done: open.done,
        }
    }
}
