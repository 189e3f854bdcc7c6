//! Chunks cut to what may go at once, for lanes of capped channels.
//!
//! Called by `shard::capped` and `lane`. A chunk holds hundreds of small messages, and goes to the kernel whole; here the
//! front one is made smaller, by copying what is to go.

use super::chunk::{Chunk, Frame};
use super::{ChunkPool, Outbox};
use crate::delivery::rate::Amount;
use crate::wire::HEADER_BYTES;

impl Outbox {
    /// From now on what goes out next holds `piece` at most, or a single message or fragment. Returns what it holds.
    pub(crate) fn cut_front(&mut self, pool: &mut ChunkPool, piece: Amount) -> Amount {
        if self.is_next_large() {
            return self.overtaken.cut_front(pool, piece);
        }
        let Some(front) = self.chunks.front_mut() else {
            return Amount::default();
        };
        if let Some(cut) = front.cut(pool, piece) {
            self.chunks.push_front(cut);
            self.chunks_gone -= 1;
        }
        self.chunks
            .front()
            .map_or_else(Amount::default, Chunk::amount)
    }

    /// Whether what goes out next, one chunk at a time, is of a large message: it takes turns with the small ones that
    /// pass it, or they would always come first.
    pub(crate) fn is_next_large(&self) -> bool {
        self.chunks.is_empty() || (self.is_turn_of_large && self.has_open_large())
    }
}

impl Chunk {
    /// What it takes of caps.
    pub(super) fn amount(&self) -> Amount {
        Amount {
            bytes: self.wire_bytes as u64,
            messages: self.messages,
        }
    }

    /// Takes the frames out at the front that are within `piece`, and one message at least; `None` if that is all. An
    /// announcement behind the last message goes with it.
    pub(super) fn cut(&mut self, pool: &mut ChunkPool, piece: Amount) -> Option<Self> {
        if self.wire_bytes as u64 <= piece.bytes && self.messages <= piece.messages {
            return None;
        }
        self.split_front(pool, |front, frame| {
            front.messages == 0 || front.has_room_within(piece, frame)
        })
    }

    fn has_room_within(&self, piece: Amount, frame: &Frame<'_>) -> bool {
        let bytes = self.wire_bytes + HEADER_BYTES + frame.head.body_bytes;
        let messages = self.messages + u64::from(frame.is_message());
        bytes as u64 <= piece.bytes && messages <= piece.messages
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::deadline::Moment;
    use crate::mailboxes::MailboxId;
    use crate::order_tag::OrderTag;
    use crate::payload::Payload;
    use crate::shard::outbox::{Batch, OutgoingMessage};

    proptest! {
        /// Messages of all sizes, by copy and by reference, and names among them, taken out piece by piece.
        #[test]
        fn pieces_hold_all_messages_in_order_and_no_more_than_they_may(
            messages in prop::collection::vec((0..3000_usize, any::<bool>(), any::<bool>()), 1..200),
            bytes in 1..20_000_u64,
            most in 1..50_u64,
        ) {
            let mut pool = ChunkPool::default();
            let mut outbox = Outbox::default();
            let mut put = Vec::new();
            for (number, (length, is_shared, is_announced)) in messages.into_iter().enumerate() {
                if is_announced {
                    outbox.push_announcement(&mut pool, 1, "name");
                }
                let payload = vec![u8::try_from(number % 251).expect("small"); length];
                let payload = if is_shared && length > 0 {
                    Payload::Shared(Bytes::from(payload))
                } else {
                    Payload::Borrowed(payload.leak())
                };
                put.push(payload.as_slice().to_vec());
                let message = OutgoingMessage {
                    mailbox: MailboxId::from_words(0, 0),
                    order: OrderTag::WITHOUT_KEY,
                    is_extended: false,
                    payload,
                };
                outbox.push_message(&mut pool, 1, message);
            }
            let piece = Amount { bytes, messages: most };
            // At the end of a chunk there is one at most that is ahead of the next chunk's first message.
            let announcement_bytes = (HEADER_BYTES + "name".len()) as u64;
            let mut taken = Vec::new();
            while outbox.messages() > 0 {
                let before = outbox.messages();
                let cut = outbox.cut_front(&mut pool, piece);
                let within = cut.messages <= most && cut.bytes <= bytes + announcement_bytes;
                prop_assert!(cut.messages <= 1 || within, "{cut:?}");
                let mut batch = Batch::default();
                let load = outbox.fill(&mut batch, 1, Moment(0));
                prop_assert_eq!((load.wire_bytes, load.messages), (cut.bytes, cut.messages));
                prop_assert_eq!(outbox.messages(), before - load.messages);
                for chunk in batch.chunks() {
                    chunk.each_message(|message| taken.push(message.payload.as_slice().to_vec()));
                }
                batch.finish(&mut pool);
            }
            prop_assert_eq!(outbox.payload_bytes(), 0);
            prop_assert!(taken == put, "other messages, or in another order");
        }
    }
}
