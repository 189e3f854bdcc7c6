//! Large messages of an outbox, which smaller ones overtake, and what has to stay behind them.
//!
//! A large message goes out in fragments, as much of it in each batch as has room; between two of them go
//! messages that need not wait for it. A message waits here, too, if one with its tag does: those keep their
//! order. One message at a time is in fragments, so that a receiver puts one together at most. Called by the
//! outbox alone; bounded, as that is, by the lane's gate.

use std::collections::{BTreeMap, VecDeque};

use super::batch::{Batch, Load};
use super::chunk::{CHUNK_WIRE_BYTES, Chunk, Fragmented};
use super::expired::Expired;
use super::message::{Dropped, OutgoingMessage};
use super::pool::ChunkPool;
use crate::awaited::{Awaited, awaited};
use crate::deadline::{Moment, earlier};
use crate::delivery::rate::Amount;
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::wire::HEADER_BYTES;
use crate::wire::extension::{deadline_of, extension_block_bytes, set_deadline};
use crate::wire::fragment::{FIRST_FRAGMENT_BYTES, FirstFragment};

/// A fragment is at least so large, unless it is the last: its header is then 0.2 % of it.
const FRAGMENT_BYTES_MIN: usize = 4 << 10;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Overtaken {
    waiting: VecDeque<Waiting>,
    /// How many messages with each tag are here.
    tags: BTreeMap<OrderTag, u64>,
    /// What caps allow of the next fragment.
    capped_bytes: Option<usize>,
}

#[derive(Debug)]
enum Waiting {
    Large(Large),
    Small(Small),
}

#[derive(Debug)]
struct Large {
    message: Fragmented,
    order: OrderTag,
    /// What of the payload is out.
    sent: usize,
    /// It goes out when so many chunks have left.
    behind: u64,
}

/// What stays behind, encoded.
#[derive(Debug, Default)]
struct Small {
    chunk: Chunk,
    /// The tags of its messages, and of those that were removed from it: they leave with it.
    tags: Vec<(OrderTag, u64)>,
}

impl Overtaken {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a message with that tag is here.
    pub(super) fn has(&self, order: OrderTag) -> bool {
        self.tags.contains_key(&order)
    }

    /// Whether the first of them may go out when chunks have left up to `open_to`.
    pub(super) fn is_open(&self, open_to: u64) -> bool {
        match self.waiting.front() {
            Some(Waiting::Large(large)) => large.sent > 0 || large.behind <= open_to,
            _ => true,
        }
    }

    /// Appends a message that goes out in fragments, once so many chunks have left: what is in them is older.
    pub(super) fn push_large(
        &mut self,
        id: u32,
        message: OutgoingMessage<'_>,
        noted: Option<MailboxId>,
        behind: u64,
    ) -> Option<Moment> {
        let order = message.order;
        let message = Fragmented {
            id,
            noted,
            is_extended: message.is_extended,
            payload: message.payload.into_bytes(),
        };
        let large = Large {
            message,
            order,
            sent: 0,
            behind,
        };
        let due = large.due();
        self.waiting.push_back(Waiting::Large(large));
        *self.tags.entry(order).or_default() += 1;
        due
    }

    /// Appends one that has to stay behind what is here.
    pub(super) fn push_small(
        &mut self,
        id: u32,
        message: OutgoingMessage<'_>,
        noted: Option<MailboxId>,
    ) -> Option<Moment> {
        *self.tags.entry(message.order).or_default() += 1;
        let encoded = HEADER_BYTES + message.payload.len();
        let small = self.small_for(encoded);
        match small.tags.last_mut() {
            Some((order, messages)) if *order == message.order => *messages += 1,
            _ => small.tags.push((message.order, 1)),
        }
        let OutgoingMessage {
            is_extended,
            payload,
            ..
        } = message;
        small.chunk.push_message(id, is_extended, payload, noted)
    }

    /// Appends the announcement of an id that stood for another mailbox.
    pub(super) fn push_announcement(&mut self, id: u32, name: &str) {
        let small = self.small_for(HEADER_BYTES + name.len());
        small.chunk.push_announcement(id, name);
    }

    fn small_for(&mut self, bytes: usize) -> &mut Small {
        let has_room = match self.waiting.back() {
            Some(Waiting::Small(small)) => small.chunk.has_room_for(bytes, CHUNK_WIRE_BYTES),
            _ => false,
        };
        if !has_room {
            self.waiting.push_back(Waiting::Small(Small::default()));
        }
        match self.waiting.back_mut() {
            Some(Waiting::Small(small)) => small,
            _ => unreachable!("it was there, or was pushed"),
        }
    }

