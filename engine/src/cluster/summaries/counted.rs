//! What a node counts, of which it makes a summary, and how much of any count is believed.

use crate::metrics::{Metrics, ShardMetrics};

/// The most that is believed of any count: bytes of three years at 100 Gbit/s. Sums of it saturate.
pub(super) const COUNT_MAX: u64 = 1 << 60;

/// What a node counts, of which a summary is made.
pub(crate) struct Counted {
    pub(crate) metrics: Metrics,
    /// Processor time of the process.
    pub(crate) processor_s: u64,
    /// Since the node started.
    pub(crate) uptime_s: u64,
}

impl Counted {
    pub(super) fn of_shards(&self, figure: impl Fn(&ShardMetrics) -> u64) -> u64 {
        self.metrics.shards.iter().map(figure).sum()
    }
}
