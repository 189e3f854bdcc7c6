//! Whose messages a lane of a causal channel brings, and the order that they have. Part of the lane's receiving half.

use std::sync::Arc;

use overlane_overlays::Life;

use crate::causal::CausalOrder;
use crate::wire::causes::node_number;

/// The order that a lane's messages have, and whose they are.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub(super) order: Arc<CausalOrder>,
    pub(super) life: Life<u64>,
}

impl Ordered {
    pub(super) fn new(order: Arc<CausalOrder>, peer: &str, incarnation: u64) -> Self {
        let peer = node_number(peer);
        let life = Life { peer, incarnation };
        Self { order, life }
    }
}
