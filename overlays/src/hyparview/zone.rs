//! Zones: most neighbors from the node's own zone, and a stated share from others, so that zones never part.
//!
//! Who is *near*, in the zone of this node, the layer above says (`Command::Near`); everybody else is *far*, also those of
//! whom nothing is known yet. A view has places for both. A free one is filled with a spare that it is for; a full view that
//! has too many of one kind exchanges one for a spare of the other kind, if that gains by it too, or has room. A far
//! neighbor never makes room for a near one if there are no more than the share. Where nobody is near, as without zones,
//! all are alike.

use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::IteratorRandom;

use super::HyParView;
use crate::event::Peer;

/// Refusals in a row after which a spare of any kind will do for a free place.
const CHOOSY_REFUSALS_MAX: usize = 4;

/// Who is near.
#[derive(Debug)]
pub(super) struct Zone<P> {
    near: BTreeSet<P>,
}

impl<P: Peer> Zone<P> {
    pub(super) const fn new() -> Self {
        Self {
            near: BTreeSet::new(),
        }
    }

    pub(super) fn note(&mut self, peer: P, is_near: bool) {
        if is_near {
            self.near.insert(peer);
        } else {
            self.near.remove(&peer);
        }
    }

    fn is_near(&self, peer: P) -> bool {
        self.near.contains(&peer)
    }

    fn is_known(&self) -> bool {
        !self.near.is_empty()
    }
}

impl<P: Peer> HyParView<P> {
    /// The nodes that are near, as far as this one was told.
    pub(crate) fn near(&self) -> impl Iterator<Item = P> {
        self.zone.near.iter().copied()
    }

    /// Places for far neighbors: the share of the view, rounded up.
    fn far_places(&self) -> usize {
        let share = usize::from(self.config.far_percent);
        (self.config.active_max * share).div_ceil(100)
    }

    fn far_neighbors(&self) -> usize {
        let neighbors = self.active.peers();
        neighbors.filter(|peer| !self.zone.is_near(*peer)).count()
    }

    /// The neighbor that makes room for a node: near for near and far for far, unless there are too many of the other kind.
    pub(super) fn to_evict_for<R: Rng>(&self, peer: P, random: &mut R) -> Option<P> {
        let (far, places) = (self.far_neighbors(), self.far_places());
        let goes_near = if self.zone.is_near(peer) {
            far <= places
        } else {
            far < places
        };
        let is_known = self.zone.is_known();
        let can_go = |other| !is_known || self.zone.is_near(other) == goes_near;
        self.active.to_evict(random, can_go)
    }

    /// Whether the view may have this node in the place of that neighbor.
    pub(super) fn may_exchange(&self, give_up: P, take: P) -> bool {
        match (self.zone.is_near(give_up), self.zone.is_near(take)) {
            (false, true) => self.far_neighbors() > self.far_places(),
            (true, false) => self.far_neighbors() < self.far_places(),
            _ => true,
        }
    }

    /// Whether a full view gains by having this node in the place of one of the other kind.
    pub(super) fn gains_by(&self, peer: P) -> bool {
        self.kind_to_gain() == Some(self.zone.is_near(peer))
    }

    /// Whether a full view lacks near ones (true) or far ones (false); none if it has its share, or there are no zones.
    fn kind_to_gain(&self) -> Option<bool> {
        if !self.zone.is_known() || !self.is_full() {
            return None;
        }
        let (far, places) = (self.far_neighbors(), self.far_places());
        (far != places).then_some(far > places)
    }

    /// A spare for a free place, or for one of those that the full view has too many of.
    pub(super) fn spare<R: Rng>(&self, random: &mut R) -> Option<P> {
        let of = |is_near: bool, random: &mut R| {
            let spares = self.passive.peers().iter().copied();
            spares
                .filter(|peer| self.zone.is_near(*peer) == is_near && !self.refused.contains(peer))
                .choose(random)
        };
        if self.is_full() {
            return self.kind_to_gain().and_then(|kind| of(kind, random));
        }
        if !self.zone.is_known() || self.refused.len() >= CHOOSY_REFUSALS_MAX {
            return self.passive.random(random, &self.refused);
        }
        let near = self.active.len() - self.far_neighbors();
        let lacks_near = near + self.far_places() < self.config.active_max;
        of(lacks_near, random).or_else(|| of(!lacks_near, random))
    }

    /// Whether nobody was found for what the view lacks.
    pub(super) fn lacks(&self) -> bool {
        !self.is_full() || self.kind_to_gain().is_some()
    }

    /// The next node on a walk to `to`: within the zone if that is there, else out of it, as far as there is a way.
    pub(super) fn hop_towards<R: Rng>(
        &self,
        to: P,
        came_from: Option<P>,
        random: &mut R,
    ) -> Option<P> {
        if self.active.contains(to) {
            return Some(to);
        }
        let is_near = self.zone.is_near(to);
        let onward = || self.active.peers().filter(|peer| Some(*peer) != came_from);
        let alike = onward().filter(|peer| self.zone.is_near(*peer) == is_near);
        alike.choose(random).or_else(|| onward().choose(random))
    }
}
