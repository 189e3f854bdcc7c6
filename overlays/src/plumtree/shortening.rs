//! Shortening: a node moves in the tree to a neighbor whose path from the sender is shorter.
//!
//! The paper does so for every sender, with a high threshold to keep the tree from turning to and fro.
//! Here it is done for one sender at most, with a low threshold. With many senders it is not done: a
//! tree has one shape, and what makes it shorter for one sender makes it longer for others.

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

impl<P: Peer> Plumtree<P> {
    /// Moves to the announcer of a message that this node has, if that shortens its path by enough.
    ///
    /// Every node moves to one that had fewer hops, for one and the same sender: so no circle can
    /// come of it, even if all nodes move at once.
    pub(super) fn shorten(
        &mut self,
        now: Time,
        from: P,
        announcement: Announcement,
        out: &mut Outputs<P>,
    ) {
        if !self.main_sender.is(announcement.id.sender) {
            return;
        }
        let Some(seen) = self.store.get_mut(announcement.id) else {
            return;
        };
        let Some(old) = seen.from else { return };
        let hops = announcement.hops.saturating_add(1);
        let shorter_by = seen.hops.saturating_sub(hops);
        let in_tree = self.links.get(old) == Some(Push::Eager);
        let lazy = self.links.get(from) == Some(Push::Lazy);
        if shorter_by >= self.config.optimization_threshold && in_tree && lazy {
            seen.hops = hops;
            seen.from = Some(from);
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
}
