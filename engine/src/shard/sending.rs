//! What a shard sends from: the lanes with something to send or to say, and spare memory for it.
//!
//! Filled by `dispatch` and `context` (messages) and `receive` (acknowledgements owed), emptied by the
//! turn. It decides no order: `dispatch` does.

use std::collections::VecDeque;
use std::time::Instant;

use super::PRIORITIES;
use super::lane::Lane;
use super::outbox::{ChunkPool, OutgoingMessage};
use crate::channel_plan::ChannelPlan;
use crate::fabric::Fabric;
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Sending {
    /// Lanes with something to send, by priority.
    pub(super) ready: [VecDeque<u32>; PRIORITIES],
    /// Lanes that owe an acknowledgement.
    pub(super) owing: Vec<u32>,
    /// None of these acknowledgements has waited long enough before; `None` if no lane owes one. The shard
    /// sleeps until then: sent at once, an acknowledgement would cost both shards a system call and a
    /// wake-up before the answer that carries it for nothing.
    pub(super) acks_due: Option<Instant>,
    /// Lanes with messages that did not even reach their outbox, to be reported at the end of the
    /// turn.
    pub(super) strays: Vec<u32>,
    /// Lanes that messages wait for.
    pub(super) demanded: Vec<u32>,
    /// Lanes that are not there, for which messages with deadlines came.
    pub(super) dated: Vec<u32>,
    pub(super) pool: ChunkPool,
    /// What each channel may still send in this turn once the budget is used up.
    pub(super) floors_left: Vec<usize>,
    /// Bytes that all channels together may move in one turn.
    pub(super) turn_bytes_max: usize,
}

impl Sending {
    pub(super) fn new(turn_bytes_max: usize) -> Self {
        Self {
            ready: Default::default(),
            owing: Vec::new(),
            acks_due: None,
            strays: Vec::new(),
            demanded: Vec::new(),
            dated: Vec::new(),
            pool: ChunkPool::default(),
            floors_left: Vec::new(),
            turn_bytes_max,
        }
    }

    /// Its slot is another lane's from now on; its strays have been told.
    pub(super) fn forget_lane(&mut self, index: u32) {
        for lanes in &mut self.ready {
            lanes.retain(|lane| *lane != index);
        }
        self.owing.retain(|lane| *lane != index);
        self.demanded.retain(|lane| *lane != index);
        self.dated.retain(|lane| *lane != index);
    }

    /// Takes a message over for its lane; its room is reserved at the gate. It is sent, or waits for the
    /// lane, or is settled and to be reported.
    #[inline]
    pub(super) fn put(
        &mut self,
        index: u32,
        lane: &mut Lane,
        plan: &ChannelPlan,
        fabric: &Fabric,
        message: OutgoingMessage<'_>,
    ) {
        if message.is_extended && fabric.spans.is_on() {
            fabric.spans.taken(message.payload.as_slice());
        }
        if !lane.takes_messages() {
            self.put_aside(index, lane, plan, fabric, message);
        } else if lane.take_message(plan, fabric, &mut self.pool, message) {
            self.mark_ready(index, lane);
        } else {
            self.strays.push(index);
        }
    }

    /// As [`put`](Self::put), for what the lane [takes as a run](Lane::takes_run).
    pub(super) fn put_run(
        &mut self,
        index: u32,
        lane: &mut Lane,
        fabric: &Fabric,
        to: (MailboxId, OrderTag),
        payloads: &[&[u8]],
    ) {
        if lane.take_run(fabric, &mut self.pool, to, payloads) {
            self.mark_ready(index, lane);
        } else {
            self.strays
                .extend(std::iter::repeat_n(index, payloads.len()));
        }
    }

    /// The lane is not there.
    #[cold]
    fn put_aside(
        &mut self,
        index: u32,
        lane: &mut Lane,
        plan: &ChannelPlan,
        fabric: &Fabric,
        message: OutgoingMessage<'_>,
    ) {
        if !lane.state.holds_messages() {
            lane.settle_stray(fabric, &message);
            self.strays.push(index);
            return;
        }
        if lane.faults.is_some() && lane.drop_by_fault(plan, fabric, &message) {
            self.strays.push(index);
            return;
        }
        lane.hold_message(plan, fabric, &mut self.pool, message);
        if lane.log.first_due().is_some() {
            self.dated.push(index);
        }
        if !lane.state.is_demanded() && self.demanded.last() != Some(&index) {
            self.demanded.push(index);
        }
    }

    /// The lane owes an acknowledgement, which goes alone at `deadline`. Those of later messages are due
    /// later: all lanes wait as long.
    pub(super) fn owe_ack(&mut self, index: u32, lane: &mut Lane, deadline: Instant) {
        if !lane.owes_ack {
            lane.owes_ack = true;
            self.owing.push(index);
            self.acks_due.get_or_insert(deadline);
        }
    }

    /// Puts a lane into the queue of those with something to send.
    #[inline]
    pub(super) fn mark_ready(&mut self, index: u32, lane: &mut Lane) {
        if !lane.is_ready {
            lane.is_ready = true;
            self.ready[lane.priority].push_back(index);
        }
    }
}
