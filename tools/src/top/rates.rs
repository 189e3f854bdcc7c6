//! From two moments of a node to what happens per second on each channel. No I/O.

use std::collections::BTreeMap;

use overlane::ChannelMetrics;

use super::snapshot::Snapshot;

/// A channel, with all peers together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ChannelRow {
    pub(super) channel: String,
    pub(super) lanes: u64,
    /// Per second: messages accepted, messages delivered here, bytes sent, bytes received.
    pub(super) accepted: f64,
    pub(super) delivered: f64,
    pub(super) sent_bytes: f64,
    pub(super) received_bytes: f64,
    /// Messages that wait or are under way now.
    pub(super) open: u64,
    /// Reported, dropped or expired since the node started.
    pub(super) lost: u64,
    /// Time to acknowledgement since the node started, in microseconds.
    pub(super) latency: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    lanes: u64,
    accepted: u64,
    delivered: u64,
    sent_bytes: u64,
    received_bytes: u64,
    open: u64,
    lost: u64,
}

/// The channels as they are now, and what went over them since `before`.
pub(super) fn channels(before: &Snapshot, now: &Snapshot) -> Vec<ChannelRow> {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
    let (was, is) = (sums(before), sums(now));
    let names = &now.status.channels;
    let rows = names.iter().map(|name| {
        let was = was.get(name.as_str()).copied().unwrap_or_default();
        let is = is.get(name.as_str()).copied().unwrap_or_default();
        let rate = |was: u64, is: u64| per_second(is.saturating_sub(was), seconds);
        let latency = now.metrics.latency.get(name);
        ChannelRow {
            channel: name.clone(),
            lanes: is.lanes,
            accepted: rate(was.accepted, is.accepted),
            delivered: rate(was.delivered, is.delivered),
            sent_bytes: rate(was.sent_bytes, is.sent_bytes),
            received_bytes: rate(was.received_bytes, is.received_bytes),
            open: is.open,
            lost: is.lost,
            latency: latency.map(|took| (took.p50_us, took.p99_us)),
        }
    });
    rows.collect()
}

fn sums(snapshot: &Snapshot) -> BTreeMap<&str, Sums> {
    let metrics = &snapshot.metrics;
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    // Peers that went and came back as others count on, so that nothing seems to run backwards.
    for one in metrics.lanes.iter().chain(&metrics.departed) {
        add(sums.entry(&one.channel).or_default(), one);
    }
    sums
}

fn add(sums: &mut Sums, one: &ChannelMetrics) {
    sums.lanes += u64::from(one.lanes_up);
    sums.accepted += one.accepted;
    sums.delivered += one.delivered;
    sums.sent_bytes += one.bytes_sent;
    sums.received_bytes += one.bytes_received;
    sums.open += one.queued + one.in_flight;
    sums.lost += one.reported + one.dropped;
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}
