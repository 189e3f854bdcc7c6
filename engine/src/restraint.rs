//! What a partition of the cluster takes from a channel: nothing, sending, or sending and receiving.
//!
//! Set by the control shard (`control::channels`) from the channel's policy and the side that this node is on;
//! looked at by whoever accepts a message (`admission`), and by shards before they deliver one. It knows no member
//! and decides no partition: that is the cluster's.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::config::OnPartition;

/// On which side of a partition a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// With more than half of the members that were agreed on before.
    Quorum,
    /// Without.
    NoQuorum,
}

/// What a channel of this node does not do at the moment, because the cluster is parted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restraint {
    /// It does everything.
    #[default]
    None,
    /// It accepts no message to another node.
    Sending,
    /// Nor does it deliver one from another node: what comes waits, and so does its sender.
    Everything,
}

impl Restraint {
    /// What is left of a channel of that policy; `side` is none while the cluster is whole.
    pub(crate) const fn of(policy: OnPartition, side: Option<Side>) -> Self {
        match (policy, side) {
            (OnPartition::Degraded, _) | (_, None) | (OnPartition::Halt, Some(Side::Quorum)) => {
                Self::None
            }
            (OnPartition::ReadOnly, Some(_)) => Self::Sending,
            (OnPartition::Halt, Some(Side::NoQuorum)) => Self::Everything,
        }
    }

    /// The word for it in listings and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sending => "sending",
            Self::Everything => "everything",
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Sending,
            _ => Self::Everything,
        }
    }
}

/// The restraint of one channel as threads share it, and what it has refused.
#[derive(Debug, Default)]
pub(crate) struct Restrained {
    now: AtomicU8,
    refused: AtomicU64,
}

impl Restrained {
    /// What it is now.
    #[inline]
    pub(crate) fn get(&self) -> Restraint {
        Restraint::from_number(self.now.load(Ordering::Relaxed))
    }

    /// The control shard's. What it was.
    pub(crate) fn set(&self, restraint: Restraint) -> Restraint {
        Restraint::from_number(self.now.swap(restraint as u8, Ordering::Release))
    }

    /// Whether messages to other nodes are accepted.
    #[inline]
    pub(crate) fn allows_sending(&self) -> bool {
        self.get() == Restraint::None
    }

    /// Whether messages from other nodes are delivered.
    #[inline]
    pub(crate) fn allows_delivery(&self) -> bool {
        self.get() != Restraint::Everything
    }

    /// A message was refused for it.
    #[cold]
    pub(crate) fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that were refused for it.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_side_may_do_follows_from_policy_and_quorum() {
        use OnPartition::{Degraded, Halt, ReadOnly};
        use Side::{NoQuorum, Quorum};
        for policy in [Degraded, ReadOnly, Halt] {
            assert_eq!(Restraint::of(policy, None), Restraint::None, "{policy:?}");
        }
        for (policy, with, without) in [
            (Degraded, Restraint::None, Restraint::None),
            (ReadOnly, Restraint::Sending, Restraint::Sending),
            (Halt, Restraint::None, Restraint::Everything),
        ] {
            assert_eq!(Restraint::of(policy, Some(Quorum)), with, "{policy:?}");
            assert_eq!(Restraint::of(policy, Some(NoQuorum)), without, "{policy:?}");
        }
    }

    #[test]
    fn it_is_read_as_it_was_set() {
        let cell = Restrained::default();
        assert!(cell.allows_sending() && cell.allows_delivery());
        assert_eq!(cell.set(Restraint::Sending), Restraint::None);
        assert!(!cell.allows_sending() && cell.allows_delivery());
        assert_eq!(cell.set(Restraint::Everything), Restraint::Sending);
        assert!(!cell.allows_sending() && !cell.allows_delivery());
    }
}
