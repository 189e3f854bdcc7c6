//! The metrics by name: what each says, its unit, and where it is counted. The only place that has them.
//!
//! `exposition` writes them. Names and units follow Prometheus' conventions: base units, `_total` behind what only grows
//! (added when written), a unit as the last word before it.

use Kind::{Count, Now, NowMost};
use Measure::{Bytes, Plain};

use super::ClusterScrape;
use crate::faults::FaultMetrics;
use crate::metrics::{ChannelMetrics, DiscoveryMetrics, ShardMetrics};

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

/// Of a channel, with all peers or with each.
pub(super) const CHANNEL: &[Figure<ChannelMetrics>] = &[
    figure(Now, Plain, "channel_lanes_up", "Lanes up", |of| {
        u64::from(of.lanes_up)
    }),
    figure(
        Count,
        Plain,
        "channel_messages_accepted",
        "Messages accepted from the application",
        |of| of.accepted,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_acknowledged",
        "Messages that the peer delivered and acknowledged",
        |of| of.acknowledged,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_reported",
        "Messages reported as undelivered or unknown",
        |of| of.reported,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_refused",
        "Of those reported: refused by the peer",
        |of| of.refused,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_refused_late",
        "Of those refused: after their deadline",
        |of| of.refused_late,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_expired",
        "Messages whose deadline came before they were sent",
        |of| of.expired,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_sent",
        "Messages handed to the kernel",
        |of| of.sent,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_dropped",
        "Messages dropped before that, on best-effort channels",
        |of| of.dropped,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_replaced",
        "Messages that newer ones with their key replaced",
        |of| of.replaced,
    ),
    figure(
        Now,
        Plain,
        "channel_messages_queued",
        "Messages that wait to be sent",
        |of| of.queued,
    ),
    figure(
        Now,
        Plain,
        "channel_messages_in_flight",
        "Messages sent and not acknowledged yet",
        |of| of.in_flight,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_held_back",
        "Messages that came before what they follow",
        |of| of.held_back,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_delivered",
        "Messages received and given to a handler or an inbox",
        |of| of.delivered,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_receive_dropped",
        "Messages received without a mailbox or room, on best-effort channels",
        |of| of.receive_dropped,
    ),
    figure(
        Count,
        Plain,
        "channel_messages_received_late",
        "Messages received and refused after their deadline",
        |of| of.received_late,
    ),
    figure(
        Count,
        Bytes,
        "channel_sent",
        "Bytes sent, frame headers included",
        |of| of.bytes_sent,
    ),
    figure(
        Count,
        Bytes,
        "channel_received",
        "Bytes received, frame headers included",
        |of| of.bytes_received,
    ),
    figure(
        Count,
        Bytes,
        "channel_compressed_from",
        "Bytes of batches before they were compressed",
        |of| of.compressed_from_bytes,
    ),
    figure(
        Count,
        Bytes,
        "channel_compressed_to",
        "Bytes of the same batches as they were sent",
        |of| of.compressed_to_bytes,
    ),
    figure(
        Now,
        Plain,
        "channel_queue_messages",
        "Messages reserved at the gate: in a ring, an outbox or with the kernel",
        |of| of.queue_messages,
    ),
    figure(
        Now,
        Bytes,
        "channel_queue",
        "Bytes reserved at the gate",
        |of| of.queue_bytes,
    ),
    figure(
        NowMost,
        Plain,
        "channel_queue_messages_high_water",
        "Most messages that an outbox has held",
        |of| of.queue_high_water,
    ),
    figure(
        Count,
        Plain,
        "channel_batches",
        "Sends given to the kernel",
        |of| of.batches,
    ),
    figure(
        Count,
        Plain,
        "channel_turns_starved",
        "Turns in which higher priorities left nothing for a lane",
        |of| of.turns_starved,
    ),
    figure(
        Count,
        Plain,
        "channel_rate_waits",
        "Times that what waits on a lane had to wait for a cap",
        |of| of.rate_waits,
    ),
    figure(
        Count,
        Plain,
        "channel_overloads",
        "Times that a queue reached its high watermark",
        |of| of.overloads,
    ),
];

/// Of a shard.
pub(super) const SHARD: &[Figure<ShardMetrics>] = &[
    figure(Count, Plain, "shard_turns", "Turns of the loop", |of| {
        of.turns
    }),
    figure(
        Count,
        Plain,
        "shard_idle_turns",
        "Turns that found nothing to do",
        |of| of.idle_turns,
    ),
    figure(
        Count,
        Plain,
        "shard_parks",
        "Times that it went to sleep",
        |of| of.parks,
    ),
    figure(
        Count,
        Plain,
        "shard_io_calls",
        "System calls of its backend",
        |of| of.io_calls,
    ),
    figure(
        Count,
        Plain,
        "shard_completions",
        "Operations that completed, or went on",
        |of| of.completions,
    ),
    figure(
        Count,
        Plain,
        "shard_doorbell_writes",
        "Times that another thread woke it",
        |of| of.doorbell_writes,
    ),
    figure(Now, Plain, "shard_connections", "Connections", |of| {
        u64::try_from(of.connections).unwrap_or(u64::MAX)
    }),
    figure(
        Count,
        Plain,
        "shard_payloads_copied_out",
        "Payloads copied because the application held too many buffers",
        |of| of.payloads_copied_out,
    ),
    figure(
        Count,
        Plain,
        "shard_rings_starved",
        "Turns in which the ring of a channel was not reached",
        |of| of.rings_starved,
    ),
    figure(
        Count,
        Plain,
        "shard_lanes_retried",
        "Lanes that a full inbox had stopped and that were tried again",
        |of| of.lanes_retried,
    ),
    figure(
        Count,
        Plain,
        "shard_handler_panics",
        "Handlers that panicked",
        |of| of.handler_panics,
    ),
    figure(
        Count,
        Plain,
        "shard_task_panics",
        "Tasks that panicked",
        |of| of.task_panics,
    ),
    figure(
        Count,
        Plain,
        "shard_messages_given_up",
        "Messages of causal channels that were waited for in vain",
        |of| of.given_up,
    ),
    figure(
        Count,
        Plain,
        "shard_events_lost",
        "Events lost because the control shard did not keep up",
        |of| of.events_lost,
    ),
];

