//! Two processes of one name: the first keeps it as long as it lives, the second is refused, and dials
//! again.
//!
//! Called by whoever has met the second one (`accept`, `dial`). It makes sure that the first is there
//! still, or gives the name free: a host that lost power says no goodbye.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Core;
use super::command::Command;
use crate::peer::Peer;
use crate::wire::CloseReason;

impl Core {
    /// A process that says that it is that peer was refused. If it was because of another one, every
    /// shard asks that one, if it has lanes to it.
    pub(super) fn doubt_rival(&self, peer: &Arc<Peer>, refused: CloseReason) {
        let is_rival = [CloseReason::NameTaken, CloseReason::StaleIncarnation].contains(&refused);
        if !is_rival {
            return;
        }
        let owners: BTreeSet<_> = peer.lanes().map(|(_, lane)| lane.shard()).collect();
        for owner in owners {
            let peer = Arc::clone(peer);
            self.shards[owner].send(Command::Doubt { peer });
        }
    }

    /// The lanes to that peer that are up here end unless it answers soon.
    pub(crate) fn doubt_lanes(&mut self, peer: &Arc<Peer>) {
        for (offset, _) in peer.lanes() {
            if let Some(lane) = self.used_lane_to(peer, offset) {
                self.doubt_lane(lane);
            }
        }
    }
}
