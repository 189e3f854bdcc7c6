//! The first bytes of a connection: whether the other side protects it as this one does.
//!
//! Shared by all kinds of session. It keeps at most one refusal of the other side, and judges nothing else.

use std::borrow::Cow;

use super::error::SessionError;
use crate::config::SecurityMode;
use crate::wire::layout::MAGIC;
use crate::wire::{CloseReason, PSK_MAGIC, RefusalReader, is_tls_record};

/// Looks at the first bytes of the other side.
#[derive(Debug)]
pub(super) struct Opening {
    /// What this side speaks.
    ours: SecurityMode,
    /// Whether this side has dialled: then the other may refuse, in clear.
    dials: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is not clear what the other side speaks.
    Unclear(Vec<u8>),
    /// An acceptor that speaks something else says so.
    Refusal(RefusalReader),
    /// It speaks the same.
    Over,
}

/// Reasons that an acceptor has for refusing before there is a session. Others would be said within one, so whoever
/// says them in clear is not believed.
const IN_CLEAR: [CloseReason; 7] = [
    CloseReason::SessionMismatch,
    CloseReason::SecretWrong,
    CloseReason::SessionBroken,
    CloseReason::WrongCluster,
    CloseReason::SelfDial,
    CloseReason::WrongMagic,
    CloseReason::HandshakeTooLarge,
];

impl Opening {
    pub(super) fn new(ours: SecurityMode, dials: bool) -> Self {
        Self {
            ours,
            dials,
            state: State::Unclear(Vec::new()),
        }
    }

    /// What the session is to have of the bytes that came, and of those held back before. `None` while it is not
    /// clear what the other side speaks.
    ///
    /// # Errors
    /// It speaks something else, or has refused.
    pub(super) fn pass<'b>(
        &mut self,
        bytes: &'b [u8],
    ) -> Result<Option<Cow<'b, [u8]>>, SessionError> {
        let first = match &mut self.state {
            State::Over => return Ok(Some(Cow::Borrowed(bytes))),
            State::Refusal(reader) => return hear(reader, bytes, self.ours),
            State::Unclear(first) => first,
        };
        first.extend_from_slice(bytes);
        let Some(theirs) = kind_of(first)? else {
            return Ok(None);
        };
        let first = std::mem::take(first);
        if theirs == self.ours {
            self.state = State::Over;
            return Ok(Some(Cow::Owned(first)));
        }
        if theirs == SecurityMode::Plain && self.dials {
            let mut reader = RefusalReader::default();
            let heard = hear(&mut reader, &first, self.ours);
            self.state = State::Refusal(reader);
            return heard;
        }
        Err(mismatch(theirs, self.ours))
    }
}

/// What the other side speaks, by its first bytes; `None` while that is not clear.
fn kind_of(first: &[u8]) -> Result<Option<SecurityMode>, SessionError> {
    let Some(&byte) = first.first() else {
        return Ok(None);
    };
    if is_tls_record(byte) {
        return Ok(Some(SecurityMode::Tls));
    }
    for (magic, kind) in [(MAGIC, SecurityMode::Plain), (PSK_MAGIC, SecurityMode::Psk)] {
        if first.starts_with(&magic) {
            return Ok(Some(kind));
        }
        if magic.starts_with(first) {
            return Ok(None);
        }
    }
    let shown = first[..first.len().min(4)].escape_ascii();
    let text = format!(
        "the connection began with {shown}: something else than Overlane is at the other end"
    );
    Err(SessionError::new(CloseReason::WrongMagic, text))
}

/// More of what an acceptor says in clear. It is not known who says it, so it has no effect but that the dial fails.
fn hear<'b>(
    reader: &mut RefusalReader,
    bytes: &[u8],
    ours: SecurityMode,
) -> Result<Option<Cow<'b, [u8]>>, SessionError> {
    match reader.receive(bytes) {
        Ok(None) => Ok(None),
        Ok(Some(refuse)) if IN_CLEAR.contains(&refuse.reason()) => {
            let reason = refuse.reason();
            let text = format!("the other side refuses, in clear: {reason}");
            Err(SessionError::new(reason, text))
        }
        Ok(Some(_)) | Err(_) => Err(mismatch(SecurityMode::Plain, ours)),
    }
}

fn mismatch(theirs: SecurityMode, ours: SecurityMode) -> SessionError {
    let (theirs, ours) = (theirs.word(), ours.word());
    SessionError::new(
        CloseReason::SessionMismatch,
        format!(
            "the other side speaks {theirs}, this node {ours}: set `security` to the same on both"
        ),
    )
}
