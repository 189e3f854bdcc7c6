//! A shard carries out faults on purpose: messages that are dropped or held back on its lanes, and links that are cut.
//!
//! Called by the turn when the faults of the node have changed, and by `lane`, `dial` and `accept` where a lane has any. A lane without
//! faults is asked once for each message whether it has some; a node without, once in each turn.

use std::sync::Arc;

use super::Core;
use super::lane::Lane;
use super::lane::fault::{Due, LaneFaults, Waiting};
use super::lane::log::Unsendable;
use super::lane_state::Stage;
use super::outbox::OutgoingMessage;
use super::timers::Deadline;
use crate::awaited::number;
use crate::channel_plan::ChannelPlan;
use crate::fabric::Fabric;
use crate::faults::book::OpenFault;
use crate::fnv::fnv1a;
use crate::wire::CloseReason;

/// The faults as a shard has adopted them.
#[derive(Debug, Default)]
pub(super) struct ShardFaults {
    epoch: u64,
    open: Vec<Arc<OpenFault>>,
}

impl Core {
    /// Whether there are other faults than this shard goes by.
    #[inline]
    pub(super) fn has_new_faults(&self) -> bool {
        self.fabric.faults.epoch() != self.faults.epoch
    }

    /// Goes by the faults there are.
    #[inline]
    pub(super) fn follow_faults(&mut self) {
        if self.has_new_faults() {
            self.adopt_faults();
        }
    }

    #[cold]
    fn adopt_faults(&mut self) {
        let (epoch, open) = self.fabric.faults.open();
        self.faults = ShardFaults { epoch, open };
        for place in 0..self.lanes.len() {
            let index = u32::try_from(place).unwrap_or(u32::MAX);
            if !self.lanes[place].retired {
                self.fit_faults(index);
            }
        }
        self.fabric.faults.note_adopted(self.index, epoch);
    }

    /// Gives a lane the faults that are on it, and cuts its link if one says so.
    pub(super) fn fit_faults(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        if self.faults.open.is_empty() && lane.faults.is_none() {
            return;
        }
        let (peer, channel) = (lane.peer.name(), &self.channels[lane.channel].name);
        let is_on =
            |open: &&Arc<OpenFault>| !lane.peer.is_self() && open.fault.is_on(peer, channel);
        let open: Vec<_> = self.faults.open.iter().filter(is_on).cloned().collect();
        let name = format!("{peer}\n{channel}\n{}", lane.address().index());
        let before = lane.faults.take();
        lane.faults = LaneFaults::of(&open, before, fnv1a(name.as_bytes()));
        self.cut_if_faulty(index);
        // What was held back may go.
        self.mark_ready(index);
    }

    /// A lane with a fault that cuts has no link.
    pub(super) fn cut_if_faulty(&mut self, index: u32) {
        let lane = &self.lanes[index as usize];
        if lane.is_up()
            && let Some(fault) = lane.cut_by()
        {
            fault.count_cut();
            self.end_lane(index, CloseReason::Reset);
        }
    }

    /// What the faults of a lane let go now; none: they have nothing to say about it. If nothing, the lane is looked at again when something may.
    pub(super) fn let_go_by_faults(&mut self, index: u32) -> Option<u64> {
        let lane = &mut self.lanes[index as usize];
        let waiting = Waiting {
            accepted: lane.log.ledger.accepted(),
            messages: lane.log.waiting(),
            is_replaced: !lane.log.latest.is_empty(),
        };
        match lane.faults.as_mut()?.due(waiting, self.now) {
            Due::All => None,
            Due::Some(messages) => Some(messages),
            Due::NoneUntil(at) => {
                self.timers.set(at, Deadline::Delay { lane: index });
                Some(0)
            }
        }
    }

    /// Others are not to wait for messages of a causal channel that were dropped.
    pub(super) fn tell_dropped_by_faults(&mut self, index: u32) {
        let faults = &mut self.lanes[index as usize].faults;
        let Some(open) = faults else { return };
        let numbers = open.take_numbers();
        // Faults may have ended before this was told.
        faults.take_if(|faults| faults.is_empty());
        if !numbers.is_empty() {
            self.note_ended(index, &numbers);
        }
    }
}

impl Lane {
    /// The fault that cuts its links, if one does.
    pub(super) fn cut_by(&self) -> Option<&Arc<OpenFault>> {
        self.faults.as_ref()?.cut()
    }

    /// Whether a fault drops the message: then it is accepted and settled, and the caller has to report it.
    #[cold]
    pub(super) fn drop_by_fault(
        &mut self,
        plan: &ChannelPlan,
        fabric: &Fabric,
        message: &OutgoingMessage<'_>,
    ) -> bool {
        let is_dropped = self.state.stage() != Stage::Loop
            && self
                .faults
                .as_mut()
                .is_some_and(|faults| faults.drops_next());
        if !is_dropped {
            return false;
        }
        if plan.causal.is_some()
            && message.is_extended
            && let Some(number) = number(message.payload.as_slice())
            && let Some(faults) = &mut self.faults
        {
            faults.note_number(number);
        }
        self.log.ledger.accept(1);
        self.settle_as_unsendable(fabric, message, Unsendable::Fault);
        true
    }
}
