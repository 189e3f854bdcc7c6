//! One overlay of a node that may have two: its epoch, the lanes it uses, and how far it is built.
//!
//! Owned by [`super::Switch`].

use std::collections::BTreeSet;

use super::any::{AnyOverlay, Overlays};
use crate::epoch::{Epoch, OverlayKind, Proposal};
use crate::event::Peer;

/// Times that a node tries to get what it needs in a new overlay before that is left to the overlay's own
/// repair. 60: a minute.
const TRIES_MAX: u32 = 60;

/// The last sample that came over an overlay.
#[derive(Debug)]
pub(super) struct Sample<P> {
    pub(super) trial: Epoch<P>,
    pub(super) round: u32,
    /// Who sent it; nobody if this node did.
    pub(super) by: Option<P>,
    /// How often it came.
    pub(super) copies: u8,
}

/// One overlay, in force or not.
#[derive(Debug)]
pub(super) struct Slot<P> {
    pub(super) proposal: Proposal<P>,
    /// Tells this overlay's timers from those of others that this node has had.
    pub(super) life: u32,
    pub(super) overlay: AnyOverlay<P>,
    /// Lanes that it asked for and did not give up.
    pub(super) wanted: BTreeSet<P>,
    /// Its neighbors, as it told them.
    pub(super) told: BTreeSet<P>,
    /// This node has had in it all that it needed.
    was_ready: bool,
    tries: u32,
    /// Times that it was kept though it was to be closed.
    pub(super) kept: u32,
    /// The last probe that came, and who sent it: nobody if this node did.
    pub(super) probe: u32,
    pub(super) probed_by: Option<P>,
    /// Whom the probe reached over this node, to be passed on.
    pub(super) reached: BTreeSet<P>,
    /// The last sample that came over it.
    pub(super) sample: Option<Sample<P>>,
}

impl<P: Peer> Slot<P> {
    pub(super) const fn new(proposal: Proposal<P>, life: u32, overlay: AnyOverlay<P>) -> Self {
        Self {
            proposal,
            life,
            overlay,
            wanted: BTreeSet::new(),
            told: BTreeSet::new(),
            was_ready: false,
            tries: 0,
            kept: 0,
            probe: 0,
            probed_by: None,
            reached: BTreeSet::new(),
            sample: None,
        }
    }

    /// Whether it connects this node, for the layers above: an overlay that is only tried does not.
    pub(super) const fn counts(&self) -> bool {
        self.proposal.trial.is_none()
    }

    /// Whether this node may be a part of it: of an overlay that is only tried, some.
    pub(super) fn admits(&self, peer: P) -> bool {
        let trial = self.proposal.trial.as_ref();
        trial.is_none_or(|trial| trial.part.contains(&peer))
    }

    /// Whether it has or wants a lane to this node.
    pub(super) fn uses(&self, peer: P) -> bool {
        self.wanted.contains(&peer) || self.told.contains(&peer)
    }

    /// Whether this node has in it all that it needs, of these members.
    pub(super) fn is_ready(&self, settings: &Overlays, members: &BTreeSet<P>) -> bool {
        if self.proposal.kind == OverlayKind::FullMesh {
            return members.is_subset(&self.told);
        }
        let needed = self.overlay.neighbors_needed(settings, members.len());
        self.told.len() >= needed
    }

    /// This node has in it all that it needs for now. Whether that is so for the first time.
    pub(super) const fn note_ready(&mut self) -> bool {
        self.tries = 0;
        !std::mem::replace(&mut self.was_ready, true)
    }

    /// Counts a try to get what this node needs in it. Whether it is the first; none if there were enough.
    pub(super) const fn try_again(&mut self) -> Option<bool> {
        self.tries += 1;
        if self.tries <= TRIES_MAX {
            Some(self.tries == 1)
        } else {
            None
        }
    }
}
