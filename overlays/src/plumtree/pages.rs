//! Answers to those who ask for messages: a page at a time, so that who asks for much gets all of it
//! without filling a lane at once, and nothing while the lane is congested.
//!
//! Owns what is still owed to each neighbor. Must never drop what a neighbor asked for and could have,
//! except beyond the bound on what one neighbor can be owed.

use std::collections::VecDeque;
use std::mem;

use super::links::Push;
use super::{Outputs, Plumtree, Timer, gossip};
use crate::event::{Output, Peer};
use crate::pages::{self, PAGE_EVERY};
use crate::store::MessageId;
use crate::time::Time;

impl<P: Peer> Plumtree<P> {
    /// A neighbor asks for messages, and perhaps to be fed by this node.
    pub(super) fn on_asked(
        &mut self,
        now: Time,
        from: P,
        ids: Vec<MessageId>,
        feed: bool,
        out: &mut Outputs<P>,
    ) {
        if !ids.is_empty() {
            self.note_loss(now);
        }
        if feed {
            self.links.set(now, from, Push::Eager);
            // What was gathered is neither pushed nor, over an eager link, announced later.
            self.announce_gathered(from, out);
        }
        let Some(link) = self.links.find_mut(from) else {
            // No neighbor (any more): what it asked for is all that it gets.
            let mut owed = ids.into_iter().collect();
            self.page(from, &mut owed, out);
            return;
        };
        let first = link.owed.is_empty();
        pages::owe(&mut link.owed, ids);
        if first {
            self.next_page(from, out);
        }
    }

    /// Time for the next page of all that wait for one.
    pub(super) fn next_pages(&mut self, out: &mut Outputs<P>) {
        self.paging = false;
        let waiting = self.links.iter().filter(|link| !link.owed.is_empty());
        let waiting: Vec<P> = waiting.map(|link| link.peer).collect();
        for to in waiting {
            self.next_page(to, out);
        }
    }

    /// Sends a page if there is room for it, and sets the timer for the rest.
    pub(super) fn next_page(&mut self, to: P, out: &mut Outputs<P>) {
        let Some(link) = self.links.find_mut(to) else {
            return;
        };
        if link.congested {
            // Goes on once the lane is drained.
            return;
        }
        let mut owed = mem::take(&mut link.owed);
        self.page(to, &mut owed, out);
        if !owed.is_empty() && !self.paging {
            self.paging = true;
            out.push(Output::SetTimer {
                id: Timer::Page,
                after: PAGE_EVERY,
            });
        }
        if let Some(link) = self.links.find_mut(to) {
            link.owed = owed;
        }
    }

    /// Sends what of `owed` fits on a page; leaves the rest.
    fn page(&self, to: P, owed: &mut VecDeque<MessageId>, out: &mut Outputs<P>) {
        pages::take(&self.store, owed, |id, seen| {
            out.extend(gossip(id, seen).map(|message| Output::Send { to, message }));
        });
    }
}
