//! The overlays of a switch from their opening to their end: built and filled, adopted after a trial, put in force, closed.
//!
//! Called by `switch` as orders and timers come. What each step means for the layers above is told here; what the two
//! overlays say meanwhile goes through `switch`.

use std::time::Duration;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};

use super::any::AnyOverlay;
use super::slot::Slot;
use super::switch::{Out, Switch, Timer};
use crate::epoch::{Epoch, Links, OverlayKind, Proposal, Report};
use crate::event::{Command, Event, Input, Output, Peer};

/// Times that an overlay is kept after its time, as the one in force has no neighbor yet. 12: a minute.
const KEPT_MAX: u32 = 12;

impl<P: Peer> Switch<P> {
    /// Starts an overlay beside the one that there is.
    pub(super) fn open<R: Rng>(&mut self, proposal: Proposal<P>, random: &mut R, out: &mut Out<P>) {
        self.lives = self.lives.wrapping_add(1);
        let life = self.lives;
        let overlay = AnyOverlay::new(self.me, &proposal, &self.config.overlays);
        let slot = Slot::new(proposal, life, overlay);
        let has_topics = slot.overlay.has_topics();
        self.slots.push(slot);
        self.slots.sort_by_key(|slot| slot.proposal.epoch);
        self.work.push_back((life, Input::Start));
        let near = self.near.iter().map(|peer| Command::Near {
            peer: *peer,
            is_near: true,
        });
        let near = near.map(|command| (life, Input::Command(command)));
        self.work.extend(near);
        self.give_lanes(life, |_| true);
        if has_topics {
            let topics = self.topics.iter().map(|topic| Command::Subscribe(*topic));
            let inputs = topics.map(|command| (life, Input::Command(command)));
            self.work.extend(inputs);
        }
        self.try_soon(random, out);
    }

    /// Tells an overlay the lanes that are up, of those it may use and `is_new` to it.
    fn give_lanes(&mut self, life: u32, is_new: impl Fn(P) -> bool) {
        let slot = self.slots.iter().find(|slot| slot.life == life);
        let Some(slot) = slot else {
            return;
        };
        let lanes = self.lanes.iter().copied();
        let lanes = lanes.filter(|peer| slot.admits(*peer) && is_new(*peer));
        let ups = lanes.map(|peer| (life, Input::PeerUp(peer)));
        self.work.extend(ups);
    }

    /// An overlay that was tried on some nodes is for all from now on: it counts, and may use every lane.
    pub(super) fn adopt<R: Rng>(&mut self, epoch: Epoch<P>, random: &mut R, out: &mut Out<P>) {
        let Some(slot) = self.slot_of(epoch) else {
            return;
        };
        let Some(trial) = slot.proposal.trial.clone() else {
            return;
        };
        let life = slot.life;
        let before: Vec<(P, Links, bool)> = (slot.told.iter())
            .map(|peer| {
                let is_known = self.is_neighbor_of_other(life, *peer);
                (*peer, self.links_to(*peer), is_known)
            })
            .collect();
        if let Some(slot) = self.slot_mut(epoch) {
            slot.proposal.trial = None;
        }
        for (peer, links, is_known) in before {
            self.tell_links(links, peer, out);
            if !is_known {
                out.push(Output::Event(Event::NeighborUp(peer)));
            }
        }
        self.give_lanes(life, |peer| !trial.part.contains(&peer));
        self.try_soon(random, out);
    }