    /// Moves what is next into `batch`, up to `bytes_max` in all and `piece_bytes_max` in one piece, and adds it to
    /// `load`; if the batch was empty, something in any case. Nothing goes that is behind more chunks than `open_to`.
    pub(super) fn fill(
        &mut self,
        batch: &mut Batch,
        (bytes_max, piece_bytes_max): (usize, usize),
        open_to: u64,
        now: Moment,
        load: &mut Load,
    ) {
        while batch.chunks.len() < batch.chunks_max() && self.is_open(open_to) {
            let wire_bytes = usize::try_from(load.wire_bytes).unwrap_or(usize::MAX);
            let room = Room {
                bytes: bytes_max.saturating_sub(wire_bytes),
                piece_bytes_max: self
                    .capped_bytes
                    .take()
                    .map_or(piece_bytes_max, |capped| capped.min(piece_bytes_max)),
                is_first: batch.chunks.is_empty(),
            };
            let Some(chunk) = self.next_chunk(room, now, load) else {
                return;
            };
            batch.take(chunk, now, load);
        }
    }

    fn next_chunk(&mut self, room: Room, now: Moment, load: &mut Load) -> Option<Chunk> {
        let chunk = match self.waiting.front_mut()? {
            Waiting::Small(small) if !room.is_first && small.chunk.wire_bytes > room.bytes => {
                return None;
            }
            Waiting::Small(small) => std::mem::take(&mut small.chunk),
            Waiting::Large(large) => {
                let chunk = large.next_chunk(room, now, load)?;
                if chunk.messages == 0 {
                    return Some(chunk);
                }
                chunk
            }
        };
        self.remove(0);
        Some(chunk)
    }

    /// From now on what goes out next holds `piece` at most, or a single message or the least of a fragment. Returns
    /// what it holds.
    pub(super) fn cut_front(&mut self, pool: &mut ChunkPool, piece: Amount) -> Amount {
        let (amount, cut) = match self.waiting.front_mut() {
            None => return Amount::default(),
            Some(Waiting::Large(large)) => {
                let most = usize::try_from(piece.bytes).unwrap_or(usize::MAX);
                let most = most.max(FRAGMENT_BYTES_MIN);
                self.capped_bytes = Some(most);
                let rest = large.message.payload.len() - large.sent;
                let amount = Amount {
                    bytes: rest.min(most) as u64,
                    messages: 1,
                };
                (amount, None)
            }
            Some(Waiting::Small(small)) => {
                let cut = small.chunk.cut(pool, piece);
                let front = cut.as_ref().unwrap_or(&small.chunk);
                (front.amount(), cut)
            }
        };
        if let Some(chunk) = cut {
            // The tags leave with the rest.
            let tags = Vec::new();
            self.waiting
                .push_front(Waiting::Small(Small { chunk, tags }));
        }
        amount
    }

    /// What stands at `place` is out, or ended.
    fn remove(&mut self, place: usize) {
        match self.waiting.remove(place) {
            Some(Waiting::Small(small)) => {
                for (order, messages) in small.tags {
                    self.leave(order, messages);
                }
            }
            Some(Waiting::Large(large)) => self.leave(large.order, 1),
            None => {}
        }
    }

    fn leave(&mut self, order: OrderTag, messages: u64) {
        if let Some(left) = self.tags.get_mut(&order) {
            *left -= messages;
            if *left == 0 {
                self.tags.remove(&order);
            }
        }
    }

    /// Not later than the deadline of any message that can still end by it.
    pub(super) fn first_due(&self) -> Option<Moment> {
        self.waiting.iter().fold(None, |first, waiting| {
            let due = match waiting {
                Waiting::Small(small) => small.chunk.first_due,
                Waiting::Large(large) => large.due(),
            };
            earlier(first, due)
        })
    }

