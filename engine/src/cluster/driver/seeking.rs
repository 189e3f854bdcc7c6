//! The driver's part in finding members: which places are asked when, and what comes of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use overlane_overlays::membership::Table;
use overlane_overlays::{Command, Input, Time};

use super::{Deed, Driver};
use crate::cluster::book::Source;
use crate::cluster::identity::NodeId;
use crate::cluster::machine::Readings as _;
use crate::cluster::seeds::{Members, SeedAnswer};

/// The live members at one moment.
struct Live<'a> {
    table: &'a Table<NodeId>,
    addresses: BTreeSet<SocketAddr>,
}

impl Members for Live<'_> {
    fn is_member(&self, id: NodeId) -> bool {
        let entry = self.table.get(&id);
        entry.is_some_and(|entry| entry.status.is_live())
    }

    fn is_member_at(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&address)
    }
}

impl Driver {
    /// Asks at places where members may be, as it is time.
    pub(super) fn ask_seeds(&mut self, now: Time, out: &mut Vec<Deed>) {
        let is_joined = self.is_joined();
        let table = self.machine.members();
        let live = table.iter().filter(|entry| entry.status.is_live());
        let members = Live {
            table,
            addresses: live
                .flat_map(|entry| entry.details.addresses.iter().copied())
                .collect(),
        };
        let places = self.seeds.due(now, is_joined, &members);
        if !places.is_empty() {
            out.push(Deed::Ask(places));
        }
    }

    pub(super) fn seed_answered(&mut self, answer: SeedAnswer) {
        match answer.found {
            Ok((name, address)) => {
                let id = NodeId::of(&name);
                self.seeds.found(&answer.place, id);
                if id != self.me {
                    self.book.learn(&name, &[address], Source::Seed);
                    self.give(Input::Command(Command::Join(id)), None);
                }
            }
            Err(why) => self.seeds.failed(&answer.place, why),
        }
    }
}
