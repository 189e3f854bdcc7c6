//! Lanes shared by the overlays of one node: the one of all nodes, and one for each topic.
//!
//! Owns the count of who needs which lane. A lane is asked for when the first overlay wants it and
//! given up when the last one does without.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Peer, TopicId};

/// Which overlay: that of a topic, or, for none, that of all nodes.
pub(super) type Swarm = Option<TopicId>;

#[derive(Debug)]
struct Lane {
    up: bool,
    users: BTreeSet<Swarm>,
}

/// The lanes that this node wants.
#[derive(Debug)]
pub(super) struct Lanes<P> {
    wanted: BTreeMap<P, Lane>,
}

/// What an overlay that wants a lane is to be told, and what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is the first: ask for the lane.
    Ask,
    /// It was asked for already.
    Wait,
    /// It is there.
    Up,
}

impl<P: Peer> Lanes<P> {
    pub(super) const fn new() -> Self {
        Self {
            wanted: BTreeMap::new(),
        }
    }

    pub(super) fn want(&mut self, peer: P, user: Swarm) -> Wanted {
        match self.wanted.get_mut(&peer) {
            Some(lane) => {
                lane.users.insert(user);
                if lane.up { Wanted::Up } else { Wanted::Wait }
            }
            None => {
                let lane = Lane {
                    up: false,
                    users: BTreeSet::from([user]),
                };
                self.wanted.insert(peer, lane);
                Wanted::Ask
            }
        }
    }

    /// An overlay does without a lane. True if nobody needs it any more.
    pub(super) fn release(&mut self, peer: P, user: Swarm) -> bool {
        let Some(lane) = self.wanted.get_mut(&peer) else {
            return false;
        };
        lane.users.remove(&user);
        let unused = lane.users.is_empty();
        if unused {
            self.wanted.remove(&peer);
        }
        unused
    }

    /// The lane is there: who wanted it.
    pub(super) fn up(&mut self, peer: P) -> Vec<Swarm> {
        match self.wanted.get_mut(&peer) {
            Some(lane) => {
                lane.up = true;
                lane.users.iter().copied().collect()
            }
            None => Vec::new(),
        }
    }

    /// The lane is gone.
    pub(super) fn down(&mut self, peer: P) {
        self.wanted.remove(&peer);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wanted.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_kept_until_the_last_overlay_does_without() {
        let mut lanes = Lanes::new();
        assert_eq!(lanes.want(7_u32, None), Wanted::Ask);
        assert_eq!(lanes.want(7, Some(1)), Wanted::Wait);
        assert_eq!(lanes.up(7), [None, Some(1)]);
        assert_eq!(lanes.want(7, Some(2)), Wanted::Up);
        assert!(!lanes.release(7, None));
        assert!(!lanes.release(7, Some(2)));
        assert!(!lanes.release(7, Some(9)), "never wanted it");
        assert!(lanes.release(7, Some(1)));
        assert_eq!(lanes.len(), 0);
    }
}
