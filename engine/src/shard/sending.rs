//! What a shard sends from: the lanes with something to send or to say, and spare memory for it.
//!
//! Filled by `dispatch` and `context` (messages) and `receive` (acknowledgements owed), emptied by the
//! turn. It decides nothing: `dispatch` does.

use std::collections::VecDeque;

use super::PRIORITIES;
use super::lane::Lane;
use super::outbox::ChunkPool;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Sending {
    /// Lanes with something to send, by priority.
    pub(super) ready: [VecDeque<u32>; PRIORITIES],
    /// Lanes that owe an acknowledgement.
    pub(super) owing: Vec<u32>,
    /// Lanes with messages that did not even reach their outbox, to be reported at the end of the
    /// turn.
    pub(super) strays: Vec<u32>,
    pub(super) pool: ChunkPool,
    /// What each channel may still send in this turn once the budget is used up.
    pub(super) floors_left: Vec<usize>,
    /// Bytes that all channels together may move in one turn.
    pub(super) turn_bytes_max: usize,
}

impl Sending {
    pub(super) fn new(turn_bytes_max: usize) -> Self {
        Self {
            ready: Default::default(),
            owing: Vec::new(),
            strays: Vec::new(),
            pool: ChunkPool::default(),
            floors_left: Vec::new(),
            turn_bytes_max,
        }
    }

    /// Its slot is another lane's from now on.
    pub(super) fn forget_lane(&mut self, index: u32) {
        for lanes in &mut self.ready {
            lanes.retain(|lane| *lane != index);
        }
        self.owing.retain(|lane| *lane != index);
        self.strays.retain(|lane| *lane != index);
    }

    /// Puts a lane into the queue of those with something to send.
    #[inline]
    pub(super) fn mark_ready(&mut self, index: u32, lane: &mut Lane) {
        if !lane.is_ready {
            lane.is_ready = true;
            self.ready[lane.priority].push_back(index);
        }
    }
}
