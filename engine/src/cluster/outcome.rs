//! What became of an order that takes time: to switch the overlay, to broadcast to all or to none.

use std::sync::Arc;

use overlane_overlays::epoch::{OverlayKind, WhyBack};
use overlane_overlays::{AtomicOutcome, Refusal};

use super::error::{AtomicError, SwitchError};

/// What became of an order to switch the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SwitchOutcome {
    Refused(Refusal),
    Committed,
    RolledBack(WhyBack),
}

impl SwitchOutcome {
    /// The error for whoever ordered a switch to `kind`; not for one that was committed.
    pub(super) const fn error(self, kind: OverlayKind) -> SwitchError {
        match self {
            Self::Refused(Refusal::AlreadyCurrent) | Self::Committed => {
                SwitchError::AlreadyCurrent(kind)
            }
            Self::Refused(why) => SwitchError::Refused(why),
            Self::RolledBack(WhyBack::Overtaken) => SwitchError::Overtaken,
            Self::RolledBack(why) => SwitchError::RolledBack(why),
        }
    }
}

/// How an atomic broadcast ended, with the names of members; or why it was not begun.
pub(super) type AtomicEnd = Result<AtomicOutcome<Arc<str>>, Refusal>;

/// The same for whoever ordered it.
pub(super) fn atomic_result(end: AtomicEnd) -> Result<(), AtomicError> {
    match end {
        Ok(AtomicOutcome::Committed) => Ok(()),
        Ok(AtomicOutcome::Aborted { missing }) => Err(AtomicError::Aborted {
            missing: missing.iter().map(ToString::to_string).collect(),
        }),
        Ok(AtomicOutcome::Unknown) => Err(AtomicError::Unknown),
        Err(why) => Err(AtomicError::Refused(why)),
    }
}
