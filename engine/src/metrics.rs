//! The counters of a node, gathered from its shards and merged.
//!
//! Shards count in plain numbers of their own and copy them out between two turns when asked, so
//! nothing here is on a message's way. Called by `Node::metrics` and when a node stops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::fabric::Fabric;
use crate::faults::FaultMetrics;
use crate::shard::command::{Command, CommandSender};
use crate::shard::report::{ChannelName, LaneCounts, ShardReport};
use crate::shard::tally::new_histogram;
use crate::spans::SpanMetrics;
use crate::wire::CloseReason;

/// Everything counted on a node since it started.
#[doc = include_str!("../doc/metrics.md")]
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// For each channel and peer, ordered by peer, then channel.
    pub lanes: Vec<ChannelMetrics>,
    /// For each channel that was used with them: what was counted with peers whose place has been given
    /// to another since; their names are not kept.
    pub departed: Vec<ChannelMetrics>,
    /// For each channel that was removed: what was counted on it, with all peers together. The last 64 are
    /// told apart; those before them are summed up under the name `overlane.removed`.
    pub removed: Vec<ChannelMetrics>,
    /// For each shard.
    pub shards: Vec<ShardMetrics>,
    /// By channel, over all peers: the time from hand-over to the kernel to the acknowledgement, in
    /// microseconds. Channels of which nothing was acknowledged yet are not there.
    pub latency_us: BTreeMap<Arc<str>, Histogram<u32>>,
    /// Connections from outside that did not become a lane, by reason.
    pub refused_connections: BTreeMap<CloseReason, u64>,
    /// Requests of this node that wait for a reply.
    pub open_requests: usize,
    /// Receipts of messages that are neither acknowledged nor reported yet.
    pub open_receipts: usize,
    /// Replies that came when nobody waited for them any more.
    pub late_replies: u64,
    /// What became of streams.
    pub streams: StreamMetrics,
    /// By channel: messages, and streams, that were refused because the cluster is parted
    /// ([`SendError::Partitioned`](crate::SendError::Partitioned)). Channels that refused none are not there.
    pub partitioned: BTreeMap<Arc<str>, u64>,
    /// The routing rules there are, in order.
    pub rules: Vec<RuleMetrics>,
    /// The discoveries of the node, in order.
    pub discoveries: Vec<DiscoveryMetrics>,
    /// Faults on purpose.
    pub faults: FaultMetrics,
    /// Spans of messages whose trace is recorded.
    pub spans: SpanMetrics,
}

/// A routing rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMetrics {
    /// As it is written in `--rule`.
    pub rule: String,
    /// The channel that it chooses.
    pub channel: String,
    /// Messages that it decided for since the rules were set, whether they were accepted or not.
    pub matched: u64,
}

/// A discovery of a node: what it found, and how often it looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryMetrics {
    /// Its name.
    pub name: String,
    /// Its strategy.
    pub strategy: String,
    /// The places that it finds now: `host:port`.
    pub places: Vec<String>,
    /// How often it looked.
    pub looks: u64,
    /// How often that failed.
    pub failures: u64,
    /// How often an answer had lost all its places, and those of the one before stayed.
    pub lost_all: u64,
    /// Answers of others that were not believed: beacons with a wrong signature, of another time, or repeated.
    pub refused: u64,
    /// Places of the last answer for which there was no room.
    pub left_out: usize,
    /// What was wrong when it looked last, if anything was.
    pub failure: Option<String>,
}

/// The streams of a node, over all peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMetrics {
    /// Of this node, and open now.
    pub open_outgoing: usize,
    /// Of other nodes, and open now.
    pub open_incoming: usize,
    /// Opened by other nodes and not let in: nobody accepts there, or `streams_max` is reached.
    pub refused: u64,
    /// Messages that came for streams that were not open: what was under way when one was cancelled, as a rule.
    pub late: u64,
    /// Messages of this node that went as streams (`large_bytes_max`): each is acknowledged or reported once it is not open.
    #[serde(default)]
    pub messages_accepted: u64,
    /// Of those, handed over to a receiver at the other node, as that has said.
    #[serde(default)]
    pub messages_acknowledged: u64,
    /// Of those, told with [`Event::Reported`](crate::Event::Reported): undelivered or unknown.
    #[serde(default)]
    pub messages_reported: u64,
    /// Messages of other nodes, and of this one to itself, that came as streams and were handed over.
    #[serde(default)]
    pub messages_delivered: u64,
}

