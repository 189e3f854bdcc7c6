//! Decisions as an application sees them: it takes some, and hears of those of others.

use bytes::Bytes;

use super::decisions::{DECISION_BYTES_MAX, Decision, MergeCallback};
use super::error::ClusterError;
use super::handle::Cluster;
use super::orders::Order;

impl Cluster {
    /// Lets every other node know what this one has decided: those that it reaches at once, those on the other side of a
    /// partition when it has healed. Each hears of it once, in [`on_merge`](Self::on_merge), in the order in which this
    /// node has decided.
    ///
    /// Each node keeps the last 32 decisions of each other, 16 KiB of them at most, until that is no member any more: whoever
    /// has missed more is told how many. They are in memory alone. Who decides is the application's matter: the
    /// [coordinator](Self::coordinator) of each side can.
    ///
    /// # Errors
    /// [`ClusterError::DecisionTooLarge`] above 4 KiB, [`ClusterError::Busy`], [`ClusterError::Closed`].
    pub fn decide(&self, payload: impl Into<Bytes>) -> Result<(), ClusterError> {
        let payload = payload.into();
        if payload.len() > DECISION_BYTES_MAX {
            let bytes = payload.len();
            return Err(ClusterError::DecisionTooLarge { bytes });
        }
        self.order(Order::Decide(payload))
    }

    /// Has `merge` called with what other nodes have [decided](Self::decide), first with what is kept of it now. It is
    /// called on the control shard, which waits for it: hand over what takes long. There is one; another takes its
    /// place. A panic in it is logged, and ends nothing.
    ///
    /// # Errors
    /// [`ClusterError::Busy`], [`ClusterError::Closed`].
    pub fn on_merge(
        &self,
        merge: impl FnMut(Vec<Decision>) + Send + 'static,
    ) -> Result<(), ClusterError> {
        self.order(Order::OnMerge(MergeCallback(Box::new(merge))))
    }
}
