//! Why a lane or a connection ended: one list for logs, counters, events and the wire.
//!
//! Every close, refusal and failed dial anywhere in the engine carries exactly one of these.
//! Codes are stable for ever: a retired code is never given out again, a new reason takes a free
//! code in its group. Counters are arrays of [`CloseReason::COUNT`], indexed by
//! [`CloseReason::index`], which is local to a build and never goes over the wire.
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the enum and its tables from one list, so that no reason can miss its code or sentence.
macro_rules! close_reasons {
    ($($reason:ident = $code:literal, $name:literal, $sentence:literal;)+) => {
        /// Why a lane or a connection ended.
        ///
        /// Always from the view of the node that counts it; a reason that a peer sent is turned
        /// by [`CloseReason::seen_by_peer`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CloseReason {
            $(#[doc = $sentence] $reason,)+
        }

        impl CloseReason {
            /// Every reason, in the order of [`CloseReason::index`].
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// How many reasons there are: the length of an array of counters.
            pub const COUNT: usize = Self::ALL.len();

            /// The number that stands for this reason on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$reason => $code,)+ }
            }

            /// The reason that a code stands for, or `None` for one that this version lacks.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$reason),)+ _ => None }
            }

            /// The reason as a metric label or a JSON value: lower case with underscores.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$reason => $name,)+ }
            }

            /// The reason of that name, or `None` for one that this version lacks.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$reason),)+ _ => None }
            }

            /// The reason as a sentence for a person, without the full stop.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$reason => $sentence,)+ }
            }
        }
    };
}

close_reasons! {
    // 1..: somebody wanted it.
    PeerClosed = 1, "peer_closed", "the peer closed the connection without saying why";
    PeerStopped = 2, "peer_stopped", "the peer is stopping and said goodbye";
    LocalStop = 3, "local_stop", "this node is stopping";
    Disconnected = 4, "disconnected", "this node was told to disconnect from the peer";
    PeerDisconnected = 5, "peer_disconnected", "the peer was told to disconnect from this node";
    ChannelRemoved = 6, "channel_removed", "the channel was removed from this node";
    Unrecognised = 7, "unrecognised", "the peer gave a reason that this version does not know";
    Moved = 8, "moved", "the peer is to be found at another address from now on";
    Idle = 9, "idle", "nothing was sent for lane_idle_ms; the next message makes the lane again";
    PeerRemovedChannel = 10, "peer_removed_channel", "the channel was removed from the peer";
    Renewed = 11, "renewed", "certificates or secrets have changed, and the lane is made anew with them";
    // 20..: the handshake failed.
    WrongMagic = 20, "wrong_magic", "the other side does not speak Overlane";
    WrongVersion = 21, "wrong_version", "the two nodes speak different protocol versions";
    WrongCluster = 22, "wrong_cluster", "the two nodes belong to different clusters";
    WrongNode = 23, "wrong_node", "the node at this address is not the one that was dialled";
    SelfDial = 24, "self_dial", "the address belongs to the node that dialled it";
    ChannelUnknown = 25, "channel_unknown", "the accepting node has no such channel";
    ChannelMismatch = 26, "channel_mismatch", "the two nodes configure the channel differently";
    LaneOutOfRange = 27, "lane_out_of_range", "the lane index is not below the parallelism";
    HandshakeTimeout = 28, "handshake_timeout", "the handshake was not finished in time";
    HandshakeTooLarge = 29, "handshake_too_large", "a handshake message is over its size limit";
    HandshakeMalformed = 30, "handshake_malformed", "a handshake message cannot be read";
    TooManyHandshakes = 31, "too_many_handshakes", "too many handshakes are pending";
    TooManyPeers = 32, "too_many_peers", "the accepting node has as many peers as it allows";
    NameTaken = 33, "name_taken", "another process of that name is up, and names are unique in a cluster";
    ParameterUnknown = 34, "parameter_unknown", "a mandatory parameter of the handshake is not known here";
    SessionUnknown = 35, "session_unknown", "the other side wants a kind of session that is not known here";
    Revoked = 36, "revoked", "the node or its certificate is in the list of the revoked";
    PeerNotAllowed = 37, "peer_not_allowed", "the channel is not for that peer: see peers_allowed";
    SecretRetired = 38, "secret_retired", "the secret that the lane was made with has been taken away, and it could not be made anew";
    // 40..: another connection took the lane's place, or kept it.
    SimultaneousDial = 40, "simultaneous_dial", "both nodes dialled and the other dial is kept";
    AlreadyUp = 41, "already_up", "the lane is already up on another connection";
    Replaced = 42, "replaced", "the peer dialled this lane anew and the new connection is kept";
    StaleIncarnation = 43, "stale_incarnation", "a newer start of that node is already known";
    PeerRestarted = 44, "peer_restarted", "the peer was started again";
    // 50..: the session, and who may be at its other end.
    SessionMismatch = 50, "session_mismatch", "the two nodes protect their connections differently: see security";
    SessionBroken = 51, "session_broken", "bytes of the session were altered, left out, repeated, or cannot be read";
    SecretWrong = 52, "secret_wrong", "the two nodes have no secret in common, or the handshake was altered";
    TlsVersion = 53, "tls_version", "the other side does not speak TLS 1.3";
    CertificateMissing = 54, "certificate_missing", "one side has shown no certificate";
    CertificateExpired = 55, "certificate_expired", "a certificate has expired";
    CertificateNotYetValid = 56, "certificate_not_yet_valid", "a certificate is not valid yet, or a clock is wrong";
    CertificateUntrusted = 57, "certificate_untrusted", "a certificate is signed by no authority that the other side trusts";
    CertificateBad = 58, "certificate_bad", "a certificate cannot be used: it cannot be read, or is for another purpose";
    NameNotProven = 59, "name_not_proven", "the session does not prove the name that the other side says it has";
    // 60..: the peer broke the rules of the wire.
    FrameTooLarge = 60, "frame_too_large", "a frame is over the size limit of the channel";
    FrameMalformed = 61, "frame_malformed", "a frame has a body that its kind cannot have";
    UnknownFrame = 62, "unknown_frame", "a frame is of a mandatory kind that is not known here";
    BadMailbox = 63, "bad_mailbox", "a mailbox was announced or used against the rules";
    BadAck = 64, "bad_ack", "an acknowledgement covers messages that were never sent";
    ControlFlood = 65, "control_flood", "the peer sends control frames faster than allowed";
    AfterBye = 66, "after_bye", "the peer sent a message after its goodbye";
    UnknownExtension = 67, "unknown_extension", "a mandatory entry of a frame's extension is not known here";
    OverBudget = 68, "over_budget", "the peer makes this node hold more than its budget";
    BadResume = 69, "bad_resume", "the peer says that it has processed messages that were never sent";
    BadStream = 70, "bad_stream", "the peer broke the rules of streams: a chunk beyond its window, or a word that cannot be";
    BadCompression = 75, "bad_compression", "a compressed frame stands for too much, or is not what it says";
    // 80..: time and pressure.
    IdleTimeout = 80, "idle_timeout", "nothing was heard from the peer for too long";
    TooSlow = 81, "too_slow", "the peer takes or sends bytes slower than the minimum rate";
    DrainTimeout = 82, "drain_timeout", "the lane did not drain before the deadline";
    // 100..: the network or the kernel.
    ConnectRefused = 100, "connect_refused", "nothing listens at the address";
    ConnectTimeout = 101, "connect_timeout", "the address did not answer in time";
    Unreachable = 102, "unreachable", "there is no network path to the address";
    Reset = 103, "reset", "the connection was reset";
    Io = 104, "io", "the kernel reported another error on the socket";
}