impl StreamMetrics {
    /// Messages that go as streams now.
    #[must_use]
    pub fn messages_open(&self) -> u64 {
        let settled = self.messages_acknowledged + self.messages_reported;
        self.messages_accepted.saturating_sub(settled)
    }
}

/// One channel to one peer, all its parallel lanes together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelMetrics {
    /// The peer's name; empty in [`Metrics::departed`] and [`Metrics::removed`].
    pub peer: String,
    /// The channel's name.
    pub channel: Arc<str>,
    /// Whether the channel is reliable (or best effort).
    pub reliable: bool,
    /// Lanes up now.
    pub lanes_up: u32,
    /// Messages accepted from the application.
    pub accepted: u64,
    /// Messages the peer delivered and acknowledged. Reliable channels.
    pub acknowledged: u64,
    /// Messages reported: undelivered or unknown. Reliable channels.
    pub reported: u64,
    /// Of those reported: refused by the peer, which has no such mailbox, or for being late.
    pub refused: u64,
    /// Of those refused: their deadline had passed when their turn to be delivered came
    /// (`on_late = refuse`). What a resumed lane learns on its next connection counts as refused alone, if the peer does not
    /// say how those messages ended (an earlier build).
    pub refused_late: u64,
    /// Of those reported (best effort: dropped): their deadline came before they were sent, or sent again.
    pub expired: u64,
    /// Messages handed to the kernel.
    pub sent: u64,
    /// Messages dropped before that. Best-effort channels.
    pub dropped: u64,
    /// Messages of a monotonic channel that newer ones with their key replaced before they were sent.
    pub replaced: u64,
    /// Messages accepted and waiting in an outbox now.
    pub queued: u64,
    /// Messages handed to the kernel and not acknowledged yet. Reliable channels.
    pub in_flight: u64,
    /// Messages received on a causal channel before what they follow, and held until that had come.
    pub held_back: u64,
    /// Messages received and given to a handler or an inbox.
    pub delivered: u64,
    /// Messages received on a best-effort channel for which there was no mailbox or no room.
    pub receive_dropped: u64,
    /// Messages received and refused because their deadline had passed (`on_late = refuse`); on a
    /// best-effort channel they are in `receive_dropped` too.
    pub received_late: u64,
    /// Bytes sent, frame headers included.
    pub bytes_sent: u64,
    /// Of batches that were compressed: the bytes that they took before.
    pub compressed_from_bytes: u64,
    /// Of the same batches: the bytes that were sent, a part of `bytes_sent`.
    pub compressed_to_bytes: u64,
    /// Bytes received, frame headers included.
    pub bytes_received: u64,
    /// Messages reserved at the gate now: in a ring, an outbox, or with the kernel.
    pub queue_messages: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// Most messages an outbox has held.
    pub queue_high_water: u64,
    /// Sends given to the kernel.
    pub batches: u64,
    /// Turns in which a lane had something to send and higher priorities left nothing for it.
    pub turns_starved: u64,
    /// How often what waited on a lane had to wait for a cap; see [`RateCaps`](crate::RateCaps).
    pub rate_waits: u64,
    /// How often a queue reached its high watermark, after having been at the low one.
    pub overloads: u64,
    /// Ends of lanes and failed dials, by reason.
    pub closes: BTreeMap<CloseReason, u64>,
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardMetrics {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns that found nothing to do.
    pub idle_turns: u64,
    /// Times it went to sleep.
    pub parks: u64,
    /// System calls of its backend: `io_uring_enter`, or all those of `poll` (a park is one).
    pub io_calls: u64,
    /// Operations that completed, or went on.
    pub completions: u64,
    /// Wake-ups of it by other threads: writes to its eventfd.
    pub doorbell_writes: u64,
    /// Connections now, those still closing included.
    pub connections: usize,
    /// Payloads copied because the application held too many receive buffers.
    pub payloads_copied_out: u64,
    /// Turns in which the ring of a channel was not reached, summed over channels.
    pub rings_starved: u64,
    /// Lanes that a full inbox had stopped and that were tried again, because room was made in it.
    pub lanes_retried: u64,
    /// Handlers that panicked.
    pub handler_panics: u64,
    /// Messages of causal channels that were waited for in vain and given up, at most so many; see
    /// [`Event::GivenUp`](crate::Event::GivenUp).
    pub given_up: u64,
    /// Tasks on the shard that panicked.
    pub task_panics: u64,
    /// Events lost because the control shard did not keep up.
    pub events_lost: u64,
}

