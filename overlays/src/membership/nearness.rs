//! Who is near: the members that say that they are in this node's zone. Told to the overlay below, change by change.
//!
//! Called by the rules of membership whenever a member is stored or forgotten. Decides nothing: what an overlay makes of it is
//! its own business. A node that is in no zone has nobody near, and hears of no zones.

use std::collections::BTreeSet;

use super::table::Table;
use crate::event::Peer;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Nearness<P> {
    me: P,
    /// The zone of this node; empty if it is in none.
    zone: String,
    near: BTreeSet<P>,
    /// Not told yet, in order.
    changes: Vec<(P, bool)>,
}

impl<P: Peer> Nearness<P> {
    pub(super) fn new(me: P, zone: &str) -> Self {
        Self {
            me,
            zone: zone.to_owned(),
            near: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// A member says that it is in that zone.
    pub(super) fn note(&mut self, peer: P, zone: &str) {
        if peer == self.me || self.zone.is_empty() {
            return;
        }
        if zone != self.zone {
            self.forget(&peer);
        } else if self.near.insert(peer) {
            self.changes.push((peer, true));
        }
    }

    /// All members of a table.
    pub(super) fn note_all(&mut self, members: &Table<P>) {
        for entry in members.iter() {
            self.note(entry.peer, &entry.details.zone);
        }
    }

    /// It is no member any more, or has moved.
    pub(super) fn forget(&mut self, peer: &P) {
        if self.near.remove(peer) {
            self.changes.push((*peer, false));
        }
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changes(&mut self) -> impl Iterator<Item = (P, bool)> + use<P> {
        std::mem::take(&mut self.changes).into_iter()
    }
}
