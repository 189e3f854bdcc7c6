//! What membership sends: probes, the steps of an anti-entropy exchange, and news by broadcast.
//!
//! Owns the bound of every list. Nothing here decides anything.

use serde::{Deserialize, Serialize};

use super::record::{Statement, Status, VERSION_BYTES_MAX, Version};
use super::table::{BUCKET_MEMBERS_MAX, BUCKETS};
use crate::event::Peer;
use crate::failure_detector as detector;
use crate::message::{self, DecodeError, at_most};

/// Members that an exchange lists in one message, unless one bucket alone has more.
pub(super) const LISTED_GOAL: usize = 128;
/// Most members that one message lists.
pub(super) const LISTED_MAX: usize = LISTED_GOAL + BUCKET_MEMBERS_MAX;
/// Most statements in one message. 64 statements with full metadata are less than 50 KiB.
pub(super) const STATEMENTS_MAX: usize = 64;
/// Most members whose statements one answer asks for: as many as the next message can carry.
pub(super) const WANTED_MAX: usize = STATEMENTS_MAX;

/// One member as an exchange lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<P> {
    /// Who.
    pub peer: P,
    /// The version that the sender knows.
    pub version: Version,
    /// What the sender believes of it.
    pub status: Status,
}

/// Messages of membership.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Of the failure detector.
    Probe(detector::Message<P>),
    /// You are suspect, or down, in my table at this version: refute it if you live.
    Accused(Version),
    /// Anti-entropy 1: the sum and number of my live members. Not answered if the sums are equal.
    Summary {
        /// Of [`super::Table::sum`].
        sum: u64,
        /// Live members.
        members: u32,
    },
    /// Anti-entropy 2, if they differ: the sum of each bucket.
    Buckets {
        /// Exactly one sum for each bucket.
        sums: Vec<u32>,
        /// Live members.
        members: u32,
    },
    /// Anti-entropy 3: my members in some of the buckets that differ.
    Listing {
        /// The buckets listed, in full.
        buckets: Vec<u8>,
        /// Everything the sender knows in them, the dead included.
        members: Vec<Listed<P>>,
    },
    /// Anti-entropy 4: what I know better than your listing, and what I want from it.
    Answer {
        /// What the listing lacked.
        statements: Vec<Statement<P>>,
        /// Members that the listing knows better.
        wanted: Vec<P>,
        /// There was more than one message holds: list these buckets again.
        more: bool,
    },
    /// Anti-entropy 5: what was wanted.
    Supply(Vec<Statement<P>>),
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = {
        let listing = 3 + 2 + BUCKETS + LISTED_MAX * (P::BYTES_MAX + VERSION_BYTES_MAX + 1);
        let answer =
            3 + 3 + STATEMENTS_MAX * Statement::<P>::BYTES_MAX + 3 + WANTED_MAX * P::BYTES_MAX;
        if listing > answer { listing } else { answer }
    };

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Probe(_) | Self::Accused(_) | Self::Summary { .. } => Ok(()),
            Self::Buckets { sums, .. } if sums.len() == BUCKETS => Ok(()),
            Self::Buckets { .. } => Err(DecodeError::Invalid { field: "sums" }),
            Self::Listing { buckets, members } => {
                at_most(buckets, BUCKETS, "buckets")?;
                at_most(members, LISTED_MAX, "members")
            }
            Self::Answer {
                statements, wanted, ..
            } => {
                at_most(wanted, WANTED_MAX, "wanted")?;
                validate_statements(statements)
            }
            Self::Supply(statements) => validate_statements(statements),
        }
    }
}

/// What membership broadcasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News<P>(pub Vec<Statement<P>>);

impl<P: Peer> message::Message for News<P> {
    const BYTES_MAX: usize = 2 + STATEMENTS_MAX * Statement::<P>::BYTES_MAX;

    fn validate(&self) -> Result<(), DecodeError> {
        validate_statements(&self.0)
    }
}

fn validate_statements<P: Peer>(statements: &[Statement<P>]) -> Result<(), DecodeError> {
    at_most(statements, STATEMENTS_MAX, "statements")?;
    statements.iter().try_for_each(Statement::validate)
}