impl ShardMetrics {
    /// System calls of the data path: those of the backend and doorbell writes.
    #[must_use]
    pub fn syscalls(&self) -> u64 {
        self.io_calls + self.doorbell_writes
    }
}

impl ChannelMetrics {
    fn new(peer: &str, channel: &ChannelName, counts: LaneCounts) -> Self {
        let ChannelName { name, reliable } = channel;
        let LaneCounts {
            ledgers,
            gate_dropped,
            ..
        } = counts;
        // What an overflow policy dropped at the gate was accepted and settled in one step.
        let (reported, dropped) = if *reliable {
            (gate_dropped, 0)
        } else {
            (0, gate_dropped)
        };
        Self {
            peer: peer.to_owned(),
            channel: Arc::clone(name),
            reliable: *reliable,
            lanes_up: counts.lanes_up,
            accepted: ledgers.accepted + gate_dropped,
            acknowledged: ledgers.acknowledged,
            reported: ledgers.reported + reported,
            refused: ledgers.refused,
            refused_late: ledgers.refused_late,
            expired: ledgers.expired,
            sent: ledgers.sent,
            dropped: ledgers.dropped + dropped,
            replaced: ledgers.replaced,
            queued: ledgers.queued,
            in_flight: ledgers.in_flight,
            delivered: ledgers.delivered,
            receive_dropped: counts.receive_dropped,
            received_late: ledgers.received_late,
            bytes_sent: counts.bytes_sent,
            compressed_from_bytes: counts.packed_from_bytes,
            compressed_to_bytes: counts.packed_to_bytes,
            bytes_received: counts.bytes_received,
            queue_messages: counts.queued_at_gate.0,
            queue_bytes: counts.queued_at_gate.1,
            queue_high_water: counts.depth_high_water,
            batches: counts.batches,
            turns_starved: counts.turns_starved,
            held_back: counts.held_back,
            rate_waits: counts.rate_waits,
            overloads: counts.overloads,
            closes: counts.closes,
        }
    }

    /// The accounting identity of the sending side, exact at every moment: what was accepted is
    /// acknowledged or reported (best effort: sent or dropped), replaced, or still under way.
    #[must_use]
    pub fn identity_holds(&self) -> bool {
        let settled = if self.reliable {
            self.acknowledged + self.reported + self.in_flight
        } else {
            self.sent + self.dropped
        };
        self.accepted == settled + self.replaced + self.queued
    }

    /// Whether nothing is queued or under way.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.queue_messages == 0 && self.queued == 0 && self.in_flight == 0
    }
}

impl Metrics {
    /// Asks every shard; one that does not answer within `patience` is left out.
    pub(crate) fn gather(fabric: &Fabric, commands: &[CommandSender], patience: Duration) -> Self {
        let (to, reports) = crossbeam_channel::unbounded();
        for shard in commands {
            shard.send(Command::Report(to.clone()));
        }
        drop(to);
        let deadline = crate::deadline::deadline_in(patience);
        let mut gathered = Vec::new();
        while let Ok(report) = reports.recv_deadline(deadline) {
            gathered.push(report);
        }
        Self::merge(fabric, &gathered)
    }

