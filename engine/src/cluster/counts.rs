//! What a node has counted of broadcasts: its own, those of others, and what is known to be missed.
//!
//! Counted on the control shard, read by application threads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::payload::Sort;

/// Counts of a node's part in broadcasts, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BroadcastCounts {
    /// Begun here.
    pub started: u64,
    /// Of other nodes, given to their mailboxes here.
    pub delivered: u64,
    /// Of other nodes, which came and found no channel of their name here, or no room on it; and causal ones that did not
    /// come in time.
    pub missed: u64,
    /// Ordered here and not begun: too many were under way already.
    pub refused: u64,
    /// Of other nodes, heard of and got from nobody. Those of the cluster's own protocols count too.
    pub given_up: u64,
    /// Messages of the cluster's protocols, payloads passed on among them, that found no room on a lane. They are
    /// repaired by the protocols.
    pub unsent: u64,
    /// Messages of control shards of other nodes that are against the rules.
    pub malformed: u64,
    /// The same by kind, and for publications to topics.
    pub kinds: [KindCounts; Sort::COUNT],
}

/// Counts of one kind of broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// Its name: one of [`BroadcastKind`](super::BroadcastKind), or `topic`.
    pub kind: &'static str,
    /// As in [`BroadcastCounts`].
    pub started: u64,
    /// As in [`BroadcastCounts`].
    pub delivered: u64,
    /// As in [`BroadcastCounts`].
    pub missed: u64,
    /// As in [`BroadcastCounts`].
    pub refused: u64,
}

/// The counters of one kind.
#[derive(Debug, Default)]
pub(super) struct KindCounters {
    pub(super) started: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Counters {
    kinds: [KindCounters; Sort::COUNT],
    pub(super) given_up: AtomicU64,
    pub(super) unsent: AtomicU64,
    pub(super) malformed: AtomicU64,
}

impl Counters {
    pub(super) const fn of(&self, sort: Sort) -> &KindCounters {
        &self.kinds[sort.index()]
    }

    pub(super) fn read(&self) -> BroadcastCounts {
        let kinds = Sort::ALL.map(|sort| {
            let counters = self.of(sort);
            KindCounts {
                kind: sort.name(),
                started: load(&counters.started),
                delivered: load(&counters.delivered),
                missed: load(&counters.missed),
                refused: load(&counters.refused),
            }
        });
        let sum = |count: fn(&KindCounts) -> u64| kinds.iter().map(count).sum();
        BroadcastCounts {
            started: sum(|kind| kind.started),
            delivered: sum(|kind| kind.delivered),
            missed: sum(|kind| kind.missed),
            refused: sum(|kind| kind.refused),
            given_up: load(&self.given_up),
            unsent: load(&self.unsent),
            malformed: load(&self.malformed),
            kinds,
        }
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
