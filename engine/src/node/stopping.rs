//! Stopping: what was accepted is sent and acknowledged by the deadline, or reported; then the threads
//! end, in the order in which nobody waits for one that is gone.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::unbounded;

use super::Node;
use crate::deadline::deadline_in;
use crate::metrics::Metrics;
use crate::shard::command::Command;
use crate::wire::CloseReason;

/// How a node stopped.
#[derive(Clone, Debug)]
pub struct StopReport {
    /// Whether everything accepted was settled before the deadline.
    pub drained: bool,
    /// The final counters.
    pub metrics: Metrics,
}

impl Node {
    /// Stops: accepts no more messages, sends and gets acknowledged what was accepted, parts from
    /// every peer, ends the threads. What is not settled by the deadline is reported.
    #[must_use]
    pub fn stop(mut self, deadline: Duration) -> StopReport {
        self.shut_down(deadline)
    }

    fn shut_down(&mut self, deadline: Duration) -> StopReport {
        let fabric = Arc::clone(&self.fabric);
        fabric.close();
        let (reports, gathered) = unbounded();
        let deadline = deadline_in(deadline);
        for shard in &self.commands {
            shard.send(Command::Stop {
                deadline,
                reports: reports.clone(),
            });
        }
        drop(reports);
        for thread in self.threads.drain(..) {
            // A shard that failed has said so in the log; its counters are missing below.
            drop(thread.join());
        }
        fabric.end();
        self.control_link.end();
        if let Some(control) = self.control.take() {
            drop(control.join());
        }
        let metrics = Metrics::merge(&fabric, &gathered.try_iter().collect::<Vec<_>>());
        let unsettled = metrics
            .lanes
            .iter()
            .any(|lane| lane.closes.contains_key(&CloseReason::DrainTimeout));
        StopReport {
            drained: !unsettled && metrics.is_drained(),
            metrics,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not whether the node has ended: it has when one shard failed, and then the others run on.
        if !self.threads.is_empty() || self.control.is_some() {
            drop(self.shut_down(Duration::ZERO));
        }
    }
}
