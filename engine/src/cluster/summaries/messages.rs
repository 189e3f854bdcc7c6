//! What control shards say of summaries: which are known, which are wanted, and the summaries.
//!
//! Plain values with their bounds; `words` writes and reads them.

use bytes::Bytes;
use overlane_overlays::message::at_most;
use overlane_overlays::{DecodeError, Peer};
use serde::{Deserialize, Serialize};

use super::summary::SUMMARY_BYTES_MAX;
use crate::cluster::identity::NodeId;

/// The most members that are named in one message.
pub(in crate::cluster) const IDS_MAX: usize = 128;

/// The most bytes of summaries in one message; one always fits.
pub(super) const PARTS_BYTES_MAX: usize = 32 << 10;

/// The most that is believed of the number of a summary: one each millisecond for 285,000 years.
pub(super) const NUMBER_MAX: u64 = 1 << 53;

/// The longest that a summary can be old: what is older says nothing.
pub(super) const AGE_MS_MAX: u64 = 1 << 40;

/// Which summary of a member it is: of two, the one with the greater life, then number, is the newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::cluster) struct Version {
    /// The incarnation of the member.
    pub(in crate::cluster) life: u64,
    /// Counts its summaries in that life.
    pub(in crate::cluster) number: u64,
}

/// The newest summary of a member that is known somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Head {
    pub(in crate::cluster) member: NodeId,
    pub(in crate::cluster) version: Version,
}

/// Some of them: those that are new to whoever they are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Heads {
    /// They answer others, and are not answered.
    pub(in crate::cluster) is_answer: bool,
    pub(in crate::cluster) heads: Vec<Head>,
}

/// A summary on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Part {
    pub(in crate::cluster) head: Head,
    /// How long ago it was made, as far as those know that had it.
    pub(in crate::cluster) age_ms: u64,
    /// What the member says of itself.
    pub(in crate::cluster) summary: Bytes,
}

/// Bytes of an encoded [`Head`]: three numbers.
const HEAD_BYTES_MAX: usize = NodeId::BYTES_MAX + 20;

impl Heads {
    pub(in crate::cluster) const BYTES_MAX: usize = 1 + 2 + IDS_MAX * HEAD_BYTES_MAX;

    pub(in crate::cluster) fn check(&self) -> Result<(), DecodeError> {
        at_most(&self.heads, IDS_MAX, "heads")?;
        self.heads.iter().try_for_each(Head::check)
    }
}

impl Head {
    const fn check(&self) -> Result<(), DecodeError> {
        if self.version.number > NUMBER_MAX {
            return Err(DecodeError::Invalid { field: "number" });
        }
        Ok(())
    }
}

impl Part {
    /// Of as many as one message has.
    pub(in crate::cluster) const ALL_BYTES_MAX: usize = 2 + PARTS_BYTES_MAX + Self::BYTES_MAX;
    const BYTES_MAX: usize = HEAD_BYTES_MAX + 10 + 3 + SUMMARY_BYTES_MAX;

    /// Its own bytes, as it is written.
    pub(super) fn bytes(&self) -> usize {
        Self::BYTES_MAX - SUMMARY_BYTES_MAX + self.summary.len()
    }

    pub(in crate::cluster) fn check_all(parts: &[Self]) -> Result<(), DecodeError> {
        at_most(parts, IDS_MAX, "summaries")?;
        parts.iter().try_for_each(Self::check)
    }

    fn check(&self) -> Result<(), DecodeError> {
        if self.summary.len() > SUMMARY_BYTES_MAX {
            return Err(DecodeError::TooLong {
                bytes: self.summary.len(),
                bytes_max: SUMMARY_BYTES_MAX,
            });
        }
        if self.age_ms > AGE_MS_MAX {
            return Err(DecodeError::Invalid { field: "age" });
        }
        self.head.check()
    }
}
