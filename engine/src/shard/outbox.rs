//! The outbox of a lane: frames waiting for its socket, and the batch that is being sent.
//!
//! Frames are encoded once, here, into chunks; a batch is a few chunks given to the kernel in one
//! operation. While a batch is under way the next chunk fills, so batching follows load by itself.
//! Owned by its lane; it does not know sockets, only bytes.

mod batch;
mod chunk;
mod expired;
mod filling;
mod message;
mod overtaken;
mod piece;
mod pool;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::awaited::Awaited;
use crate::deadline::{Moment, earlier};
use crate::mailboxes::MailboxId;
use crate::order_tag::OrderTag;
use crate::payload::Payload;
use crate::wire::extension::extension_block_bytes;
use crate::wire::{FrameKind, HEADER_BYTES};
use chunk::{CHUNK_WIRE_BYTES, Fate, header};
use overtaken::Overtaken;
use pool::SMALL_BYTES;

pub(crate) use batch::{Batch, Load, Shape};
pub(crate) use chunk::Chunk;
pub(crate) use expired::Expired;
pub(crate) use message::{Dropped, OutgoingMessage, Taken};
#[cfg(test)]
pub(crate) use pool::CHUNK_BYTES;
pub(crate) use pool::ChunkPool;

/// Which messages go out in fragments on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragments {
    /// Those of more bytes, extension included.
    pub(crate) above_bytes: usize,
    /// Whether messages with the same tag keep their order.
    pub(crate) keeps_order: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Frames of the lane's own (announcements, acknowledgements, the farewell). They go first.
    control: Vec<u8>,
    /// Announcements that stood behind a message that was dropped, the last one for each id: they go
    /// after `control`, and ahead of everything that is still here.
    lifted: BTreeMap<u32, Box<[u8]>>,
    chunks: VecDeque<Chunk>,
    /// Large messages, and what has to stay behind them; all of it may be overtaken by `chunks`.
    overtaken: Overtaken,
    /// If any do on this connection.
    fragments: Option<Fragments>,
    /// A chunk is closed when it has so many bytes: less than it takes where little may be under way.
    chunk_bytes_max: usize,
    /// Above so many bytes a message is large, and a fragment has no more: as `fragments` say, or less where little
    /// may be under way.
    large_above_bytes: usize,
    /// How many chunks have left at the front, from any number on: a large message goes out behind those that were
    /// there before it.
    chunks_gone: u64,
    /// On a capped lane: the turn is the large message's.
    is_turn_of_large: bool,
    /// While anything is in `overtaken`, all messages go there.
    is_in_line: bool,
    /// The mailbox of each message is noted beside it: ids are not announced, or not all that is needed.
    notes_mailboxes: bool,
    messages: u64,
    payload_bytes: u64,
    /// Not later than the deadline of any message in it.
    first_due: Option<Moment>,
}

/// So many chunks may wait with room that they do not use, as the pool takes them back: all of a lane that keeps up.
const CHUNKS_WHOLE_MAX: usize = 1;

/// Where the count of chunks begins: a chunk that is cut in two counts once.
const CHUNKS_GONE: u64 = 1 << 40;

/// What goes out at a time may always be so much: 1.3 ms at 100 Mbit/s.
const DEPTH_BYTES_MIN: usize = 16 << 10;

impl Default for Outbox {
    fn default() -> Self {
        Self {
            control: Vec::new(),
            lifted: BTreeMap::new(),
            chunks: VecDeque::new(),
            overtaken: Overtaken::default(),
            fragments: None,
            chunk_bytes_max: CHUNK_WIRE_BYTES,
            large_above_bytes: usize::MAX,
            chunks_gone: CHUNKS_GONE,
            is_turn_of_large: false,
            is_in_line: false,
            notes_mailboxes: false,
            messages: 0,
            payload_bytes: 0,
            first_due: None,
        }
    }
}

impl Outbox {
    /// One that notes the mailbox of each message.
    pub(crate) fn noting_mailboxes() -> Self {
        Self {
            notes_mailboxes: true,
            ..Self::default()
        }
    }

