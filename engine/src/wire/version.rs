//! The versions of the wire, and which of them two nodes speak.
//!
//! Used by the handshake alone: once it is over, a lane carries what its version allows (see
//! [`super::Agreed`]). A node speaks its own version and the one before, so that a cluster can be
//! upgraded one node at a time.
use std::fmt;

/// The newest version that this node speaks.
pub const VERSION: u16 = 2;

/// The oldest version that this node speaks.
pub const VERSION_MIN: u16 = 1;

/// The first version whose Hello states a range of versions, terms as a map, and counts; the first
/// whose frames can carry an extension and whose mailbox ids can be used again.
pub const VERSION_EXTENSIBLE: u16 = 2;

/// Versions that a node speaks, both bounds included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl VersionRange {
    /// What this node speaks.
    pub const OURS: Self = Self {
        min: VERSION_MIN,
        max: VERSION,
    };

    /// One version alone: what a dialer offers to a peer that has refused its newest.
    #[must_use]
    pub const fn only(version: u16) -> Self {
        Self {
            min: version,
            max: version,
        }
    }

    /// Whether `version` is one of them.
    #[must_use]
    pub const fn contains(self, version: u16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The highest version that is in both ranges.
    #[must_use]
    pub fn highest_common(self, other: Self) -> Option<u16> {
        let highest = self.max.min(other.max);
        (self.contains(highest) && other.contains(highest)).then_some(highest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(formatter, "{}", self.min)
        } else {
            write!(formatter, "{} to {}", self.min, self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_that_both_know_is_spoken() {
        let range = |min, max| VersionRange { min, max };
        for (ours, theirs, expected) in [
            (range(1, 2), range(1, 2), Some(2)),
            (range(1, 2), range(1, 1), Some(1)),
            (range(1, 2), range(2, 7), Some(2)),
            (range(1, 2), range(3, 7), None),
            (range(3, 4), range(1, 2), None),
            (range(1, 5), range(2, 4), Some(4)),
        ] {
            assert_eq!(ours.highest_common(theirs), expected, "{ours} and {theirs}");
            assert_eq!(theirs.highest_common(ours), expected, "{theirs} and {ours}");
        }
    }
}
