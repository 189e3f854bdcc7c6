//! Chunks cut to what may go at once, for lanes of capped channels.
//!
//! Called by `shard::capped` and `lane`. A chunk holds hundreds of small messages, and goes to the kernel whole; here the
//! front one is made smaller, by copying what is to go.

use super::chunk::{Chunk, Frame};
use super::{ChunkPool, Outbox};
use crate::delivery::rate::Amount;
use crate::wire::HEADER_BYTES;

impl Outbox {
    /// From now on the chunk at the front holds `piece` at most, or a single message. Returns what it holds.
    pub(crate) fn cut_front(&mut self, pool: &mut ChunkPool, piece: Amount) -> Amount {
        let Some(front) = self.chunks.front_mut() else {
            return Amount::default();
        };
        if let Some(cut) = front.cut(pool, piece) {
            self.chunks.push_front(cut);
        }
        self.chunks
            .front()
            .map_or_else(Amount::default, |front| Amount {
                bytes: front.wire_bytes as u64,
                messages: front.messages,
            })
    }
}

impl Chunk {
    /// Takes the frames out at the front that are within `piece`, and one message at least; `None` if that is all.
    fn cut(&mut self, pool: &mut ChunkPool, piece: Amount) -> Option<Self> {
        if self.wire_bytes as u64 <= piece.bytes && self.messages <= piece.messages {
            return None;
        }
        let mut cut = pool.chunk();
        let mut encoded = 0;
        for frame in self.frames() {
            if cut.messages > 0 && !cut.has_room_within(piece, &frame) {
                break;
            }
            cut.copy(&frame);
            encoded += frame.bytes.len();
        }
        if cut.messages == self.messages {
            pool.reuse(cut);
            return None;
        }
        self.head += encoded;
        self.shared.drain(..cut.shared.len());
        self.wire_bytes -= cut.wire_bytes;
        self.messages -= cut.messages;
        self.payload_bytes -= cut.payload_bytes;
        Some(cut)
    }

    fn has_room_within(&self, piece: Amount, frame: &Frame<'_>) -> bool {
        let bytes = self.wire_bytes + HEADER_BYTES + frame.head.body_bytes;
        let messages = self.messages + u64::from(frame.is_message());
        bytes as u64 <= piece.bytes && messages <= piece.messages
    }
}
