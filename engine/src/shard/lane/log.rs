//! The log of a lane: what outlives its connections.
//!
//! The messages that wait for a connection or for their turn, the ledger of what became of every
//! message, and the counters. Bounded twice: what waits, by the gate that senders reserve at
//! (`queue_bytes_max`), and what is under way, here (`unacknowledged_bytes_max`). Owned by the lane; it
//! knows neither connections nor gates.
//!
//! What is accepted while there is no connection is held (`held`) until there is one, or none can be made.
//!
//! The seam for resuming: when a connection ends, `end` settles everything, because no channel keeps
//! messages until they are acknowledged yet. One that does calls `Outbox` and ledger to account for what
//! the peer says it has, and hands the rest over again.

use std::time::{Duration, Instant};

use super::held::Held;
use crate::channel_plan::ChannelPlan;
use crate::delivery::{AckError, Acknowledged, Outgoing, Report};
use crate::shard::outbox::{Batch, ChunkPool, Dropped, Load, Outbox};
use crate::shard::tally::LaneTally;
use crate::wire::Ack;

/// Why a connection cannot carry a message that was accepted, before there was one or for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// It has no id left for the mailbox.
    NoMailboxId,
    /// The peer takes less in one message.
    TooLarge,
    /// The peer reads no extensions.
    OldPeer,
}

impl Unsendable {
    pub(crate) const ALL: [Self; 3] = [Self::NoMailboxId, Self::TooLarge, Self::OldPeer];

    /// For whoever is told of it.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::NoMailboxId => "the lane carries no more mailboxes: see mailboxes_per_lane_max",
            Self::TooLarge => "larger than the peer takes: see its message_bytes_max",
            Self::OldPeer => "the peer speaks version 1 of the wire, which has no requests",
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Log {
    /// What waits for its turn on the connection.
    pub(crate) outbox: Outbox,
    /// What waits for a connection.
    pub(crate) held: Held,
    pub(crate) ledger: Outgoing,
    unacknowledged_bytes_max: u64,
    /// Messages wait until acknowledgements make room.
    held_back: bool,
    /// By cause: settled because the connection cannot carry them, and not reported yet.
    unsendable_unreported: [u64; Unsendable::ALL.len()],
    /// Dropped by the shard to make room; the gate counts those that senders dropped.
    overflowed: u64,
    /// How many of both have been reported, or need no report.
    overflow_reported: u64,
    pub(crate) tally: LaneTally,
}

impl Log {
    pub(crate) fn new(plan: &ChannelPlan) -> Self {
        Self {
            outbox: Outbox::default(),
            held: Held::default(),
            ledger: Outgoing::new(plan.reliability),
            unacknowledged_bytes_max: plan.config.unacknowledged_bytes_max as u64,
            held_back: false,
            unsendable_unreported: [0; Unsendable::ALL.len()],
            overflowed: 0,
            overflow_reported: 0,
            tally: LaneTally::default(),
        }
    }

    /// Accepts a message that cannot be sent, and settles it at once.
    pub(crate) fn accept_unsent(&mut self) {
        self.ledger.accept(1);
        self.ledger.drop_queued(1);
    }

    /// Settles an accepted message that the connection cannot carry.
    pub(crate) fn settle_unsendable(&mut self, cause: Unsendable) {
        self.ledger.drop_queued(1);
        self.unsendable_unreported[cause as usize] += 1;
    }

    /// How many of those have not been reported yet; they count as reported now.
    pub(crate) fn take_unsendable(&mut self, cause: Unsendable) -> u64 {
        std::mem::take(&mut self.unsendable_unreported[cause as usize])
    }

    /// Drops the message that has waited longest, unless it is the only one.
    pub(crate) fn drop_oldest(&mut self, pool: &mut ChunkPool) -> Option<Dropped> {
        if self.outbox.messages().max(self.held.messages()) <= 1 {
            return None;
        }
        let dropped = if self.held.is_empty() {
            self.outbox.drop_front(pool)?
        } else {
            self.held.drop_front(pool)?
        };
        self.ledger.drop_queued(1);
        self.overflowed += 1;
        Some(dropped)
    }

    /// How many messages the overflow policy dropped and nobody has reported yet; they count as
    /// reported now. `at_gate` is how many senders dropped since the lane was made.
    pub(crate) fn take_overflow(&mut self, at_gate: u64) -> u64 {
        let all = self.overflowed + at_gate;
        let reported = std::mem::replace(&mut self.overflow_reported, all);
        all - reported
    }

    /// Moves what is next into `batch`: control frames, and messages up to `quantum` bytes as far as
    /// the bound on what is under way allows. A batch always passes when nothing is under way.
    pub(crate) fn hand_over(&mut self, batch: &mut Batch, quantum: usize, now: Instant) -> Load {
        let unacknowledged = self.ledger.unacknowledged_bytes();
        let room = self.unacknowledged_bytes_max.saturating_sub(unacknowledged);
        let load = if room == 0 && unacknowledged > 0 {
            self.held_back = self.outbox.messages() > 0;
            self.outbox.fill_control(batch)
        } else {
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            self.outbox.fill(batch, quantum.min(room))
        };
        self.ledger
            .handed_over(load.messages, load.payload_bytes, now);
        if load.wire_bytes > 0 {
            self.tally.batches += 1;
            self.tally.bytes_sent += load.wire_bytes;
        }
        load
    }

    /// Takes an acknowledgement of the peer; `latency` is called with how long it took.
    pub(crate) fn acknowledge(
        &mut self,
        ack: Ack,
        now: Instant,
        latency: impl FnMut(Duration, u64),
    ) -> Result<Acknowledged, AckError> {
        self.ledger.acknowledge(ack, now, latency)
    }

    /// Whether messages waited for acknowledgements and need wait no longer; asked once after each.
    pub(crate) fn may_go_on(&mut self) -> bool {
        let room = self.ledger.unacknowledged_bytes() < self.unacknowledged_bytes_max;
        room && std::mem::take(&mut self.held_back)
    }

    /// A new connection: the peer counts from 0.
    pub(crate) fn start_link(&mut self) {
        self.ledger.start_link();
    }

    /// The connection has ended: settles all that was for it. Returns what waited, and what there is to
    /// report.
    pub(crate) fn end_link(&mut self, pool: &mut ChunkPool) -> (Load, Report) {
        self.held_back = false;
        let report = self.ledger.end_but(self.held.messages());
        (self.outbox.clear(pool), report)
    }

    /// There will be no connection: settles what is held. Returns what it was.
    pub(crate) fn drop_held(&mut self, pool: &mut ChunkPool) -> Load {
        let held = self.held.clear(pool);
        self.ledger.drop_queued(held.messages);
        held
    }

    /// Whether everything accepted is settled and nothing is left to say.
    pub(crate) fn is_drained(&self) -> bool {
        self.outbox.is_empty() && self.ledger.is_drained()
    }

    /// Whether everything that was for the connection is settled, and nothing is left to say on it.
    pub(crate) fn is_link_drained(&self) -> bool {
        let queued = self.ledger.queued() - self.held.messages();
        self.outbox.is_empty() && queued == 0 && self.ledger.in_flight() == 0
    }

    /// Messages that were put on a connection so far.
    pub(crate) fn put_on_links(&self) -> u64 {
        self.ledger.sent() + self.ledger.queued() - self.held.messages()
    }

    /// Messages that wait for their turn or a connection.
    pub(crate) fn waiting(&self) -> u64 {
        self.outbox.messages() + self.held.messages()
    }
}

#[cfg(test)]
mod tests;
