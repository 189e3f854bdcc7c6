//! The identity of a node among the protocols of the cluster: a number made of its name.
//!
//! Protocols copy and compare identities all the time, and carry lists of them; names are text. So a node
//! is 64 bits there, the same on every node without anybody giving numbers out, and whoever knows the name
//! knows the number. Which name belongs to a number is `book`'s to know.

use overlane_overlays::Peer;
use serde::{Deserialize, Serialize};

use crate::fnv::fnv1a;

/// A node, in messages of overlays and membership.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct NodeId(u64);

impl NodeId {
    /// Of the node with that name. Two names of one cluster that share a number would be taken for one
    /// node: of 10,000 names that is one chance in 370 billion.
    pub(crate) fn of(name: &str) -> Self {
        Self(fnv1a(name.as_bytes()))
    }
}

impl std::fmt::Debug for NodeId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl Peer for NodeId {
    const BYTES_MAX: usize = <u64 as Peer>::BYTES_MAX;
}
