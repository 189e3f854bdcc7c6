//! Reading what the shards and the kernel count, without waiting for them.
//!
//! Owned by the resident: it asks the shards when a look begins or a summary is to be made, and takes what they have answered when all
//! have.

use std::sync::Arc;

use crossbeam_channel::{Receiver, unbounded};

use super::measuring::Readings;
use crate::fabric::Fabric;
use crate::io::clock;
use crate::metrics::Metrics;
use crate::shard::command::{Command, CommandSender};
use crate::shard::report::ShardReport;

/// See the module's text.
#[derive(Debug)]
pub(in crate::cluster) struct Gathering {
    shards: Arc<[CommandSender]>,
    asked: Option<Receiver<ShardReport>>,
}

impl Gathering {
    pub(in crate::cluster) const fn new(shards: Arc<[CommandSender]>) -> Self {
        Self {
            shards,
            asked: None,
        }
    }

    /// Asks all shards. What they did not answer to before is given up.
    pub(in crate::cluster) fn begin(&mut self) {
        let (to, answers) = unbounded();
        for shard in self.shards.iter() {
            shard.send(Command::Report(to.clone()));
        }
        self.asked = Some(answers);
    }

    /// What they count, once all of them have answered.
    pub(in crate::cluster) fn take(&mut self, fabric: &Fabric) -> Option<Metrics> {
        let answers = self.asked.as_ref()?;
        if answers.len() < self.shards.len() {
            return None;
        }
        let reports: Vec<_> = answers.try_iter().collect();
        self.asked = None;
        Some(Metrics::merge(fabric, &reports))
    }
}

impl Readings {
    /// Of what shards count now.
    pub(in crate::cluster) fn of(metrics: &Metrics) -> Self {
        let counted = [&metrics.lanes, &metrics.departed, &metrics.removed];
        let moved = counted.into_iter().flatten();
        let slowest = metrics.latency_us.values().filter(|all| !all.is_empty());
        Self {
            processor: clock::of_process(),
            bytes: moved
                .map(|lane| lane.bytes_sent + lane.bytes_received)
                .sum(),
            queue_bytes: metrics.lanes.iter().map(|lane| lane.queue_bytes).sum(),
            message_p99_us: slowest.map(|all| all.value_at_quantile(0.99)).max(),
        }
    }
}
