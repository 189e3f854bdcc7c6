//! What became of an order to switch the overlay.

use overlane_overlays::Refusal;
use overlane_overlays::epoch::{OverlayKind, WhyBack};

use super::error::SwitchError;

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
