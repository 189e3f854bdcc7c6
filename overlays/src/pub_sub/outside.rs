//! Publications by nodes that do not take part: kept until a subscriber has taken them.
//!
//! A contact may be dead, or may have left the topic, and neither is known until it is asked. So the
//! publication is sent to one contact at a time, with a number of its own, until one says that it has
//! published it. Subscribers deliver a number once, so a lost answer does no harm. Owns the bounds on
//! what waits, and on the numbers that a subscriber remembers; called by the handlers of [`PubSub`].

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};

use super::message::Message;
use super::{Out, PubSub, Timer};
use crate::event::{Command, Event, Output, Overlay, Peer, Refusal, TopicId};

/// Publications that wait for an answer. 1,024: a guess, many times what is under way in a second.
const PENDING_MAX: usize = 1_024;
/// Bytes of their payloads. 4 MiB: a guess, sixteen of the largest.
const PENDING_BYTES_MAX: usize = 4 << 20;
/// How long the first contact has to answer before another one is asked; the second has twice as long,
/// and so on. 500 ms: a dial and a message within a continent; that two publish it does no harm.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// Contacts that are asked. 8: as many as are remembered.
const ATTEMPTS_MAX: u32 = 8;
/// Numbers that a subscriber remembers per topic, so that a publication is delivered once. 1,024: those
/// of one node that has as many under way as it may.
pub(super) const NUMBERS_MAX: usize = 1_024;

/// A publication that nobody has taken yet.
#[derive(Debug)]
struct Pending<P> {
    number: u64,
    topic: TopicId,
    payload: Bytes,
    /// Those that were asked; the last one has not answered.
    asked: Vec<P>,
    attempts: u32,
    /// Nobody was left to be asked in the last attempt.
    stranded: bool,
}

/// The publications of this node to topics that it does not take part in.
#[derive(Debug)]
pub(super) struct Outside<P> {
    pending: VecDeque<Pending<P>>,
    bytes: usize,
}

impl<P: Peer> Outside<P> {
    pub(super) const fn new() -> Self {
        Self {
            pending: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Says which bound is broken, if any is.
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes: usize = self.pending.iter().map(|one| one.payload.len()).sum();
        if self.pending.len() > PENDING_MAX || bytes != self.bytes || bytes > PENDING_BYTES_MAX {
            return Err(format!("{} publications wait", self.pending.len()));
        }
        Ok(())
    }

    /// Whether something waits to be published to this topic.
    pub(super) fn wants(&self, topic: TopicId) -> bool {
        self.pending.iter().any(|one| one.topic == topic)
    }

    fn add(&mut self, pending: Pending<P>) -> Result<(), Refusal> {
        let bytes = self.bytes + pending.payload.len();
        if self.pending.len() >= PENDING_MAX || bytes > PENDING_BYTES_MAX {
            return Err(Refusal::TooMany { most: PENDING_MAX });
        }
        self.bytes = bytes;
        self.pending.push_back(pending);
        Ok(())
    }

    fn take(&mut self, number: u64) -> Option<Pending<P>> {
        let index = self.pending.iter().position(|one| one.number == number)?;
        let pending = self.pending.remove(index)?;
        self.bytes -= pending.payload.len();
        Some(pending)
    }

    /// The numbers of those that wait for this node, in one topic or in any.
    fn waiting_for(&self, peer: P, topic: Option<TopicId>) -> Vec<u64> {
        let pending = self.pending.iter();
        let waiting = pending.filter(|one| {
            one.asked.last() == Some(&peer) && topic.is_none_or(|topic| one.topic == topic)
        });
        waiting.map(|one| one.number).collect()
    }
}

impl<P: Peer> PubSub<P> {
    /// Has a subscriber publish a payload.
    pub(super) fn publish_from_outside<R: Rng>(
        &mut self,
        topic: TopicId,
        payload: Bytes,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let number = random.random();
        let pending = Pending {
            number,
            topic,
            payload: payload.clone(),
            asked: Vec::new(),
            attempts: 0,
            stranded: false,
        };
        let alone = self.contacts.of(topic).is_empty() && self.base.neighbors().is_empty();
        let accepted = if alone {
            Err(Refusal::NoWay)
        } else {
            self.outside.add(pending)
        };
        match accepted {
            Ok(()) => self.ask_contact(number, random, out),
            Err(why) => self.give_back(topic, payload, why, out),
        }
    }

