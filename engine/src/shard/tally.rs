//! What a lane and a shard count besides the ledgers. Plain numbers: only their shard touches them,
//! and hands out copies on request (`report`).

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::delivery::{Incoming, Outgoing};
use crate::wire::CloseReason;

/// Latencies above this are recorded as this: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Counters of one lane over all its connections.
#[derive(Debug, Default)]
pub(crate) struct LaneTally {
    /// Messages delivered on connections that have ended.
    pub(crate) delivered_before: u64,
    /// Messages refused on them for being late.
    pub(crate) late_before: u64,
    pub(crate) bytes_sent: u64,
    /// Of batches that were compressed: what they took before, and after.
    pub(crate) packed_from_bytes: u64,
    pub(crate) packed_to_bytes: u64,
    pub(crate) bytes_received: u64,
    pub(crate) batches: u64,
    pub(crate) depth_high_water: u64,
    pub(crate) turns_starved: u64,
    /// Received on a causal channel before what they follow.
    pub(crate) held_back: u64,
    /// Waits for tokens of a cap.
    pub(crate) rate_waits: u64,
    /// Received on a best-effort channel for an inbox that was full, or for no mailbox.
    pub(crate) receive_dropped: u64,
    pub(crate) closes: Vec<(CloseReason, u64)>,
}

/// What a lane's two ledgers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledgers {
    pub(crate) accepted: u64,
    pub(crate) acknowledged: u64,
    pub(crate) reported: u64,
    pub(crate) refused: u64,
    pub(crate) refused_late: u64,
    pub(crate) expired: u64,
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
    pub(crate) replaced: u64,
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    pub(crate) delivered: u64,
    pub(crate) received_late: u64,
}

impl Ledgers {
    /// `tally` knows what came on earlier connections.
    pub(crate) fn new(outgoing: &Outgoing, tally: &LaneTally, incoming: Option<&Incoming>) -> Self {
        Self {
            accepted: outgoing.accepted(),
            acknowledged: outgoing.acknowledged(),
            reported: outgoing.reported(),
            refused: outgoing.refused(),
            refused_late: outgoing.refused_late(),
            expired: outgoing.expired(),
            sent: outgoing.sent(),
            dropped: outgoing.dropped(),
            replaced: outgoing.replaced(),
            queued: outgoing.queued(),
            in_flight: outgoing.in_flight(),
            delivered: tally.delivered_before + incoming.map_or(0, Incoming::delivered_total),
            received_late: tally.late_before + incoming.map_or(0, Incoming::late_total),
        }
    }

    /// Adds those of another lane.
    pub(crate) fn add_sums(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.acknowledged += other.acknowledged;
        self.reported += other.reported;
        self.refused += other.refused;
        self.refused_late += other.refused_late;
        self.expired += other.expired;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.replaced += other.replaced;
        self.queued += other.queued;
        self.in_flight += other.in_flight;
        self.delivered += other.delivered;
        self.received_late += other.received_late;
    }
}

impl LaneTally {
    #[inline]
    pub(crate) fn note_depth(&mut self, messages: u64) {
        self.depth_high_water = self.depth_high_water.max(messages);
    }

    /// A batch is given to the kernel.
    pub(crate) fn note_batch(&mut self, wire_bytes: u64) {
        self.batches += 1;
        self.bytes_sent += wire_bytes;
    }

    /// A batch was compressed, from so many bytes to so many.
    pub(crate) fn note_packed(&mut self, from_bytes: usize, to_bytes: usize) {
        self.packed_from_bytes += from_bytes as u64;
        self.packed_to_bytes += to_bytes as u64;
    }

    /// Messages were reported because the node had no more time: whether the lane was there or not.
    pub(crate) fn note_late(&mut self) {
        let reason = CloseReason::DrainTimeout;
        if self.closes.iter().all(|(known, _)| *known != reason) {
            self.count_close(reason);
        }
    }

    pub(crate) fn count_close(&mut self, reason: CloseReason) {
        match self.closes.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.closes.push((reason, 1)),
        }
    }
}

/// The time from hand-over to acknowledgement, by channel, over all lanes of a shard: one for each lane
/// would be most of what an idle peer costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    by_channel: Vec<Option<Box<Histogram<u32>>>>,
}

impl Latencies {
    /// `messages` of `channel` took so long.
    pub(crate) fn record(&mut self, channel: usize, latency: Duration, messages: u64) {
        let micros = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX)
            .clamp(1, LATENCY_US_MAX);
        if self.by_channel.len() <= channel {
            self.by_channel.resize(channel + 1, None);
        }
        let histogram = self.by_channel[channel].get_or_insert_with(|| Box::new(new_histogram()));
        histogram.saturating_record_n(micros, u32::try_from(messages).unwrap_or(u32::MAX));
    }

    /// The channel was removed: another may get its place.
    pub(crate) fn forget(&mut self, channel: usize) {
        if let Some(latency) = self.by_channel.get_mut(channel) {
            *latency = None;
        }
    }

    /// The channels that have any, and theirs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Histogram<u32>)> {
        let by_channel = self.by_channel.iter().enumerate();
        by_channel.filter_map(|(channel, latency)| Some((channel, latency.as_deref()?)))
    }
}

/// Two significant digits: a histogram stays below 10 KiB, and 1 % is finer than any two runs
/// agree.
pub(crate) fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("the bounds are fixed and valid")
}

/// Counters of one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardTally {
    pub(crate) turns: u64,
    pub(crate) idle_turns: u64,
    pub(crate) parks: u64,
    pub(crate) handler_panics: u64,
    /// Messages of causal channels that were given up, at most so many.
    pub(crate) given_up: u64,
    pub(crate) lanes_retried: u64,
    pub(crate) task_panics: u64,
    pub(crate) events_lost: u64,
    /// Turns in which the ring of a channel was not reached, summed over channels.
    pub(crate) rings_starved: u64,
    pub(crate) latencies: Latencies,
    /// By reason: connections from outside that did not become a lane.
    pub(crate) refusals: Vec<u64>,
}

impl Default for ShardTally {
    fn default() -> Self {
        Self {
            turns: 0,
            idle_turns: 0,
            parks: 0,
            handler_panics: 0,
            given_up: 0,
            lanes_retried: 0,
            task_panics: 0,
            events_lost: 0,
            rings_starved: 0,
            latencies: Latencies::default(),
            refusals: vec![0; CloseReason::COUNT],
        }
    }
}
