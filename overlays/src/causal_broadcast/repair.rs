//! Messages that are missing: asking for them, answering, giving them up; and the gossip of stability.
//!
//! What a held message needs is asked for when it has waited longer than usual, then after twice that, and
//! so on: at a random neighbor first, then at the sender of the message that waits, who had what it
//! needs, then at the sender of what is missing, who knows whether there is such a message; in turn. What no other message needs yet is missed by comparing counts in the gossip: a neighbor
//! says what it has.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::kept::Broadcast;
use super::message::{Again, COUNTS_MAX, GAPS_MAX, Message, Round};
use super::{CausalBroadcast, Out, Timer, micros};
use crate::event::{Output, Peer};
use crate::hold_back::{Count, Gap};
use crate::time::Time;

/// Most bytes sent to one node in answer to its questions within a period. 1 MiB: as one graft of
/// [`crate::plumtree`].
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes that an answer counts at least: its own.
const ANSWER_BYTES_MIN: usize = 64;
/// Most nodes answered within a period. 1,024: above the neighbors of most overlays.
const ASKERS_MAX: usize = 1_024;
/// Counts this far beyond this node's own are not believed: as many as a broadcast layer remembers.
const AHEAD_MAX: u64 = 1 << 16;

/// A life of which others have more than this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind<P> {
    count: u64,
    since: Time,
    /// The clock of who said so: no less than the stamps of these.
    clock: u64,
    /// Who said so.
    by: P,
}

impl<P: Peer> CausalBroadcast<P> {
    pub(super) fn received(&mut self, now: Time, from: P, message: Message<P>, out: &mut Out<P>) {
        match message {
            Message::AskCounts { after } => self.answer_counts(from, after, out),
            Message::Counts(page) => self.counts_told(now, from, page, out),
            Message::Ask { gaps } => self.answer(from, &gaps, out),
            Message::Again(again) => self.again(now, again),
            Message::NoSuch(gap) => self.no_such(now, from, gap),
            Message::Round(round) => self.round(now, from, round, out),
        }
    }

