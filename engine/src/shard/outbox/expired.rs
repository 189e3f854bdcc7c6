//! What leaves an outbox because its deadline has come.

use super::batch::Load;
use super::chunk::{Chunk, Fate, Frame};
use super::pool::ChunkPool;
use crate::awaited::Awaited;
use crate::deadline::Moment;

/// What was removed because its deadline had come.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    pub(crate) load: Load,
    /// Where they stood, counted from the front, in ascending order.
    pub(crate) places: Vec<u64>,
    /// The receipts among them, each with the place of its message.
    pub(crate) receipts: Vec<(u64, u64)>,
    /// Their numbers on a causal channel.
    pub(crate) numbers: Vec<u64>,
}

impl Expired {
    /// A message of `bytes`, which stood at `place`.
    pub(super) fn note(&mut self, place: u64, bytes: u64, awaited: Option<Awaited>) {
        self.load.messages += 1;
        self.load.payload_bytes += bytes;
        self.places.push(place);
        if let Some(Awaited::Receipt(number)) = awaited {
            self.receipts.push((place, number));
        }
    }

    /// Takes such messages out of a chunk, the first of which stands at `place`, which is moved to the message
    /// behind it. Of the first `kept` messages, which have to stay countable, an empty one is left in the place
    /// of each.
    pub(super) fn take_out(
        &mut self,
        chunk: &mut Chunk,
        pool: &mut ChunkPool,
        now: Moment,
        kept: u64,
        place: &mut u64,
    ) {
        if !chunk.first_due.is_some_and(|due| due.has_come(now)) {
            *place += chunk.messages;
            return;
        }
        chunk.rewrite(pool, |frame| {
            let fate = if !frame.due().is_some_and(|due| due.has_come(now)) {
                Fate::Stays
            } else if *place < kept {
                Fate::Emptied
            } else {
                Fate::Goes
            };
            if !matches!(fate, Fate::Stays) {
                self.note_frame(frame, *place);
            }
            *place += u64::from(frame.is_message());
            fate
        });
    }

    fn note_frame(&mut self, frame: &Frame<'_>, place: u64) {
        self.note(place, frame.head.body_bytes as u64, frame.awaited());
        self.numbers.extend(frame.number());
    }
}
