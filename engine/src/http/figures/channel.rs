//! What is counted of a channel, and the edges of its histograms.

use super::Kind::{Count, Now, NowMost};
use super::Measure::{Bytes, Plain};
use super::{Figure, figure};
use crate::metrics::ChannelMetrics;

/// Of a channel, with all peers or with each.
pub(in crate::http) const CHANNEL: &[Figure<ChannelMetrics>] = &[
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

/// Edges of the histograms of latency, in microseconds. The 1-2.5-5 steps that dashboards know, from what loopback
/// takes to what a lane is given up for.
pub(in crate::http) const EDGES_US: [u64; 18] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
