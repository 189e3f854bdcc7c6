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
    /// When it last brought a payload for the second time.
    redundant_at: Option<Time>,
}

/// How long a redundant payload is held against a link. 10 s: a guess.
const REDUNDANCY_FOR: Duration = Duration::from_secs(10);

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
                redundant_at: None,
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

    /// Notes that a link brought a payload for the second time. Whether it does so all the time, that
    /// is for longer than `grace`. After any node moves in the tree, some payloads are still under way
    /// on old paths; were links pruned for those, nodes would cut themselves and others off.
    pub(super) fn is_redundant(&mut self, now: Time, peer: P, grace: Duration) -> bool {
        let Some(link) = self.links.iter_mut().find(|link| link.peer == peer) else {
            return false;
        };
        if link.push != Push::Eager {
            // The other end has not heard yet that it should only announce.
            return true;
        }
        let before = link
            .redundant_at
            .filter(|before| now.since(*before) < REDUNDANCY_FOR);
        let before = before.filter(|before| *before >= link.since);
        link.redundant_at = before.or(Some(now));
        before.is_some_and(|before| now.since(before) >= grace)
    }
}
