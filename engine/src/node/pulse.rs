//! Whether the shards of a node go on.
//!
//! Asked by probes over HTTP and by watchdogs. A shard answers between two turns, so one that does not is kept by a handler or
//! a task.

use std::time::Duration;

use super::Node;
use crate::deadline::deadline_in;
use crate::error::NoPulse;

impl Node {
    /// Asks every shard for a sign that it goes on, and waits for that, blocking the thread.
    ///
    /// # Errors
    /// [`NoPulse`] names the shards that gave none within `patience`: all of them if the node has stopped, or if it is asked on a
    /// thread of the engine, which cannot wait for shards.
    pub fn pulse(&self, patience: Duration) -> Result<(), NoPulse> {
        let mut silent: Vec<_> = (0..self.shards()).collect();
        if crate::threads::is_own() {
            return Err(NoPulse { shards: silent });
        }
        let deadline = deadline_in(patience);
        let (beat, beats) = crossbeam_channel::unbounded();
        for shard in 0..self.shards() {
            let beat = beat.clone();
            // One that has ended takes no task, and stays silent.
            let _ = self.spawn_on_shard(shard, move |_| {
                // Nobody listens any more where it took too long.
                let _ = beat.send(shard);
                async {}
            });
        }
        drop(beat);
        while !silent.is_empty() {
            match beats.recv_deadline(deadline) {
                Ok(shard) => silent.retain(|other| *other != shard),
                Err(_) => return Err(NoPulse { shards: silent }),
            }
        }
        Ok(())
    }
}
