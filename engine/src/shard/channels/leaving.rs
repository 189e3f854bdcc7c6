//! The end of a channel on a shard: what was accepted is settled, its lanes part from their peers, by a
//! deadline; then nothing of it is left here.
//!
//! The same steps as when the node stops (`stop`), for the lanes of one channel. Driven by each turn while a
//! channel leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Core;
use super::super::report::{ChannelName, LaneCounts, lane_counts};
use super::super::stop::STALLED_SENDER_GRACE;
use super::super::timers::Deadline;
use crate::channel_plan::ChannelPlan;
use crate::peer::LaneRange;

/// A channel on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    channel: usize,
    deadline: Instant,
    /// What had been reported and dropped when that began.
    before: (u64, u64),
}

/// How often it is looked whether a sender has let go of a gate: nothing tells a shard that sleeps.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Counters of channels that are gone are kept by name for so many; those of older ones are summed up.
const PAST_KEPT: usize = 64;

/// The name under which they are.
const PAST_OLDER: &str = "overlane.removed";

impl Core {
    /// The channel was removed: nothing comes into its ring any more, and its lanes part from their peers when
    /// they are drained.
    pub(super) fn begin_leaving(&mut self, plan: &Arc<ChannelPlan>, deadline: Instant) {
        let mut known = self.channels.leaving.iter();
        if known.any(|leaving| leaving.channel == plan.index) {
            return;
        }
        for queue in &self.queues {
            if queue.channel == plan.index {
                queue.ring.close();
            }
        }
        for lane in self.lanes_of(plan.index) {
            let state = &mut self.lanes[lane as usize];
            // The streams themselves have been told.
            state.streams.forget();
            state.state.begin_leave();
        }
        let before = self.unsettled_on(plan);
        self.channels.leaving.push(Leaving {
            channel: plan.index,
            deadline,
            before,
        });
        self.timers.set(deadline, Deadline::Leaving);
    }

    /// Moves the channels that leave forward. True if anything was done.
    pub(crate) fn follow_leaving(&mut self) -> bool {
        if self.channels.leaving.is_empty() || self.drain.is_some() {
            // A node that stops drains all its lanes.
            return false;
        }
        let mut any = false;
        for place in (0..self.channels.leaving.len()).rev() {
            let Leaving {
                channel, deadline, ..
            } = self.channels.leaving[place];
            let late = self.now >= deadline;
            let queue = self.queues.iter().find(|queue| queue.channel == channel);
            let is_emptied = queue.is_none_or(|queue| queue.ring.is_finished());
            if !late && !is_emptied {
                continue;
            }
            for lane in self.lanes_of(channel) {
                any |= self.part_from(lane, late);
            }
            let too_late = self.now >= deadline + STALLED_SENDER_GRACE;
            if (is_emptied && self.is_deserted(channel)) || too_late {
                let leaving = self.channels.leaving.swap_remove(place);
                self.finish_leaving(&leaving);
                any = true;
            }
        }
        let looks_later = self.channels.look_at.is_some_and(|at| at > self.now);
        if !self.channels.leaving.is_empty() && !looks_later {
            let at = self.now + LOOK_EVERY;
            self.channels.look_at = Some(at);
            self.timers.set(at, Deadline::Leaving);
        }
        any
    }

    /// Whether no lane of a channel is there or waited for, and no sender has anything reserved.
    fn is_deserted(&self, channel: usize) -> bool {
        let in_use = |lane: u32| {
            let state = &self.lanes[lane as usize].state;
            state.is_up() || state.is_demanded()
        };
        if self.lanes_of(channel).into_iter().any(in_use) {
            return false;
        }
        let lanes = self.channels[channel].lanes();
        let cells = self.cells_of(lanes).into_iter();
        let mut gates = cells.map(|(number, peer, _)| peer.lane(number.offset()).gate.is_unused());
        gates.all(|is_unused| is_unused)
    }

    /// Nothing of the channel is left on this shard but its counters.
    fn finish_leaving(&mut self, leaving: &Leaving) {
        let Some(plan) = self.channels.plans[leaving.channel].clone() else {
            return;
        };
        self.drop_lanes(plan.lanes());
        let counts = std::mem::take(&mut self.routing.departed[plan.index]);
        let name = ChannelName::of(&plan);
        let (reported, dropped) = unsettled(&counts, plan.reliable);
        keep_past(&mut self.channels.past, name, &counts);
        self.queues.retain(|queue| queue.channel != plan.index);
        self.packing.forget_channel(plan.index);
        self.tally.latencies.forget(plan.index);
        self.channels.plans[plan.index] = None;
        self.channels.left.push(Arc::clone(&plan.entry));
        let (reported_before, dropped_before) = leaving.before;
        let reported = reported.saturating_sub(reported_before);
        let dropped = dropped.saturating_sub(dropped_before);
        if plan.leave.note_left(reported, dropped) {
            self.control_link.look();
        }
    }

    fn drop_lanes(&mut self, lanes: LaneRange) {
        for (number, peer, lane) in self.cells_of(lanes) {
            match lane {
                Some(lane) => self.drop_lane(number, lane),
                None => self.count_departed_cell(peer.lane(number.offset())),
            }
        }
    }

    /// What was reported and dropped on a channel so far.
    fn unsettled_on(&self, plan: &ChannelPlan) -> (u64, u64) {
        let mut counts = self.routing.departed[plan.index].clone();
        for lane in self.lanes_of(plan.index) {
            counts.add(&lane_counts(&self.lanes[lane as usize]));
        }
        for (number, peer, lane) in self.cells_of(plan.lanes()) {
            if lane.is_none() {
                counts.gate_dropped += peer.lane(number.offset()).gate.dropped();
            }
        }
        unsettled(&counts, plan.reliable)
    }
}

/// Messages that were reported, and that were dropped, the latter on a best-effort channel.
fn unsettled(counts: &LaneCounts, reliable: bool) -> (u64, u64) {
    let ledgers = &counts.ledgers;
    if reliable {
        (ledgers.reported + counts.gate_dropped, 0)
    } else {
        (0, ledgers.dropped + counts.gate_dropped)
    }
}

/// Adds what a channel has counted to that of the same name, or as the newest.
fn keep_past(past: &mut Vec<(ChannelName, LaneCounts)>, name: ChannelName, counts: &LaneCounts) {
    if let Some((_, sum)) = past.iter_mut().find(|(known, _)| *known == name) {
        sum.add(counts);
        return;
    }
    past.push((name, counts.clone()));
    let is_kept = |name: &ChannelName| *name.name == *PAST_OLDER;
    if past.iter().filter(|(name, _)| !is_kept(name)).count() <= PAST_KEPT {
        return;
    }
    let oldest = past.iter().position(|(name, _)| !is_kept(name));
    if let Some(oldest) = oldest {
        let (name, counts) = past.remove(oldest);
        let older = ChannelName {
            name: Arc::from(PAST_OLDER),
            ..name
        };
        match past.iter_mut().find(|(known, _)| *known == older) {
            Some((_, sum)) => sum.add(&counts),
            None => past.insert(0, (older, counts)),
        }
    }
}
