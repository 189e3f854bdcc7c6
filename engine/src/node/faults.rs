//! Faults on purpose of a node that runs: ordered, listed, removed.

use std::time::Instant;

use super::{Node, PATIENCE};
use crate::faults::{Fault, FaultError, FaultStatus};
use crate::threads;

impl Node {
    /// Drops messages, holds them back or cuts links on purpose, for a while; ends by itself. What it does is in
    /// [`Metrics::faults`](crate::Metrics::faults), [`Event::FaultAdded`](crate::Event::FaultAdded) and
    /// [`Event::FaultEnded`](crate::Event::FaultEnded). Returns the number by which it is removed, once every shard goes by it; a
    /// shard that a handler or a task holds for more than 10 s begins with its next turn, and so does every shard if the call is
    /// made on a thread of the engine.
    ///
    /// A dropped message ends as any other that is not sent: on a channel that acknowledges it is reported, on a best-effort one it is
    /// counted as dropped. What is held back waits where it waits anyway, within the bounds of its lane. A link that is cut ends as if
    /// the network had failed, and neither end can make it anew meanwhile.
    ///
    /// # Errors
    /// [`FaultError::NotAllowed`] unless the node was started with [`Config::faults`](crate::Config::faults); [`FaultError::Invalid`],
    /// [`FaultError::UnknownChannel`], [`FaultError::TooMany`].
    pub fn add_fault(&self, fault: Fault) -> Result<u64, FaultError> {
        if !self.fabric.config.faults {
            return Err(FaultError::NotAllowed);
        }
        if let Some(name) = &fault.channel
            && self.fabric.channels.find(name).is_none()
        {
            return Err(FaultError::UnknownChannel {
                name: name.clone(),
                known: self.channel_names(),
            });
        }
        let id = self.fabric.faults.add(fault, Instant::now())?;
        self.tell_of_faults();
        Ok(id)
    }

    /// Ends a fault before its time.
    ///
    /// # Errors
    /// [`FaultError::Unknown`].
    pub fn remove_fault(&self, id: u64) -> Result<(), FaultError> {
        self.fabric.faults.remove(id)?;
        self.tell_of_faults();
        Ok(())
    }

    /// The faults that are open, by number.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultStatus> {
        self.fabric.faults.list(Instant::now())
    }

    fn tell_of_faults(&self) {
        self.fabric.ring_all();
        self.control_link.look();
        if !threads::is_own() {
            self.fabric.faults.await_adoption(self.shards(), PATIENCE);
        }
    }
}
