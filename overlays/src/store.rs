//! The messages that a node has seen: all of them by id for a while, the latest with their payload.
//! Kept by the broadcast layers.
//!
//! Bounded in time, in number, and in bytes. Everything leaves in the order in which it came.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Tells one broadcast from all others: 128 random bits, because a counter would start again with
/// its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId([u8; 16]);

impl MessageId {
    /// Bytes of an encoded id.
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn draw<R: Rng>(random: &mut R) -> Self {
        Self(random.random())
    }
}

/// How much a broadcast layer remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// How long a payload is kept for neighbors that ask for it. 30 s: a guess, several repairs.
    pub payload_for: Duration,
    /// How long a message is remembered, so that it is not delivered twice. 90 s: a guess, far longer
    /// than any repair.
    pub remember_for: Duration,
    /// Most bytes of payloads kept; the oldest go first. 16 MiB: a guess.
    pub payload_bytes_max: usize,
    /// Most messages remembered; the oldest go first. 65,536: at most about 8 MiB.
    pub remembered_max: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            payload_for: Duration::from_secs(30),
            remember_for: Duration::from_secs(90),
            payload_bytes_max: 16 << 20,
            remembered_max: 1 << 16,
        }
    }
}

/// A message that this node has seen.
#[derive(Debug)]
pub(crate) struct Seen<P> {
    /// Hops that it took to this node; 0 at its sender.
    pub(crate) hops: u16,
    /// Who sent it first; nobody at its sender.
    pub(crate) from: Option<P>,
    /// Gone when it is old or room is short.
    pub(crate) payload: Option<Bytes>,
}

/// Messages seen.
#[derive(Debug)]
pub(crate) struct Store<P> {
    seen: BTreeMap<MessageId, Seen<P>>,
    order: VecDeque<(Time, MessageId)>,
    /// How many at the front of `order` have lost their payload.
    without_payload: usize,
    payload_bytes: usize,
}

impl<P> Store<P> {
    pub(crate) const fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            order: VecDeque::new(),
            without_payload: 0,
            payload_bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&Seen<P>> {
        self.seen.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: MessageId) -> Option<&mut Seen<P>> {
        self.seen.get_mut(&id)
    }

    /// Remembers a message that was not there, then forgets what is too old or too much.
    pub(crate) fn insert(&mut self, now: Time, id: MessageId, seen: Seen<P>, config: &StoreConfig) {
        self.payload_bytes += seen.payload.as_ref().map_or(0, Bytes::len);
        self.seen.insert(id, seen);
        self.order.push_back((now, id));
        self.forget(now, config);
    }

    /// Says which bound is broken, if any is.
    pub(crate) fn check(&self, config: &StoreConfig) -> Result<(), String> {
        let (messages, bytes) = (self.order.len(), self.payload_bytes);
        if messages > config.remembered_max || bytes > config.payload_bytes_max {
            return Err(format!(
                "{messages} messages with {bytes} bytes are remembered"
            ));
        }
        Ok(())
    }

    /// Forgets what is too old or too much.
    pub(crate) fn forget(&mut self, now: Time, config: &StoreConfig) {
        while let Some((came, id)) = self.order.get(self.without_payload) {
            let old = now.since(*came) >= config.payload_for;
            if !old && self.payload_bytes <= config.payload_bytes_max {
                break;
            }
            let payload = self.seen.get_mut(id).and_then(|seen| seen.payload.take());
            self.payload_bytes -= payload.map_or(0, |payload| payload.len());
            self.without_payload += 1;
        }
        while let Some((came, id)) = self.order.front() {
            let old = now.since(*came) >= config.remember_for;
            if !old && self.order.len() <= config.remembered_max {
                break;
            }
            let payload = self.seen.remove(id).and_then(|seen| seen.payload);
            self.payload_bytes -= payload.map_or(0, |payload| payload.len());
            self.order.pop_front();
            self.without_payload = self.without_payload.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    fn seen(bytes: usize) -> Seen<u32> {
        Seen {
            hops: 1,
            from: None,
            payload: Some(Bytes::from(vec![0; bytes])),
        }
    }

    #[test]
    fn payloads_go_first_by_age_and_by_bytes_then_ids() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let config = StoreConfig {
            payload_bytes_max: 100,
            remembered_max: 5,
            ..StoreConfig::default()
        };
        let mut store = Store::new();
        let ids: Vec<MessageId> = (0..7).map(|_| MessageId::draw(&mut random)).collect();
        for id in &ids {
            store.insert(Time::ZERO, *id, seen(40), &config);
        }
        assert_eq!((store.order.len(), store.payload_bytes), (5, 80));
        assert!(store.get(ids[1]).is_none(), "the oldest ids are forgotten");
        assert!(store.get(ids[4]).is_some_and(|seen| seen.payload.is_none()));
        assert!(store.get(ids[6]).is_some_and(|seen| seen.payload.is_some()));
        store.forget(Time::ZERO + config.payload_for, &config);
        assert_eq!((store.order.len(), store.payload_bytes), (5, 0));
        store.forget(
            Time::ZERO + config.remember_for + Duration::from_secs(1),
            &config,
        );
        assert!(store.is_empty());
    }
}
