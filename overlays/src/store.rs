//! The messages that a broadcast layer has seen lately, so that none is delivered twice and
//! neighbors can ask for those they miss.
//!
//! Bounded in time, in number, and in bytes; everything leaves in the order in which it came. Of a
//! message that has left, only the number remains: older ones of the same sender count as seen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::payload::Payload;
use crate::time::Time;

/// Tells one broadcast from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// Drawn at random when its sender started, so that a restarted node is another sender.
    pub sender: u64,
    /// Counts the sender's messages from zero.
    pub number: u64,
}

impl MessageId {
    /// Most bytes of an encoded id.
    pub(crate) const BYTES_MAX: usize = 20;
}

/// Numbers the messages of one sender.
#[derive(Debug)]
pub(crate) struct Numbering {
    last: Option<MessageId>,
}

impl Numbering {
    pub(crate) const fn new() -> Self {
        Self { last: None }
    }

    pub(crate) const fn last(&self) -> Option<MessageId> {
        self.last
    }

    pub(crate) fn next<R: Rng>(&mut self, random: &mut R) -> MessageId {
        let next = match self.last {
            None => MessageId {
                sender: random.random(),
                number: 0,
            },
            Some(last) => MessageId {
                number: last.number.wrapping_add(1),
                ..last
            },
        };
        self.last = Some(next);
        next
    }
}

/// How much a broadcast layer remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// How long a message is kept for neighbors that ask for it. 30 s: a guess, several repairs.
    pub keep_for: Duration,
    /// Most messages kept; the oldest go first. 65,536: a guess; about 8 MiB without payloads.
    pub messages_max: usize,
    /// Most bytes of payloads kept; the payloads of the oldest go first. 16 MiB: a guess.
    pub payload_bytes_max: usize,
    /// Most bytes of payloads kept while some of them are so young that neighbors may still have to ask
    /// for them. 256 MiB: a guess, some seconds of 64 KiB payloads at 500 per second.
    pub fresh_bytes_max: usize,
    /// Most senders of whom a last number is kept after their messages have left. 4,096: a guess;
    /// about 160 KiB. Beyond it, a message that is late by more than `keep_for` may come twice.
    pub senders_max: usize,
    /// How long that number is kept. 10 min: a guess, longer than a node is paused.
    pub senders_for: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            keep_for: Duration::from_secs(30),
            messages_max: 1 << 16,
            payload_bytes_max: 16 << 20,
            fresh_bytes_max: 256 << 20,
            senders_max: 1 << 12,
            senders_for: Duration::from_secs(600),
        }
    }
}

/// Says of a message that it may take links out of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which round of marks it belongs to: of the marks of one round one prunes. Counted on from the
    /// latest that its sender had heard of, and from zero again after the greatest.
    pub round: u32,
    /// How long a round of marks takes to spread, as its sender knows, in microseconds.
    pub spread_micros: u32,
}

/// A message that this node has.
#[derive(Debug)]
pub(crate) struct Seen<P> {
    /// Hops that it took to this node; 0 at its sender.
    pub(crate) hops: u16,
    /// Who sent it first; nobody at its sender.
    pub(crate) from: Option<P>,
    /// When it came.
    pub(crate) came: Time,
    /// Marked: links that bring it again may leave the tree.
    pub(crate) mark: Option<Mark>,
    /// It was asked for, by this node or by one on its way.
    pub(crate) late: bool,
    /// It was asked for by this node, and came so many milliseconds after its announcement.
    pub(crate) asked: Option<u16>,
    /// Gone when room is short.
    pub(crate) content: Option<Content<P>>,
}

/// What is passed on of a message.
#[derive(Clone, Debug)]
pub(crate) struct Content<P> {
    /// Who broadcast it.
    pub(crate) sender: P,
    /// What was broadcast.
    pub(crate) payload: Payload,
}

impl<P> Seen<P> {
    /// Bytes of its payload, as far as it is still kept.
    pub(crate) fn bytes(&self) -> usize {
        self.content
            .as_ref()
            .map_or(0, |content| content.payload.len())
    }
}

/// What is known of a message.
#[derive(Debug)]
pub(crate) enum Look<'s, P> {
    /// Nothing: it is new.
    Unseen,
    /// It was seen and has left.
    Left,
    /// It is kept.
    Kept(&'s Seen<P>),
}

/// Messages looked at before the map is asked. 4: a guess; 2 and 8 are as fast in the simulator.
const LATEST: usize = 4;

#[derive(Debug)]
struct Kept<P> {
    id: MessageId,
    seen: Seen<P>,
}

/// Messages seen.
#[derive(Debug)]
pub(crate) struct Store<P> {
    /// In the order in which they came. The first is number `left` of all that ever came.
    kept: VecDeque<Kept<P>>,
    left: u64,
    /// Where each is, counted over all that ever came.
    places: BTreeMap<MessageId, u64>,
    /// How many at the front of `kept` have lost their payload.
    without_payload: usize,
    payload_bytes: usize,
    /// How long payloads are so young that neighbors may still have to ask for them.
    fresh_for: Duration,
    /// Per sender, the greatest number that has left, and when.
    floors: BTreeMap<u64, (u64, Time)>,
}

