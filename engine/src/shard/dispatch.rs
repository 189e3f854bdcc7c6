//! Step 4, the only place where priority is decided: whose messages leave the rings, and whose
//! batches go to the kernel, this turn.
//!
//! Both are walked from priority 0 down, each channel up to its quantum, all of them up to the
//! turn's budget. What the budget does not reach is starved this turn, counted, and served only up
//! to its channel's floor. Nothing is sent here: `lane` does that.

use std::io;
use std::ops::ControlFlow;

use super::Core;
use super::outbox::OutgoingMessage;
use super::route::NOT_OURS;
use crate::channel::EXTENDED;
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::peer::LaneNumber;
use crate::ring::{Consumer, Drained, RECORD_HEADER_BYTES};

/// Messages taken over at once. What the ring gives back at a time has 12 of 64 bytes: more would not come together.
const RUN_MAX: usize = 16;

/// A channel's ring on this shard.
#[derive(Debug)]
pub(crate) struct ChannelQueue {
    pub(crate) ring: Consumer,
    pub(crate) channel: usize,
}

impl Core {
    /// Moves messages from the rings into the outboxes of their lanes. True if there were any.
    pub(crate) fn drain_rings(&mut self) -> bool {
        let mut budget = self.sending.turn_bytes_max;
        let mut moved = false;
        for place in 0..self.queues.len() {
            if self.queues[place].ring.is_empty() {
                continue;
            }
            let channel = self.queues[place].channel;
            let quantum = if budget > 0 {
                (budget / self.sharing_from(place)).max(1)
            } else {
                self.tally.rings_starved += 1;
                self.channels[channel].config.floor_bytes
            };
            if quantum == 0 {
                continue;
            }
            let bytes = self.drain_ring(place, quantum);
            budget = budget.saturating_sub(bytes);
            moved |= bytes > 0;
            if bytes > 0 && self.recording.is_behind() {
                self.recording
                    .note_unsent(&self.channels[channel].name, bytes);
            }
        }
        moved
    }

    /// How many rings with messages have the priority of the one at `place`, from there on: they share
    /// what is left of the budget, so that none of a priority starves another.
    fn sharing_from(&self, place: usize) -> usize {
        let priority = |queue: &ChannelQueue| self.channels[queue.channel].priority;
        let mine = priority(&self.queues[place]);
        let equals = self.queues[place..]
            .iter()
            .take_while(|queue| priority(queue) == mine);
        equals.filter(|queue| !queue.ring.is_empty()).count().max(1)
    }

    /// Drains one ring; returns the bytes moved.
    fn drain_ring(&mut self, place: usize, quantum: usize) -> usize {
        let mut bytes = 0;
        let mut unknown = None;
        let Self {
            queues,
            lanes,
            routing,
            sending,
            fabric,
            channels,
            ..
        } = self;
        let queue = &mut queues[place];
        let plan = &channels[queue.channel];
        let takes_runs = plan.takes_runs();
        // Counted as the ring counts, so that one that used up its quantum leaves nothing over for the next.
        queue.ring.drain_runs::<RUN_MAX>(quantum, |tag, drained| {
            let number = LaneNumber::from_word(tag.lane);
            let index = routing.lane_of(number).unwrap_or(NOT_OURS);
            let Some(lane) = lanes.get_mut(index as usize) else {
                unknown = Some(number);
                return ControlFlow::Break(());
            };
            let (order, high) = OrderTag::split(tag.extra);
            let mailbox = MailboxId::from_words(tag.mailbox, high);
            let is_extended = tag.extra & EXTENDED != 0;
            if let Drained::Copied(run) = &drained
                && takes_runs
                && !is_extended
                && lane.takes_run(run)
            {
                let payload_bytes = run.iter().map(|payload| payload.len()).sum::<usize>();
                bytes += payload_bytes + run.len() * RECORD_HEADER_BYTES;
                sending.put_run(index, lane, fabric, (mailbox, order), run);
                return ControlFlow::Continue(());
            }
            let mut put = |payload: Payload<'_>| {
                bytes += payload.len() + RECORD_HEADER_BYTES;
                let message = OutgoingMessage {
                    mailbox,
                    order,
                    is_extended,
                    payload,
                };
                sending.put(index, lane, plan, fabric, message);
            };
            match drained {
                Drained::Shared(shared) => put(Payload::Shared(shared.take())),
                Drained::Copied(payloads) => payloads
                    .iter()
                    .for_each(|payload| put(Payload::Borrowed(payload))),
            }
            ControlFlow::Continue(())
        });
        plan.rooms[self.index].notify(usize::MAX);
        self.seek_demanded();
        // The first message of its lane, or one that came before this shard adopted the route of its peer.
        // A gate opens only for a peer whose route is written, so the lane can be made.
        if let Some(number) = unknown
            && self.lane_numbered(number).is_some()
        {
            return bytes + self.drain_ring(place, quantum);
        }
        bytes
    }

    /// Gives the lanes that have something to send their turn. True if anything was sent.
    pub(crate) fn flush_ready(&mut self) -> io::Result<bool> {
        let floors = self.channels.floors();
        self.sending.floors_left.clear();
        self.sending.floors_left.extend(floors);
        let mut budget = self.sending.turn_bytes_max;
        let mut any = false;
        for priority in 0..self.sending.ready.len() {
            for _ in 0..self.sending.ready[priority].len() {
                let Some(lane) = self.sending.ready[priority].pop_front() else {
                    break;
                };
                if budget == 0 && !self.within_floor(lane) {
                    self.sending.ready[priority].push_back(lane);
                    continue;
                }
                self.lanes[lane as usize].is_ready = false;
                let bytes = self.flush_lane(lane)?;
                any |= bytes > 0;
                if budget == 0 {
                    let channel = self.lanes[lane as usize].channel;
                    let floor = &mut self.sending.floors_left[channel];
                    *floor = floor.saturating_sub(bytes);
                }
                budget = budget.saturating_sub(bytes);
            }
        }
        Ok(any)
    }

    /// The budget is used up: a lane is still served within its channel's floor; otherwise it is
    /// starved this turn.
    fn within_floor(&mut self, lane: u32) -> bool {
        let state = &mut self.lanes[lane as usize];
        // Starved for the idle timeout, it would count as dead at the other end.
        if state.owes_word() {
            return true;
        }
        if self.sending.floors_left[state.channel] == 0 {
            state.log.tally.turns_starved += 1;
            if state.log.first_due().is_some() {
                self.mind_deadlines(lane);
            }
            return false;
        }
        true
    }
}
