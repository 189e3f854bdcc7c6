//! What is counted of a node beside its channels: its shards, its cluster, faults on purpose, discoveries.

use super::Kind::{Count, Now};
use super::Measure::Plain;
use super::{Figure, figure};
use crate::faults::FaultMetrics;
use crate::http::ClusterScrape;
use crate::metrics::{DiscoveryMetrics, ShardMetrics};

/// Of a shard.
pub(in crate::http) const SHARD: &[Figure<ShardMetrics>] = &[
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
pub(in crate::http) const CLUSTER: &[Figure<ClusterScrape>] = &[
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
pub(in crate::http) const FAULTS: &[Figure<FaultMetrics>] = &[
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
pub(in crate::http) const DISCOVERY: &[Figure<DiscoveryMetrics>] = &[
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