impl<P> Store<P> {
    pub(crate) const fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            left: 0,
            places: BTreeMap::new(),
            without_payload: 0,
            payload_bytes: 0,
            fresh_for: Duration::ZERO,
            floors: BTreeMap::new(),
        }
    }

    /// Says how long payloads are so young that neighbors may still have to ask for them.
    pub(crate) const fn payloads_fresh_for(&mut self, span: Duration) {
        self.fresh_for = span;
    }

    /// Whether payloads younger than `needed_for` are about to go because room is short.
    pub(crate) fn is_short_of_room(
        &self,
        now: Time,
        needed_for: Duration,
        config: &StoreConfig,
    ) -> bool {
        let most = config.fresh_bytes_max.max(config.payload_bytes_max);
        let oldest = self.kept.get(self.without_payload);
        self.payload_bytes > most / 8 * 7
            && oldest.is_some_and(|kept| now.since(kept.seen.came) < needed_for)
    }

    /// Nothing is kept, so nothing will have to be forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.floors.is_empty()
    }

    /// Whether a message was seen, kept or not.
    pub(crate) fn has_seen(&self, id: MessageId) -> bool {
        self.index(id).is_some() || self.has_left(id)
    }

    /// The number of the latest earlier message of the same sender that was seen; none if this is the first.
    pub(crate) fn earlier(&self, id: MessageId) -> Option<u64> {
        let first = MessageId { number: 0, ..id };
        let kept = self.places.range(first..id).next_back();
        let left = self.floors.get(&id.sender).map(|(floor, _)| *floor);
        kept.map(|(id, _)| id.number).max(left)
    }

    /// What is known of a message. One search for both questions, as announcements are the most
    /// frequent of all messages.
    pub(crate) fn look(&self, id: MessageId) -> Look<'_, P> {
        match self.index(id).and_then(|index| self.kept.get(index)) {
            Some(kept) => Look::Kept(&kept.seen),
            None if self.has_left(id) => Look::Left,
            None => Look::Unseen,
        }
    }

    /// Where a message is in `kept`. Nearly always one of the latest is asked for, by a second copy or an
    /// announcement; finding it there touches one or two cache lines instead of a path through the map.
    fn index(&self, id: MessageId) -> Option<usize> {
        let latest = self.kept.len().saturating_sub(LATEST);
        let found = self.kept.range(latest..).rposition(|kept| kept.id == id);
        found.map(|place| latest + place).or_else(|| {
            let place = self.places.get(&id)?.checked_sub(self.left)?;
            usize::try_from(place).ok()
        })
    }

    fn has_left(&self, id: MessageId) -> bool {
        self.floors
            .get(&id.sender)
            .is_some_and(|(floor, _)| id.number <= *floor)
    }

    /// A message that is kept.
    pub(crate) fn get_mut(&mut self, id: MessageId) -> Option<&mut Seen<P>> {
        let index = self.index(id)?;
        self.kept.get_mut(index).map(|kept| &mut kept.seen)
    }

    /// The messages that came within the last `span`, latest first.
    pub(crate) fn recent(
        &self,
        now: Time,
        span: Duration,
    ) -> impl Iterator<Item = (MessageId, &Seen<P>)> {
        let recent = self
            .kept
            .iter()
            .rev()
            .take_while(move |kept| now.since(kept.seen.came) < span);
        recent.map(|kept| (kept.id, &kept.seen))
    }

    /// The messages of this node itself whose payloads are kept, in their order.
    pub(crate) fn own(&self) -> impl Iterator<Item = (MessageId, &Payload)> {
        let own = self.kept.iter().filter(|kept| kept.seen.from.is_none());
        own.filter_map(|kept| {
            let content = kept.seen.content.as_ref()?;
            Some((kept.id, &content.payload))
        })
    }

    /// Keeps a message that was not seen, then forgets what is too old or too much.
    pub(crate) fn insert(&mut self, now: Time, id: MessageId, seen: Seen<P>, config: &StoreConfig) {
        self.payload_bytes += seen.bytes();
        self.places.insert(id, self.left + self.kept.len() as u64);
        if self.kept.len() == self.kept.capacity() {
            // Doubling would leave half of it unused, in the largest thing that a node keeps.
            self.kept.reserve_exact(self.kept.len() / 4 + 4);
        }
        self.kept.push_back(Kept { id, seen });
        self.forget(now, config);
    }

    /// Forgets what is too old or too much.
    fn forget(&mut self, now: Time, config: &StoreConfig) {
        while self.kept.len() > config.messages_max
            || self
                .kept
                .front()
                .is_some_and(|kept| now.since(kept.seen.came) >= config.keep_for)
        {
            self.forget_first(now, config);
        }
        while self.payload_bytes > config.payload_bytes_max {
            let Some(kept) = self.kept.get_mut(self.without_payload) else {
                break;
            };
            let fresh = now.since(kept.seen.came) < self.fresh_for;
            if fresh && self.payload_bytes <= config.fresh_bytes_max {
                break;
            }
            self.payload_bytes -= kept.seen.bytes();
            kept.seen.content = None;
            self.without_payload += 1;
        }
    }

    /// Forgets all that is too old or too much, senders too. Whether something is left to be forgotten
    /// later. Takes a while: not for every message.
    pub(crate) fn tidy(&mut self, now: Time, config: &StoreConfig) -> bool {
        self.forget(now, config);
        self.forget_senders(now, config);
        !self.is_empty()
    }

    /// Forgets senders that have not been heard of for long.
    fn forget_senders(&mut self, now: Time, config: &StoreConfig) {
        self.floors
            .retain(|_, (_, left)| now.since(*left) < config.senders_for);
    }

    fn forget_first(&mut self, now: Time, config: &StoreConfig) {
        let Some(Kept { id, seen, .. }) = self.kept.pop_front() else {
            return;
        };
        self.left += 1;
        self.places.remove(&id);
        self.payload_bytes -= seen.bytes();
        self.without_payload = self.without_payload.saturating_sub(1);
        let room = self.floors.len() < config.senders_max;
        if let Some((floor, left)) = self.floors.get_mut(&id.sender) {
            *floor = id.number.max(*floor);
            *left = now;
        } else if room {
            self.floors.insert(id.sender, (id.number, now));
        }
    }

    /// Says which bound is broken, if any is.
    pub(crate) fn check(&self, config: &StoreConfig) -> Result<(), String> {
        let bytes: usize = self.kept.iter().map(|kept| kept.seen.bytes()).sum();
        if bytes != self.payload_bytes || self.places.len() != self.kept.len() {
            return Err(format!(
                "{bytes} bytes are kept, {} are counted",
                self.payload_bytes
            ));
        }
        let messages = self.kept.len();
        let bytes_max = config.payload_bytes_max.max(config.fresh_bytes_max);
        if messages > config.messages_max || bytes > bytes_max {
            return Err(format!("{messages} messages with {bytes} bytes are kept"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(came: Time, bytes: usize) -> Seen<u32> {
        Seen {
            hops: 1,
            from: None,
            came,
            mark: None,
            late: false,
            asked: None,
            content: Some(Content {
                sender: 9,
                payload: vec![0; bytes].into(),
            }),
        }
    }

    const fn id(number: u64) -> MessageId {
        MessageId { sender: 9, number }
    }

    #[test]
    fn payloads_go_first_then_messages_and_numbers_stay() {
        let config = StoreConfig {
            payload_bytes_max: 100,
            fresh_bytes_max: 200,
            messages_max: 5,
            ..StoreConfig::default()
        };
        let mut store = Store::new();
        for number in 0..7 {
            store.insert(Time::ZERO, id(number), seen(Time::ZERO, 40), &config);
            store.check(&config).unwrap();
        }
        assert!(store.get_mut(id(1)).is_none(), "the oldest has left");
        assert!(store.has_seen(id(1)), "but is not taken for new");
        assert!(
            store
                .get_mut(id(4))
                .is_some_and(|seen| seen.content.is_none())
        );
        assert!(
            store
                .get_mut(id(6))
                .is_some_and(|seen| seen.content.is_some())
        );
        assert!(!store.has_seen(id(7)));
        let late = Time::ZERO + config.keep_for;
        store.forget(late, &config);
        store.check(&config).unwrap();
        assert!(store.kept.is_empty() && store.has_seen(id(6)));
        store.forget_senders(late + config.senders_for, &config);
        assert!(store.is_empty());
    }

    #[test]
    fn payloads_that_may_still_be_asked_for_are_kept_within_a_bound_of_their_own() {
        let config = StoreConfig {
            payload_bytes_max: 100,
            fresh_bytes_max: 200,
            ..StoreConfig::default()
        };
        let mut store = Store::new();
        store.payloads_fresh_for(Duration::from_secs(2));
        let mut bytes = Vec::new();
        for second in 0..6 {
            let now = Time::ZERO + Duration::from_secs(second / 3 * 2);
            store.insert(now, id(second), seen(now, 60), &config);
            store.check(&config).unwrap();
            bytes.push(store.payload_bytes);
        }
        assert_eq!(bytes, [60, 120, 180, 60, 120, 180]);
        let now = Time::ZERO + Duration::from_secs(2);
        store.insert(now, id(6), seen(now, 60), &config);
        assert_eq!(store.payload_bytes, 180, "never more than the bound");
        store.check(&config).unwrap();
        let second = Duration::from_secs(1);
        assert!(store.is_short_of_room(now, second, &config));
        assert!(!store.is_short_of_room(now + second, second, &config));
    }

    #[test]
    fn a_restarted_sender_is_another_sender() {
        use rand::SeedableRng;
        let mut random = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(3);
        let (mut before, mut after) = (Numbering::new(), Numbering::new());
        let (one, two) = (before.next(&mut random), before.next(&mut random));
        assert_eq!((one.sender, one.number + 1), (two.sender, two.number));
        assert_ne!(after.next(&mut random).sender, one.sender);
    }
}
