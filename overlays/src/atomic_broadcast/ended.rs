//! Rounds that have ended here: how, and who is still to be told.
//!
//! A member that took part may ask how a round ended long after; and a late copy of its first message
//! must not begin it again. So the end is kept as long as there is room, and of those that had to go the
//! greatest number of each sender: a round up to that number is never begun here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::event::Peer;
use crate::store::MessageId;
use crate::time::Time;

/// How a round ended.
#[derive(Debug)]
pub(super) struct End<P> {
    pub(super) ballot: u32,
    pub(super) commit: bool,
    at: Time,
    /// Members that this node decided for, and that did not say that they know.
    pub(super) untold: BTreeSet<P>,
    /// When they are told again, and how often they were.
    pub(super) due: Time,
    pub(super) tries: u32,
}

/// What is known of a round that is not under way.
#[derive(Debug)]
pub(super) enum Past<'e, P> {
    /// Nothing.
    Unknown,
    /// It has ended; how is forgotten.
    Forgotten,
    /// It has ended.
    Ended(&'e mut End<P>),
}

/// The rounds that ended.
#[derive(Debug)]
pub(super) struct Ended<P> {
    ends: BTreeMap<MessageId, End<P>>,
    order: VecDeque<MessageId>,
    floors: BTreeMap<u64, (u64, Time)>,
}

impl<P: Peer> Ended<P> {
    pub(super) const fn new() -> Self {
        Self {
            ends: BTreeMap::new(),
            order: VecDeque::new(),
            floors: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn find(&mut self, id: MessageId) -> Past<'_, P> {
        let floor = self.floors.get(&id.sender);
        match self.ends.get_mut(&id) {
            Some(end) => Past::Ended(end),
            None if floor.is_some_and(|(number, _)| id.number <= *number) => Past::Forgotten,
            None => Past::Unknown,
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (MessageId, &mut End<P>)> {
        self.ends.iter_mut().map(|(id, end)| (*id, end))
    }

    /// A round ended. The oldest ends beyond `most` are forgotten.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an end, made only here"
    )]
    pub(super) fn insert(
        &mut self,
        now: Time,
        id: MessageId,
        ballot: u32,
        commit: bool,
        untold: BTreeSet<P>,
        due: Time,
        most: usize,
    ) {
        let end = End {
            ballot,
            commit,
            at: now,
            untold,
            due,
            tries: 0,
        };
        if self.ends.insert(id, end).is_none() {
            self.order.push_back(id);
        }
        while self.ends.len() > most {
            self.forget_first(now);
            self.make_room(most);
        }
    }

    /// A round ended, and nobody knows how.
    pub(super) fn insert_forgotten(&mut self, now: Time, id: MessageId, most: usize) {
        self.raise_floor(now, id);
        self.make_room(most);
    }

    /// Forgets the floor that has been of no use for longest.
    fn make_room(&mut self, most: usize) {
        if self.floors.len() > most
            && let Some(oldest) = self.floors.iter().min_by_key(|(_, floor)| floor.1)
        {
            let oldest = *oldest.0;
            self.floors.remove(&oldest);
        }
    }

    /// Forgets ends older than `keep_for`, and floors of senders older than twice that.
    pub(super) fn forget(&mut self, now: Time, keep_for: Duration) {
        while let Some(first) = self.order.front()
            && self
                .ends
                .get(first)
                .is_none_or(|end| now.since(end.at) >= keep_for)
        {
            self.forget_first(now);
        }
        self.floors
            .retain(|_, (_, at)| now.since(*at) < keep_for * 2);
    }

    fn forget_first(&mut self, now: Time) {
        let Some(id) = self.order.pop_front() else {
            return;
        };
        self.ends.remove(&id);
        self.raise_floor(now, id);
    }

    fn raise_floor(&mut self, now: Time, id: MessageId) {
        let floor = self.floors.entry(id.sender).or_insert((id.number, now));
        *floor = (floor.0.max(id.number), now);
    }
}
