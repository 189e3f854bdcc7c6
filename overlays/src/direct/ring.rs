//! Who tells whom how far it is: each node the next greater and the next smaller of its neighbors.
//!
//! Where all are neighbors of all, that is a ring through all nodes. The sender of a message has it, tells
//! the next one and goes on telling until that one says that it has it too, and so round the ring both
//! ways: who lacks anything hears of it, whatever was lost, and if any one lane of it is broken. Two small
//! messages per node tell of all that was broadcast meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::message::{ENTRIES_MAX, Head, Message};
use super::{Direct, Outputs, Timer};
use crate::event::{Output, Peer};
use crate::time::Time;

/// Times that the wait before telling again doubles. 5: from a round trip or two to some seconds.
const DOUBLINGS_MAX: u32 = 5;

/// What stands between this node and one of its two partners.
#[derive(Debug, Default)]
pub(super) struct Partner {
    streams: BTreeMap<u64, Known>,
    /// It has not said that it has all: when it is told again.
    waits: Option<Retell>,
}

/// How far both are with one sender.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// What the partner was told last: all before this number are here.
    told: Option<u64>,
    /// It is to have all from this number on: what was young when it was told first.
    from: u64,
    /// What it told: the next number that it lacks, and its floor.
    has: Option<(u64, u64)>,
}

impl Known {
    fn lags(&self, next: u64) -> bool {
        let has_all = |(has, floor)| has >= next && floor <= self.from;
        !self.has.is_some_and(has_all)
    }
}

#[derive(Clone, Copy, Debug)]
struct Retell {
    tries: u32,
    at: Time,
}

impl Partner {
    /// Whether it has not said that it has all before `next`.
    pub(super) fn lags(&self, stream: u64, next: u64) -> bool {
        self.streams
            .get(&stream)
            .is_none_or(|known| known.lags(next))
    }
}

/// The partners of a node: two, one, or none.
pub(super) type Ring<P> = BTreeMap<P, Partner>;

impl<P: Peer> Direct<P> {
    /// Neighbors have changed.
    pub(super) fn choose_partners(&mut self, now: Time, out: &mut Outputs<P>) {
        let neighbors = &self.neighbors;
        let after = (Bound::Excluded(self.me), Bound::Unbounded);
        let above = neighbors
            .range(after)
            .next()
            .or_else(|| neighbors.iter().next());
        let below = neighbors.range(..self.me).next_back();
        let below = below.or_else(|| neighbors.iter().next_back());
        let partners: BTreeSet<P> = [above, below]
            .into_iter()
            .flatten()
            .map(|at| *at.0)
            .collect();
        self.ring.retain(|peer, _| partners.contains(peer));
        let before = self.ring.len();
        for peer in partners {
            self.ring.entry(peer).or_default();
        }
        if self.ring.len() > before {
            self.tell_after(now, self.config.tell_after, out);
        }
    }

    /// How far this node is with a sender.
    fn head(&self, now: Time, stream: u64) -> Option<Head<P>> {
        let known = self.streams.get(stream)?;
        let next = self.missing.first_of(stream, known.top);
        let next = next.unwrap_or(known.top);
        Some(Head {
            stream,
            sender: known.sender,
            next,
            back: known.back(now, next, self.config.catch_up_for),
            floor: known.floor,
        })
    }

    /// Makes sure that the partners are told within a span.
    pub(super) fn tell_after(&mut self, now: Time, after: Duration, out: &mut Outputs<P>) {
        if self.ring.is_empty() {
            return;
        }
        self.telling.within(now, after, Timer::Tell, out);
    }

