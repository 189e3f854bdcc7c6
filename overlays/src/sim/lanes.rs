//! What lanes cost: round trips of a dial, dials that fail, bandwidth, and queues that refuse when full.
//!
//! The limits, and what is under way within them; `dialing` has the world mind both. Payloads have a queue of their
//! own beside that of control messages, as they have in the engine.

use std::collections::BTreeMap;

use super::NodeId;

/// How lanes are limited. The default limits nothing: a lane is there after one round trip, and a message
/// to a peer without one needs none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneConfig {
    /// Round trips from a dial until its lane carries messages, also for those sent to a peer without a lane.
    /// TCP and the handshake take 2, with TLS 3. None: one, and messages need no lane.
    pub dial_round_trips: Option<u32>,
    /// Share of dials that are lost although both ends live and reach each other, 0 to 1.
    pub dial_failures: f64,
    /// Bytes per second that each queue of a lane sends. None: any number at once.
    pub bytes_per_s: Option<u64>,
    /// Bytes that a queue holds; what finds no room is refused. As many as the engine's log of a channel:
    /// 1,000,000, the watermarks at 80 and 20 %.
    pub queue_bytes: u64,
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self {
            dial_round_trips: None,
            dial_failures: 0.0,
            bytes_per_s: None,
            queue_bytes: 1_000_000,
        }
    }
}

/// How long a lane that was dialed for the occasion stays when nothing uses it. 10 s: a guess at `lane_idle_ms`.
const IDLE_MICROS: u64 = 10_000_000;
/// Of 100 parts of a queue: where its sender hears that it fills, and that it has emptied.
const HIGH_PERCENT: u64 = 80;
const LOW_PERCENT: u64 = 20;

impl LaneConfig {
    /// Round trips of a dial.
    pub(super) fn round_trips(&self) -> u64 {
        u64::from(self.dial_round_trips.unwrap_or(1).max(1))
    }
}

/// One of the queues of a lane: from whom, to whom, and whether it is that of payloads.
pub(super) type Way = (NodeId, NodeId, bool);

/// What becomes of a message that is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    /// Microseconds until it has left.
    pub(super) wait: u64,
    /// The queue has reached the high watermark with it: microseconds until it is at the low one.
    pub(super) fills: Option<u64>,
}

/// What is under way on all lanes. Times are in microseconds.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// When what is queued will have left.
    queues: BTreeMap<Way, u64>,
    /// Queues of payloads that have reached the high watermark: when they are at the low one.
    full: BTreeMap<(NodeId, NodeId), u64>,
    /// Lanes for the occasion, by both ends, the lesser first: from when on they carry messages, and when they
    /// were used last.
    occasional: BTreeMap<(NodeId, NodeId), (u64, u64)>,
}

impl Lanes {
    /// How long a message waits for the lane that was dialed for an earlier one; none if that is gone.
    pub(super) fn use_occasional(&mut self, now: u64, from: NodeId, to: NodeId) -> Option<u64> {
        let ends = (from.min(to), from.max(to));
        let (ready, used) = self.occasional.get_mut(&ends)?;
        let is_open = now <= (*used).max(*ready) + IDLE_MICROS;
        is_open.then(|| {
            *used = now;
            ready.saturating_sub(now)
        })
    }

    /// A lane is dialed for a message, and will be there at `ready`.
    pub(super) fn dial_occasional(&mut self, now: u64, from: NodeId, to: NodeId, ready: u64) {
        let ends = (from.min(to), from.max(to));
        self.occasional.insert(ends, (ready, now));
    }

    /// Puts a message into a queue that sends so many bytes per second. None: there is no room.
    pub(super) fn queue(
        &mut self,
        now: u64,
        way: Way,
        bytes: u64,
        bytes_per_s: u64,
        queue_bytes: u64,
    ) -> Option<Queued> {
        let time_of = |bytes: u64| bytes.saturating_mul(1_000_000) / bytes_per_s.max(1);
        let free_at = self.queues.entry(way).or_default();
        let wait = free_at.saturating_sub(now) + time_of(bytes);
        if wait > time_of(queue_bytes) {
            return None;
        }
        *free_at = now + wait;
        let level = |percent| time_of(queue_bytes / 100 * percent);
        let (from, to, is_payload) = way;
        let mut fills = None;
        if is_payload && wait >= level(HIGH_PERCENT) {
            let emptied = wait - level(LOW_PERCENT);
            let known = self.full.insert((from, to), now + emptied);
            fills = known.is_none().then_some(emptied);
        }
        Some(Queued { wait, fills })
    }

    /// When a queue of payloads is at the low watermark again; none if it has not reached the high one.
    pub(super) fn full_until(&self, from: NodeId, to: NodeId) -> Option<u64> {
        self.full.get(&(from, to)).copied()
    }

    /// A queue of payloads is at the low watermark.
    pub(super) fn emptied(&mut self, from: NodeId, to: NodeId) {
        self.full.remove(&(from, to));
    }

    /// A lane is gone for one of its ends, and what that had queued.
    pub(super) fn ended(&mut self, from: NodeId, to: NodeId) {
        self.queues.remove(&(from, to, false));
        self.queues.remove(&(from, to, true));
        self.full.remove(&(from, to));
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.queues.retain(|way, _| way.0 != node && way.1 != node);
        self.full.retain(|ends, _| ends.0 != node && ends.1 != node);
        self.occasional
            .retain(|ends, _| ends.0 != node && ends.1 != node);
    }
}
