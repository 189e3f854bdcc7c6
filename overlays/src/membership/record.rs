//! What is said about a member: its version, its details, and the claims that travel.
//!
//! Owns the order of precedence between claims; the table and the rules of membership ask it and
//! decide nothing of their own. Every part that a peer can fill has a bound, checked on receipt.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{METADATA_BYTES_MAX, Peer};
use crate::message::{DecodeError, at_most};

/// Most bytes of a member's name.
pub const NAME_BYTES_MAX: usize = 255;
/// Most bytes of the name of a member's zone.
pub const ZONE_BYTES_MAX: usize = 64;
/// Most addresses of a member: a few interfaces, in both address families.
pub const ADDRESSES_MAX: usize = 8;

/// Most bytes of encoded [`Details`]: four lengths and what they count, and what the member is fit for.
pub(super) const DETAILS_BYTES_MAX: usize = 2
    + NAME_BYTES_MAX
    + 1
    + ADDRESSES_MAX * 20
    + 2
    + METADATA_BYTES_MAX
    + 1
    + 3
    + 1
    + ZONE_BYTES_MAX;
/// Most bytes of an encoded [`Version`].
pub(super) const VERSION_BYTES_MAX: usize = 10 + 5;

/// Orders what is said about a member: the later life wins, then the later statement of that life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// Grows each time a node with this name starts.
    pub incarnation: u64,
    /// Grows each time the node refutes a suspicion or changes its details.
    pub revision: u32,
}

impl Version {
    /// The first version of an incarnation.
    #[must_use]
    pub const fn first(incarnation: u64) -> Self {
        Self {
            incarnation,
            revision: 0,
        }
    }

    /// The least version above this one. None above the last, which no honest node reaches.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if let Some(revision) = self.revision.checked_add(1) {
            Some(Self {
                incarnation: self.incarnation,
                revision,
            })
        } else if let Some(incarnation) = self.incarnation.checked_add(1) {
            Some(Self::first(incarnation))
        } else {
            None
        }
    }
}

/// What is believed of a member. Of two claims about one version, the later in this order wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Answers, or nobody says otherwise.
    Alive,
    /// Does not answer somebody; down unless it refutes in time.
    Suspect,
    /// Did not refute in time.
    Down,
    /// Said goodbye.
    Left,
}

impl Status {
    /// True for alive and suspect: part of the cluster.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// Whether a member is to be a server where an overlay has some.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum RoleWish {
    /// Where servers are chosen it may be one.
    #[default]
    Auto,
    /// It is one.
    Server,
    /// It is none.
    Client,
}

/// What a member says it is fit for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fitness {
    /// Whether it is to be a server.
    pub role: RoleWish,
    /// How much it can carry, compared with others; cores, unless its operator says otherwise.
    pub capacity: u16,
}

/// What a member says of itself. Shared between the tables that hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The node's name, for people. At most [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Where the node listens. At most [`ADDRESSES_MAX`].
    pub addresses: Vec<SocketAddr>,
    /// The application's own. At most [`METADATA_BYTES_MAX`] bytes.
    pub metadata: Vec<u8>,
    /// What it is fit for.
    pub fitness: Fitness,
    /// In which zone it runs: a data center, a rack; empty if nobody said. At most [`ZONE_BYTES_MAX`] of the characters that
    /// [`is_zone`] admits.
    pub zone: String,
}

/// Whether a text can be the name of a zone: letters, digits, `_`, `.`, `-`; or none, which is no zone.
///
/// It is compared on every node and printed on terminals, whoever said it.
#[must_use]
pub fn is_zone(text: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= ZONE_BYTES_MAX && text.bytes().all(may_be)
}

