//! The links of a node: eager ones carry payloads at once, lazy ones announcements.

use crate::event::Peer;

/// How messages go over a link from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// In the tree: payloads at once.
    Eager,
    /// Not in the tree: announcements, gathered.
    Lazy,
    /// New, so nobody knows whether the tree needs it: announcements at once. Who lacks the message
    /// asks for it, which makes the link eager; so a newcomer costs no redundant payload.
    Untried,
}

/// Links to the neighbors that the overlay told.
#[derive(Debug)]
pub(super) struct Links<P> {
    links: Vec<(P, Push)>,
}

impl<P: Peer> Links<P> {
    pub(super) const fn new() -> Self {
        Self { links: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (P, Push)> + '_ {
        self.links.iter().copied()
    }

    pub(super) fn get(&self, peer: P) -> Option<Push> {
        self.iter()
            .find(|(known, _)| *known == peer)
            .map(|(_, push)| push)
    }

    pub(super) fn add(&mut self, peer: P) {
        if self.get(peer).is_none() {
            self.links.push((peer, Push::Untried));
        }
    }

    /// Takes the link away; how it was, if it was there.
    pub(super) fn remove(&mut self, peer: P) -> Option<Push> {
        let index = self.links.iter().position(|(known, _)| *known == peer)?;
        Some(self.links.swap_remove(index).1)
    }

    /// Changes a link; one that is not there stays away.
    pub(super) fn set(&mut self, peer: P, push: Push) {
        if let Some(link) = self.links.iter_mut().find(|(known, _)| *known == peer) {
            link.1 = push;
        }
    }
}
