//! Broadcasts that were delivered, kept for nodes that miss them until every live member has them.
//!
//! Owned by causal broadcast, which answers questions from here. Bounded; the oldest go first. A payload
//! shares its memory with the layer below.

use std::collections::{BTreeMap, VecDeque};

use crate::hold_back::{Count, Gap, Key};
use crate::payload::Payload;

/// One broadcast.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broadcast<P> {
    /// Greater than those of all that it depends on.
    pub(super) stamp: u64,
    /// What it depends on besides the one before it.
    pub(super) needs: Vec<Count<P>>,
    /// It is one of the layer above, not only needs.
    pub(super) is_message: bool,
    /// Hops that it took to this node; none at its sender.
    pub(super) hops: u16,
    /// As the layer above gave it.
    pub(super) payload: Payload,
}

/// All that are kept.
#[derive(Debug)]
pub(super) struct Kept<P> {
    messages: BTreeMap<Key<P>, Broadcast<P>>,
    /// In the order in which they came; some have gone since.
    order: VecDeque<Key<P>>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl<P: Copy + Ord> Kept<P> {
    pub(super) const fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            messages_max,
            bytes_max,
        }
    }

    /// Messages kept.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps one more, and lets the oldest go where there is no room.
    pub(super) fn insert(&mut self, key: Key<P>, broadcast: Broadcast<P>) {
        self.bytes += broadcast.payload.len();
        if let Some(before) = self.messages.insert(key, broadcast) {
            self.bytes -= before.payload.len();
        } else {
            self.order.push_back(key);
        }
        while self.messages.len() > self.messages_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.remove(&oldest);
        }
        if self.order.len() > 2 * self.messages.len() + 64 {
            let messages = &self.messages;
            self.order.retain(|key| messages.contains_key(key));
        }
    }

    /// Takes one out that was not sent after all.
    pub(super) fn remove(&mut self, key: &Key<P>) {
        if let Some(broadcast) = self.messages.remove(key) {
            self.bytes -= broadcast.payload.len();
        }
    }

    /// Lets go of what every live member has.
    pub(super) fn prune(&mut self, stable: Count<P>) {
        let Count { life, count } = stable;
        let all_have = self.messages.range((life, 0)..=(life, count));
        let all_have: Vec<Key<P>> = all_have.map(|(key, _)| *key).collect();
        for key in all_have {
            self.remove(&key);
        }
    }

    /// Those of a gap that are kept.
    pub(super) fn of(&self, gap: Gap<P>) -> impl Iterator<Item = (&Key<P>, &Broadcast<P>)> {
        let last = gap.last.max(gap.first);
        self.messages
            .range((gap.life, gap.first)..=(gap.life, last))
    }

    /// Says which bound is broken, if any is.
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes: usize = self
            .messages
            .values()
            .map(|message| message.payload.len())
            .sum();
        if bytes != self.bytes {
            return Err(format!("{bytes} bytes are kept, {} counted", self.bytes));
        }
        if bytes > self.bytes_max || self.messages.len() > self.messages_max {
            let kept = self.messages.len();
            return Err(format!("{kept} messages with {bytes} bytes are kept"));
        }
        Ok(())
    }
}
