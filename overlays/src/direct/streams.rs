//! How far this node is with the messages of each sender.
//!
//! Owns, per sender, the number after the greatest that was delivered. What is missing below it stands
//! in [`super::repair::Missing`]; all other numbers below it were delivered, so that no message is
//! delivered twice however late a copy comes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Peer;
use crate::time::Time;

/// The messages of one sender since it started.
#[derive(Debug)]
pub(super) struct Stream<P> {
    pub(super) sender: P,
    /// After the greatest number that was delivered here.
    pub(super) top: u64,
    /// Messages before this number were sent before the time of this node.
    pub(super) floor: u64,
    /// When a message last came.
    pub(super) last: Time,
    /// Somebody has told of the message before `top`, or it did not come straight.
    pub(super) is_told: bool,
    /// Messages from these numbers on came after these times, earlier first.
    since: [(Time, u64); 2],
}

impl<P: Peer> Stream<P> {
    pub(super) const fn new(now: Time, sender: P, top: u64) -> Self {
        Self {
            sender,
            top,
            floor: top,
            last: now,
            is_told: true,
            since: [(now, top); 2],
        }
    }

    /// A message came whose number is `number`.
    pub(super) fn came(&mut self, now: Time, number: u64, late: bool, catch_up_for: Duration) {
        let is_after_rest = now.since(self.last) >= catch_up_for;
        self.last = now;
        if number < self.top {
            return;
        }
        if is_after_rest {
            self.since = [(now, number); 2];
        } else if now.since(self.since[1].0) >= catch_up_for {
            self.since = [self.since[1], (now, number)];
        }
        self.top = number.saturating_add(1);
        self.is_told = late;
    }

    /// How many of the messages before `next` came within about `catch_up_for`.
    pub(super) fn back(&self, now: Time, next: u64, catch_up_for: Duration) -> u32 {
        let first = if now.since(self.last) >= catch_up_for {
            self.top
        } else if now.since(self.since[1].0) >= catch_up_for {
            self.since[1].1
        } else {
            self.since[0].1
        };
        u32::try_from(next.saturating_sub(first)).unwrap_or(u32::MAX)
    }
}

/// All senders heard of lately.
#[derive(Debug)]
pub(super) struct Streams<P> {
    by_id: BTreeMap<u64, Stream<P>>,
}

impl<P: Peer> Streams<P> {
    pub(super) const fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Stream<P>> {
        self.by_id.get(&id)
    }

    /// A sender, new from this number on if it was not known; none if there is no room for it.
    pub(super) fn find(
        &mut self,
        now: Time,
        id: u64,
        sender: P,
        from: u64,
        most: usize,
    ) -> Option<&mut Stream<P>> {
        if self.by_id.len() >= most && !self.by_id.contains_key(&id) {
            return None;
        }
        let new = || Stream::new(now, sender, from);
        Some(self.by_id.entry(id).or_insert_with(new))
    }

    /// The senders that something came of within `span`.
    pub(super) fn active(
        &self,
        now: Time,
        span: Duration,
    ) -> impl Iterator<Item = (u64, &Stream<P>)> {
        let active = move |(_, stream): &(&u64, &Stream<P>)| now.since(stream.last) < span;
        self.by_id
            .iter()
            .filter(active)
            .map(|(id, stream)| (*id, stream))
    }

    /// Forgets senders that nothing came of for `span`.
    pub(super) fn forget(&mut self, now: Time, span: Duration) {
        self.by_id.retain(|_, stream| now.since(stream.last) < span);
    }
}
