//! Repair: messages that others have and this node lacks.
//!
//! A number that was skipped, or that a partner told of, is waited for as long as messages take here
//! ([`crate::pace`]); then who may have it is asked, one after the other, as long as messages are kept.
//! What nobody has any more is given up and counted.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use super::message::{ENTRIES_MAX, Message};
use super::{Direct, Outputs, Timer};
use crate::event::{Output, Peer};
use crate::pages::{self, PAGE_EVERY};
use crate::store::{Look, MessageId};
use crate::time::Time;

/// How often each who told of a message is asked for it, where nothing but that tells that it exists. 3: a
/// guess; a question and its answer that are lost three times running are rare, and who told tells again.
const ASKED_MAX: u8 = 3;

/// Most nodes remembered that may have one message. 6: its sender, both partners, and who was a partner
/// before.
const HOLDERS_MAX: usize = 6;

/// Times that the wait for an answer doubles. 4: to a few seconds.
const DOUBLINGS_MAX: u8 = 4;

/// How long a message is waited for at most from a node that sends others meanwhile. 30 s: as long as
/// messages are kept.
const ANSWERING_MAX: Duration = Duration::from_secs(30);

/// Messages that are missing, in the order of their senders and numbers.
#[derive(Debug)]
pub(super) struct Missing<P> {
    waits: BTreeMap<MessageId, Wait<P>>,
}

#[derive(Debug)]
pub(super) struct Wait<P> {
    /// Of the first word of it.
    since: Time,
    /// When somebody is asked, or the next one.
    due: Time,
    holders: Vec<Holder<P>>,
}

#[derive(Debug)]
struct Holder<P> {
    peer: P,
    asked: u8,
    at: Time,
    /// It said that it does not have it.
    lacks: bool,
}

impl<P: Peer> Wait<P> {
    fn add(&mut self, peer: P) {
        let known = self.holders.iter().any(|holder| holder.peer == peer);
        if !known && self.holders.len() < HOLDERS_MAX {
            self.holders.push(Holder {
                peer,
                asked: 0,
                at: Time::ZERO,
                lacks: false,
            });
        }
    }

    /// How long the message took after the first word of it, if nobody was asked for it.
    pub(super) fn unasked_for(&self, now: Time) -> Option<Duration> {
        let asked = self.holders.iter().any(|holder| holder.asked > 0);
        (!asked).then(|| now.since(self.since))
    }

    /// How long `from` took to answer, if it was asked once.
    pub(super) fn answered_by(&self, now: Time, from: P) -> Option<Duration> {
        let mut holders = self.holders.iter();
        let it = holders.find(|holder| holder.peer == from && holder.asked == 1);
        it.map(|holder| now.since(holder.at))
    }
}

