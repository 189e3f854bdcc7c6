//! A sign of life of the broadcast itself: who misses it stands apart from the rest.
//!
//! An overlay can split without any lane being lost: a few nodes that are each other's only neighbors
//! look healthy to themselves. So the first live member of the ring broadcasts a beacon now and then,
//! and a node that has missed three although it knows of others joins the overlay once more, through
//! any of them. Costs one broadcast per `beacon_every` periods, whatever the cluster's size.

use rand::{Rng, RngExt};

use super::layer::KIND_BEACON;
use super::record::Status;
use super::{Membership, Out};
use crate::event::{Command, Output, Peer};
use crate::payload::Payload;
use crate::time::Time;

/// Beacons in a row that may be lost. 3: as long as it takes to find out that their sender is down
/// and that the next member is the first now.
const MISSED_MAX: u32 = 3;

impl<P: Peer> Membership<P> {
    /// A period is over: shine, or look whether others did.
    pub(super) fn beacon<R: Rng>(&mut self, now: Time, random: &mut R, out: &mut Out<P>) {
        let every = self.config.beacon_every.max(1);
        let alone = self.table.live() < 2;
        let mut alive = self
            .table
            .iter()
            .filter(|entry| entry.status == Status::Alive);
        let is_first = alive.next().is_some_and(|entry| entry.peer == self.me);
        if alone || is_first {
            self.beacon_seen = now;
            if !alone && self.periods.is_multiple_of(every) {
                let payload = Payload::default().marked(KIND_BEACON);
                out.push(Output::Below(Command::Broadcast(payload)));
            }
            return;
        }
        let patience = self.config.detector.period * (every * (MISSED_MAX + 1));
        if now.since(self.beacon_seen) < patience {
            return;
        }
        // As long again until the next try: joining takes its time too.
        self.beacon_seen = now;
        if let Some(contact) = self.table.near(random.random())
            && contact != self.me
        {
            self.counters.rejoins += 1;
            out.push(Output::Below(Command::Join(contact)));
        }
    }
}
