//! How things stand on a shard, copied out on request. Merged into `Metrics` off the shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Core;
use super::lane::Lane;
use super::tally::{Ledgers, ShardTally};
use crate::io::completion::IoCounters;
use crate::peer::Peer;
use crate::wire::CloseReason;

/// One lane.
#[derive(Debug)]
pub(crate) struct LaneReport {
    /// The peer's name.
    pub(crate) peer: Arc<str>,
    pub(crate) channel: usize,
    pub(crate) counts: LaneCounts,
}

/// Which channel it is, and what that says of its counters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChannelName {
    pub(crate) name: Arc<str>,
    pub(crate) reliable: bool,
}

/// What is counted of a lane, or of several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaneCounts {
    pub(crate) lanes_up: u32,
    pub(crate) ledgers: Ledgers,
    pub(crate) gate_dropped: u64,
    pub(crate) overloads: u64,
    pub(crate) queued_at_gate: (u64, u64),
    pub(crate) bytes_sent: u64,
    pub(crate) packed_from_bytes: u64,
    pub(crate) packed_to_bytes: u64,
    pub(crate) bytes_received: u64,
    pub(crate) batches: u64,
    pub(crate) depth_high_water: u64,
    pub(crate) turns_starved: u64,
    pub(crate) held_back: u64,
    pub(crate) rate_waits: u64,
    pub(crate) receive_dropped: u64,
    pub(crate) closes: BTreeMap<CloseReason, u64>,
}

impl LaneCounts {
    /// Adds those of another lane.
    pub(crate) fn add(&mut self, other: &Self) {
        self.lanes_up += other.lanes_up;
        self.ledgers.add_sums(&other.ledgers);
        self.gate_dropped += other.gate_dropped;
        self.overloads += other.overloads;
        self.queued_at_gate.0 += other.queued_at_gate.0;
        self.queued_at_gate.1 += other.queued_at_gate.1;
        self.bytes_sent += other.bytes_sent;
        self.packed_from_bytes += other.packed_from_bytes;
        self.packed_to_bytes += other.packed_to_bytes;
        self.bytes_received += other.bytes_received;
        self.batches += other.batches;
        self.depth_high_water = self.depth_high_water.max(other.depth_high_water);
        self.turns_starved += other.turns_starved;
        self.held_back += other.held_back;
        self.rate_waits += other.rate_waits;
        self.receive_dropped += other.receive_dropped;
        for (reason, count) in &other.closes {
            *self.closes.entry(*reason).or_default() += count;
        }
    }
}

/// One shard.
#[derive(Debug)]
pub(crate) struct ShardReport {
    pub(crate) tally: ShardTally,
    pub(crate) io: IoCounters,
    pub(crate) doorbell_writes: u64,
    pub(crate) connections: usize,
    pub(crate) payloads_copied_out: u64,
    pub(crate) refusals: Vec<(CloseReason, u64)>,
    pub(crate) lanes: Vec<LaneReport>,
    /// By channel: the lanes of peers that gave their place up.
    pub(crate) departed: Vec<LaneCounts>,
    /// What the channels are that the numbers here stand for.
    pub(crate) channels: Vec<Option<ChannelName>>,
    /// Channels that were removed.
    pub(crate) past: Vec<(ChannelName, LaneCounts)>,
}

impl Core {
    pub(crate) fn report(&self) -> ShardReport {
        let refusals = CloseReason::ALL
            .iter()
            .zip(&self.tally.refusals)
            .filter(|(_, count)| **count > 0);
        ShardReport {
            tally: self.tally.clone(),
            io: self.io.counters(),
            doorbell_writes: self.fabric.shards[self.index].doorbell.wakes(),
            connections: self.connections.count(),
            payloads_copied_out: self
                .intake
                .buffers
                .iter()
                .map(|buffers| buffers.copied_out())
                .sum(),
            refusals: refusals.map(|(reason, count)| (*reason, *count)).collect(),
            lanes: self
                .lanes
                .iter()
                .filter(|lane| !lane.retired)
                .map(lane_report)
                .chain(self.routing.unused(self.index).map(unused_report))
                .collect(),
            departed: self.routing.departed.clone(),
            channels: self.channels.names(),
            past: self.channels.past.clone(),
        }
    }
}

/// Of a lane that nobody has used yet.
fn unused_report((peer, offset): (&Arc<Peer>, usize)) -> LaneReport {
    let address = peer.lane(offset);
    LaneReport {
        peer: Arc::clone(peer.shared_name()),
        channel: address.channel(),
        counts: LaneCounts {
            gate_dropped: address.gate.dropped(),
            overloads: address.gate.overloads(),
            queued_at_gate: address.gate.queued(),
            ..LaneCounts::default()
        },
    }
}

fn lane_report(lane: &Lane) -> LaneReport {
    LaneReport {
        peer: Arc::clone(lane.peer.shared_name()),
        channel: lane.channel,
        counts: lane_counts(lane),
    }
}

/// What a lane has counted so far.
pub(super) fn lane_counts(lane: &Lane) -> LaneCounts {
    let log = &lane.log;
    let received = lane.link.inbound.as_ref().map(|inbound| &inbound.ledger);
    LaneCounts {
        lanes_up: u32::from(lane.is_up()),
        ledgers: Ledgers::new(&log.ledger, &log.tally, received),
        gate_dropped: lane.address().gate.dropped(),
        overloads: lane.address().gate.overloads(),
        queued_at_gate: lane.address().gate.queued(),
        bytes_sent: log.tally.bytes_sent,
        packed_from_bytes: log.tally.packed_from_bytes,
        packed_to_bytes: log.tally.packed_to_bytes,
        bytes_received: log.tally.bytes_received,
        batches: log.tally.batches,
        depth_high_water: log.tally.depth_high_water,
        turns_starved: log.tally.turns_starved,
        held_back: log.tally.held_back,
        rate_waits: log.tally.rate_waits,
        receive_dropped: log.tally.receive_dropped,
        closes: log.tally.closes.iter().copied().collect(),
    }
}
