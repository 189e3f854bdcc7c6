//! Lanes that come and go, as the driver tells the protocols of them; and nodes that are needed no more, or that nobody
//! is connected to any more.
//!
//! Called by the driver for what happens to lanes and for its own timers. A lane that is up and silent is no lane to the
//! protocols.

use std::sync::Arc;
use std::time::Duration;

use overlane_overlays::{Command, Input, Time, WhyDown};
use rand::seq::IteratorRandom;

use super::{ALONE_EVERY, Deed, Driver, PRUNE_EVERY, Timer};
use crate::cluster::book::Source;
use crate::cluster::identity::NodeId;
use crate::cluster::machine::Readings as _;

/// How long nothing must have come from a member that others suspect, until its lane counts as none. 3 s: neighbors hear
/// from each other each second or two.
const SILENT_FOR: Duration = Duration::from_secs(3);

impl Driver {
    pub(super) fn lane_up(&mut self, name: &str, now: Time, out: &mut Vec<Deed>) {
        let peer = NodeId::of(name);
        self.book.learn(name, &[], Source::Itself);
        self.silent.remove(&peer);
        if self.lanes.insert(peer, now).is_none() {
            self.send_word(peer, self.greeting.clone(), None, out);
            if let Some(stranger) = self.strangers.met(peer) {
                self.meet(peer, stranger, now, out);
            }
        }
        self.give(Input::PeerUp(peer), None);
    }

    pub(super) fn lane_down(&mut self, name: &str, why: WhyDown, now: Time, out: &mut Vec<Deed>) {
        let peer = NodeId::of(name);
        self.silent.remove(&peer);
        let was_up = self.lanes.remove(&peer).is_some();
        if was_up && matches!(why, WhyDown::Lost | WhyDown::TimedOut) {
            self.topology.lane_lost(now);
        }
        // The overlay says anew whether it wants one.
        if self.kept.remove(&peer) {
            self.reach(peer, out);
        }
        self.give_down(peer, why);
    }

    /// Something came from a peer: one that was silent has its lane again.
    pub(super) fn heard(&mut self, peer: NodeId, now: Time) {
        if self.silent.remove(&peer) {
            self.lanes.insert(peer, now);
            self.give(Input::PeerUp(peer), None);
        } else if let Some(heard) = self.lanes.get_mut(&peer) {
            *heard = now;
        }
    }

    /// A member is suspected, or down. If nothing came from it here either, its lane leads nowhere, and is not
    /// waited for until the kernel or the idle time-out says so: meanwhile the overlay would have a hole.
    pub(super) fn doubt(&mut self, peer: NodeId, now: Time, out: &mut Vec<Deed>) {
        let is_silent = |heard: &Time| now.since(*heard) >= SILENT_FOR;
        if !self.lanes.get(&peer).is_some_and(is_silent) {
            return;
        }
        self.lane_is_of_no_use(peer, WhyDown::TimedOut, out);
    }

    /// To the protocols there is no lane to that peer from now on, until something comes over it.
    pub(super) fn lane_is_of_no_use(&mut self, peer: NodeId, why: WhyDown, out: &mut Vec<Deed>) {
        if self.lanes.remove(&peer).is_some() {
            self.silent.insert(peer);
        }
        if self.kept.remove(&peer) {
            self.reach(peer, out);
        }
        self.give_down(peer, why);
    }

    pub(super) fn connect_is_late(&mut self, peer: NodeId, out: &mut Vec<Deed>) {
        if self.lanes.contains_key(&peer) || !self.kept.remove(&peer) {
            return;
        }
        self.reach(peer, out);
        self.give_down(peer, WhyDown::TimedOut);
    }

    /// Forgets where nodes are that nobody counts as members, dead or alive, and that have no lane.
    pub(super) fn prune(&mut self, now: Time, out: &mut Vec<Deed>) {
        self.timers.set_after(now, PRUNE_EVERY, Timer::Prune);
        self.prune_decisions();
        self.compare_with_any(out);
        self.serving.prune(self.machine.members());
        let (members, lanes, kept) = (self.machine.members(), &self.lanes, &self.kept);
        let is_needed = |id: NodeId| {
            members.get(&id).is_some() || lanes.contains_key(&id) || kept.contains(&id)
        };
        for name in self.book.forget_all_but(is_needed) {
            self.release(name, out);
        }
    }

    /// Compares what was decided and ordered with one of the neighbors. A word to one that stayed a neighbor all the time may have been
    /// lost with its lane.
    fn compare_with_any(&mut self, out: &mut Vec<Deed>) {
        let neighbors = self.machine.neighbors().into_iter();
        let neighbor = neighbors.choose(&mut self.random);
        if let Some(neighbor) = neighbor.filter(|id| self.lanes.contains_key(id)) {
            self.compare_decisions(neighbor, out);
            self.ask_for_changes(neighbor, out);
        }
    }

    /// Nothing is wanted of a node any more.
    pub(super) fn release(&mut self, name: Arc<str>, out: &mut Vec<Deed>) {
        self.reached.remove(&NodeId::of(&name));
        out.push(Deed::Release(name));
    }

    /// Looks again in a while, if it has no neighbor now. A node that has one needs no timer: it notices when the last goes.
    pub(super) fn seek_company_later(&mut self, now: Time) {
        if self.is_seeking || self.has_left || !self.machine.neighbors().is_empty() {
            return;
        }
        self.is_seeking = true;
        self.timers.set_after(now, ALONE_EVERY, Timer::Alone);
    }

    /// A node without a neighbor that knows members asks one of them to be let in again, another one each time: after
    /// a split, most of those that the overlay remembers may be out of reach.
    pub(super) fn seek_company(&mut self, now: Time) {
        self.is_seeking = false;
        self.seek_company_later(now);
        if !self.is_seeking {
            return;
        }
        let members = self.machine.members().iter();
        let others = members.filter(|entry| entry.status.is_live() && entry.peer != self.me);
        let ids = others.map(|entry| entry.peer);
        let ids = ids.filter(|id| !self.silent.contains(id));
        if let Some(id) = ids.choose(&mut self.random) {
            self.give(Input::Command(Command::Join(id)), None);
        }
    }
}
