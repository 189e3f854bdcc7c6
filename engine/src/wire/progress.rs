//! How far the two ends of a lane had come before this connection: what a log is trimmed by.
//!
//! Stated by each side in its handshake message. A node that keeps no log over connections states
//! [`Progress::default`], and then nothing is resumed. The shard fills it in and acts on it; here is
//! only what it says and when it makes sense.
use serde::{Deserialize, Serialize};

use super::endings::Endings;

/// What one node says of a lane: from which log it sends, and how much of the peer's it has processed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The id of the log that this node sends from on this lane, 0 if it keeps none over connections.
    /// A new log, whose first message is number 1, has an id that this node has never stated before.
    pub log: u64,
    /// The log of the peer that the counts below are of, 0 if nothing of any was processed.
    pub peer_log: u64,
    /// Messages of that log processed so far, delivered or refused.
    pub processed: u64,
    /// How many of those were refused, because there was no such mailbox, or because they came too late.
    pub refused: u64,
    /// How the latest of those processed ended: all of them, some, or none. It is stated apart from the counts, and
    /// need not be read.
    #[serde(skip)]
    pub endings: Endings,
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

    /// Whether the counts can be true together, and what is said of the latest messages with them.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let unsaid = self.processed.checked_sub(self.endings.messages());
        let refused_before = self.refused.checked_sub(self.endings.refused());
        let (Some(unsaid), Some(refused_before)) = (unsaid, refused_before) else {
            return false;
        };
        refused_before <= unsaid && (self.peer_log != 0 || self.processed == 0)
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
            endings: Endings::NONE,
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
            endings: Endings::NONE,
        };
        assert!(of_a_log(1, 5, 5).is_consistent());
        assert!(!of_a_log(1, 5, 6).is_consistent());
        assert!(!of_a_log(0, 5, 0).is_consistent());
    }

    #[test]
    fn what_is_said_of_the_latest_messages_has_to_agree_with_the_counts() {
        let is_consistent = |processed, refused, endings| {
            let progress = Progress {
                log: 0,
                peer_log: 1,
                processed,
                refused,
                endings: Endings::read(endings).expect("it can be read"),
            };
            progress.is_consistent()
        };
        assert!(is_consistent(6, 3, "d3r2l1"), "of all of them");
        assert!(
            is_consistent(8, 4, "d3r2l1"),
            "one of the other two as well"
        );
        assert!(
            !is_consistent(5, 3, "d3r2l1"),
            "of more than were processed"
        );
        assert!(!is_consistent(8, 2, "d3r2l1"), "more than were refused");
        assert!(!is_consistent(8, 6, "d3r2l1"), "fewer than were refused");
        assert!(!is_consistent(6, 4, "d3r2l1"));
    }
}
