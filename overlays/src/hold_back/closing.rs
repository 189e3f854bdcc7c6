//! Closing: after something was given up, what it may have needed is not delivered any more.
//!
//! What a message needed that nobody has, nobody knows; and whatever followed that message needs it too. But a
//! layer can stamp its messages by Lamport's rule ("Time, Clocks, and the Ordering of Events in a Distributed
//! System", 1978): each stamp is greater than those of all that its message needs, however far back. So before
//! a gap is passed over for a held message, what is held with lesser stamps is delivered, the least first. Then
//! the stamps below that of the message are *closed*: what still comes with one is passed over, and told. Some of
//! it the gap did not need; it is late by the longest wait all the same.
//!
//! Called by the rules for giving up, and by layers that give up or begin for reasons of their own. Where messages
//! have no stamps, all have 0, and nothing is ever closed.

use super::{HoldBack, Key};

impl<P: Copy + Ord, M> HoldBack<P, M> {
    /// The least stamp that is not closed.
    pub(crate) const fn open_from(&self) -> u64 {
        self.open_from
    }

    /// Delivers what is held with lesser stamps than this, with all that it needs or without, and closes those.
    pub(crate) fn close_below(&mut self, stamp: u64) {
        if stamp <= self.open_from {
            return;
        }
        for (lesser, key) in self.held_below(stamp) {
            // What has stamps below this one has been delivered just now.
            self.open_from = self.open_from.max(lesser);
            self.give_up(key);
        }
        self.open_from = self.open_from.max(stamp);
    }

    /// Closes the stamps below this, and passes over what is held with one: as another node has that this one
    /// begins at.
    pub(crate) fn begin_above(&mut self, stamp: u64) {
        for (_, (life, number)) in self.held_below(stamp) {
            if number > self.have(&life) {
                self.miss(life, number);
            }
        }
        self.open_from = self.open_from.max(stamp);
    }

    /// The held messages with lesser stamps than this, the least first.
    fn held_below(&self, stamp: u64) -> Vec<(u64, Key<P>)> {
        let held = self.held.iter().filter(|(_, held)| held.stamp < stamp);
        let mut below: Vec<(u64, Key<P>)> = held.map(|(key, held)| (held.stamp, *key)).collect();
        below.sort_unstable();
        below
    }
}
