//! Has messages and dials wait, and fail, as lanes cost: [`super::LaneConfig`].
//!
//! Called by the world for each of them; takes no time and draws no random number where nothing is limited. With
//! dials that cost, a message to a peer without a lane waits until one is dialed for the occasion, as the contract
//! says. A full queue refuses, and the sender hears of the high and the low watermark.

use super::NodeId;
use super::happening::What;
use super::network::micros;
use super::subject::{Observer, Subject};
use super::world::World;
use crate::event::{Input, WhyDown};

impl<X: Subject, O: Observer<X>> World<X, O> {
    /// Microseconds that a message of so many bytes waits before it leaves: for a lane, and for its turn.
    /// None: it was refused, or its dial failed.
    pub(super) fn wait_for_lane(
        &mut self,
        from: NodeId,
        to: NodeId,
        bytes: u64,
        is_payload: bool,
    ) -> Option<u64> {
        let dialed = self.dial_for_the_occasion(from, to)?;
        let queued = self.queue_on_lane(from, to, bytes, is_payload)?;
        Some(dialed.max(queued))
    }

    /// Whether a dial between two nodes that reach each other fails all the same.
    pub(super) fn dial_fails(&mut self) -> bool {
        let share = self.network.config.lanes.dial_failures;
        self.network.happens(share)
    }

    /// A dial got no answer: its time began so many microseconds ago.
    pub(super) fn dial_times_out(&mut self, from: NodeId, to: NodeId, ago: u64) {
        let timeout = micros(self.network.config.dial_timeout);
        let why = WhyDown::TimedOut;
        let after = timeout.saturating_sub(ago);
        self.happens_in(after, from, What::NoLane { peer: to, why });
    }

    fn dial_for_the_occasion(&mut self, from: NodeId, to: NodeId) -> Option<u64> {
        let config = self.network.config.lanes;
        if config.dial_round_trips.is_none() || self.nodes[from as usize].lane(to).is_some() {
            return Some(0);
        }
        if let Some(wait) = self.lanes.use_occasional(self.now, from, to) {
            return Some(wait);
        }
        if self.dial_fails() {
            self.dial_times_out(from, to, 0);
            return None;
        }
        let wait = 2 * config.round_trips() * self.network.latency(from, to);
        let ready = self.now + wait;
        self.lanes.dial_occasional(self.now, from, to, ready);
        Some(wait)
    }

    fn queue_on_lane(
        &mut self,
        from: NodeId,
        to: NodeId,
        bytes: u64,
        is_payload: bool,
    ) -> Option<u64> {
        let config = self.network.config.lanes;
        let Some(bytes_per_s) = config.bytes_per_s else {
            return Some(0);
        };
        let way = (from, to, is_payload);
        let queued = self
            .lanes
            .queue(self.now, way, bytes, bytes_per_s, config.queue_bytes);
        let Some(queued) = queued else {
            self.totals.refused += 1;
            return None;
        };
        if let Some(emptied) = queued.fills {
            self.happens_in(0, from, What::Fills { peer: to });
            self.happens_in(emptied, from, What::Empties { peer: to });
        }
        Some(queued.wait)
    }

    /// The sender of payloads hears that its queue fills, unless the lane has ended.
    pub(super) fn lane_fills(&mut self, node: NodeId, peer: NodeId) {
        if self.lanes.full_until(node, peer).is_some() {
            self.feed(node, Input::Congested(peer));
        }
    }

    /// It hears that there is room again, when what was added meanwhile has gone as well.
    pub(super) fn lane_empties(&mut self, node: NodeId, peer: NodeId) {
        let Some(until) = self.lanes.full_until(node, peer) else {
            return;
        };
        if until > self.now {
            self.happens_in(until - self.now, node, What::Empties { peer });
        } else {
            self.lanes.emptied(node, peer);
            self.feed(node, Input::Drained(peer));
        }
    }
}

#[cfg(test)]
mod tests;