    /// Removes the messages whose deadline has come, the first of which stands at `place`.
    pub(super) fn expire(
        &mut self,
        pool: &mut ChunkPool,
        now: Moment,
        mut place: u64,
        expired: &mut Expired,
    ) {
        let mut at = 0;
        while let Some(waiting) = self.waiting.get_mut(at) {
            let is_over = match waiting {
                Waiting::Small(small) => {
                    expired.take_out(&mut small.chunk, pool, now, 0, &mut place);
                    small.chunk.wire_bytes == 0
                }
                Waiting::Large(large) => {
                    let has_come = large.due().is_some_and(|due| due.has_come(now));
                    if has_come {
                        let bytes = large.message.payload.len() as u64;
                        expired.note(place, bytes, large.awaited());
                    }
                    place += 1;
                    has_come
                }
            };
            if is_over {
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Removes the message that has waited longest and can be removed: of one that is in fragments already, the
    /// rest has to follow.
    pub(super) fn drop_front(&mut self, mut lift: impl FnMut(u32, Box<[u8]>)) -> Option<Dropped> {
        let is_begun =
            |waiting: &Waiting| matches!(waiting, Waiting::Large(large) if large.sent > 0);
        let at = usize::from(self.waiting.front().is_some_and(is_begun));
        loop {
            let (dropped, is_over) = match self.waiting.get_mut(at)? {
                Waiting::Large(large) => {
                    let bytes = large.message.payload.len() as u64;
                    let awaited = large.awaited();
                    (Some(Dropped { bytes, awaited }), true)
                }
                Waiting::Small(small) => {
                    small.chunk.lift_announcements(&mut lift);
                    let dropped = small.chunk.drop_front();
                    (dropped, small.chunk.wire_bytes == 0)
                }
            };
            if is_over {
                self.remove(at);
            }
            if dropped.is_some() {
                return dropped;
            }
        }
    }

    /// Calls `each` for the messages of which somebody waits to hear, of which the first stands at `place`.
    pub(super) fn each_awaited(&self, mut place: u64, mut each: impl FnMut(u64, Awaited)) {
        for waiting in &self.waiting {
            match waiting {
                Waiting::Small(small) => {
                    small
                        .chunk
                        .each_awaited(|ahead, awaited| each(place + ahead, awaited));
                    place += small.chunk.messages;
                }
                Waiting::Large(large) => {
                    if let Some(awaited) = large.awaited() {
                        each(place, awaited);
                    }
                    place += 1;
                }
            }
        }
    }

    /// All messages, whole, in their order.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = Chunk> {
        self.waiting.into_iter().map(|waiting| match waiting {
            Waiting::Small(small) => small.chunk,
            Waiting::Large(large) => large.into_chunk(),
        })
    }
}

/// What of a batch is left.
#[derive(Clone, Copy)]
struct Room {
    bytes: usize,
    /// And what of one message may go in one piece.
    piece_bytes_max: usize,
    /// Nothing is in the batch yet.
    is_first: bool,
}

impl Large {
    /// When it is worth nothing any more: once it has begun to go out, it goes.
    fn due(&self) -> Option<Moment> {
        let can_end = self.message.is_extended && self.sent == 0;
        can_end.then(|| deadline_of(&self.message.payload).map(Moment))?
    }

    fn awaited(&self) -> Option<Awaited> {
        let message = &self.message;
        message.is_extended.then(|| awaited(&message.payload))?
    }

    /// The whole of it.
    fn into_chunk(self) -> Chunk {
        let Fragmented {
            id,
            noted,
            is_extended,
            payload,
        } = self.message;
        let mut chunk = Chunk::default();
        chunk.push_message(id, is_extended, Payload::Shared(payload), noted);
        chunk
    }

    /// As much of it as there is room for.
    fn next_chunk(&mut self, room: Room, now: Moment, load: &mut Load) -> Option<Chunk> {
        let message = &self.message;
        let all = message.payload.len();
        let mut chunk = Chunk::default();
        // As a chunk does, the first piece goes whatever the quantum is.
        let room_bytes = match room.is_first {
            true => room.piece_bytes_max,
            false => room.bytes.min(room.piece_bytes_max),
        };
        if self.sent == 0 && all <= room_bytes {
            let payload = Payload::Shared(message.payload.clone());
            chunk.push_message(message.id, message.is_extended, payload, message.noted);
            return Some(chunk);
        }
        let head = match message.is_extended {
            true if self.sent == 0 => extension_block_bytes(&message.payload),
            _ => 0,
        };
        let from = self.sent + head;
        let frame_bytes = HEADER_BYTES + FIRST_FRAGMENT_BYTES + head;
        let mut bytes = room_bytes.saturating_sub(frame_bytes);
        if room.is_first {
            bytes = bytes.max(FRAGMENT_BYTES_MIN);
        }
        let rest = all - from;
        if bytes < rest.min(FRAGMENT_BYTES_MIN) {
            return None;
        }
        let out = from..from + rest.min(bytes);
        let first = (self.sent == 0).then(|| {
            let first = FirstFragment {
                // Checked against the limit of the channel, which is below 2^24.
                message_bytes: u32::try_from(all).unwrap_or(0),
                is_extended: message.is_extended,
            };
            let mut encoded = first.encode().to_vec();
            encoded.extend_from_slice(&message.payload[..head]);
            let block = &mut encoded[FIRST_FRAGMENT_BYTES..];
            if head > 0
                && let Some(due) = deadline_of(block)
            {
                set_deadline(block, Moment(due).left_ms(now).unwrap_or(0));
            }
            encoded
        });
        let end = out.end;
        chunk.push_fragment(message, first.as_deref(), out);
        if end == all {
            load.earlier_bytes += self.sent as u64;
        } else {
            load.ahead_bytes += (end - self.sent) as u64;
        }
        self.sent = end;
        Some(chunk)
    }
}
