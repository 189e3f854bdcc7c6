//! The active and the passive view: small sets of nodes, kept as lists.
//!
//! A view has 5 or 30 entries, so a scan of a list is faster and smaller than any map, and the order
//! of entries depends only on what happened.

use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, RngExt};

use crate::event::Peer;

/// A neighbor, as the active view keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbor<P> {
    pub(super) peer: P,
    /// It has sent something since the last period ended.
    pub(super) heard: bool,
    /// Periods in a row that it has sent nothing.
    pub(super) silent_periods: u32,
    /// Periods that it is not to be given up for another node.
    pub(super) kept_periods: u32,
    /// Last measured round-trip time in microseconds.
    pub(super) rtt_micros: Option<u64>,
}

/// The nodes that this one is connected to.
#[derive(Debug)]
pub(super) struct ActiveView<P> {
    entries: Vec<Neighbor<P>>,
}

impl<P: Peer> ActiveView<P> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = P> + '_ {
        self.entries.iter().map(|neighbor| neighbor.peer)
    }

    pub(super) fn contains(&self, peer: P) -> bool {
        self.peers().any(|known| known == peer)
    }

    pub(super) fn get_mut(&mut self, peer: P) -> Option<&mut Neighbor<P>> {
        self.entries
            .iter_mut()
            .find(|neighbor| neighbor.peer == peer)
    }

    pub(super) fn entries(&self) -> &[Neighbor<P>] {
        &self.entries
    }

    pub(super) fn entries_mut(&mut self) -> &mut [Neighbor<P>] {
        &mut self.entries
    }

    pub(super) fn push(&mut self, peer: P) {
        self.entries.push(Neighbor {
            peer,
            heard: true,
            silent_periods: 0,
            kept_periods: 0,
            rtt_micros: None,
        });
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, peer: P) -> bool {
        let index = self
            .entries
            .iter()
            .position(|neighbor| neighbor.peer == peer);
        index.map(|index| self.entries.swap_remove(index)).is_some()
    }

    /// A neighbor to be given up for another node: one that `can_go`, if there is one that need not be kept.
    pub(super) fn to_evict<R: Rng>(&self, random: &mut R, can_go: impl Fn(P) -> bool) -> Option<P> {
        let free = || self.entries.iter().filter(|peer| peer.kept_periods == 0);
        let first = free().filter(|neighbor| can_go(neighbor.peer));
        let first = first.choose(random).or_else(|| free().choose(random));
        let first = first.map(|neighbor| neighbor.peer);
        first.or_else(|| self.random(random, &[]))
    }

    /// Any neighbor that is none of `without`.
    pub(super) fn random<R: Rng>(&self, random: &mut R, without: &[P]) -> Option<P> {
        self.peers()
            .filter(|peer| !without.contains(peer))
            .choose(random)
    }
}

/// The nodes that this one knows of.
#[derive(Debug)]
pub(super) struct PassiveView<P> {
    peers: Vec<P>,
}

impl<P: Peer> PassiveView<P> {
    pub(super) const fn new() -> Self {
        Self { peers: Vec::new() }
    }

    pub(super) fn peers(&self) -> &[P] {
        &self.peers
    }

    pub(super) fn remove(&mut self, peer: P) {
        if let Some(index) = self.peers.iter().position(|known| *known == peer) {
            self.peers.swap_remove(index);
        }
    }

    /// Adds a node. If there is no room, one of `dispensable` goes first, then any.
    pub(super) fn insert<R: Rng>(
        &mut self,
        peer: P,
        peers_max: usize,
        dispensable: &[P],
        random: &mut R,
    ) {
        if self.peers.contains(&peer) || peers_max == 0 {
            return;
        }
        while self.peers.len() >= peers_max {
            let index = self
                .peers
                .iter()
                .position(|known| dispensable.contains(known));
            let index = match index {
                Some(index) => index,
                None => random.random_range(0..self.peers.len()),
            };
            self.peers.swap_remove(index);
        }
        self.peers.push(peer);
    }

    /// Any node that is none of `without`.
    pub(super) fn random<R: Rng>(&self, random: &mut R, without: &[P]) -> Option<P> {
        self.peers
            .iter()
            .copied()
            .filter(|peer| !without.contains(peer))
            .choose(random)
    }

    /// A uniform sample.
    pub(super) fn sample<R: Rng>(&self, random: &mut R, count: usize) -> Vec<P> {
        self.peers.sample(random, count).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn a_full_passive_view_gives_up_dispensable_nodes_first() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut view = PassiveView::new();
        for peer in 0..30_u32 {
            view.insert(peer, 30, &[], &mut random);
        }
        view.insert(100, 30, &[7, 9], &mut random);
        view.insert(101, 30, &[7, 9], &mut random);
        assert!(!view.peers().contains(&7) && !view.peers().contains(&9));
        assert_eq!(view.peers().len(), 30);
    }

    #[test]
    fn samples_of_the_passive_view_are_uniform() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
        let mut view = PassiveView::new();
        for peer in 0..30_u32 {
            view.insert(peer, 30, &[], &mut random);
        }
        let mut drawn = [0_u32; 30];
        for _ in 0..3_000 {
            for peer in view.sample(&mut random, 4) {
                drawn[peer as usize] += 1;
            }
        }
        // 400 expected each; five standard deviations are 93.
        assert!(
            drawn.iter().all(|count| (300..500).contains(count)),
            "{drawn:?}"
        );
    }
}
