//! Where a node that starts begins: at the counts of a neighbor that is there already.
//!
//! What those count was sent before this node's time; what comes after them it delivers. Until it has
//! heard them it holds back what arrives. Counts that need several pages are not all of one moment: what was
//! under way in between is passed over here, as it may be needed by what a later page counts.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::message::{COUNTS_MAX, Counts, Message};
use super::{CausalBroadcast, Out, Timer};
use crate::event::{Output, Peer};
use crate::hold_back::{Count, Life};
use crate::time::Time;

/// A node that does not know yet where to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joining {
    /// When the first neighbor came, who may answer.
    since: Option<Time>,
}

impl Joining {
    pub(super) const fn new() -> Self {
        Self { since: None }
    }

    /// Whether there is somebody to ask.
    pub(super) const fn has_begun(self) -> bool {
        self.since.is_some()
    }
}

impl<P: Peer> CausalBroadcast<P> {
    pub(super) fn start<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        let phase = random.random_range(0.0..=1.0);
        self.is_ticking = true;
        out.push(Output::SetTimer {
            id: Timer::Period,
            after: self.config.period.mul_f64(phase),
        });
    }

    pub(super) fn neighbor_up<R: Rng>(
        &mut self,
        now: Time,
        peer: P,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        if !self.neighbors.contains(&peer) {
            self.neighbors.push(peer);
        }
        if let Some(joining) = &mut self.joining
            && joining.since.is_none()
        {
            joining.since = Some(now);
            self.ask_counts(random, out);
        }
    }

    /// Asks once more, or begins with what is known when the time for it is over.
    pub(super) fn join_period<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        let Some(Joining { since: Some(since) }) = self.joining else {
            return;
        };
        if now.since(since) >= self.config.join_wait {
            self.begin();
        } else {
            self.ask_counts(random, out);
        }
    }

    fn ask_counts<R: Rng>(&self, random: &mut R, out: &mut Out<P>) {
        if let Some(to) = self.neighbors.choose(random) {
            out.push(Output::Send {
                to: *to,
                message: Message::AskCounts { after: None },
            });
        }
    }

    /// A node wants to know where to begin. One that does not know it itself is silent.
    pub(super) fn answer_counts(&self, to: P, after: Option<Life<P>>, out: &mut Out<P>) {
        if self.joining.is_some() {
            return;
        }
        let own = Count {
            life: self.me,
            count: self.number,
        };
        let is_own_due = own.count > 0 && after.is_none_or(|after| after < self.me);
        let mut counts: Vec<Count<P>> = self
            .hold
            .counts_after(after)
            .take(COUNTS_MAX)
            .chain(is_own_due.then_some(own))
            .collect();
        counts.sort_unstable();
        let more = counts.len() >= COUNTS_MAX;
        counts.truncate(COUNTS_MAX);
        let open_from = if more || after.is_some() {
            // What was delivered between two pages may need what the first does not count.
            self.clock.saturating_add(1)
        } else {
            self.hold.open_from()
        };
        out.push(Output::Send {
            to,
            message: Message::Counts(Counts {
                counts,
                more,
                clock: self.clock,
                open_from,
            }),
        });
    }

    pub(super) fn counts_told(&mut self, now: Time, from: P, page: Counts<P>, out: &mut Out<P>) {
        if self.joining.is_none() || !self.neighbors.contains(&from) {
            return;
        }
        let last = page.counts.last().map(|count| count.life);
        self.hear_clock(page.clock);
        for count in page.counts {
            if count.life != self.me {
                self.hold.begin_at(now, count);
            }
        }
        self.hold.begin_above(page.open_from);
        match last {
            Some(after) if page.more => out.push(Output::Send {
                to: from,
                message: Message::AskCounts { after: Some(after) },
            }),
            _ => self.begin(),
        }
    }

    fn begin(&mut self) {
        self.joining = None;
        self.hold.go_on();
    }
}