    pub(crate) fn merge(fabric: &Fabric, reports: &[ShardReport]) -> Self {
        let mut lanes: BTreeMap<(&str, usize, &ChannelName), LaneCounts> = BTreeMap::new();
        let mut departed: BTreeMap<(usize, &ChannelName), LaneCounts> = BTreeMap::new();
        let mut removed: BTreeMap<&ChannelName, LaneCounts> = BTreeMap::new();
        let mut metrics = Self {
            open_requests: fabric.requests.len(),
            open_receipts: fabric.receipts.len(),
            late_replies: fabric.requests.late(),
            streams: stream_metrics(fabric),
            partitioned: partitioned(fabric),
            rules: rule_metrics(fabric),
            faults: fabric.faults.metrics(),
            spans: fabric.spans.metrics(),
            ..Self::default()
        };
        for report in reports {
            let channel_at = |place: usize| report.channels.get(place)?.as_ref();
            for lane in &report.lanes {
                if let Some(channel) = channel_at(lane.channel) {
                    let key = (&*lane.peer, lane.channel, channel);
                    lanes.entry(key).or_default().add(&lane.counts);
                }
            }
            for (place, counts) in report.departed.iter().enumerate() {
                if let Some(channel) = channel_at(place) {
                    departed.entry((place, channel)).or_default().add(counts);
                }
            }
            for (channel, counts) in &report.past {
                removed.entry(channel).or_default().add(counts);
            }
            for (reason, count) in &report.refusals {
                *metrics.refused_connections.entry(*reason).or_default() += count;
            }
            for (place, latency) in report.tally.latencies.iter() {
                let Some(channel) = channel_at(place) else {
                    continue;
                };
                let name = Arc::clone(&channel.name);
                let all = metrics.latency_us.entry(name).or_insert_with(new_histogram);
                // All histograms have the same bounds, so this cannot fail.
                all.add(latency).expect("equal bounds");
            }
            metrics.shards.push(shard_metrics(report));
        }
        let lanes = lanes.into_iter();
        metrics.lanes = lanes
            .map(|((peer, _, channel), counts)| ChannelMetrics::new(peer, channel, counts))
            .collect();
        let departed = departed.into_iter();
        metrics.departed = departed
            .map(|((_, channel), counts)| ChannelMetrics::new("", channel, counts))
            .filter(|channel| channel.accepted + channel.delivered + channel.receive_dropped > 0)
            .collect();
        let removed = removed.into_iter();
        metrics.removed = removed
            .map(|(channel, counts)| ChannelMetrics::new("", channel, counts))
            .collect();
        metrics
    }

    /// One channel to one peer.
    #[must_use]
    pub fn channel(&self, peer: &str, channel: &str) -> Option<&ChannelMetrics> {
        self.lanes
            .iter()
            .find(|metrics| metrics.peer == peer && *metrics.channel == *channel)
    }

    /// Whether the accounting identity holds for every channel and peer.
    #[must_use]
    pub fn identity_holds(&self) -> bool {
        let mut all = self.lanes.iter().chain(&self.departed).chain(&self.removed);
        all.all(ChannelMetrics::identity_holds)
    }

    /// Whether nothing is queued or under way anywhere.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.lanes.iter().all(ChannelMetrics::is_drained)
    }
}

fn partitioned(fabric: &Fabric) -> BTreeMap<Arc<str>, u64> {
    let channels = fabric.channels.open().into_iter();
    let refused = channels.map(|plan| (Arc::clone(&plan.name), plan.restrained.refused()));
    refused.filter(|(_, refused)| *refused > 0).collect()
}

fn rule_metrics(fabric: &Fabric) -> Vec<RuleMetrics> {
    let table = fabric.rules.table();
    let rules = table.counts().map(|(rule, matched)| RuleMetrics {
        rule: rule.to_string(),
        channel: rule.channel.clone(),
        matched,
    });
    rules.collect()
}

fn stream_metrics(fabric: &Fabric) -> StreamMetrics {
    let (open_outgoing, open_incoming, refused, late) = fabric.streams.counted();
    let large = fabric.streams.large.counts();
    StreamMetrics {
        open_outgoing,
        open_incoming,
        refused,
        late,
        messages_accepted: large.accepted,
        messages_acknowledged: large.acknowledged,
        messages_reported: large.reported,
        messages_delivered: large.delivered,
    }
}

fn shard_metrics(report: &ShardReport) -> ShardMetrics {
    ShardMetrics {
        turns: report.tally.turns,
        idle_turns: report.tally.idle_turns,
        parks: report.tally.parks,
        io_calls: report.io.calls,
        completions: report.io.completions,
        doorbell_writes: report.doorbell_writes,
        connections: report.connections,
        payloads_copied_out: report.payloads_copied_out,
        rings_starved: report.tally.rings_starved,
        lanes_retried: report.tally.lanes_retried,
        handler_panics: report.tally.handler_panics,
        given_up: report.tally.given_up,
        task_panics: report.tally.task_panics,
        events_lost: report.tally.events_lost,
    }
}
