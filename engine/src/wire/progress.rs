//! How far the two ends of a lane had come before this connection: what a log is trimmed by.
//!
//! Stated by each side in its handshake message. A node that keeps no log over connections states
//! [`Progress::default`], and then nothing is resumed. The shard fills it in and acts on it; here is
//! only what it says and when it makes sense.
use serde::{Deserialize, Serialize};

/// What one node says of a lane: from which log it sends, and how much of the peer's it has processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The id of the log that this node sends from on this lane, 0 if it keeps none over connections.
    /// A new log, whose first message is number 1, has an id that this node has never stated before.
    pub log: u64,
    /// The log of the peer that the counts below are of, 0 if nothing of any was processed.
    pub peer_log: u64,
    /// Messages of that log processed so far, delivered or refused.
    pub processed: u64,
    /// How many of those were refused, because there was no such mailbox.
    pub refused: u64,
}

impl Progress {
    /// How many messages of `log`, one of this node's own, the peer says it has processed; `None` if
    /// its counts are of another log, so that nothing can be resumed.
    #[must_use]
    pub const fn processed_of(&self, log: u64) -> Option<u64> {
        if log == 0 || self.peer_log != log {
            return None;
        }
        Some(self.processed)
    }

    /// Whether the counts can be true together.
    #[must_use]
    pub const fn is_consistent(&self) -> bool {
        self.refused <= self.processed && (self.peer_log != 0 || self.processed == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_of_one_log_and_of_no_other() {
        let progress = Progress {
            log: 3,
            peer_log: 7,
            processed: 100,
            refused: 2,
        };
        assert_eq!(progress.processed_of(7), Some(100));
        assert_eq!(progress.processed_of(8), None);
        assert_eq!(Progress::default().processed_of(0), None, "no log is kept");
    }

    #[test]
    fn more_refused_than_processed_and_counts_of_no_log_make_no_sense() {
        assert!(Progress::default().is_consistent());
        let of_a_log = |peer_log, processed, refused| Progress {
            log: 0,
            peer_log,
            processed,
            refused,
        };
        assert!(of_a_log(1, 5, 5).is_consistent());
        assert!(!of_a_log(1, 5, 6).is_consistent());
        assert!(!of_a_log(0, 5, 0).is_consistent());
    }
}
