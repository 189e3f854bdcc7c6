//! Repair: messages that were announced and do not come, links that are lost, paths that are long.
//!
//! A node that lacks an announced message waits, then asks the announcers one after the other; asking
//! makes the link eager, so the tree grows together where it was broken.

use std::collections::BTreeMap;

use super::links::Push;
use super::message::{Announcement, Message};
use super::{Outputs, Plumtree, Timer};
use crate::event::{Output, Peer};
use crate::store::MessageId;

/// Messages that were announced and have not come, with who has them, first announcer first.
#[derive(Debug)]
pub(super) struct Missing<P> {
    announcers: BTreeMap<MessageId, Vec<P>>,
}

impl<P: Peer> Missing<P> {
    pub(super) const fn new() -> Self {
        Self {
            announcers: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.announcers.len()
    }

    pub(super) fn found(&mut self, id: MessageId) {
        self.announcers.remove(&id);
    }
}

impl<P: Peer> Plumtree<P> {
    pub(super) fn on_announcement(
        &mut self,
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
        if self.store.get(announcement.id).is_some() {
            self.shorten(from, announcement, out);
            return;
        }
        let id = announcement.id;
        if let Some(announcers) = self.missing.announcers.get_mut(&id) {
            if !announcers.contains(&from) {
                announcers.push(from);
            }
            return;
        }
        if self.missing.len() >= self.config.missing_max {
            return;
        }
        self.missing.announcers.insert(id, vec![from]);
        if self.orphan {
            self.on_graft_due(id, out);
        } else {
            let after = self.config.graft_after;
            out.push(Output::SetTimer {
                id: Timer::GraftDue(id),
                after,
            });
        }
    }

    /// Asks the next announcer of a message that is still missing.
    pub(super) fn on_graft_due(&mut self, id: MessageId, out: &mut Outputs<P>) {
        let Some(announcers) = self.missing.announcers.get_mut(&id) else {
            return;
        };
        while !announcers.is_empty() {
            let peer = announcers.remove(0);
            if self.links.get(peer).is_some() {
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
        self.missing.found(id);
    }

    /// Moves to a neighbor whose path from the sender is shorter by enough.
    fn shorten(&mut self, from: P, announcement: Announcement, out: &mut Outputs<P>) {
        let Some(seen) = self.store.get_mut(announcement.id) else {
            return;
        };
        let Some(parent) = seen.from else { return };
        let hops = announcement.hops.saturating_add(1);
        let shorter_by = seen.hops.saturating_sub(hops);
        let in_tree = self.links.get(parent) == Some(Push::Eager);
        let lazy = self.links.get(from) == Some(Push::Lazy);
        if shorter_by >= self.config.optimization_threshold && in_tree && lazy {
            seen.hops = hops;
            seen.from = Some(from);
            self.links.set(from, Push::Eager);
            self.links.set(parent, Push::Lazy);
            out.push(Output::Send {
                to: from,
                message: Message::Graft { id: None },
            });
            out.push(Output::Send {
                to: parent,
                message: Message::Prune,
            });
        }
    }

    /// A neighbor is gone. If it was in the tree, this node may have been fed by it.
    pub(super) fn link_lost(&mut self, peer: P) {
        if self.links.remove(peer) == Some(Push::Eager) {
            self.orphan = true;
        }
    }
}