    /// Tells each partner what it was not told yet, and again what it may not have heard.
    pub(super) fn tell(&mut self, now: Time, out: &mut Outputs<P>) {
        self.telling.came(now);
        let active = self.streams.active(now, self.config.store.keep_for);
        let heads: Vec<Head<P>> = active.filter_map(|(id, _)| self.head(now, id)).collect();
        let answer_within = self.pace.answer_within();
        let mut next: Option<Duration> = None;
        for (peer, partner) in &mut self.ring {
            let is_due = partner.waits.is_some_and(|waits| now >= waits.at);
            let wanted = |head: &&Head<P>| {
                let known = partner.streams.get(&head.stream);
                let told = known.and_then(|known| known.told);
                let is_news = told.is_none_or(|told| told < head.next);
                is_news || is_due && partner.lags(head.stream, head.next)
            };
            let mut telling: Vec<Head<P>> = heads.iter().filter(wanted).copied().collect();
            for head in &mut telling {
                let known = partner.streams.entry(head.stream).or_default();
                if known.told.is_none() {
                    known.from = head.next.saturating_sub(head.back.into());
                }
                if known.lags(head.next) {
                    let back = head.next.saturating_sub(known.from);
                    head.back = u32::try_from(back).unwrap_or(u32::MAX);
                }
                known.told = Some(head.next);
            }
            out.extend(telling.chunks(ENTRIES_MAX).map(|chunk| Output::Send {
                to: *peer,
                message: Message::Heads {
                    heads: chunk.to_vec(),
                    again: is_due,
                },
            }));
            let lags = heads
                .iter()
                .any(|head| partner.lags(head.stream, head.next));
            partner.waits = match partner.waits.filter(|_| lags) {
                Some(waits) if !is_due => Some(waits),
                waits => lags.then(|| {
                    let tries = waits.map_or(0, |waits| waits.tries + 1).min(DOUBLINGS_MAX);
                    let at = now + answer_within * (1 << tries);
                    Retell { tries, at }
                }),
            };
            if let Some(waits) = partner.waits {
                let after = waits.at.since(now);
                next = Some(next.map_or(after, |next| next.min(after)));
            }
        }
        if let Some(after) = next {
            self.tell_after(now, after, out);
        }
    }

    /// Somebody told how far it is.
    pub(super) fn on_heads(
        &mut self,
        now: Time,
        from: P,
        heads: &[Head<P>],
        again: bool,
        out: &mut Outputs<P>,
    ) {
        if !self.neighbors.contains_key(&from) {
            return;
        }
        for head in heads {
            self.on_head(now, from, *head, again, out);
        }
        if again {
            let own = heads.iter().filter_map(|head| self.head(now, head.stream));
            let heads: Vec<Head<P>> = own.collect();
            if !heads.is_empty() {
                let again = false;
                out.push(Output::Send {
                    to: from,
                    message: Message::Heads { heads, again },
                });
            }
        }
    }

    fn on_head(&mut self, now: Time, from: P, head: Head<P>, again: bool, out: &mut Outputs<P>) {
        let is_mine = self.numbering.last().map(|id| id.sender) == Some(head.stream);
        let first = head.next.saturating_sub(head.back.into());
        let most = self.config.store.senders_max;
        let found = self
            .streams
            .find(now, head.stream, head.sender, first, most);
        let Some(stream) = found else { return };
        if head.next == stream.top && !stream.is_told && !again {
            stream.is_told = true;
            self.pace.copies_apart(now, now.since(stream.last));
        }
        let (top, floor, sender) = (stream.top, stream.floor, stream.sender);
        if !is_mine {
            stream.floor = floor.min(first);
            let holders = [from, sender];
            // Of what is older this node had not heard in time.
            self.word_of(now, head.stream, first, floor, &holders, out);
            self.word_of(now, head.stream, top, head.next, &holders, out);
        }
        if let Some(partner) = self.ring.get_mut(&from) {
            let known = partner.streams.entry(head.stream).or_default();
            let (next, floor) = known.has.unwrap_or((head.next, head.floor));
            known.has = Some((next.max(head.next), floor.min(head.floor)));
        }
        self.forget_later(out);
    }

    /// Forgets what partners know of senders that are forgotten.
    pub(super) fn forget_told(&mut self) {
        for partner in self.ring.values_mut() {
            let streams = &self.streams;
            partner.streams.retain(|id, _| streams.get(*id).is_some());
        }
    }
}
