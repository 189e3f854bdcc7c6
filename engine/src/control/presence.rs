//! Which peers subscribers believe to be up, and the events that make that belief true.
//!
//! Derived from what each peer's lanes are at when it is looked at, not from counting notices, which can
//! be lost. A state machine without I/O; the control shard looks at each peer whose lanes changed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::events::Event;
use crate::peer::{Peer, Presence};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Believed {
    /// The session of each peer for which `PeerUp` was published last.
    up: HashMap<Arc<str>, u64>,
}

impl Believed {
    /// A lane came up in that session, with that incarnation: `PeerUp` goes out before `LaneUp`.
    pub(super) fn lane_up(
        &mut self,
        peer: &Arc<Peer>,
        session: u64,
        incarnation: u64,
        tell: &mut impl FnMut(Event),
    ) {
        let believed = self.up.get(peer.name()).copied();
        if believed.is_none_or(|believed| believed < session) {
            self.down(peer, believed, &peer.presence(), tell);
            self.up(peer, session, incarnation, tell);
        }
    }

    /// Publishes what is true now, as far as it changed.
    pub(super) fn look(
        &mut self,
        peer: &Arc<Peer>,
        presence: &Presence,
        tell: &mut impl FnMut(Event),
    ) {
        let believed = self.up.get(peer.name()).copied();
        let is_up = presence.lanes > 0;
        if is_up && believed == Some(presence.sessions) {
            return;
        }
        self.down(peer, believed, presence, tell);
        if is_up {
            self.up(peer, presence.sessions, presence.incarnation, tell);
        }
    }

    fn up(
        &mut self,
        peer: &Arc<Peer>,
        session: u64,
        incarnation: u64,
        tell: &mut impl FnMut(Event),
    ) {
        self.up.insert(Arc::clone(peer.shared_name()), session);
        tell(Event::PeerUp {
            peer: Arc::clone(peer),
            incarnation,
        });
    }

    fn down(
        &mut self,
        peer: &Arc<Peer>,
        believed: Option<u64>,
        presence: &Presence,
        tell: &mut impl FnMut(Event),
    ) {
        if believed.is_some() {
            self.up.remove(peer.name());
            tell(Event::PeerDown {
                peer: Arc::clone(peer),
                reason: presence.last_end,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LaneCells;
    use crate::wire::CloseReason;

    fn peer() -> Arc<Peer> {
        let peer = Peer::new(Arc::from("b"), false, LaneCells::new(0, 1, 0, 0));
        peer.settle(0);
        Arc::new(peer)
    }

    /// What is told of one look, in short.
    fn look(believed: &mut Believed, peer: &Arc<Peer>) -> Vec<String> {
        let mut told = Vec::new();
        believed.look(peer, &peer.presence(), &mut |event| {
            told.push(match event {
                Event::PeerUp { incarnation, .. } => format!("up {incarnation}"),
                Event::PeerDown { reason, .. } => format!("down {}", reason.name()),
                other => panic!("{other:?}"),
            });
        });
        told
    }

    #[test]
    fn what_is_told_is_what_is_true_however_much_was_not_seen() {
        let (peer, mut believed) = (peer(), Believed::default());
        peer.join(5).expect("it is alone");
        assert_eq!(look(&mut believed, &peer), ["up 5"]);
        assert!(look(&mut believed, &peer).is_empty());
        // Down and up again, twice, as another process, between two looks.
        for incarnation in [6, 7] {
            peer.leave(CloseReason::Reset);
            peer.join(incarnation).expect("the other is gone");
        }
        assert_eq!(look(&mut believed, &peer), ["down reset", "up 7"]);
        peer.leave(CloseReason::PeerStopped);
        assert_eq!(look(&mut believed, &peer), ["down peer_stopped"]);
        peer.join(8).expect("it is alone");
        peer.leave(CloseReason::Reset);
        assert!(look(&mut believed, &peer).is_empty());
    }

    #[test]
    fn a_peer_is_up_before_its_lane_is_told() {
        let (peer, mut believed) = (peer(), Believed::default());
        let session = peer.join(5).expect("it is alone");
        let mut told = Vec::new();
        for _ in 0..2 {
            believed.lane_up(&peer, session, 5, &mut |event| told.push(event));
        }
        assert!(matches!(told[..], [Event::PeerUp { incarnation: 5, .. }]));
        assert!(look(&mut believed, &peer).is_empty());
    }
}
