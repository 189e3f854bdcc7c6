//! The driver's part in relaying: ways to members without a lane are asked for along the overlay, and noted.
//!
//! Called by whoever carries what is relayed (`relay::carrier`), and for what control shards of neighbors say. In a
//! client-server overlay servers alone pass things on.

use std::sync::Arc;

use overlane_overlays::Time;
use overlane_overlays::epoch::OverlayKind;

use super::{Deed, Driver};
use crate::cluster::identity::NodeId;
use crate::cluster::machine::Readings as _;
use crate::cluster::relay::router::{Asked, Find, Found, Told, Via};
use crate::cluster::words::Word;

impl Driver {
    /// The name of the next node on the way to a member; its own if there is a lane to it.
    pub(in crate::cluster) fn way_to(&mut self, to: &str, now: Time) -> Option<Arc<str>> {
        let lanes = &self.lanes;
        let has_lane = |id| lanes.contains_key(&id);
        let via = self.router.way(NodeId::of(to), now, has_lane)?;
        let known = self.book.get(via)?;
        Some(Arc::clone(&known.name))
    }

    /// Something that a node has sent came over that neighbor, after so many hops.
    pub(in crate::cluster) fn learn_way(&mut self, to: &str, via: &str, hops: u8, now: Time) {
        let (to, via) = (NodeId::of(to), NodeId::of(via));
        let lanes = &self.lanes;
        if !lanes.contains_key(&to) {
            self.router.forget_if_dead(to, |id| lanes.contains_key(&id));
            let via = self.via(via);
            self.router.learn(to, via, hops, now);
        }
    }

    /// Whether there is a lane to that node.
    pub(in crate::cluster) fn has_lane(&self, name: &str) -> bool {
        self.lanes.contains_key(&NodeId::of(name))
    }

    /// A way has led nowhere.
    pub(in crate::cluster) fn forget_way(&mut self, to: &str) {
        self.router.forget(NodeId::of(to));
    }

    /// Whether something may be on its way to that node at all.
    pub(in crate::cluster) fn is_live_member(&self, name: &str) -> bool {
        let member = self.machine.members().get(&NodeId::of(name));
        member.is_some_and(|member| member.status.is_live())
    }

    /// Whether this node passes on what others send.
    pub(in crate::cluster) fn relays_for_others(&self) -> bool {
        let overlay = self.machine.overlay();
        overlay.kind != OverlayKind::ClientServer || overlay.servers.contains(&self.me)
    }

    /// Asks the neighbors for a way.
    pub(super) fn find_way(&mut self, to: NodeId, ttl: u8, out: &mut Vec<Deed>) {
        let find = self.router.find(to, ttl);
        self.ask_on(find, None, out);
    }

    pub(super) fn heard_find(&mut self, from: NodeId, find: Find, now: Time, out: &mut Vec<Deed>) {
        let (passes_on, via) = (self.relays_for_others(), self.via(from));
        let lanes = &self.lanes;
        let has_lane = |id| lanes.contains_key(&id);
        match self.router.asked(via, find, now, passes_on, has_lane) {
            Asked::Nothing => {}
            Asked::Answer(found) => self.send_word(from, Word::of_found(&found), None, out),
            Asked::On(find) => self.ask_on(find, Some(from), out),
        }
    }

    pub(super) fn heard_found(
        &mut self,
        from: NodeId,
        found: Found,
        now: Time,
        out: &mut Vec<Deed>,
    ) {
        let via = self.via(from);
        let lanes = &self.lanes;
        let has_lane = |id| lanes.contains_key(&id);
        match self.router.told(via, found, now, has_lane) {
            Told::Nothing => {}
            Told::Known(to) => out.push(Deed::WayFound(to)),
            Told::On(via, found) => self.send_word(via, Word::of_found(&found), None, out),
        }
    }

    /// A neighbor, and whether it is in the zone of this node.
    fn via(&self, node: NodeId) -> Via {
        let zone = &self.identity.zone;
        let member = self.machine.members().get(&node);
        Via {
            node,
            is_near: !zone.is_empty() && member.is_some_and(|member| member.details.zone == *zone),
        }
    }

    fn ask_on(&mut self, find: Find, came_from: Option<NodeId>, out: &mut Vec<Deed>) {
        let word = Word::of_find(&find);
        for neighbor in self.machine.neighbors() {
            if Some(neighbor) != came_from {
                self.send_word(neighbor, word.clone(), None, out);
            }
        }
    }
}
