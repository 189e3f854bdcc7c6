//! What the streams of a lane have to send on it, and what of theirs is in its log.
//!
//! Filled and emptied by `shard::streams`. Their bytes in the log are bounded beside those of messages, so that
//! neither takes the other's room.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::stream_book::Outgoing;
use crate::wire::stream::Side;

/// Streams of a lane that were given up and whose other end is not told yet: beyond these the oldest is not told.
const GIVEN_UP_MAX: usize = 1024;

/// The streams of a lane that have something to send.
#[derive(Debug, Default)]
pub(crate) struct LaneStreams {
    pub(in crate::shard) words: VecDeque<Vec<u8>>,
    /// In turn.
    pub(in crate::shard) ready: VecDeque<Arc<Outgoing>>,
    /// What is in the log of the lane: after how many accepted messages, and its bytes.
    under_way: VecDeque<(u64, u64)>,
    under_way_bytes: u64,
    /// Given up with the lane, and which of their ends this node had.
    given_up: VecDeque<(u64, Side)>,
}

impl LaneStreams {
    /// Whether there is nothing to put on the lane.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.ready.is_empty()
    }

    /// All but the last `open` accepted messages have left the log. Returns the bytes of streams among them.
    pub(super) fn left(&mut self, settled: u64) -> u64 {
        let mut left = 0;
        while let Some((_, bytes)) = self.under_way.pop_front_if(|(at, _)| *at <= settled) {
            left += bytes;
        }
        self.under_way_bytes -= left;
        left
    }

    /// A message of so many bytes was put into the log, after which that many messages had been accepted.
    pub(in crate::shard) fn put(&mut self, accepted: u64, bytes: u64) {
        self.under_way.push_back((accepted, bytes));
        self.under_way_bytes += bytes;
    }

    /// Whether so many bytes more may be put into the log.
    pub(in crate::shard) fn admits(&self, bytes: usize, under_way_max: u64) -> bool {
        let under_way = self.under_way_bytes;
        under_way == 0 || under_way + bytes as u64 <= under_way_max
    }

    /// Nothing is to be sent any more; what is in the log stays there.
    pub(in crate::shard) fn forget(&mut self) {
        self.words.clear();
        self.ready.clear();
    }

    /// Those have ended here because the lane was given up; the other node may still wait for them.
    pub(in crate::shard) fn give_up(&mut self, streams: Vec<(u64, Side)>) {
        self.given_up.extend(streams);
        let beyond = self.given_up.len().saturating_sub(GIVEN_UP_MAX);
        self.given_up.drain(..beyond);
    }

    /// Takes the streams whose cancellation is to be sent to the peer, now that the lane is up again.
    pub(in crate::shard) fn take_given_up(&mut self) -> VecDeque<(u64, Side)> {
        std::mem::take(&mut self.given_up)
    }

    /// Whether anything of streams is in the log.
    pub(super) fn has_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }
}
