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
        /// The incarnation in the peer's Welcome.
        incarnation: u64,
    },
    /// Up on a connection that the peer dialled.
    UpDialedByPeer {
        /// The incarnation in the peer's Hello.
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
    /// The highest incarnation of that node that this node has heard of, by any lane or member
    /// list; `None` if it never has.
    pub known_incarnation: Option<u64>,
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
/// After [`CloseReason::AlreadyUp`] the peer dials again with backoff. It would not dial if it
/// still had the connection, so the caller does well to ping the lane that is up: if that is dead,
/// it ends and a later dial is accepted.
#[must_use]
pub fn keep(local_name: &str, remote: RemoteNode<'_>, slot: SlotState) -> Choice {
    if local_name == remote.name {
        return Choice::Refuse(CloseReason::SelfDial);
    }
    if remote
        .known_incarnation
        .is_some_and(|known| remote.incarnation < known)
    {
        return Choice::Refuse(CloseReason::StaleIncarnation);
    }
    match slot {
        SlotState::Idle => Choice::Accept,
        SlotState::Dialing if local_name < remote.name => {
            Choice::Refuse(CloseReason::SimultaneousDial)
        }
        SlotState::Dialing => Choice::AcceptInsteadOfDial(CloseReason::SimultaneousDial),
        SlotState::UpDialedByUs { incarnation } | SlotState::UpDialedByPeer { incarnation }
            if remote.incarnation < incarnation =>
        {
            Choice::Refuse(CloseReason::StaleIncarnation)
        }
        SlotState::UpDialedByUs { incarnation } | SlotState::UpDialedByPeer { incarnation }
            if remote.incarnation > incarnation =>
        {
            Choice::Replace(CloseReason::PeerRestarted)
        }
        SlotState::UpDialedByPeer { .. } => Choice::Replace(CloseReason::Replaced),
        SlotState::UpDialedByUs { .. } => Choice::Refuse(CloseReason::AlreadyUp),
    }
}
