//! What this node says of itself: refutations, metadata, the goodbye, and when it says so.

use std::sync::Arc;

use super::Membership;
use super::exchange::statement_of;
use super::record::{Claim, Details, Statement, Status, Version};
use super::table::Entry;
use crate::event::Peer;
use crate::time::Time;

impl<P: Peer> Membership<P> {
    /// Somebody speaks of this node itself.
    pub(super) fn about_me(&mut self, version: Version, status: Status) {
        let Some(own) = self.table.get(&self.me).cloned() else {
            return;
        };
        let accused = version == own.version && status != Status::Alive;
        if version < own.version || (version == own.version && !accused) {
            return;
        }
        if let Some(version) = version.next() {
            self.counters.refutations += 1;
            self.announce = true;
            self.put(Entry { version, ..own });
        }
    }

    /// Gives this node other metadata.
    pub(super) fn set_metadata(&mut self, metadata: &[u8]) {
        let Some(own) = self.table.get(&self.me).cloned() else {
            return;
        };
        let details = Details {
            metadata: metadata.to_vec(),
            ..(*own.details).clone()
        };
        if let (Some(version), Ok(())) = (own.version.next(), details.validate()) {
            self.announce = true;
            self.put(Entry {
                version,
                details: Arc::new(details),
                ..own
            });
        }
    }

    /// Says goodbye: the last word of this incarnation.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
        self.announce = false;
        let own = self.table.get(&self.me);
        if let Some(version) = own.and_then(|own| own.version.next()) {
            self.news.push(Statement {
                about: self.me,
                version,
                claim: Claim::Left,
            });
        }
    }

    /// Tells everybody about this node, at most twice per period however often it is accused, and
    /// not before there is a neighbor to hear it.
    pub(super) fn announce_if_due(&mut self, now: Time) {
        if !self.announce || now < self.announce_after || self.detector.neighbors().is_empty() {
            return;
        }
        self.announce = false;
        self.announce_after = now + self.config.detector.period / 2;
        if let Some(own) = self.table.get(&self.me) {
            self.news.push(statement_of(own));
        }
    }
}
