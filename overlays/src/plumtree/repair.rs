//! Repair: messages that were announced and do not come, links that are lost.
//!
//! A node that lacks an announced message waits, then asks the announcers one after the other; asking
//! makes the link eager, so the tree grows together where it was broken.

use std::collections::BTreeMap;
use std::time::Duration;

use super::links::Push;
use super::message::{Announcement, Message};
use super::{Outputs, Plumtree, Timer};
use crate::event::{Output, Peer};
use crate::store::MessageId;
use crate::time::Time;

/// Messages that were announced and have not come, with who has them, first announcer first.
#[derive(Debug)]
pub(super) struct Missing<P> {
    waits: BTreeMap<MessageId, Wait<P>>,
}

#[derive(Debug)]
struct Wait<P> {
    since: Time,
    announcers: Vec<P>,
    asked: bool,
}

impl<P: Peer> Missing<P> {
    pub(super) const fn new() -> Self {
        Self {
            waits: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    /// Ends the wait for a message. How long it was, if the message came without being asked for.
    pub(super) fn found(&mut self, now: Time, id: MessageId) -> Option<Duration> {
        let wait = self.waits.remove(&id)?;
        (!wait.asked).then(|| now.since(wait.since))
    }
}

impl<P: Peer> Plumtree<P> {
    pub(super) fn on_announcement(
        &mut self,
        now: Time,
        from: P,
        announcement: Announcement,
        out: &mut Outputs<P>,
    ) {
        let Some(push) = self.links.get(from) else {
            return;
        };
        if push == Push::Untried {
            self.links.set(from, Push::Lazy);
        }
        if self.store.has_seen(announcement.id) {
            self.shorten(from, announcement, out);
            return;
        }
        let id = announcement.id;
        if let Some(wait) = self.missing.waits.get_mut(&id) {
            if !wait.announcers.contains(&from) {
                wait.announcers.push(from);
            }
            return;
        }
        if self.missing.len() >= self.config.missing_max {
            return;
        }
        let wait = Wait {
            since: now,
            announcers: vec![from],
            asked: false,
        };
        self.missing.waits.insert(id, wait);
        if self.orphan {
            self.on_graft_due(id, out);
        } else {
            let after = self.patience;
            out.push(Output::SetTimer {
                id: Timer::GraftDue(id),
                after,
            });
        }
    }

    /// Asks the next announcer of a message that is still missing.
    pub(super) fn on_graft_due(&mut self, id: MessageId, out: &mut Outputs<P>) {
        let Some(wait) = self.missing.waits.get_mut(&id) else {
            return;
        };
        while !wait.announcers.is_empty() {
            let peer = wait.announcers.remove(0);
            if self.links.get(peer).is_some() {
                wait.asked = true;
                self.links.set(peer, Push::Eager);
                out.push(Output::Send {
                    to: peer,
                    message: Message::Graft { id: Some(id) },
                });
                let after = self.config.graft_again_after;
                out.push(Output::SetTimer {
                    id: Timer::GraftDue(id),
                    after,
                });
                return;
            }
        }
        // All were asked in vain. The next announcement begins anew.
        self.missing.waits.remove(&id);
    }

    /// A message came by itself, this long after its announcement: be ready to wait for twice that.
    pub(super) fn be_patient(&mut self, lag: Duration) {
        let twice = lag.saturating_mul(2).min(self.config.graft_after_max);
        self.patience = self.patience.max(twice);
    }

    /// A neighbor is gone. If it was in the tree, this node may have been fed by it.
    pub(super) fn link_lost(&mut self, peer: P) {
        if self.links.remove(peer) == Some(Push::Eager) {
            self.orphan = true;
        }
    }
}
