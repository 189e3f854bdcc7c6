//! The sessions of connections: bytes go through them on their way in and out, and none where it is plain.
//!
//! Called by `dial` and `accept` for handshakes, by `receive` and `lane` for batches. What a session is, `session`
//! knows; what becomes of a connection whose session fails, its callers.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use super::Core;
use super::command::Newcomer;
use crate::io::receive_buffers::Filled;
use crate::io::socket;
use crate::session::{Session, SessionError};
use crate::wire::HandshakeMessage;

/// A shard keeps the memory that sessions opened bytes into, if it is no larger: receive buffers hold less by default.
const PLAIN_BYTES_KEPT: usize = 64 << 10;

/// Sends a handshake message through the session, if there is one.
pub(super) fn say(
    socket: &OwnedFd,
    session: &mut Option<Box<Session>>,
    message: &HandshakeMessage,
) -> io::Result<()> {
    let bytes = message.encode();
    let Some(session) = session else {
        return socket::send_now(socket, &bytes);
    };
    let mut sealed = Vec::new();
    session
        .seal(&[IoSlice::new(&bytes)], &mut sealed)
        .map_err(|error| io::Error::other(error.text))?;
    socket::send_now(socket, &sealed)
}

/// Takes what came in a handshake through the session, and sends what that has to say. Returns the plain bytes, none
/// while it has not been established.
///
/// # Errors
/// The connection has to end; the other side has been told why, as far as it can be.
pub(super) fn hear(
    socket: &OwnedFd,
    session: &mut Session,
    bytes: &[u8],
) -> Result<Vec<u8>, SessionError> {
    let (mut plain, mut answer) = (Vec::new(), Vec::new());
    let heard = session.open(bytes, &mut plain, &mut answer);
    if !answer.is_empty() {
        // If it does not go out, the other side sees the connection end.
        drop(socket::send_now(socket, &answer));
    }
    heard.map(|()| plain)
}

/// What came in a handshake, in plain bytes: as it is, or through the session. None while that has not been established.
///
/// # Errors
/// As [`hear`].
pub(super) fn opened<'a>(
    socket: Option<&OwnedFd>,
    session: &mut Option<Box<Session>>,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>, SessionError> {
    match (session, socket) {
        (Some(session), Some(socket)) => hear(socket, session, bytes).map(Cow::Owned),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

impl Newcomer {
    /// Says something to it; if that does not go out, it sees the connection end.
    pub(super) fn tell(&mut self, message: &HandshakeMessage) {
        drop(say(&self.socket, &mut self.session, message));
    }
}

impl Core {
    /// Opens what a connection with a session has received. `None` if it has none: the bytes are plain. An inner
    /// `None`: the session has failed, and the lane has ended.
    #[inline]
    pub(super) fn open_sealed(
        &mut self,
        lane: u32,
        connection: u32,
        filled: &Filled,
    ) -> Option<Option<Vec<u8>>> {
        let carrier = self.connections.get(connection)?;
        let session = carrier.session.as_mut()?;
        let mut plain = std::mem::take(&mut self.intake.plain);
        let bytes = filled.bytes();
        self.lanes[lane as usize].log.tally.bytes_received += bytes.len() as u64;
        // What it has to answer goes ahead of the next batch.
        match session.open(bytes, &mut plain, &mut Vec::new()) {
            Ok(()) => Some(Some(plain)),
            Err(error) => {
                let peer = self.lanes[lane as usize].peer.name();
                tracing::warn!(peer, reason = %error.reason, %error, "a session has failed");
                self.end_lane(lane, error.reason);
                Some(None)
            }
        }
    }

    /// The memory of what was opened serves for what comes next.
    pub(super) fn keep_plain(&mut self, mut plain: Vec<u8>) {
        if plain.capacity() <= PLAIN_BYTES_KEPT {
            plain.clear();
            self.intake.plain = plain;
        }
    }

    /// Whether others are revoked than when lanes were looked at last.
    #[inline]
    pub(super) fn has_new_revocations(&self) -> bool {
        self.fabric.security.revocations() != self.revocations_seen
    }

    /// Ends the lanes of those who have been revoked.
    pub(super) fn follow_revocations(&mut self) {
        if !self.has_new_revocations() {
            return;
        }
        self.revocations_seen = self.fabric.security.revocations();
        for index in self.connections.indexes() {
            let Some(connection) = self.connections.get(index) else {
                continue;
            };
            let session = connection.session.as_ref();
            let identity = session.and_then(|session| session.identity());
            let (Some(lane), Some(identity)) = (connection.lane(), identity) else {
                continue;
            };
            let peer = self.lanes[lane as usize].peer.name();
            let checked = self.fabric.security.check(identity, peer);
            if let Err(error) = checked {
                tracing::warn!(peer, %error, "a lane ends");
                self.end_lane(lane, error.reason);
            }
        }
    }
}
