//! The links of a node: eager ones carry payloads at once, lazy ones announcements.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::Peer;
use crate::store::MessageId;
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

#[derive(Debug)]
pub(super) struct Link<P> {
    pub(super) peer: P,
    pub(super) push: Push,
    /// When it last became what it is.
    since: Time,
    /// The message of least id, of those marked in this round, that came over it although this node had it.
    again: Option<MessageId>,
    /// When a payload that was missing here last came over it.
    brought: Option<Time>,
    /// The driver has no room for payloads to this peer.
    pub(super) congested: bool,
    /// Messages that the peer asked for and that were not sent yet, in its order.
    pub(super) owed: VecDeque<MessageId>,
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

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link<P>> + '_ {
        self.links.iter()
    }

    fn find(&self, peer: P) -> Option<&Link<P>> {
        self.links.iter().find(|link| link.peer == peer)
    }

    pub(super) fn find_mut(&mut self, peer: P) -> Option<&mut Link<P>> {
        self.links.iter_mut().find(|link| link.peer == peer)
    }

    pub(super) fn get(&self, peer: P) -> Option<Push> {
        self.find(peer).map(|link| link.push)
    }

    /// When a payload that was missing last came over a link.
    pub(super) fn brought(&self, peer: P) -> Option<Time> {
        self.find(peer).and_then(|link| link.brought)
    }

    pub(super) fn add(&mut self, now: Time, peer: P) {
        if self.find(peer).is_none() {
            self.links.push(Link {
                peer,
                push: Push::Untried,
                since: now,
                again: None,
                brought: None,
                congested: false,
                owed: VecDeque::new(),
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
        if let Some(link) = self.find_mut(peer)
            && link.push != push
        {
            link.push = push;
            link.since = now;
            link.again = None;
        }
    }

    /// Whether a link has been eager for at least `grace`.
    pub(super) fn is_settled(&self, now: Time, peer: P, grace: Duration) -> bool {
        self.find(peer)
            .is_some_and(|link| link.push == Push::Eager && now.since(link.since) >= grace)
    }

    /// Makes a link eager that brought a message first. Not one that was pruned just now: what is still
    /// under way over it would bring it back at one end only.
    pub(super) fn brought_first(&mut self, now: Time, peer: P, late: bool, grace: Duration) {
        let Some(link) = self.find_mut(peer) else {
            return;
        };
        if late {
            // Was asked for, which says what the link is.
            link.brought = Some(now);
        } else if link.push != Push::Lazy || now.since(link.since) >= grace {
            self.set(now, peer, Push::Eager);
        }
    }

    /// A link brought a message that this node had. An eager one keeps a note of it if the message is
    /// marked. True if it is not eager and no payload can be under way any more from when it was: then
    /// the other end seems not to know what it is.
    pub(super) fn brought_again(
        &mut self,
        now: Time,
        peer: P,
        marked: Option<MessageId>,
        grace: Duration,
    ) -> bool {
        let Some(link) = self.find_mut(peer) else {
            return false;
        };
        if link.push != Push::Eager {
            return now.since(link.since) >= grace;
        }
        if let Some(id) = marked {
            link.again = Some(link.again.map_or(id, |before| before.min(id)));
        }
        false
    }

    /// A new round of marks begins: notes of the one before are dropped.
    pub(super) fn forget_notes(&mut self) {
        for link in &mut self.links {
            link.again = None;
        }
    }

    /// The eager links that brought this message again and were eager when it came first. Notes of
    /// other messages are dropped.
    pub(super) fn redundant(&mut self, id: MessageId, came: Time) -> Vec<P> {
        let mut redundant = Vec::new();
        for link in &mut self.links {
            let noted = link.again.take() == Some(id);
            if noted && link.push == Push::Eager && link.since <= came {
                redundant.push(link.peer);
            }
        }
        redundant
    }
}
