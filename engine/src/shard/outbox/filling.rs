//! From an outbox into a batch: which chunks and which pieces of large messages go out next.
//!
//! Called by the log of a lane when it has its turn. It decides how small and large messages share a turn; what may overtake what was
//! decided when they came.

use super::Outbox;
use super::batch::{Batch, Load};
use crate::deadline::Moment;

impl Outbox {
    /// Moves the lane's own frames alone into `batch`.
    pub(crate) fn fill_control(&mut self, batch: &mut Batch) -> Load {
        batch.control.append(&mut self.control);
        batch.load = Load {
            wire_bytes: batch.control.len() as u64,
            ..Load::default()
        };
        batch.load
    }

    /// Moves whole chunks into `batch`, at least one if there is any, until `bytes_max` is reached, and then
    /// what of large messages has room; their deadlines are what is left of them from now on. While both wait, each has half of
    /// the room.
    pub(crate) fn fill(&mut self, batch: &mut Batch, bytes_max: usize, now: Moment) -> Load {
        batch.control.append(&mut self.control);
        for frame in std::mem::take(&mut self.lifted).into_values() {
            batch.control.extend_from_slice(&frame);
        }
        let mut load = Load {
            wire_bytes: batch.control.len() as u64,
            ..Load::default()
        };
        if std::mem::take(&mut self.is_turn_of_large) {
            self.fill_with_large(batch, bytes_max, now, &mut load);
        }
        let chunks_max = if self.has_open_large() {
            (batch.chunks_max() / 2, bytes_max / 2)
        } else {
            (batch.chunks_max(), bytes_max)
        };
        self.fill_with_chunks(batch, chunks_max, now, &mut load);
        self.fill_with_large(batch, bytes_max, now, &mut load);
        self.messages -= load.messages;
        self.payload_bytes -= load.payload_bytes;
        if self.chunks.is_empty() {
            self.first_due = self.overtaken.first_due();
        }
        batch.load = load;
        load
    }

    /// Large messages that were put behind chunks wait until those are gone.
    fn open_to(&self) -> u64 {
        if self.chunks.is_empty() {
            u64::MAX
        } else {
            self.chunks_gone
        }
    }

    /// Whether what is overtaken may go out now.
    pub(super) fn has_open_large(&self) -> bool {
        !self.overtaken.is_empty() && self.overtaken.is_open(self.open_to())
    }

    fn fill_with_large(
        &mut self,
        batch: &mut Batch,
        bytes_max: usize,
        now: Moment,
        load: &mut Load,
    ) {
        if !self.overtaken.is_empty() {
            let room = (bytes_max, self.large_above_bytes);
            self.overtaken.fill(batch, room, self.open_to(), now, load);
            self.is_in_line &= !self.overtaken.is_empty();
        }
    }

    /// On a capped lane one chunk goes at a time: if it was one of the small, the next is of the large.
    pub(crate) fn end_turn(&mut self, was_large: bool) {
        self.is_turn_of_large = !was_large && !self.overtaken.is_empty();
    }

    fn fill_with_chunks(
        &mut self,
        batch: &mut Batch,
        (chunks_max, bytes_max): (usize, usize),
        now: Moment,
        load: &mut Load,
    ) {
        while let Some(chunk) = self.chunks.front() {
            let wire_bytes = load.wire_bytes + chunk.wire_bytes as u64;
            let full = batch.chunks.len() >= chunks_max || wire_bytes > bytes_max as u64;
            if !batch.chunks.is_empty() && full {
                return;
            }
            if let Some(chunk) = self.chunks.pop_front() {
                self.chunks_gone += 1;
                batch.take(chunk, now, load);
            }
        }
    }
}
