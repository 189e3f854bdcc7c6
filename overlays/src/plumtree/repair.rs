//! Repair: messages that were announced and do not come, links that are lost.
//!
//! A node that lacks an announced message waits, then asks the announcers one after the other; asking
//! makes the link eager, so the tree grows together where it was broken.

use std::collections::BTreeMap;

use super::links::Push;
use super::message::{ANNOUNCEMENTS_MAX, Announcement, Message};
use super::shortening::Calm;
use super::{Outputs, Plumtree, Timer};
use crate::event::{Output, Peer};
use crate::store::{Look, MessageId};
use crate::time::Time;

/// Messages that were announced and have not come.
#[derive(Debug)]
pub(super) struct Missing<P> {
    waits: BTreeMap<MessageId, Wait<P>>,
}

#[derive(Debug)]
struct Wait<P> {
    /// Who has the message and was not asked yet, first announcer first.
    announcers: Vec<P>,
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

    fn first(&self) -> Option<MessageId> {
        self.waits.keys().next().copied()
    }

    /// Ends the wait for a message.
    pub(super) fn found(&mut self, id: MessageId) {
        if !self.waits.is_empty() {
            self.waits.remove(&id);
        }
    }

    /// Of all messages waited for, those that `peer` announced and was not asked for. It is now.
    fn take_announced_by(&mut self, peer: P) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for (id, wait) in &mut self.waits {
            if ids.len() == ANNOUNCEMENTS_MAX {
                break;
            }
            if let Some(index) = wait.announcers.iter().position(|known| *known == peer) {
                wait.announcers.remove(index);
                ids.push(*id);
            }
        }
        ids
    }
}

/// Whether a node has a link that brings it the messages of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// A message has come, and no eager link was lost since.
    Flowing,
    /// None came yet, or an eager link was lost, which may have been the one.
    Broken,
    /// A neighbor was asked to be the one at this time.
    Asked(Time),
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
            self.links.set(now, from, Push::Lazy);
        }
        let id = announcement.id;
        match self.store.look(id) {
            Look::Unseen => {}
            Look::Left => return,
            Look::Kept(seen) => {
                let (old, hops) = (seen.from, seen.hops);
                self.shorten(now, from, announcement, old, hops, out);
                return;
            }
        }
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
            announcers: vec![from],
        };
        self.missing.waits.insert(id, wait);
        if push == Push::Eager {
            // It had the message before it knew that it feeds this node, and will not push it.
            self.on_graft_due(now, id, out);
            return;
        }
        let after = match self.feed {
            Feed::Flowing => self.config.graft_after,
            Feed::Asked(since) if now.since(since) < self.config.graft_again_after => {
                self.config.graft_again_after
            }
            Feed::Broken | Feed::Asked(_) => {
                self.on_graft_due(now, id, out);
                return;
            }
        };
        out.push(Output::SetTimer {
            id: Timer::GraftDue(id),
            after,
        });
    }

    /// A message is still missing: asks its next announcer for it, and for all others that it has.
    pub(super) fn on_graft_due(&mut self, now: Time, id: MessageId, out: &mut Outputs<P>) {
        let Some(wait) = self.missing.waits.get_mut(&id) else {
            return;
        };
        wait.announcers
            .retain(|peer| self.links.get(*peer).is_some());
        // One that is in the tree already need not be made so.
        let eager = |peer: &&P| self.links.get(**peer) == Some(Push::Eager);
        let next = wait
            .announcers
            .iter()
            .find(eager)
            .or_else(|| wait.announcers.first());
        let Some(to) = next.copied() else {
            // All were asked in vain. The next announcement begins anew.
            self.missing.found(id);
            return;
        };
        let ids = self.missing.take_announced_by(to);
        for id in &ids {
            let after = self.config.graft_again_after;
            out.push(Output::SetTimer {
                id: Timer::GraftDue(*id),
                after,
            });
        }
        self.links.set(now, to, Push::Eager);
        self.feed = Feed::Asked(now);
        out.push(Output::Send {
            to,
            message: Message::Graft { ids },
        });
    }

    /// A neighbor is new. It may have lost others, and with them messages that are still under way.
    pub(super) fn link_made(&mut self, now: Time, peer: P, out: &mut Outputs<P>) {
        self.links.add(now, peer);
        self.calm = Calm::new();
        let recent = self
            .store
            .recent(now, self.config.catch_up_for)
            .take(ANNOUNCEMENTS_MAX);
        let recent: Vec<Announcement> = recent
            .map(|(id, seen)| Announcement {
                id,
                hops: seen.hops,
            })
            .collect();
        if !recent.is_empty() {
            out.push(Output::Send {
                to: peer,
                message: Message::Ihave(recent),
            });
        }
    }

    /// A neighbor is gone. If it was in the tree, this node may have been fed by it.
    pub(super) fn link_lost(&mut self, now: Time, peer: P, out: &mut Outputs<P>) {
        if self.links.remove(peer) == Some(Push::Eager) {
            self.feed = Feed::Broken;
            if let Some(id) = self.missing.first() {
                self.on_graft_due(now, id, out);
            }
        }
    }
}
