//! The kinds of broadcast, by name.
//!
//! Chosen by the application for each broadcast, carried in front of its payload (`payload`), counted apart
//! (`counts`). What each promises is the business of the protocols.

use std::fmt;
use std::str::FromStr;

/// How a broadcast is sent, and what it promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BroadcastKind {
    /// To every member, once, repaired where it is lost, in no order: straight in a full mesh, along a tree elsewhere.
    #[default]
    Plain,
    /// As plain, and nowhere before what its sender had sent or delivered of this kind before it.
    Causal,
    /// To all live members as this node sees them now, or to none of them. At most 256 members.
    Atomic,
    /// From each node to a few random neighbors: nothing is kept and nothing repaired. It reaches most.
    Epidemic,
}

impl BroadcastKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Causal, Self::Atomic, Self::Epidemic];

    /// Its name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Causal => "causal",
            Self::Atomic => "atomic",
            Self::Epidemic => "epidemic",
        }
    }
}

impl fmt::Display for BroadcastKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Not the name of a kind of broadcast.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of broadcast; use plain, causal, atomic or epidemic")]
pub struct UnknownKind(String);

impl FromStr for BroadcastKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownKind(name.to_owned()))
    }
}
