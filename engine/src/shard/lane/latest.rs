//! Messages of a monotonic channel that wait for their turn: of each key only the newest.
//!
//! Part of the lane's log. They stay out of the outbox until the connection can take them, because what is
//! encoded there can be replaced no more. A newer message takes the place of the older one in the line, so
//! that a key which changes often is not put off for ever. Messages without a key are never replaced. Bounded by the lane's gate,
//! at which the room of each stays reserved.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::awaited::{Awaited, awaited, key};
use crate::deadline::{Moment, earlier};
use crate::delivery::rate::Amount;
use crate::mailboxes::{ByMailbox, Mailbox, MailboxId, Mailboxes};
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::shard::outbox::{Dropped, Load, OutgoingMessage};
use crate::wire::HEADER_BYTES;
use crate::wire::extension::deadline_of;

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) mailbox: MailboxId,
    pub(crate) is_extended: bool,
    pub(crate) payload: Bytes,
}

/// What a newer message replaces.
type Key = (MailboxId, u64);

/// One place in the line.
#[derive(Debug)]
enum Place {
    Keyed(Key),
    Plain(Waiting),
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    line: VecDeque<Place>,
    keyed: HashMap<Key, Waiting>,
    /// Not later than the deadline of any that has one.
    first_due: Option<Moment>,
    /// Names in use: given back when nothing waits any more.
    names: ByMailbox<Mailbox>,
}

impl Waiting {
    fn new(message: OutgoingMessage<'_>) -> Self {
        Self {
            mailbox: message.mailbox,
            is_extended: message.is_extended,
            payload: message.payload.into_bytes(),
        }
    }

    /// As it goes into an outbox.
    pub(crate) fn into_message(self) -> OutgoingMessage<'static> {
        OutgoingMessage {
            mailbox: self.mailbox,
            // A monotonic channel has no fragments.
            order: OrderTag::WITHOUT_KEY,
            is_extended: self.is_extended,
            payload: Payload::Shared(self.payload),
        }
    }

    /// When it is worth nothing any more.
    fn due(&self) -> Option<Moment> {
        self.is_extended
            .then(|| deadline_of(&self.payload).map(Moment))?
    }

    fn awaited(&self) -> Option<Awaited> {
        self.is_extended.then(|| awaited(&self.payload))?
    }

    fn dropped(&self) -> Dropped {
        Dropped {
            bytes: self.payload.len() as u64,
            awaited: self.awaited(),
        }
    }
}

impl Latest {
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Messages that wait.
    pub(crate) fn messages(&self) -> u64 {
        self.line.len() as u64
    }

    /// Puts a message into the line; returns the one that it replaces.
    pub(crate) fn put(
        &mut self,
        names: &Mailboxes,
        message: OutgoingMessage<'_>,
    ) -> Option<Dropped> {
        let mailbox = message.mailbox;
        if !self.names.contains_key(&mailbox)
            && let Some(name) = names.hold_on(mailbox)
        {
            self.names.insert(mailbox, name);
        }
        let key = message.is_extended.then(|| key(message.payload.as_slice()));
        let waiting = Waiting::new(message);
        self.first_due = earlier(self.first_due, waiting.due());
        let Some(key) = key.flatten() else {
            self.line.push_back(Place::Plain(waiting));
            return None;
        };
        let key = (mailbox, key);
        let replaced = self.keyed.insert(key, waiting);
        if replaced.is_none() {
            self.line.push_back(Place::Keyed(key));
        }
        replaced.map(|older| older.dropped())
    }

    /// What is next of `piece` at most, or a single message.
    pub(crate) fn amount_within(&self, piece: Amount) -> Amount {
        let mut within = Amount::default();
        for place in &self.line {
            let waiting = match place {
                Place::Keyed(key) => self.keyed.get(key),
                Place::Plain(waiting) => Some(waiting),
            };
            let bytes = waiting.map_or(0, |waiting| waiting.payload.len()) + HEADER_BYTES;
            let next = Amount {
                bytes: within.bytes + bytes as u64,
                messages: within.messages + 1,
            };
            if !within.is_empty() && next.min(piece) != next {
                break;
            }
            within = next;
        }
        within
    }

    /// Takes the message that is next.
    pub(crate) fn take(&mut self) -> Option<Waiting> {
        let next = match self.line.pop_front()? {
            Place::Keyed(key) => self.keyed.remove(&key)?,
            Place::Plain(waiting) => waiting,
        };
        self.tidy();
        Some(next)
    }

    fn tidy(&mut self) {
        if self.line.is_empty() {
            self.names = ByMailbox::default();
            self.first_due = None;
        }
    }

    /// Not later than the deadline of any message that waits; `None` if none has one.
    pub(crate) fn first_due(&self) -> Option<Moment> {
        self.first_due
    }

