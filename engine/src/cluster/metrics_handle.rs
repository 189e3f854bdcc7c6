//! What an application can ask of the counts of its whole cluster.

use std::time::Duration;

use super::error::ClusterMetricsError;
use super::handle::{Cluster, Unanswered, from_unanswered};
use super::orders::Order;
use super::summaries::ClusterMetrics;

/// How long a question to the control shard may take. 10 s: it answers between two steps of its work.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cluster {
    /// What all live members count, added up: of each what it said last, so it is some periods of
    /// [`summaries_period_ms`](crate::config::SummariesConfig::period_ms) old, and says how old. Adds up on the calling
    /// thread.
    ///
    /// # Errors
    /// [`ClusterMetricsError`] if the control shard does not answer.
    pub fn metrics(&self) -> Result<ClusterMetrics, ClusterMetricsError> {
        let held = self.ask(Order::Summaries, PATIENCE)?;
        Ok(ClusterMetrics::of(held))
    }
}

from_unanswered!(ClusterMetricsError);
