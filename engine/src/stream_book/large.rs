//! What became of messages that go as streams: counted once each, and told by a shard.
//!
//! Shared by all of a node. An entry of the book that is a message says here how it ended; what was lost waits here until
//! a shard tells it. Numbers and names only.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{SendError, StreamError};
use crate::peer::Peer;
use crate::wire::CloseReason;
use crate::wire::stream::CancelReason;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct LargeMessages {
    accepted: AtomicU64,
    acknowledged: AtomicU64,
    reported: AtomicU64,
    delivered: AtomicU64,
    /// There is something to tell.
    tells: AtomicBool,
    lost: Mutex<Vec<Lost>>,
}

/// A message that was accepted, and did not come or may not have.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) peer: Arc<Peer>,
    pub(crate) channel: Arc<str>,
    /// It may have come.
    pub(crate) unknown: bool,
    pub(crate) why: &'static str,
}

/// What was counted: accepted, acknowledged and reported ones of this node, and those delivered to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LargeCounts {
    pub(crate) accepted: u64,
    pub(crate) acknowledged: u64,
    pub(crate) reported: u64,
    pub(crate) delivered: u64,
}

impl LargeMessages {
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// It never began.
    pub(super) fn take_back(&self) {
        self.accepted.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self, lost: Lost) {
        self.reported.fetch_add(1, Ordering::Relaxed);
        let mut all = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(lost);
        self.tells.store(true, Ordering::Release);
    }

    /// One of another node was handed over.
    pub(crate) fn deliver(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is something to tell.
    #[inline]
    pub(crate) fn tells(&self) -> bool {
        self.tells.load(Ordering::Acquire)
    }

    /// What there is to tell.
    pub(crate) fn take_lost(&self) -> Vec<Lost> {
        // First: what is added from here on is said again.
        self.tells.store(false, Ordering::Release);
        std::mem::take(&mut self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn counts(&self) -> LargeCounts {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LargeCounts {
            accepted: load(&self.accepted),
            acknowledged: load(&self.acknowledged),
            reported: load(&self.reported),
            delivered: load(&self.delivered),
        }
    }
}

/// What is told of a message that ended so; `is_sent` says that all of it was put on its lane. Returns whether it may
/// have come, and why, in a sentence without a stop.
pub(super) fn what_is_told(end: &StreamError, is_sent: bool) -> (bool, &'static str) {
    match end {
        StreamError::Refused { reason } => match reason {
            CancelReason::NobodyAccepts => (false, "there is no such mailbox"),
            CancelReason::TooMany => (
                false,
                "the peer has as many large messages of this node as it takes",
            ),
            CancelReason::ChecksumMismatch => (false, "what came of it is not what was sent"),
            _ => (is_sent, "the peer does not know of it any more"),
        },
        StreamError::LaneEnded { why } => (is_sent, *why),
        StreamError::Send(SendError::TooLarge { .. }) => (
            false,
            "it is larger than the peer takes: see large_bytes_max",
        ),
        StreamError::Send(SendError::ChannelRemoved) => {
            (is_sent, CloseReason::ChannelRemoved.sentence())
        }
        StreamError::Send(SendError::Closed) => (is_sent, CloseReason::LocalStop.sentence()),
        _ => (is_sent, CloseReason::Unreachable.sentence()),
    }
}
