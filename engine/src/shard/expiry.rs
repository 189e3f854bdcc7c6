//! Messages that are worth nothing any more: found where they wait on a lane, ended, and reported.
//!
//! Called when a lane is given its turn, and by the turn for the deadline that is due first. What a lane
//! holds is its log's matter; here is when to look, and how often to tell.

use std::time::Duration;

use super::Core;
use super::timers::Deadline;
use crate::error::{EXPIRED, Reported};

/// Two looks at a lane are not closer together, and neither are two reports, however many deadlines its
/// messages have: each look goes through all of them. What is given to the kernel is looked at besides.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Core {
    /// Ends what a lane holds that is worth nothing any more, if there is any, and sees to it that the rest
    /// is looked at in time.
    #[cold]
    pub(super) fn mind_deadlines(&mut self, index: u32) {
        let (now, clock) = (self.now, self.fabric.clock);
        let moment = clock.ms(now);
        let lane = &mut self.lanes[index as usize];
        if lane.log.first_due().is_some_and(|due| due.has_come(moment)) {
            let gone = lane.log.expire(moment, &mut self.sending.pool);
            let gate = &lane.address().gate;
            gate.release(gone.load.messages, gone.load.payload_bytes);
            let (receipts, why) = (&self.fabric.receipts, EXPIRED);
            // The deadline of a request ends it in the book.
            for number in gone.undelivered {
                receipts.settle(number, Err(Reported::Undelivered { why }));
            }
            for number in gone.unknown {
                receipts.settle(number, Err(Reported::Unknown { why }));
            }
            if !gone.numbers.is_empty() {
                self.note_ended(index, &gone.numbers);
            }
        }
        let lane = &mut self.lanes[index as usize];
        let due = lane.log.first_due().map(|due| clock.after(now, due));
        let tell = lane.log.has_expired().then_some(now + LOOK_EVERY);
        let due = due.map(|due| due.max(lane.expiry_seen + LOOK_EVERY));
        let Some(at) = due.into_iter().chain(tell).min() else {
            return;
        };
        if lane.expiry.is_some_and(|set| set <= at) {
            return;
        }
        let deadline = Deadline::Expiry { lane: index };
        if let Some(set) = lane.expiry.replace(at) {
            self.timers.take_back(set, deadline);
        }
        self.timers.set(at, deadline);
    }

    /// It is time to look at a lane.
    pub(super) fn meet_expiry(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        lane.expiry = None;
        lane.expiry_seen = self.now;
        self.tell_expired(index);
        self.mind_deadlines(index);
        // It may have waited for nothing else.
        self.mark_ready(index);
    }

    /// Reports what a lane has ended since it was asked last.
    pub(super) fn tell_expired(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        let report = lane.log.take_expired();
        let is_reliable = self.channels[lane.channel].reliable;
        if is_reliable && report.undelivered + report.unknown > 0 {
            self.report_messages(index, report, EXPIRED);
        }
    }
}
