//! A node that did not run for a while: its machine was suspended, its process stopped.
//!
//! Time jumps for it, and everything that it waited for seems late. That says nothing about others. So
//! it takes its accusations back, trusts itself least (as the detector's local health says), and after
//! a sleep so long that others may have forgotten their dead it tells nobody of members that it has not
//! heard of since: what it believes may be long out of date, and would bring the dead back. Others may
//! have taken this node for gone and out of their views, where it still has them in its own: the overlay
//! is told, and says to them at once that it is there.

use super::{Membership, Out};
use crate::event::{Command, Event, Input, Output, Peer};
use crate::time::Time;

/// Periods without any input that make a sleep: the timer of the period itself came no more.
const SLEEP_PERIODS: u32 = 2;
/// Within how many of the longest graces a node that slept for long hears again of every member.
/// 5: a minute with the default, to be connected again and to compare tables.
const DOUBT_GRACES: u32 = 5;

impl<P: Peer> Membership<P> {
    /// Looks whether this node slept until now. Called first with every input.
    pub(super) fn notice_sleep<M, T>(
        &mut self,
        now: Time,
        input: &Input<P, M, T>,
        out: &mut Out<P>,
    ) {
        let slept = now.since(std::mem::replace(&mut self.last_input, now));
        let is_sleep = slept > self.config.detector.period * SLEEP_PERIODS;
        if !is_sleep || matches!(input, Input::Start) {
            return;
        }
        self.counters.sleeps += 1;
        out.push(Output::Below(Command::Woken));
        self.detector.slept(now);
        self.suspicions.slept(now);
        self.exchange = None;
        self.beacon_seen = now;
        if slept >= self.config.forget_after / 2 {
            self.table.doubt_others(&self.me);
            self.doubt_until = now + self.config.grace_most * DOUBT_GRACES;
        }
    }

    /// A period is over: forgets the members of whom nothing was heard since this node slept, if it had
    /// time enough to hear of them.
    pub(super) fn end_doubt(&mut self, now: Time, out: &mut Out<P>) {
        if self.table.doubted().is_empty() || now < self.doubt_until {
            return;
        }
        for peer in self.table.doubted().clone() {
            let entry = self.table.get(&peer);
            if entry.is_some_and(|entry| entry.status.is_live()) {
                out.push(Output::Event(Event::MemberDown(peer)));
            }
            self.forget(&peer);
        }
    }
}
