//! Shortening: a node moves in the tree to a neighbor whose path from the sender is shorter.
//!
//! The paper does so for every sender, with a high threshold to keep the tree from turning to and fro.
//! Here it is done for one sender at most, with a low threshold. With many senders it is not done: a
//! tree has one shape, and what makes it shorter for one sender makes it longer for others.

use std::time::Duration;

use super::links::Push;
use super::message::{Announcement, Message};
use super::{Outputs, Plumtree};
use crate::event::{Output, Peer};
use crate::time::Time;

/// Votes that make a candidate the main sender. 4: a guess.
const VOTES_NEEDED: u32 = 4;

/// Most votes that a candidate keeps, so that a new main sender soon takes over. 8: a guess.
const VOTES_MAX: u32 = 8;

/// The sender for whom the tree is made shorter: one that sends most of the messages.
///
/// Found by majority vote in constant memory (Boyer and Moore): each message of the candidate is a
/// vote for it, any other message one against. All nodes hear the same, so they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MainSender {
    candidate: Option<u64>,
    votes: u32,
    /// Nobody but the candidate ever sent anything, so no other wish stands against its own.
    alone: bool,
}

impl MainSender {
    pub(super) const fn new() -> Self {
        Self {
            candidate: None,
            votes: 0,
            alone: true,
        }
    }

    pub(super) fn has_sent(&mut self, sender: u64) {
        if self.candidate == Some(sender) {
            self.votes = (self.votes + 1).min(VOTES_MAX);
        } else if self.votes == 0 {
            self.alone = self.candidate.is_none();
            self.candidate = Some(sender);
            self.votes = 1;
        } else {
            self.alone = false;
            self.votes -= 1;
        }
    }

    pub(super) fn is(self, sender: u64) -> bool {
        self.candidate == Some(sender) && (self.alone || self.votes >= VOTES_NEEDED)
    }
}

/// When a node may move again: each move makes it wait twice as long for the next, until it gets
/// another neighbor. Otherwise nodes that send often would chase each other's moves for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calm {
    until: Time,
    moves: u32,
}

/// Most doublings of that wait, to 17 min where messages take half a second.
const DOUBLINGS_MAX: u32 = 10;

impl Calm {
    pub(super) const fn new() -> Self {
        Self {
            until: Time::ZERO,
            moves: 0,
        }
    }

    /// The wait after the first move is two spreads, longer than a message is under way.
    fn moved(&mut self, now: Time, spread: Duration) {
        self.until = now + spread * 2 * (1 << self.moves.min(DOUBLINGS_MAX));
        self.moves = self.moves.saturating_add(1);
    }
}

impl<P: Peer> Plumtree<P> {
    /// Moves from `old`, who sent a message over `hops` in all, to `from`, who has announced it, if
    /// that shortens the path by enough.
    ///
    /// Every node moves to one that had fewer hops, for one and the same sender: so no circle can
    /// come of it, even if all nodes move at once.
    pub(super) fn shorten(
        &mut self,
        now: Time,
        from: P,
        announcement: Announcement,
        old: Option<P>,
        hops: u16,
        out: &mut Outputs<P>,
    ) {
        // Over a link that has just become eager comes what was under way on an old path: no measure.
        let Some(old) = old else { return };
        let hops_there = announcement.hops.saturating_add(1);
        let shorter_by = hops.saturating_sub(hops_there);
        if shorter_by < self.config.optimization_threshold
            || now < self.calm.until
            || !self.main_sender.is(announcement.id.sender)
            || !self.links.is_settled(now, old, self.pace.answer_within())
            || self.links.get(from) != Some(Push::Lazy)
        {
            return;
        }
        if let Some(seen) = self.store.get_mut(announcement.id) {
            seen.hops = hops_there;
            seen.from = Some(from);
        }
        self.calm.moved(now, self.pace.spread());
        self.links.set(now, from, Push::Eager);
        self.links.set(now, old, Push::Lazy);
        out.push(Output::Send {
            to: from,
            message: Message::Graft { ids: Vec::new() },
        });
        out.push(Output::Send {
            to: old,
            message: Message::Prune,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_sender_is_the_one_that_sends_most() {
        let mut main = MainSender::new();
        main.has_sent(1);
        assert!(main.is(1), "nobody else has sent");
        main.has_sent(2);
        assert!(!main.is(1) && !main.is(2), "two senders, no majority");
        for _ in 0..VOTES_MAX + VOTES_NEEDED {
            main.has_sent(2);
        }
        assert!(main.is(2) && !main.is(1));
        for sender in 10..30 {
            main.has_sent(sender);
        }
        assert!(
            (0..30).all(|sender| !main.is(sender)),
            "many senders, no majority"
        );
    }

    #[test]
    fn each_move_makes_the_next_one_wait_twice_as_long_up_to_a_bound() {
        let mut calm = Calm::new();
        let mut wait = || {
            calm.moved(Time::ZERO, Duration::from_millis(100));
            calm.until.since(Time::ZERO).as_millis()
        };
        assert_eq!([wait(), wait(), wait()], [200, 400, 800]);
        for _ in 3..DOUBLINGS_MAX {
            wait();
        }
        assert_eq!([wait(), wait()], [200 << DOUBLINGS_MAX; 2]);
    }
}