/// Of a cluster, as this node sees it.
pub(super) const CLUSTER: &[Figure<ClusterScrape>] = &[
    figure(
        Now,
        Plain,
        "cluster_joined",
        "Whether the node is a member among others",
        |of| u64::from(of.is_joined),
    ),
    figure(
        Now,
        Plain,
        "overlay_epoch",
        "Number of the overlay; grows with each switch",
        |of| of.epoch,
    ),
    figure(
        Now,
        Plain,
        "overlay_neighbors",
        "Nodes that the overlay connects this one to",
        |of| u64::try_from(of.neighbors).unwrap_or(u64::MAX),
    ),
    figure(
        Count,
        Plain,
        "broadcasts_started",
        "Broadcasts begun here",
        |of| of.broadcasts.started,
    ),
    figure(
        Count,
        Plain,
        "broadcasts_delivered",
        "Broadcasts of others delivered here",
        |of| of.broadcasts.delivered,
    ),
    figure(
        Count,
        Plain,
        "broadcasts_missed",
        "Broadcasts of others that found no channel or no room here",
        |of| of.broadcasts.missed,
    ),
    figure(
        Count,
        Plain,
        "broadcasts_refused",
        "Broadcasts ordered here and not begun",
        |of| of.broadcasts.refused,
    ),
    figure(
        Count,
        Plain,
        "broadcasts_given_up",
        "Broadcasts of others that were heard of and got from nobody",
        |of| of.broadcasts.given_up,
    ),
    figure(
        Count,
        Plain,
        "cluster_messages_unsent",
        "Messages of the cluster's protocols that found no room on a lane",
        |of| of.broadcasts.unsent,
    ),
    figure(
        Count,
        Plain,
        "cluster_messages_malformed",
        "Messages of other control shards that are against the rules",
        |of| of.broadcasts.malformed,
    ),
];

/// Of faults on purpose.
pub(super) const FAULTS: &[Figure<FaultMetrics>] = &[
    figure(
        Now,
        Plain,
        "faults_open",
        "Faults on purpose that are open",
        |of| u64::try_from(of.open).unwrap_or(u64::MAX),
    ),
    figure(
        Count,
        Plain,
        "fault_messages_dropped",
        "Messages that a fault on purpose dropped",
        |of| of.done.dropped,
    ),
    figure(
        Count,
        Plain,
        "fault_messages_delayed",
        "Messages that a fault on purpose held back",
        |of| of.done.delayed,
    ),
    figure(
        Count,
        Plain,
        "fault_links_cut",
        "Links that a fault on purpose cut",
        |of| of.done.cut,
    ),
    figure(
        Count,
        Plain,
        "fault_dials_failed",
        "Dials that a fault on purpose let fail",
        |of| of.done.dials_failed,
    ),
];

/// Of a discovery.
pub(super) const DISCOVERY: &[Figure<DiscoveryMetrics>] = &[
    figure(
        Now,
        Plain,
        "discovery_up",
        "Whether its last look was answered, with places or from the start without",
        |of| u64::from(of.failure.is_none() && of.looks > 0),
    ),
    figure(
        Now,
        Plain,
        "discovery_addresses",
        "Addresses that it finds now",
        |of| u64::try_from(of.places.len()).unwrap_or(u64::MAX),
    ),
    figure(
        Now,
        Plain,
        "discovery_addresses_left_out",
        "Addresses of its last answer for which there was no room",
        |of| u64::try_from(of.left_out).unwrap_or(u64::MAX),
    ),
    figure(
        Count,
        Plain,
        "discovery_looks",
        "Times that it looked",
        |of| of.looks,
    ),
    figure(
        Count,
        Plain,
        "discovery_failures",
        "Looks that failed",
        |of| of.failures,
    ),
    figure(
        Count,
        Plain,
        "discovery_answers_emptied",
        "Answers that had lost all addresses, so that those of the one before stayed",
        |of| of.lost_all,
    ),
    figure(
        Count,
        Plain,
        "discovery_answers_refused",
        "Answers of others that were not believed",
        |of| of.refused,
    ),
];

/// Edges of the histograms of latency, in microseconds. The 1-2.5-5 steps that dashboards know, from what loopback
/// takes to what a lane is given up for.
pub(super) const EDGES_US: [u64; 18] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
