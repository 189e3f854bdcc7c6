//! Members that are down or left, and when they are forgotten.
//!
//! Without an end the dead would fill the table; forgotten too soon, one node that missed their
//! death would bring them back. Owns the dates only; the entries are the table's.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IteratorRandom;

use crate::event::Peer;
use crate::time::Time;

/// The dead of one node. As many as the table has members at most.
#[derive(Debug)]
pub(super) struct Graveyard<P> {
    dead: BTreeMap<P, Time>,
    /// No date is before this one.
    earliest: Time,
}

impl<P: Peer> Graveyard<P> {
    pub(super) const fn new() -> Self {
        Self {
            dead: BTreeMap::new(),
            earliest: Time::ZERO,
        }
    }

    /// This member is dead; forget it at `forget_at`.
    pub(super) fn bury(&mut self, peer: P, forget_at: Time) {
        if self.dead.is_empty() || forget_at < self.earliest {
            self.earliest = forget_at;
        }
        self.dead.insert(peer, forget_at);
    }

    /// It lives after all.
    pub(super) fn raise(&mut self, peer: &P) {
        self.dead.remove(peer);
    }

    /// Those whose date has come. Costs nothing while there are none.
    pub(super) fn forgotten(&mut self, now: Time) -> Vec<P> {
        if self.dead.is_empty() || now < self.earliest {
            return Vec::new();
        }
        let due = self.dead.iter().filter(|(_, forget_at)| **forget_at <= now);
        let due: Vec<P> = due.map(|(peer, _)| *peer).collect();
        for peer in &due {
            self.dead.remove(peer);
        }
        self.earliest = self.dead.values().min().copied().unwrap_or(now);
        due
    }

    /// Any of the dead.
    pub(super) fn any<R: Rng>(&self, random: &mut R) -> Option<P> {
        self.dead.keys().choose(random).copied()
    }
}
