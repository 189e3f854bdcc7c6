//! The members among whom a message is delivered by all or none, each in one of its lives.

use serde::{Deserialize, Serialize};

use crate::event::Peer;
use crate::message::{self, DecodeError};

/// Most members of a view. 256: a guess; a round costs five messages for each.
pub const VIEW_MAX: usize = 256;

/// Members and their incarnations, in the order of their identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View<P>(Vec<(P, u64)>);

impl<P: Peer> View<P> {
    /// Most bytes of an encoded view.
    pub(super) const BYTES_MAX: usize = 2 + VIEW_MAX * (P::BYTES_MAX + 10);

    /// Of these members, in any order. None if one is there twice, or they are too many, or none.
    #[must_use]
    pub fn new(mut members: Vec<(P, u64)>) -> Option<Self> {
        members.sort_unstable();
        let view = Self(members);
        view.validate().is_ok().then_some(view)
    }

    /// Checks a view that a peer sent.
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        message::at_most(&self.0, VIEW_MAX, "view")?;
        let in_order = self.0.is_sorted_by(|one, next| one.0 < next.0);
        if in_order && !self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Invalid { field: "view" })
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn place(&self, peer: P) -> Option<usize> {
        self.0.binary_search_by_key(&peer, |member| member.0).ok()
    }

    /// The life of a member that takes part.
    pub(super) fn incarnation(&self, peer: P) -> Option<u64> {
        self.place(peer).map(|place| self.0[place].1)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = P> + '_ {
        self.0.iter().map(|member| member.0)
    }

    /// Who leads a ballot. The sender leads the first, the others follow in turn, so that no two lead the
    /// same.
    pub(super) fn leader(&self, sender: P, ballot: u32) -> Option<P> {
        let place = self.place(sender)? + ballot as usize % self.len();
        Some(self.0[place % self.len()].0)
    }

    /// The least ballot above `ballot` that `peer` leads.
    pub(super) fn next_ballot(&self, sender: P, peer: P, ballot: u32) -> Option<u32> {
        let count = u32::try_from(self.len()).ok()?;
        let mut later = (1..=count).map(|more| ballot.saturating_add(more));
        later.find(|ballot| self.leader(sender, *ballot) == Some(peer))
    }
}