    /// From here on, such messages go out in fragments.
    pub(crate) fn set_fragments(&mut self, fragments: Option<Fragments>) {
        self.fragments = fragments;
        self.large_above_bytes = fragments.map_or(usize::MAX, |fragments| fragments.above_bytes);
    }

    /// So many bytes may be under way now: what goes out at a time is a part of that.
    pub(crate) fn set_depth(&mut self, bytes: u64) {
        let part = usize::try_from(bytes / 4).unwrap_or(usize::MAX);
        let part = part.max(DEPTH_BYTES_MIN);
        self.chunk_bytes_max = part.min(CHUNK_WIRE_BYTES);
        self.large_above_bytes = match self.fragments {
            Some(fragments) => fragments.above_bytes.min(part),
            None => usize::MAX,
        };
    }

    /// Between these calls, and until what came between them is out, no message overtakes another: their tags
    /// are not known.
    pub(crate) fn begin_line(&mut self) {
        self.is_in_line = true;
    }

    pub(crate) fn end_line(&mut self) {
        self.is_in_line = !self.overtaken.is_empty();
    }

    /// Whether there is nothing to send at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0 && self.control.is_empty()
    }

    /// Bytes of the lane's own frames that wait.
    pub(crate) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    /// Messages waiting.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// What they were charged for at the gate.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Appends a frame of the lane's own.
    pub(crate) fn push_control(&mut self, kind: FrameKind, word: u32, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.control.extend_from_slice(&header(kind, length, word));
        self.control.extend_from_slice(body);
    }

    /// Appends a message. Its size has been checked against the channel's limit at the API.
    #[inline]
    pub(crate) fn push_message(
        &mut self,
        pool: &mut ChunkPool,
        id: u32,
        message: OutgoingMessage<'_>,
    ) {
        let length = message.payload.len();
        self.messages += 1;
        self.payload_bytes += length as u64;
        let noted = self.notes_mailboxes.then_some(message.mailbox);
        // What streams send is in chunks already, whose room is given back in the order of the lane.
        let is_large = length > self.large_above_bytes && message.order != OrderTag::STREAMS;
        let due = if is_large {
            let behind = self.chunks_gone + self.chunks.len() as u64;
            self.overtaken.push_large(id, message, noted, behind)
        } else if !self.overtaken.is_empty() && self.stays_behind(&message) {
            self.overtaken.push_small(id, message, noted)
        } else {
            let encoded = match &message.payload {
                Payload::Borrowed(bytes) => bytes.len(),
                Payload::Shared(payload) if message.is_extended => extension_block_bytes(payload),
                Payload::Shared(_) => 0,
            };
            let chunk = self.chunk_for(pool, HEADER_BYTES + encoded);
            chunk.push_message(id, message.is_extended, message.payload, noted)
        };
        if due.is_some() {
            self.first_due = earlier(self.first_due, due);
        }
    }

    /// Appends messages without an extension, by copy, that are for one mailbox: what [`push_message`](Self::push_message)
    /// does with each.
    pub(crate) fn push_run(
        &mut self,
        pool: &mut ChunkPool,
        id: u32,
        (mailbox, order): (MailboxId, OrderTag),
        payloads: &[&[u8]],
    ) {
        let mut rest = payloads;
        while let Some(first) = rest.first() {
            let pushed = if self.overtaken.is_empty() && first.len() <= self.large_above_bytes {
                self.push_run_into_chunk(pool, id, mailbox, rest)
            } else {
                let message = OutgoingMessage {
                    mailbox,
                    order,
                    is_extended: false,
                    payload: Payload::Borrowed(first),
                };
                self.push_message(pool, id, message);
                1
            };
            rest = &rest[pushed..];
        }
    }

    /// Appends as many of `payloads`, none of which is large at the front, as go into one chunk: at least one.
    fn push_run_into_chunk(
        &mut self,
        pool: &mut ChunkPool,
        id: u32,
        mailbox: MailboxId,
        payloads: &[&[u8]],
    ) -> usize {
        let noted = self.notes_mailboxes.then_some(mailbox);
        let (chunk_bytes_max, large_above) = (self.chunk_bytes_max, self.large_above_bytes);
        let chunk = self.chunk_for(pool, HEADER_BYTES + payloads[0].len());
        chunk.make_room(pool, run_bytes(payloads));
        let before = chunk.payload_bytes();
        let pushed = chunk.push_run(id, noted, payloads, chunk_bytes_max, large_above);
        let bytes = chunk.payload_bytes() - before;
        self.messages += pushed as u64;
        self.payload_bytes += bytes;
        pushed
    }

    /// Whether it may not overtake what is there.
    #[cold]
    fn stays_behind(&self, message: &OutgoingMessage<'_>) -> bool {
        let keeps_order = self.fragments.is_none_or(|fragments| fragments.keeps_order);
        self.is_in_line || keeps_order && self.overtaken.has(message.order)
    }

    /// Not later than the deadline of any message in it; `None` if none has one.
    #[inline]
    pub(crate) fn first_due(&self) -> Option<Moment> {
        self.first_due
    }

    /// Removes the messages whose deadline has come. Of the first `kept` messages, which have to stay
    /// countable, an empty one is left in the place of each. Returns what they were charged for, and
    /// where they stood, counted from the front.
    pub(crate) fn expire(&mut self, pool: &mut ChunkPool, now: Moment, kept: u64) -> Expired {
        let mut expired = Expired::default();
        let mut place = 0;
        self.first_due = None;
        for chunk in &mut self.chunks {
            expired.take_out(chunk, pool, now, kept, &mut place);
            self.first_due = earlier(self.first_due, chunk.first_due);
        }
        self.overtaken.expire(pool, now, place, &mut expired);
        self.first_due = earlier(self.first_due, self.overtaken.first_due());
        let emptied = expired.places.iter().filter(|place| **place < kept);
        let removed = expired.load.messages - emptied.count() as u64;
        self.messages -= removed;
        self.payload_bytes -= expired.load.payload_bytes;
        // What holds no message has no frame but announcements, which go with what comes next.
        while let Some(place) = self.chunks.iter().position(|chunk| chunk.wire_bytes == 0)
            && let Some(empty) = self.chunks.remove(place)
        {
            pool.reuse(empty);
        }
        expired
    }

    /// Removes messages of `places`, counted from the front, in ascending order, none of which goes out in
    /// fragments.
    pub(crate) fn remove(&mut self, pool: &mut ChunkPool, places: &[u64]) {
        let mut gone = places.iter().peekable();
        let mut place = 0;
        for chunk in &mut self.chunks {
            if gone
                .peek()
                .is_none_or(|gone| **gone >= place + chunk.messages)
            {
                place += chunk.messages;
                continue;
            }
            chunk.rewrite(pool, |frame| {
                if !frame.is_message() {
                    return Fate::Stays;
                }
                let is_gone = gone.next_if(|gone| **gone == place).is_some();
                place += 1;
                if !is_gone {
                    return Fate::Stays;
                }
                self.messages -= 1;
                self.payload_bytes -= frame.head.body_bytes as u64;
                Fate::Goes
            });
        }
    }

    /// Appends the announcement of an id that stood for another mailbox: it keeps its place among the
    /// messages.
    #[cold]
    pub(crate) fn push_announcement(&mut self, pool: &mut ChunkPool, id: u32, name: &str) {
        if self.overtaken.is_empty() {
            let chunk = self.chunk_for(pool, HEADER_BYTES + name.len());
            chunk.push_announcement(id, name);
        } else {
            // Messages for the other mailbox may be among those, and what is for this one has to follow it.
            self.is_in_line = true;
            self.overtaken.push_announcement(id, name);
        }
    }

    /// The chunk that the next frame goes into, of which it takes so many encoded bytes.
    #[inline]
    fn chunk_for(&mut self, pool: &mut ChunkPool, bytes: usize) -> &mut Chunk {
        let newest = self.chunks.back();
        if !newest.is_some_and(|chunk| chunk.has_room_for(bytes, self.chunk_bytes_max)) {
            self.close_newest(pool);
            self.chunks.push_back(pool.chunk(bytes));
        }
        let newest = self.chunks.len() - 1;
        let newest = &mut self.chunks[newest];
        newest.make_room(pool, bytes);
        newest
    }

    /// The newest chunk gets no more frames. One that waits behind others gives back the room that it did not use: where little may
    /// be under way that is most of it, and what the log of a lane holds is to take the memory that it is charged for.
    fn close_newest(&mut self, pool: &mut ChunkPool) {
        if self.chunks.len() > CHUNKS_WHOLE_MAX
            && let Some(newest) = self.chunks.back_mut()
        {
            newest.close(pool);
        }
    }

    /// Takes the announcements at the front out of the way of what is dropped: messages behind it may
    /// be for them. Of an id that was announced again only the last matters, so they stay bounded.
    /// Afterwards a message is at the front, if there is any.
    fn lift_announcements(&mut self, pool: &mut ChunkPool) {
        while let Some(chunk) = self.chunks.front_mut() {
            let lifted = &mut self.lifted;
            chunk.lift_announcements(|id, frame| drop(lifted.insert(id, frame)));
            if chunk.messages > 0 {
                return;
            }
            if let Some(empty) = self.chunks.pop_front() {
                self.chunks_gone += 1;
                pool.reuse(empty);
            }
        }
    }

    /// The message at the front, where none goes out in fragments.
    pub(crate) fn front(&self) -> Option<Taken<'_>> {
        let chunk = self.chunks.iter().find(|chunk| chunk.messages > 0)?;
        chunk.front()
    }

    /// Removes the message at the front.
    pub(crate) fn drop_front(&mut self, pool: &mut ChunkPool) -> Option<Dropped> {
        self.lift_announcements(pool);
        let dropped = match self.chunks.front_mut() {
            Some(chunk) => chunk.drop_front()?,
            None => {
                let lifted = &mut self.lifted;
                let lift = |id, frame| drop(lifted.insert(id, frame));
                self.overtaken.drop_front(lift)?
            }
        };
        self.messages -= 1;
        self.payload_bytes -= dropped.bytes;
        self.lift_announcements(pool);
        Some(dropped)
    }

    /// Calls `each` for the messages here of which somebody waits to hear, with how many are ahead.
    pub(crate) fn each_awaited(&self, mut each: impl FnMut(u64, Awaited)) {
        let mut ahead = 0;
        for chunk in &self.chunks {
            chunk.each_awaited(|place, awaited| each(ahead + place, awaited));
            ahead += chunk.messages;
        }
        self.overtaken.each_awaited(ahead, each);
    }

    /// Empties the outbox; says how many messages it held.
    pub(crate) fn clear(&mut self, pool: &mut ChunkPool) -> Load {
        let load = Load {
            messages: self.messages,
            payload_bytes: self.payload_bytes,
            ..Load::default()
        };
        for chunk in self.chunks.drain(..) {
            pool.reuse(chunk);
        }
        *self = Self {
            notes_mailboxes: self.notes_mailboxes,
            ..Self::default()
        };
        load
    }

    /// Empties the outbox of its messages, in their order; the lane's own frames stay.
    pub(crate) fn take_chunks(&mut self) -> impl Iterator<Item = Rc<Chunk>> + use<> {
        self.messages = 0;
        self.payload_bytes = 0;
        self.first_due = None;
        self.is_in_line = false;
        self.lifted.clear();
        let overtaken = std::mem::take(&mut self.overtaken).into_chunks();
        let chunks = std::mem::take(&mut self.chunks).into_iter();
        chunks.chain(overtaken).map(Rc::new)
    }

    /// Puts what `other` holds behind what is here; neither has messages that go out in fragments.
    pub(crate) fn append(&mut self, mut other: Self) {
        debug_assert!(self.overtaken.is_empty() && other.overtaken.is_empty());
        self.control.append(&mut other.control);
        self.chunks.append(&mut other.chunks);
        self.messages += other.messages;
        self.payload_bytes += other.payload_bytes;
        self.first_due = earlier(self.first_due, other.first_due);
    }
}

/// What a run takes encoded: no more of it is looked at than what outgrows a small buffer.
fn run_bytes(payloads: &[&[u8]]) -> usize {
    let mut bytes = 0;
    for payload in payloads {
        bytes += HEADER_BYTES + payload.len();
        if bytes > SMALL_BYTES {
            break;
        }
    }
    bytes
}