    /// Sends a publication to a contact that was not asked yet. Where none is left, neighbors may know one.
    fn ask_contact<R: Rng>(&mut self, number: u64, random: &mut R, out: &mut Out<P>) {
        let pending = &mut self.outside.pending;
        let Some(one) = pending.iter_mut().find(|one| one.number == number) else {
            return;
        };
        one.attempts += 1;
        let attempt = one.attempts;
        let contacts = self.contacts.of(one.topic).iter();
        let contact = contacts
            .filter(|peer| !one.asked.contains(peer))
            .choose(random);
        one.stranded = contact.is_none();
        if let Some(to) = contact {
            one.asked.push(*to);
            let message = Message::PublishFor {
                topic: one.topic,
                number,
                payload: one.payload.clone(),
            };
            out.push(Output::Send { to: *to, message });
        } else {
            let topic = one.topic;
            self.ask_neighbors(topic, out);
        }
        out.push(Output::SetTimer {
            id: Timer::AnswerDue { number, attempt },
            after: ANSWER_WAIT * attempt,
        });
    }

    /// Contacts of a topic came: for those that had nobody left to ask.
    pub(super) fn ask_new_contacts<R: Rng>(
        &mut self,
        topic: TopicId,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let pending = self.outside.pending.iter();
        let stranded = pending.filter(|one| one.topic == topic && one.stranded);
        let stranded: Vec<u64> = stranded.map(|one| one.number).collect();
        for number in stranded {
            self.ask_another(number, random, out);
        }
    }

    /// The contact that was asked has not answered in time.
    pub(super) fn answer_due<R: Rng>(
        &mut self,
        number: u64,
        attempt: u32,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let mut pending = self.outside.pending.iter();
        let due = pending.find(|one| one.number == number && one.attempts == attempt);
        let Some(one) = due else { return };
        // Perhaps dead: others are better ways in, if there are any.
        if let Some(peer) = one.asked.last().filter(|_| !one.stranded)
            && self.contacts.of(one.topic).len() > 1
        {
            self.contacts.remove(one.topic, *peer);
        }
        self.ask_another(number, random, out);
    }

    /// A contact does not take part, or is not there: in one topic, or in any.
    pub(super) fn contact_failed<R: Rng>(
        &mut self,
        peer: P,
        topic: Option<TopicId>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        match topic {
            Some(topic) => self.contacts.remove(topic, peer),
            None => self.contacts.remove_everywhere(peer),
        }
        for number in self.outside.waiting_for(peer, topic) {
            self.ask_another(number, random, out);
        }
    }

    fn ask_another<R: Rng>(&mut self, number: u64, random: &mut R, out: &mut Out<P>) {
        let mut pending = self.outside.pending.iter();
        let Some(one) = pending.find(|one| one.number == number) else {
            return;
        };
        let (topic, tired) = (one.topic, one.attempts >= ATTEMPTS_MAX);
        if self.topics.contains_key(&topic) {
            // Takes part by now.
            if let Some(one) = self.outside.take(number) {
                self.publish(topic, one.payload, random, out);
            }
        } else if !tired {
            self.ask_contact(number, random, out);
        } else if let Some(one) = self.outside.take(number) {
            self.give_back(topic, one.payload, Refusal::NoWay, out);
        }
    }

    /// A contact has published it.
    pub(super) fn published(&mut self, from: P, number: u64) {
        let mut pending = self.outside.pending.iter();
        if pending.any(|one| one.number == number && one.asked.contains(&from)) {
            self.outside.take(number);
        }
    }

    fn give_back(&mut self, topic: TopicId, payload: Bytes, why: Refusal, out: &mut Out<P>) {
        self.counters.unpublished += 1;
        out.push(Output::Event(Event::Refused {
            command: Command::Publish(topic, payload),
            why,
        }));
    }
}
