//! Members that are down or left, and when they are forgotten.
//!
//! Without an end the dead would fill the table; forgotten too soon, one node that missed their
//! death would bring them back. Only where the table is full do they make room before their time.
//! Owns the dates only; the entries are the table's.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::seq::IteratorRandom;

use crate::event::Peer;
use crate::time::Time;

/// The dead of one node. As many as the table has members at most.
#[derive(Debug)]
pub(super) struct Graveyard<P> {
    dead: BTreeMap<P, Time>,
    by_date: BTreeSet<(Time, P)>,
}

impl<P: Peer> Graveyard<P> {
    pub(super) const fn new() -> Self {
        Self {
            dead: BTreeMap::new(),
            by_date: BTreeSet::new(),
        }
    }

    /// This member is dead; forget it at `forget_at`.
    pub(super) fn bury(&mut self, peer: P, forget_at: Time) {
        self.raise(&peer);
        self.dead.insert(peer, forget_at);
        self.by_date.insert((forget_at, peer));
    }

    /// It lives after all, or is forgotten.
    pub(super) fn raise(&mut self, peer: &P) {
        if let Some(date) = self.dead.remove(peer) {
            self.by_date.remove(&(date, *peer));
        }
    }

    /// Those whose date has come.
    pub(super) fn forgotten(&mut self, now: Time) -> Vec<P> {
        let mut due = Vec::new();
        while let Some((date, peer)) = self.by_date.first().copied()
            && date <= now
        {
            self.raise(&peer);
            due.push(peer);
        }
        due
    }

    /// Who is to be forgotten first.
    pub(super) fn next(&self) -> Option<P> {
        self.by_date.first().map(|(_, peer)| *peer)
    }

    /// Who of these is to be forgotten first.
    pub(super) fn next_of(&self, peers: impl Iterator<Item = P>) -> Option<P> {
        let dated = peers.filter_map(|peer| Some((*self.dead.get(&peer)?, peer)));
        dated.min().map(|(_, peer)| peer)
    }

    /// Any of the dead.
    pub(super) fn any<R: Rng>(&self, random: &mut R) -> Option<P> {
        self.dead.keys().choose(random).copied()
    }
}
