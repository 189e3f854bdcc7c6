//! Which connection a lane keeps when a Hello arrives: the rule for simultaneous dials, lost
//! connections and restarted peers, as one pure function.
//!
//! Called by the acceptor's side for each Hello that passed [`super::Hello::judge`]. Both nodes
//! run the same rule on what they know and end with the same single connection: of two dials under
//! way the one by the node with the smaller name wins. The caller acts on the [`Choice`]; nothing
//! here touches a connection.
use super::close::CloseReason;

/// What a node has for one lane (peer, channel, index) at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// No connection, and no dial under way (waiting to dial again is idle too).
    Idle,
    /// This node dials: from the connect until the Welcome, the Refuse or the failure.
    Dialing,
    /// Up on a connection that this node dialled.
    UpDialedByUs {
        /// The one in the Welcome on that very connection; the highest known may be higher.
        incarnation: u64,
    },
    /// Up on a connection that the peer dialled.
    UpDialedByPeer {
        /// The one in the Hello on that very connection; the highest known may be higher.
        incarnation: u64,
    },
}

/// Who sent the Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteNode<'a> {
    /// The dialer's name.
    pub name: &'a str,
    /// The dialer's incarnation.
    pub incarnation: u64,
    /// What the process of that name runs as to which this node has lanes, on any channel; `None`
    /// without a lane: then no process of that name is known to live, however old it is.
    pub live_incarnation: Option<u64>,
}

/// What to do with the connection that the Hello came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Answer Welcome; the lane was idle.
    Accept,
    /// Answer Welcome, and give up the dial under way with this reason.
    AcceptInsteadOfDial(CloseReason),
    /// Answer Welcome, and end the connection that is up with this reason.
    Replace(CloseReason),
    /// Answer Refuse with this reason and leave everything as it is.
    Refuse(CloseReason),
}

/// Decides which connection a lane keeps.
///
/// A name is one process. Another one of that name gets no lane while the first has any, whichever is
/// the older: the caller does well to ping the lanes that are up, so that a process that is gone without
/// a word does not stay in the way of its successor, which dials again.
///
/// After [`CloseReason::AlreadyUp`] the peer dials again with backoff. It would not dial if it
/// still had the connection, so the caller should ping the lane that is up: if it is dead, it ends
/// and a later dial is accepted.
#[must_use]
pub fn keep(local_name: &str, remote: RemoteNode<'_>, slot: SlotState) -> Choice {
    if local_name == remote.name {
        return Choice::Refuse(CloseReason::SelfDial);
    }
    let up = match slot {
        SlotState::UpDialedByUs { incarnation } | SlotState::UpDialedByPeer { incarnation } => {
            Some(incarnation)
        }
        SlotState::Idle | SlotState::Dialing => None,
    };
    match remote.live_incarnation.or(up) {
        Some(live) if remote.incarnation < live => {
            return Choice::Refuse(CloseReason::StaleIncarnation);
        }
        Some(live) if remote.incarnation > live => {
            return Choice::Refuse(CloseReason::NameTaken);
        }
        _ => {}
    }
    match slot {
        SlotState::Idle => Choice::Accept,
        SlotState::Dialing if local_name < remote.name => {
            Choice::Refuse(CloseReason::SimultaneousDial)
        }
        SlotState::Dialing => Choice::AcceptInsteadOfDial(CloseReason::SimultaneousDial),
        SlotState::UpDialedByPeer { .. } => Choice::Replace(CloseReason::Replaced),
        SlotState::UpDialedByUs { .. } => Choice::Refuse(CloseReason::AlreadyUp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP_BY_US: SlotState = SlotState::UpDialedByUs { incarnation: 5 };
    const UP_BY_PEER: SlotState = SlotState::UpDialedByPeer { incarnation: 5 };

    /// Node `m` gets a Hello of this name and incarnation.
    fn choice(name: &str, incarnation: u64, live: Option<u64>, slot: SlotState) -> Choice {
        keep(
            "m",
            RemoteNode {
                name,
                incarnation,
                live_incarnation: live,
            },
            slot,
        )
    }

    #[test]
    fn an_idle_lane_takes_any_peer() {
        for name in ["a", "z"] {
            assert_eq!(choice(name, 5, None, SlotState::Idle), Choice::Accept);
            assert_eq!(choice(name, 5, Some(5), SlotState::Idle), Choice::Accept);
        }
    }

    #[test]
    fn of_two_dials_the_one_by_the_smaller_name_is_kept() {
        let reason = CloseReason::SimultaneousDial;
        assert_eq!(
            choice("z", 5, None, SlotState::Dialing),
            Choice::Refuse(reason)
        );
        assert_eq!(
            choice("a", 5, None, SlotState::Dialing),
            Choice::AcceptInsteadOfDial(reason)
        );
    }

    #[test]
    fn a_peer_that_dials_again_has_lost_the_lane_that_it_dialled() {
        for name in ["a", "z"] {
            let replaced = Choice::Replace(CloseReason::Replaced);
            assert_eq!(choice(name, 5, Some(5), UP_BY_PEER), replaced);
            let already_up = Choice::Refuse(CloseReason::AlreadyUp);
            assert_eq!(choice(name, 5, Some(5), UP_BY_US), already_up);
        }
    }

    #[test]
    fn another_process_of_that_name_gets_no_lane_while_the_first_has_one() {
        for slot in [SlotState::Idle, SlotState::Dialing, UP_BY_US, UP_BY_PEER] {
            let stale = Choice::Refuse(CloseReason::StaleIncarnation);
            assert_eq!(choice("a", 4, Some(5), slot), stale);
            let taken = Choice::Refuse(CloseReason::NameTaken);
            assert_eq!(choice("a", 6, Some(5), slot), taken);
            assert_eq!(choice("a", u64::MAX, Some(5), slot), taken);
        }
        for slot in [UP_BY_US, UP_BY_PEER] {
            assert!(matches!(choice("a", 4, None, slot), Choice::Refuse(_)));
            assert!(matches!(choice("a", 6, None, slot), Choice::Refuse(_)));
        }
    }

    #[test]
    fn a_node_makes_no_lane_to_itself() {
        let refused = Choice::Refuse(CloseReason::SelfDial);
        assert_eq!(choice("m", 5, None, SlotState::Dialing), refused);
        assert_eq!(choice("m", 6, Some(5), SlotState::Idle), refused);
    }
}
