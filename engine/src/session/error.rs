//! Why a session failed: the reason that is counted, and a text that says what to do.

use crate::wire::{CloseReason, HandshakeMessage, Refuse};

/// A session that cannot go on. Its connection ends with `reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionError {
    pub(crate) reason: CloseReason,
    pub(crate) text: String,
}

impl SessionError {
    pub(super) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { reason, text }
    }

    /// A stranger says more than a handshake has.
    pub(super) fn too_large(bytes_max: usize) -> Self {
        let text = format!("the handshake of a session has more than {bytes_max} bytes");
        Self::new(CloseReason::HandshakeTooLarge, text)
    }

    /// Bytes of an established session were altered, left out or repeated.
    pub(super) fn broken(text: impl Into<String>) -> Self {
        Self::new(CloseReason::SessionBroken, text)
    }

    /// Said in clear to a dialer with which there is no session. Only the reason goes out: who hears it is not known.
    pub(super) fn refusal(&self) -> Vec<u8> {
        HandshakeMessage::Refuse(Refuse::new(self.reason, self.reason.sentence())).encode()
    }
}

impl std::fmt::Display for SessionError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}
