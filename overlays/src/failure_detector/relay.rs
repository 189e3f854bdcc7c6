//! Pings made for others: who asked, under which number, about whom.
//!
//! Owns the bound: a node that is asked for more than it can remember stays silent, which the asker
//! takes as a sign against itself, not against the target.

use std::collections::BTreeMap;

use super::probing::PROBES_MAX;
use crate::event::Peer;

/// Most pings under way for others. 128: sixteen askers with all that they may ask for.
const RELAYS_MAX: usize = 128;
/// Most of them for one asker. 8: as many as a node has probes that begin together.
const RELAYS_PER_ASKER_MAX: usize = PROBES_MAX;

#[derive(Debug)]
struct Relay<P> {
    asker: P,
    asker_number: u32,
    target: P,
}

/// Pings under way for others, by the number of this node's ping.
#[derive(Debug)]
pub(super) struct Relays<P> {
    under_way: BTreeMap<u32, Relay<P>>,
}

impl<P: Peer> Relays<P> {
    pub(super) const fn new() -> Self {
        Self {
            under_way: BTreeMap::new(),
        }
    }

    /// Remembers a ping for `asker`. False if there is no room for it.
    pub(super) fn begin(&mut self, number: u32, asker: P, asker_number: u32, target: P) -> bool {
        let of_asker = self.under_way.values().filter(|relay| relay.asker == asker);
        if of_asker.count() >= RELAYS_PER_ASKER_MAX || self.under_way.len() >= RELAYS_MAX {
            return false;
        }
        let relay = Relay {
            asker,
            asker_number,
            target,
        };
        self.under_way.insert(number, relay);
        true
    }

    /// `from` answered the ping: whom to tell, under which number.
    pub(super) fn answered(&mut self, number: u32, from: &P) -> Option<(P, u32)> {
        let relay = self.under_way.get(&number)?;
        (relay.target == *from).then(|| self.give_up(number))?
    }

    /// The ping took too long: whom to tell, under which number.
    pub(super) fn give_up(&mut self, number: u32) -> Option<(P, u32)> {
        let relay = self.under_way.remove(&number)?;
        Some((relay.asker, relay.asker_number))
    }
}