    /// Asks for what held messages need, and gives up what they waited for long enough.
    pub(super) fn look<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        self.is_looking = false;
        if self.joining.is_some() {
            return;
        }
        let wait_max = micros(self.config.wait_max);
        if let Some(since) = now.as_micros().checked_sub(wait_max) {
            self.hold.give_up_older(now, Time::from_micros(since));
        }
        let ask_after = self.config.ask_after(self.usual_wait.late_after());
        for wanting in self.hold.wanting(now, ask_after, GAPS_MAX) {
            let missing = wanting.gaps.first().map(|gap| gap.life.peer);
            let to = match wanting.asks % 3 {
                0 => self.neighbors.choose(random).copied(),
                1 => Some(wanting.key.0.peer),
                _ => missing,
            };
            if let Some(to) = to.filter(|to| *to != self.me.peer) {
                self.ask(to, wanting.gaps, out);
            }
        }
    }

    fn ask(&mut self, to: P, gaps: Vec<Gap<P>>, out: &mut Out<P>) {
        self.counters.asked += 1;
        out.push(Output::Send {
            to,
            message: Message::Ask { gaps },
        });
    }

    /// Sets the timer for the next look, if anything is held and it is not set.
    pub(super) fn look_later(&mut self, now: Time, out: &mut Out<P>) {
        if self.is_looking || self.joining.is_some() {
            return;
        }
        let ask_after = self.config.ask_after(self.usual_wait.late_after());
        let Some(oldest) = self.hold.oldest() else {
            return;
        };
        let ask = self.hold.next_ask(ask_after);
        let end = oldest + self.config.wait_max;
        let next = ask.map_or(end, |ask| ask.min(end));
        self.is_looking = true;
        out.push(Output::SetTimer {
            id: Timer::Look,
            // Not at once: what is due now has just been looked at.
            after: next.since(now).max(self.config.period / 100),
        });
    }

    /// Sends what is kept of what somebody misses, and says so if there is no such message of this node.
    fn answer(&mut self, to: P, gaps: &[Gap<P>], out: &mut Out<P>) {
        let own = gaps.iter().filter(|gap| gap.life == self.me);
        if let Some(last) = own
            .map(|gap| gap.last)
            .max()
            .filter(|last| *last > self.number)
        {
            let message = Message::NoSuch(Gap {
                life: self.me,
                first: self.number + 1,
                last,
            });
            out.push(Output::Send { to, message });
        }
        if self.answered.len() >= ASKERS_MAX && !self.answered.contains_key(&to) {
            return;
        }
        let bytes = self.answered.entry(to).or_default();
        for (key, kept) in gaps.iter().flat_map(|gap| self.kept.of(*gap)) {
            *bytes += kept.payload.len().max(ANSWER_BYTES_MIN);
            if *bytes > ANSWER_BYTES_MAX {
                return;
            }
            self.counters.answered += 1;
            let again = Again {
                life: key.0,
                number: key.1,
                stamp: kept.stamp,
                needs: kept.needs.clone(),
                is_message: kept.is_message,
                hops: kept.hops,
                payload: kept.payload.clone(),
            };
            out.push(Output::Send {
                to,
                message: Message::Again(again),
            });
        }
    }

    fn again(&mut self, now: Time, again: Again<P>) {
        let broadcast = Broadcast {
            stamp: again.stamp,
            needs: again.needs,
            is_message: again.is_message,
            hops: again.hops.saturating_add(1),
            payload: again.payload,
        };
        self.offer(now, (again.life, again.number), broadcast);
    }

    /// Tells a neighbor what is known of the round, if something is not stable yet.
    pub(super) fn gossip<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        if self.joining.is_some() {
            return;
        }
        let Some(to) = self.neighbors.choose(random).copied() else {
            return;
        };
        let have = self.have();
        let clock = self.clock;
        if let Some(round) = self.stability.period(&have, clock) {
            let message = Message::Round(round);
            out.push(Output::Send { to, message });
        }
    }

    fn round(&mut self, now: Time, from: P, round: Round<P>, out: &mut Out<P>) {
        self.hear_clock(round.clock);
        if self.joining.is_some() {
            return;
        }
        self.note_behind(now, from, &round);
        let have = self.have();
        let (answer, news) = self.stability.received(round, &have, self.clock);
        for stable in news {
            self.kept.prune(stable);
        }
        if let Some(round) = answer {
            out.push(Output::Send {
                to: from,
                message: Message::Round(round),
            });
        }
    }

    /// Notes of which lives others have more.
    fn note_behind(&mut self, now: Time, from: P, round: &Round<P>) {
        for Count { life, count } in &round.own {
            let have = self.have_of(life);
            if *life == self.me || *count <= have || *count - have > AHEAD_MAX {
                continue;
            }
            let known = self.behind.get(life);
            let is_old = known.is_some_and(|behind| behind.count > have);
            if !is_old && (known.is_some() || self.behind.len() < COUNTS_MAX) {
                let behind = Behind {
                    count: *count,
                    since: now,
                    clock: round.clock,
                    by: from,
                };
                self.behind.insert(*life, behind);
            }
        }
    }

    /// Asks for what this node has been behind with for a period: at who said so, then at the sender; gives
    /// it up after the longest wait.
    pub(super) fn catch_up(&mut self, now: Time, out: &mut Out<P>) {
        let (period, wait_max) = (self.config.period, self.config.wait_max);
        let mut questions: BTreeMap<P, Vec<Gap<P>>> = BTreeMap::new();
        let hold = &mut self.hold;
        self.behind.retain(|life, behind| {
            let have = hold.have(life);
            let waited = now.since(behind.since);
            if have >= behind.count {
                return false;
            }
            if waited >= wait_max {
                let count = behind.count;
                hold.close_below(behind.clock.saturating_add(1));
                hold.will_not_come(now, Count { life: *life, count });
                return false;
            }
            let is_odd = waited.as_micros() / period.as_micros().max(1) % 2 == 1;
            let to = if is_odd { behind.by } else { life.peer };
            let gaps = questions.entry(to).or_default();
            let first = have.saturating_add(1);
            if waited >= period && gaps.len() < GAPS_MAX && !hold.holds(&(*life, first)) {
                gaps.push(Gap {
                    life: *life,
                    first,
                    last: behind.count,
                });
            }
            true
        });
        let me = self.me.peer;
        questions.retain(|to, gaps| *to != me && !gaps.is_empty());
        for (to, gaps) in questions {
            self.ask(to, gaps, out);
        }
    }

    /// A sender says that there are no such messages of it. What it was not asked for may be there by now:
    /// nobody needs that yet, as the question was asked before.
    fn no_such(&mut self, now: Time, from: P, gap: Gap<P>) {
        if gap.life.peer != from {
            return;
        }
        self.hold.there_are_none(now, gap);
        let is_none = |count| (gap.first..=gap.last).contains(&count);
        if self
            .behind
            .get(&gap.life)
            .is_some_and(|behind| is_none(behind.count))
        {
            self.behind.remove(&gap.life);
        }
    }
}
