//! How things stand on a shard, copied out on request. Merged into `Metrics` off the shard.

use hdrhistogram::Histogram;

use super::Core;
use super::receive::incoming;
use super::tally::{Ledgers, ShardTally};
use crate::io::completion::IoCounters;
use crate::wire::CloseReason;

/// One lane.
#[derive(Debug)]
pub(crate) struct LaneReport {
    pub(crate) peer: u32,
    pub(crate) channel: usize,
    pub(crate) is_up: bool,
    pub(crate) ledgers: Ledgers,
    pub(crate) gate_dropped: u64,
    pub(crate) queued_at_gate: (u64, u64),
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) batches: u64,
    pub(crate) depth_high_water: u64,
    pub(crate) turns_starved: u64,
    pub(crate) receive_dropped: u64,
    pub(crate) latency: Option<Histogram<u32>>,
    pub(crate) closes: Vec<(CloseReason, u64)>,
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
            lanes: self.lanes.iter().map(lane_report).collect(),
        }
    }
}

fn lane_report(lane: &super::lane::Lane) -> LaneReport {
    let log = &lane.log;
    let received = incoming(lane.link.inbound.as_deref());
    LaneReport {
        peer: lane.peer.index(),
        channel: lane.channel,
        is_up: lane.is_up(),
        ledgers: Ledgers::new(&log.ledger, log.tally.delivered_before, received),
        gate_dropped: lane.address().gate.dropped(),
        queued_at_gate: lane.address().gate.queued(),
        bytes_sent: log.tally.bytes_sent,
        bytes_received: log.tally.bytes_received,
        batches: log.tally.batches,
        depth_high_water: log.tally.depth_high_water,
        turns_starved: log.tally.turns_starved,
        receive_dropped: log.tally.receive_dropped,
        latency: log.tally.latency().cloned(),
        closes: log.tally.closes.clone(),
    }
}