    /// Removes the messages that are worth nothing any more. Returns what they were charged for, and the
    /// receipts among them.
    pub(crate) fn expire(&mut self, now: Moment) -> (Load, Vec<u64>) {
        let mut load = Load::default();
        let mut receipts = Vec::new();
        let mut first_due = None;
        let mut stays = |waiting: &Waiting| {
            let due = waiting.due();
            if due.is_some_and(|due| due.has_come(now)) {
                load.messages += 1;
                load.payload_bytes += waiting.payload.len() as u64;
                if let Some(Awaited::Receipt(number)) = waiting.awaited() {
                    receipts.push(number);
                }
                return false;
            }
            first_due = earlier(first_due, due);
            true
        };
        let keyed = &mut self.keyed;
        self.line.retain(|place| match place {
            Place::Plain(waiting) => stays(waiting),
            Place::Keyed(key) => {
                let has_stayed = keyed.get(key).is_some_and(&mut stays);
                if !has_stayed {
                    keyed.remove(key);
                }
                has_stayed
            }
        });
        self.first_due = first_due;
        self.tidy();
        (load, receipts)
    }

    /// Drops the message that is next.
    pub(crate) fn drop_front(&mut self) -> Option<Dropped> {
        self.take().map(|dropped| dropped.dropped())
    }

    /// Calls `each` for the messages of which somebody waits to hear.
    pub(crate) fn each_awaited(&self, mut each: impl FnMut(Awaited)) {
        let plain = self.line.iter().filter_map(|place| match place {
            Place::Keyed(_) => None,
            Place::Plain(waiting) => Some(waiting),
        });
        let awaited = self
            .keyed
            .values()
            .chain(plain)
            .filter_map(Waiting::awaited);
        awaited.for_each(&mut each);
    }

    /// Removes all; says what they were charged for.
    pub(crate) fn clear(&mut self) -> Load {
        let mut load = Load::default();
        while let Some(dropped) = self.drop_front() {
            load.messages += 1;
            load.payload_bytes += dropped.bytes;
        }
        load
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::extension::ExtensionWriter;

    /// A message to mailbox `to`, extended by a key if it has one.
    fn message(to: u32, key: Option<u64>, number: u32) -> (bool, Bytes) {
        let mut bytes = Vec::new();
        if let Some(key) = key {
            let mut buffer = [0; 32];
            let mut writer = ExtensionWriter::new(&mut buffer);
            writer.key(key).expect("there is room");
            let entries = writer.finish().encoded();
            bytes.extend(u16::try_from(entries.len()).expect("short").to_le_bytes());
            bytes.extend(entries);
        }
        bytes.extend([to, number].map(u32::to_le_bytes).concat());
        (key.is_some(), bytes.into())
    }

    proptest! {
        /// Against a list that is searched for what a message replaces.
        #[test]
        fn of_each_key_the_newest_waits_in_the_place_of_the_first(
            steps in prop::collection::vec(
                prop::option::weighted(0.7, (0..2_u32, prop::option::of(0..3_u64))),
                0..100,
            ),
        ) {
            let names = Mailboxes::new(Vec::new());
            let mut latest = Latest::default();
            let mut model: Vec<(u32, Option<u64>, Bytes)> = Vec::new();
            for (number, step) in (0..).zip(steps) {
                let Some((to, key)) = step else {
                    let taken = latest.take().map(|waiting| waiting.payload);
                    let expected = (!model.is_empty()).then(|| model.remove(0).2);
                    prop_assert_eq!(taken, expected);
                    continue;
                };
                let (is_extended, payload) = message(to, key, number);
                let same = |other: &&mut (u32, Option<u64>, Bytes)| {
                    key.is_some() && (other.0, other.1) == (to, key)
                };
                let replaced = model.iter_mut().find(same);
                let expected = replaced.map(|older| {
                    let bytes = older.2.len() as u64;
                    older.2 = payload.clone();
                    bytes
                });
                if expected.is_none() {
                    model.push((to, key, payload.clone()));
                }
                let message = OutgoingMessage {
                    mailbox: MailboxId::from_words(to, 0),
                    order: OrderTag::WITHOUT_KEY,
                    is_extended,
                    payload: Payload::Shared(payload),
                };
                let replaced = latest.put(&names, message);
                prop_assert_eq!(replaced.map(|dropped| dropped.bytes), expected);
                prop_assert_eq!(latest.messages(), model.len() as u64);
            }
            let bytes: usize = model.iter().map(|waiting| waiting.2.len()).sum();
            let load = latest.clear();
            prop_assert_eq!(
                (load.messages, load.payload_bytes),
                (model.len() as u64, bytes as u64)
            );
            prop_assert!(latest.is_empty());
        }
    }
}