impl CloseReason {
    /// The place of this reason in an array of [`CloseReason::COUNT`] counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether a lane that both ends close for this reason is made again for whatever comes next, so that what is
    /// accepted meanwhile waits for that.
    #[must_use]
    pub const fn is_pause(self) -> bool {
        matches!(self, Self::Idle | Self::Renewed)
    }

    /// What the receiver of this reason calls it: `LocalStop` at the sender of a Bye is
    /// `PeerStopped` at its receiver. Reasons that read the same from both sides stay as they are.
    #[must_use]
    pub const fn seen_by_peer(self) -> Self {
        match self {
            Self::LocalStop => Self::PeerStopped,
            Self::PeerStopped => Self::LocalStop,
            Self::Disconnected => Self::PeerDisconnected,
            Self::PeerDisconnected => Self::Disconnected,
            Self::ChannelRemoved => Self::PeerRemovedChannel,
            Self::PeerRemovedChannel => Self::ChannelRemoved,
            other => other,
        }
    }
}

/// By its name, also as a key.
impl Serialize for CloseReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A name of a later version is [`CloseReason::Unrecognised`].
impl<'de> Deserialize<'de> for CloseReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::from_name(&name).unwrap_or(Self::Unrecognised))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.sentence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_code_name_and_index() {
        let codes: HashSet<_> = CloseReason::ALL
            .iter()
            .map(|reason| reason.code())
            .collect();
        let names: HashSet<_> = CloseReason::ALL
            .iter()
            .map(|reason| reason.name())
            .collect();
        assert_eq!(codes.len(), CloseReason::COUNT);
        assert_eq!(names.len(), CloseReason::COUNT);
        for (index, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(CloseReason::from_code(reason.code()), Some(*reason));
            assert_eq!(CloseReason::from_name(reason.name()), Some(*reason));
            assert_eq!(reason.seen_by_peer().seen_by_peer(), *reason);
        }
    }

    #[test]
    fn zero_and_unused_codes_stand_for_no_reason() {
        assert_eq!(CloseReason::from_code(0), None);
        assert_eq!(CloseReason::from_code(u16::MAX), None);
    }
}
