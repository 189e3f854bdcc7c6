//! What can be seen of the cluster from this node at one moment.
//!
//! Made by the driver after each step that changed anything, read by application threads without waiting for
//! anybody. The member list is shared with the protocols, bucket by bucket, so a view costs little.

use std::collections::BTreeMap;
use std::sync::Arc;

use overlane_overlays::epoch::Proposal;
use overlane_overlays::membership::Table;

use super::identity::NodeId;

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) me: NodeId,
    pub(crate) members: Table<NodeId>,
    pub(crate) overlay: Proposal<NodeId>,
    pub(crate) next_overlay: Option<Proposal<NodeId>>,
    /// To whom the overlays connect this node, and their names.
    pub(crate) neighbors: BTreeMap<NodeId, Arc<str>>,
    pub(crate) coordinator: Option<NodeId>,
    /// The sides of the partition that lasts.
    pub(crate) parted: Option<PartedView>,
    /// How many orders to join were followed.
    pub(crate) joins: u64,
    /// There is company, or nobody to wait for.
    pub(crate) is_joined: bool,
    /// The node has said goodbye to everybody.
    pub(crate) has_left: bool,
    /// Places where members were looked for, and who is there as far as that is known.
    pub(crate) seeds: Vec<(String, Option<NodeId>)>,
    /// Seeds that were not found when they were tried last, and why.
    pub(crate) seed_failures: Vec<(String, String)>,
}

/// A partition as this node sees it.
#[derive(Clone, Debug)]
pub(crate) struct PartedView {
    pub(crate) here: Arc<[Arc<str>]>,
    pub(crate) there: Arc<[Arc<str>]>,
    pub(crate) has_quorum: bool,
}

impl View {
    /// Whether this node is in its cluster, with so many orders to join followed: until it has heard of its seeds, it
    /// waits for nobody and is not in it all the same.
    pub(crate) fn has_joined(&self, joins: u64) -> bool {
        self.is_joined && self.joins >= joins
    }

    /// The name of a member; its identity in digits if it is not known.
    pub(crate) fn name(&self, id: NodeId) -> Arc<str> {
        match self.members.get(&id) {
            Some(entry) => entry.details.name.as_str().into(),
            None => format!("{id:?}").into(),
        }
    }
}
