//! What a summary counts, in the order in which it says it. The only place that has the list.
//!
//! Read by `summary`, which makes one, and by whoever shows totals. An entry is only ever added at the end: a node of
//! another version reads as many as it knows.

use crate::metrics::ChannelMetrics;

use super::counted::Counted;

/// The most figures that are read of one node, or of one of its channels: room for later versions.
pub(super) const FIGURES_MAX: usize = 64;

/// One of them.
pub(crate) struct Figure<T> {
    /// As `overlane metrics` has it.
    pub(crate) name: &'static str,
    /// As `/metrics` has it, without prefix and unit.
    pub(crate) family: &'static str,
    pub(crate) help: &'static str,
    /// It is in bytes.
    pub(crate) is_bytes: bool,
    pub(super) get: fn(&T) -> u64,
}

const fn things<T>(
    name: &'static str,
    family: &'static str,
    help: &'static str,
    get: fn(&T) -> u64,
) -> Figure<T> {
    Figure {
        name,
        family,
        help,
        is_bytes: false,
        get,
    }
}

const fn bytes<T>(
    name: &'static str,
    family: &'static str,
    help: &'static str,
    get: fn(&T) -> u64,
) -> Figure<T> {
    Figure {
        is_bytes: true,
        ..things(name, family, help, get)
    }
}

fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

/// Of a node.
pub(crate) const NODE_FIGURES: &[Figure<Counted>] = &[
    things("shards", "shards", "Data shards", |of| {
        count(of.metrics.shards.len())
    }),
    things(
        "connections",
        "connections",
        "Connections of shards",
        |of| of.of_shards(|shard| count(shard.connections)),
    ),
    things(
        "refused_connections",
        "connections_refused",
        "Connections from outside that did not become a lane",
        |of| of.metrics.refused_connections.values().sum(),
    ),
    things(
        "open_requests",
        "requests_open",
        "Requests that wait for a reply",
        |of| count(of.metrics.open_requests),
    ),
    things(
        "open_receipts",
        "receipts_open",
        "Receipts of messages that are not settled",
        |of| count(of.metrics.open_receipts),
    ),
    things(
        "open_streams",
        "streams_open",
        "Open streams, each counted where it begins",
        |of| count(of.metrics.streams.open_outgoing),
    ),
    things(
        "panics",
        "panics",
        "Handlers and tasks on shards that panicked",
        |of| of.of_shards(|shard| shard.handler_panics + shard.task_panics),
    ),
    things(
        "events_lost",
        "events_lost",
        "Events lost because the control shard did not keep up",
        |of| of.of_shards(|shard| shard.events_lost),
    ),
    things(
        "unaccounted",
        "nodes_unaccounted",
        "Nodes on which not all messages are accounted for",
        |of| u64::from(!of.metrics.identity_holds()),
    ),
    things(
        "processor_s",
        "processor_seconds",
        "Processor time of the processes since they started",
        |of| of.processor_s,
    ),
    things(
        "uptime_s",
        "uptime_seconds",
        "Time since the nodes started",
        |of| of.uptime_s,
    ),
];

/// Of a channel of a node, with all peers together.
pub(crate) const CHANNEL_FIGURES: &[Figure<ChannelMetrics>] = &[
    things("lanes_up", "lanes_up", "Ends of lanes that are up", |of| {
        u64::from(of.lanes_up)
    }),
    things(
        "accepted",
        "messages_accepted",
        "Messages accepted from the application",
        |of| of.accepted,
    ),
    things(
        "acknowledged",
        "messages_acknowledged",
        "Messages that the peer delivered and acknowledged",
        |of| of.acknowledged,
    ),
    things(
        "reported",
        "messages_reported",
        "Messages reported as undelivered or unknown",
        |of| of.reported,
    ),
    things(
        "expired",
        "messages_expired",
        "Messages whose deadline came before they were sent",
        |of| of.expired,
    ),
    things(
        "sent",
        "messages_sent",
        "Messages handed to the kernel",
        |of| of.sent,
    ),
    things(
        "dropped",
        "messages_dropped",
        "Messages dropped before that, on best-effort channels",
        |of| of.dropped,
    ),
    things(
        "replaced",
        "messages_replaced",
        "Messages that newer ones with their key replaced",
        |of| of.replaced,
    ),
    things(
        "queued",
        "messages_queued",
        "Messages that wait to be sent",
        |of| of.queued,
    ),
    things(
        "in_flight",
        "messages_in_flight",
        "Messages sent and not acknowledged yet",
        |of| of.in_flight,
    ),
    things(
        "delivered",
        "messages_delivered",
        "Messages received and given to a handler or an inbox",
        |of| of.delivered,
    ),
    things(
        "receive_dropped",
        "messages_receive_dropped",
        "Messages received without a mailbox or room, on best-effort channels",
        |of| of.receive_dropped,
    ),
    bytes(
        "bytes_sent",
        "sent",
        "Bytes sent, frame headers included",
        |of| of.bytes_sent,
    ),
    bytes(
        "bytes_received",
        "received",
        "Bytes received, frame headers included",
        |of| of.bytes_received,
    ),
    bytes("queue_bytes", "queue", "Bytes reserved at the gate", |of| {
        of.queue_bytes
    }),
    things(
        "turns_starved",
        "turns_starved",
        "Turns in which higher priorities left nothing for a lane",
        |of| of.turns_starved,
    ),
    things(
        "rate_waits",
        "rate_waits",
        "Times that what waits on a lane had to wait for a cap",
        |of| of.rate_waits,
    ),
    things(
        "overloads",
        "overloads",
        "Times that a queue reached its high watermark",
        |of| of.overloads,
    ),
];

const _: () = assert!(NODE_FIGURES.len() <= FIGURES_MAX && CHANNEL_FIGURES.len() <= FIGURES_MAX);
