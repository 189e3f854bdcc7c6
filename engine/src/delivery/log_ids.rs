//! The ids of the logs of a process: what each end of a lane tells by whether counts are of what it knows.
//!
//! Owned by the node's fabric; shards take one for each log that they make or begin anew. No two logs have the same, those of
//! other processes of this node neither, and a later one is higher: an earlier one in a handshake message is an old message.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's text.
#[derive(Debug)]
pub struct LogIds(AtomicU64);

impl LogIds {
    /// From somewhere in the lower half of all numbers: what is left lasts for as long as there are processes.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(AtomicU64::new((random >> 1) | 1))
    }

    /// The next one, never 0.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up_and_are_never_none() {
        for random in [0, 1, 77, u64::MAX] {
            let ids = LogIds::new(random);
            let mut last = 0;
            for _ in 0..1000 {
                let next = ids.next();
                assert!(next > last, "{random}");
                last = next;
            }
        }
    }
}