impl Details {
    /// Checks every bound.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] names the field.
    pub fn validate(&self) -> Result<(), DecodeError> {
        at_most(self.name.as_bytes(), NAME_BYTES_MAX, "name")?;
        at_most(&self.addresses, ADDRESSES_MAX, "addresses")?;
        at_most(&self.metadata, METADATA_BYTES_MAX, "metadata")?;
        if is_zone(&self.zone) {
            Ok(())
        } else {
            Err(DecodeError::Invalid { field: "zone" })
        }
    }
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim<P> {
    /// It is alive, and these are its details. Only the member itself makes a new one.
    Alive(#[serde(with = "shared")] Arc<Details>),
    /// It did not answer `by`.
    Suspect {
        /// The accuser.
        by: P,
    },
    /// It did not refute the suspicion in time.
    Down,
    /// It said goodbye. Only the member itself makes a new one.
    Left,
}

/// One claim about one version of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement<P> {
    /// The member.
    pub about: P,
    /// The version that the claim is about.
    pub version: Version,
    /// The claim.
    pub claim: Claim<P>,
}

impl<P: Peer> Statement<P> {
    /// Most bytes of an encoded statement.
    pub(super) const BYTES_MAX: usize = P::BYTES_MAX
        + VERSION_BYTES_MAX
        + 1
        + if DETAILS_BYTES_MAX > P::BYTES_MAX {
            DETAILS_BYTES_MAX
        } else {
            P::BYTES_MAX
        };

    /// The status that the claim gives its member.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.claim {
            Claim::Alive(_) => Status::Alive,
            Claim::Suspect { .. } => Status::Suspect,
            Claim::Down => Status::Down,
            Claim::Left => Status::Left,
        }
    }

    /// Checks the bounds of what it carries.
    pub(super) fn validate(&self) -> Result<(), DecodeError> {
        match &self.claim {
            Claim::Alive(details) => details.validate(),
            _ => Ok(()),
        }
    }
}

/// Encodes what is shared as if it were not.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Details;

    pub(super) fn serialize<S: Serializer>(
        details: &Arc<Details>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Details::serialize(details, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Details>, D::Error> {
        Details::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_life_beats_any_statement_of_an_earlier_one() {
        let early = Version {
            incarnation: 3,
            revision: u32::MAX,
        };
        assert!(Version::first(4) > early);
        assert_eq!(early.next(), Some(Version::first(4)));
    }

    #[test]
    fn the_last_version_has_no_next() {
        let last = Version {
            incarnation: u64::MAX,
            revision: u32::MAX,
        };
        assert_eq!(last.next(), None);
    }

    #[test]
    fn the_longest_statement_fits_its_bound() {
        let details = Details {
            name: "n".repeat(NAME_BYTES_MAX),
            addresses: vec!["[ffff::ffff]:65535".parse().expect("address"); ADDRESSES_MAX],
            metadata: vec![255; METADATA_BYTES_MAX],
            fitness: Fitness {
                role: RoleWish::Client,
                capacity: u16::MAX,
            },
            zone: "z".repeat(ZONE_BYTES_MAX),
        };
        assert_eq!(details.validate(), Ok(()));
        let statement = Statement {
            about: u64::MAX,
            version: Version {
                incarnation: u64::MAX,
                revision: u32::MAX,
            },
            claim: Claim::Alive(Arc::new(details)),
        };
        let bytes = postcard::to_stdvec(&statement).expect("encodes");
        assert!(bytes.len() <= Statement::<u64>::BYTES_MAX);
        let back: Statement<u64> = postcard::from_bytes(&bytes).expect("decodes");
        assert_eq!(back, statement);
    }

    #[test]
    fn details_beyond_a_bound_are_refused_by_name() {
        let details = Details {
            metadata: vec![0; METADATA_BYTES_MAX + 1],
            ..Details::default()
        };
        assert_eq!(
            details.validate(),
            Err(DecodeError::Invalid { field: "metadata" })
        );
    }

    #[test]
    fn a_zone_that_is_too_long_or_could_write_on_a_terminal_is_refused() {
        let of = |zone: &str| Details {
            zone: zone.to_owned(),
            ..Details::default()
        };
        for right in ["", "eu-west-1b", "rack_7.dc"] {
            assert_eq!(of(right).validate(), Ok(()), "{right}");
        }
        let long = "z".repeat(ZONE_BYTES_MAX + 1);
        for wrong in [&*long, "a b", "\u{1b}[2J", "zürich", "a\nb"] {
            let refused = Err(DecodeError::Invalid { field: "zone" });
            assert_eq!(of(wrong).validate(), refused, "{wrong:?}");
        }
    }
}