    /// What is missing in an overlay that is being built is tried to be got, if it is not anyway.
    pub(super) fn try_soon<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        if !self.is_trying {
            // Who knows others already, and nodes that come in all at once make a poor overlay.
            let share = random.random_range(0.0..1.0);
            self.try_after(self.config.join_every.mul_f64(share), out);
        }
    }

    fn try_after(&mut self, after: Duration, out: &mut Out<P>) {
        self.is_trying = true;
        let id = Timer::Try;
        out.push(Output::SetTimer { id, after });
    }

    /// A third overlay is to be opened in place of one that is not in force any more, or never was.
    pub(super) fn close_others(&mut self, out: &mut Out<P>) {
        let others = self
            .slots
            .iter()
            .map(|slot| (slot.proposal.epoch, slot.life));
        let other = others.filter(|(epoch, _)| *epoch != self.current).last();
        if let Some((_, life)) = other.filter(|_| self.slots.len() > 1) {
            self.close(life, out);
        }
    }

    /// Ends an overlay without a word: whoever still has it gets the state of this node when it speaks.
    pub(super) fn close(&mut self, life: u32, out: &mut Out<P>) {
        let Some(index) = self.slots.iter().position(|slot| slot.life == life) else {
            return;
        };
        let slot = self.slots.remove(index);
        for peer in slot.wanted.union(&slot.told) {
            if !self.other_uses(life, *peer) {
                self.lanes.remove(peer);
                out.push(Output::Disconnect(*peer));
            }
        }
        for peer in slot.told.iter().filter(|_| slot.counts()) {
            let before = self.links_to(*peer).with(slot.proposal.kind);
            self.tell_links(before, *peer, out);
            if !self.is_neighbor_of_other(life, *peer) {
                out.push(Output::Event(Event::NeighborDown(*peer)));
            }
        }
    }

    /// Tries to get what is missing in overlays that are being built.
    pub(super) fn try_again<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        self.is_trying = false;
        let mut again = false;
        for slot in &mut self.slots {
            let epoch = slot.proposal.epoch;
            if epoch == Epoch::FIRST {
                continue;
            }
            if slot.is_ready(&self.config.overlays, &self.members) {
                // Until there are more members, of whom it may need some.
                if slot.note_ready() {
                    out.push(Output::Event(Event::Epoch(Report::Ready(epoch))));
                }
                continue;
            }
            let Some(is_first) = slot.try_again() else {
                continue;
            };
            again = true;
            let me = self.me;
            let missing = self.members.iter().copied();
            let missing = missing.filter(|peer| !slot.told.contains(peer));
            let joins: Vec<P> = match slot.proposal.kind {
                // Of two nodes one dials first.
                OverlayKind::FullMesh => missing.filter(|peer| !is_first || *peer > me).collect(),
                OverlayKind::ClientServer => Vec::new(),
                _ => missing.choose(random).into_iter().collect(),
            };
            let joins = joins.into_iter().map(Command::Join);
            let life = slot.life;
            self.work
                .extend(joins.map(|join| (life, Input::Command(join))));
        }
        if again {
            self.try_after(self.config.join_every, out);
        }
    }

    pub(super) fn commit<R: Rng>(
        &mut self,
        proposal: Proposal<P>,
        members: Vec<P>,
        random: &mut R,
        out: &mut Out<P>,
    ) {
        let epoch = proposal.epoch;
        self.members = members.into_iter().collect();
        if self.slot_of(epoch).is_none() {
            // What was in force is over too: the one that carries stays.
            let in_force = self.slot_of(self.current);
            let empty = in_force.filter(|slot| slot.told.is_empty() && self.slots.len() > 1);
            match empty.map(|slot| slot.life) {
                Some(life) => self.close(life, out),
                None => self.close_others(out),
            }
            self.open(proposal.clone(), random, out);
        }
        self.adopt(epoch, random, out);
        self.link_unprobed(&proposal);
        self.current = epoch;
        let before: Vec<(u32, bool)> = self
            .slots
            .iter()
            .filter(|slot| slot.proposal.epoch != epoch)
            .map(|slot| (slot.life, slot.told.is_empty()))
            .collect();
        for (life, is_empty) in before {
            if is_empty {
                self.retire(life, out);
            } else {
                let after = self.config.retire_after;
                let id = Timer::Retire { life };
                out.push(Output::SetTimer { id, after });
            }
        }
    }

    /// An overlay that is no longer in force has had its time.
    pub(super) fn retire_due(&mut self, life: u32, out: &mut Out<P>) {
        let in_force = self.slot_of(self.current);
        let is_alone = in_force.is_none_or(|slot| slot.told.is_empty());
        let (current, after) = (self.current, self.config.retire_after);
        let Some(slot) = self.slot_of_life(life) else {
            return;
        };
        if slot.proposal.epoch == current {
            return;
        }
        if is_alone && !slot.told.is_empty() && slot.kept < KEPT_MAX {
            slot.kept += 1;
            let id = Timer::Retire { life };
            out.push(Output::SetTimer { id, after });
            return;
        }
        self.retire(life, out);
    }

    fn retire(&mut self, life: u32, out: &mut Out<P>) {
        let Some(epoch) = self.slot_of_life(life).map(|slot| slot.proposal.epoch) else {
            return;
        };
        self.close(life, out);
        out.push(Output::Event(Event::Epoch(Report::Retired(epoch))));
    }

    /// An overlay is in force, and none of its probes has come here: newcomers may have built a piece of their own.
    fn link_unprobed(&mut self, proposal: &Proposal<P>) {
        let is_apart = self
            .slot_of(proposal.epoch)
            .is_some_and(|slot| slot.probe == 0);
        let proposer = proposal.epoch.proposer.filter(|peer| *peer != self.me);
        if let Some(proposer) = proposer.filter(|_| is_apart) {
            self.link(proposal.epoch, proposer);
        }
    }
}
