//! The links of a node: eager ones carry payloads at once, lazy ones announcements.

use std::time::Duration;

use crate::event::Peer;
use crate::time::Time;

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

#[derive(Clone, Copy, Debug)]
struct Link<P> {
    peer: P,
    push: Push,
    /// When it last became what it is.
    since: Time,
}

/// Links to the neighbors that the overlay told.
#[derive(Debug)]
pub(super) struct Links<P> {
    links: Vec<Link<P>>,
}

impl<P: Peer> Links<P> {
    pub(super) const fn new() -> Self {
        Self { links: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (P, Push)> + '_ {
        self.links.iter().map(|link| (link.peer, link.push))
    }

    pub(super) fn get(&self, peer: P) -> Option<Push> {
        self.iter()
            .find(|(known, _)| *known == peer)
            .map(|(_, push)| push)
    }

    pub(super) fn add(&mut self, now: Time, peer: P) {
        if self.get(peer).is_none() {
            self.links.push(Link {
                peer,
                push: Push::Untried,
                since: now,
            });
        }
    }

    /// Takes the link away; how it was, if it was there.
    pub(super) fn remove(&mut self, peer: P) -> Option<Push> {
        let index = self.links.iter().position(|link| link.peer == peer)?;
        Some(self.links.swap_remove(index).push)
    }

    /// Changes a link; one that is not there stays away.
    pub(super) fn set(&mut self, now: Time, peer: P, push: Push) {
        if let Some(link) = self.links.iter_mut().find(|link| link.peer == peer)
            && link.push != push
        {
            link.push = push;
            link.since = now;
        }
    }

    /// Whether a link has been eager for at least `grace`.
    pub(super) fn is_settled(&self, now: Time, peer: P, grace: Duration) -> bool {
        let link = self.links.iter().find(|link| link.peer == peer);
        link.is_some_and(|link| link.push == Push::Eager && now.since(link.since) >= grace)
    }

    /// Makes a link eager that brought a message first. Not one that was pruned just now: what is still
    /// under way over it would bring it back at one end only.
    pub(super) fn brought_first(&mut self, now: Time, peer: P, grace: Duration) {
        let link = self.links.iter().find(|link| link.peer == peer);
        if link.is_some_and(|link| link.push != Push::Lazy || now.since(link.since) >= grace) {
            self.set(now, peer, Push::Eager);
        }
    }

    /// Whether a link that brought a message again may be pruned: an eager one if the message prunes,
    /// any other because the other end seems not to know what it is. In both cases not at once: after
    /// any node moves in the tree, payloads are still under way on old paths.
    pub(super) fn may_be_pruned(&self, now: Time, peer: P, prunes: bool, grace: Duration) -> bool {
        let link = self.links.iter().find(|link| link.peer == peer);
        link.is_some_and(|link| {
            (prunes || link.push != Push::Eager) && now.since(link.since) >= grace
        })
    }
}