impl<P: Peer> Missing<P> {
    pub(super) const fn new() -> Self {
        Self {
            waits: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    pub(super) fn has(&self, id: MessageId) -> bool {
        self.waits.contains_key(&id)
    }

    pub(super) fn remove(&mut self, id: MessageId) -> Option<Wait<P>> {
        self.waits.remove(&id)
    }

    /// The least number of a sender that is missing below `top`.
    pub(super) fn first_of(&self, sender: u64, top: u64) -> Option<u64> {
        let first = MessageId { sender, number: 0 };
        let end = MessageId {
            sender,
            number: top,
        };
        self.waits.range(first..end).next().map(|(id, _)| id.number)
    }
}

impl<P: Peer> Direct<P> {
    /// There are messages of a sender before `next`, and `holders` have them. Those from `top` on that
    /// are not waited for yet are from now on, the last ones if there is no room for all.
    pub(super) fn word_of(
        &mut self,
        now: Time,
        sender: u64,
        top: u64,
        next: u64,
        holders: &[P],
        out: &mut Outputs<P>,
    ) {
        let holders = || holders.iter().filter(|peer| **peer != self.me);
        let id = |number| MessageId { sender, number };
        for (_, wait) in self.missing.waits.range_mut(id(0)..id(next)) {
            holders().for_each(|peer| wait.add(*peer));
        }
        let room = self.config.missing_max.saturating_sub(self.missing.len());
        let due = now + self.pace.graft_after();
        for number in top.max(next.saturating_sub(room as u64))..next {
            let mut wait = Wait {
                since: now,
                due,
                holders: Vec::new(),
            };
            holders().for_each(|peer| wait.add(*peer));
            self.missing.waits.entry(id(number)).or_insert(wait);
        }
        self.ask_later(now, out);
    }

    fn ask_later(&mut self, now: Time, out: &mut Outputs<P>) {
        let due = self.missing.waits.values().map(|wait| wait.due).min();
        if let Some(due) = due {
            self.asking.within(now, due.since(now), Timer::Ask, out);
        }
    }

    /// Asks for all that should have come by now.
    pub(super) fn ask(&mut self, now: Time, out: &mut Outputs<P>) {
        self.asking.came(now);
        let within = self.pace.answer_within();
        let neighbors = &self.neighbors;
        let mut wanted: BTreeMap<P, Vec<MessageId>> = BTreeMap::new();
        let mut lost = Vec::new();
        for (id, wait) in &mut self.missing.waits {
            if now < wait.due {
                continue;
            }
            wait.due = now + within;
            let is_answering = wait.holders.iter().any(|holder| {
                let brought = neighbors.get(&holder.peer).and_then(|link| link.brought);
                holder.asked > 0 && brought.is_some_and(|brought| now.since(brought) < within)
            });
            if is_answering && now.since(wait.since) < ANSWERING_MAX {
                continue;
            }
            // That something was skipped proves that it exists: then the partners are likely to have it.
            let top = self.streams.get(id.sender).map(|stream| stream.top);
            let exists = top.is_some_and(|top| id.number < top);
            if exists {
                self.ring.keys().for_each(|peer| wait.add(*peer));
            }
            let is_kept = now.since(wait.since) < self.config.store.keep_for;
            let holders = wait.holders.iter_mut().filter(|holder| {
                let may_answer = !holder.lacks && neighbors.contains_key(&holder.peer);
                may_answer && (exists && is_kept || holder.asked < ASKED_MAX)
            });
            let Some(holder) = holders.min_by_key(|holder| holder.asked) else {
                // Who may have it and is no neighbor now may be one again.
                let may_come = exists && is_kept && wait.holders.iter().any(|holder| !holder.lacks);
                if !may_come {
                    lost.push(*id);
                }
                continue;
            };
            wait.due = now + within * (1 << holder.asked.min(DOUBLINGS_MAX));
            holder.asked = holder.asked.saturating_add(1);
            holder.at = now;
            wanted.entry(holder.peer).or_default().push(*id);
        }
        for (to, ids) in wanted {
            out.extend(ids.chunks(ENTRIES_MAX).map(|chunk| Output::Send {
                to,
                message: Message::Want {
                    ids: chunk.to_vec(),
                },
            }));
        }
        for id in lost {
            self.give_up(now, id, out);
        }
        self.ask_later(now, out);
    }

    /// Nobody has a message. What was never more than hearsay is no loss.
    fn give_up(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        self.missing.remove(id);
        let top = self.streams.get(id.sender).map(|stream| stream.top);
        if top.is_some_and(|top| id.number < top) {
            self.given_up += 1;
            self.tell_after(now, self.config.tell_after, out);
        }
    }

    /// Who was asked does not have these.
    pub(super) fn on_lacks(&mut self, now: Time, from: P, ids: &[MessageId], out: &mut Outputs<P>) {
        let mut any = false;
        for id in ids {
            let Some(wait) = self.missing.waits.get_mut(id) else {
                continue;
            };
            let it = wait.holders.iter_mut().find(|holder| holder.peer == from);
            if let Some(holder) = it.filter(|holder| !holder.lacks) {
                holder.lacks = true;
                wait.due = now;
                any = true;
            }
        }
        if any {
            self.ask(now, out);
        }
    }

    /// Somebody asks for messages.
    pub(super) fn on_want(&mut self, from: P, ids: Vec<MessageId>, out: &mut Outputs<P>) {
        let has = |id: &MessageId| matches!(self.store.look(*id), Look::Kept(seen) if seen.content.is_some());
        let (here, lacks): (Vec<_>, Vec<_>) = ids.into_iter().partition(has);
        if !lacks.is_empty() {
            let message = Message::Lacks { ids: lacks };
            out.push(Output::Send { to: from, message });
        }
        let Some(link) = self.neighbors.get_mut(&from) else {
            return;
        };
        let is_first = link.owed.is_empty();
        pages::owe(&mut link.owed, here);
        if is_first {
            self.next_page(from, out);
        }
    }

    /// Time for the next page of all that wait for one.
    pub(super) fn next_pages(&mut self, out: &mut Outputs<P>) {
        self.is_paging = false;
        let waiting = self
            .neighbors
            .iter()
            .filter(|(_, link)| !link.owed.is_empty());
        let waiting: Vec<P> = waiting.map(|(peer, _)| *peer).collect();
        for to in waiting {
            self.next_page(to, out);
        }
    }

    /// Sends a page if there is room for it, and sets the timer for the rest.
    pub(super) fn next_page(&mut self, to: P, out: &mut Outputs<P>) {
        let Some(link) = self.neighbors.get_mut(&to) else {
            return;
        };
        if link.is_congested {
            // Goes on once the lane is drained.
            return;
        }
        let mut owed = mem::take(&mut link.owed);
        pages::take(&self.store, &mut owed, |id, seen| {
            let message = seen.content.clone().map(|content| {
                Message::Gossip(super::message::Gossip {
                    sender: content.sender,
                    id,
                    back: 0,
                    hops: seen.hops,
                    late: true,
                    payload: content.payload,
                })
            });
            out.extend(message.map(|message| Output::Send { to, message }));
        });
        if !owed.is_empty() && !self.is_paging {
            self.is_paging = true;
            out.push(Output::SetTimer {
                id: Timer::Page,
                after: PAGE_EVERY,
            });
        }
        if let Some(link) = self.neighbors.get_mut(&to) {
            link.owed = owed;
        }
    }
}
