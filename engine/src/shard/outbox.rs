//! The outbox of a lane: frames waiting for its socket, and the batch that is being sent.
//!
//! Frames are encoded once, here, into chunks; a batch is a few chunks given to the kernel in one
//! operation. While a batch is under way the next chunk fills, so batching follows load by itself.
//! Owned by its lane; it does not know sockets, only bytes.

mod batch;
mod chunk;
mod piece;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::awaited::{Awaited, awaited};
use crate::deadline::{Moment, earlier};
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::wire::control::append_mailbox;
use crate::wire::extension::{deadline_of, extension_block_bytes};
use crate::wire::frame::mark_extended;
use crate::wire::{FrameKind, HEADER_BYTES};
use batch::BATCH_CHUNKS_MAX;
use chunk::{Fate, Frame, SharedPiece, header, read_header};

pub(crate) use batch::{Batch, Load, Shape};
#[cfg(test)]
pub(crate) use chunk::CHUNK_BYTES;
pub(crate) use chunk::{Chunk, ChunkPool};

/// A message on its way into a lane.
#[derive(Debug)]
pub(crate) struct OutgoingMessage<'a> {
    pub(crate) mailbox: MailboxId,
    /// The payload begins with an extension.
    pub(crate) is_extended: bool,
    /// What is borrowed is copied into a chunk, what is shared is sent by reference.
    pub(crate) payload: Payload<'a>,
}

impl OutgoingMessage<'_> {
    /// Who waits to hear of it, if anybody does.
    pub(crate) fn awaited(&self) -> Option<Awaited> {
        let is_extended = self.is_extended;
        is_extended.then(|| awaited(self.payload.as_slice()))?
    }

    /// Bytes of the application's own.
    #[inline]
    pub(crate) fn payload_bytes(&self) -> usize {
        let bytes = self.payload.len();
        if self.is_extended {
            bytes - extension_block_bytes(self.payload.as_slice())
        } else {
            bytes
        }
    }
}

/// One frame taken out at the front again: dropped, or looped back to this node itself.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    /// The payload begins with an extension.
    pub(crate) is_extended: bool,
    /// If it was noted.
    pub(crate) mailbox: Option<MailboxId>,
    pub(crate) payload: Payload<'a>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Frames of the lane's own (announcements, acknowledgements, the farewell). They go first.
    control: Vec<u8>,
    /// Announcements that stood behind a message that was dropped, the last one for each id: they go
    /// after `control`, and ahead of everything that is still here.
    lifted: BTreeMap<u32, Box<[u8]>>,
    chunks: VecDeque<Chunk>,
    /// On the lane to this node itself, where no ids are announced: the mailboxes of all messages, in
    /// their order.
    mailboxes: VecDeque<MailboxId>,
    messages: u64,
    payload_bytes: u64,
    /// Not later than the deadline of any message in it.
    first_due: Option<Moment>,
}

/// A message that was removed at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// What it was charged for at the gate.
    pub(crate) bytes: u64,
    /// Who waits to hear of it, if anybody does.
    pub(crate) awaited: Option<Awaited>,
}

impl Outbox {
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

    /// The message that is appended next is for that mailbox of this node itself.
    pub(crate) fn note_mailbox(&mut self, mailbox: MailboxId) {
        self.mailboxes.push_back(mailbox);
    }

    /// Appends a message. Its size has been checked against the channel's limit at the API.
    #[inline]
    pub(crate) fn push_message(
        &mut self,
        pool: &mut ChunkPool,
        id: u32,
        message: OutgoingMessage<'_>,
    ) {
        let OutgoingMessage {
            payload,
            is_extended,
            ..
        } = message;
        let length = payload.len();
        let head = if is_extended {
            extension_block_bytes(payload.as_slice())
        } else {
            0
        };
        let inline = if let Payload::Borrowed(bytes) = &payload {
            bytes.len()
        } else {
            head
        };
        let Some(chunk) = self.chunk_for(pool, HEADER_BYTES + inline) else {
            return;
        };
        let frame_length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut header = header(FrameKind::Message, frame_length, id);
        let mut due = None;
        if is_extended {
            mark_extended(&mut header);
            chunk.has_extended = true;
            due = deadline_of(payload.as_slice()).map(Moment);
            chunk.first_due = earlier(chunk.first_due, due);
        }
        chunk.bytes.extend_from_slice(&header);
        match payload {
            Payload::Borrowed(bytes) => chunk.bytes.extend_from_slice(bytes),
            Payload::Shared(payload) => {
                // Encoded, so that the deadline in it can be counted down.
                chunk.bytes.extend_from_slice(&payload[..head]);
                chunk.shared.push_back(SharedPiece {
                    at: chunk.bytes.len(),
                    payload,
                    head,
                });
            }
        }
        chunk.wire_bytes += HEADER_BYTES + length;
        chunk.messages += 1;
        chunk.payload_bytes += length as u64;
        self.messages += 1;
        self.payload_bytes += length as u64;
        if due.is_some() {
            self.first_due = earlier(self.first_due, due);
        }
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
            if chunk.first_due.is_some_and(|due| due.has_come(now)) {
                chunk.rewrite(pool, |frame| {
                    let fate = if !frame.due().is_some_and(|due| due.has_come(now)) {
                        Fate::Stays
                    } else if place < kept {
                        Fate::Emptied
                    } else {
                        Fate::Goes
                    };
                    if !matches!(fate, Fate::Stays) {
                        expired.note(frame, place);
                    }
                    place += u64::from(frame.is_message());
                    fate
                });
            } else {
                place += chunk.messages;
            }
            self.first_due = earlier(self.first_due, chunk.first_due);
        }
        let emptied = expired.places.iter().filter(|place| **place < kept);
        let removed = expired.load.messages - emptied.count() as u64;
        self.messages -= removed;
        self.payload_bytes -= expired.load.payload_bytes;
        let gone = expired.places.iter().filter(|place| **place >= kept);
        self.forget_mailboxes(gone);
        // What holds no message has no frame but announcements, which go with what comes next.
        while let Some(place) = self.chunks.iter().position(|chunk| chunk.wire_bytes == 0)
            && let Some(empty) = self.chunks.remove(place)
        {
            pool.reuse(empty);
        }
        expired
    }

    /// Removes messages of `places`, counted from the front, in ascending order.
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
        self.forget_mailboxes(places);
    }

    /// The messages at those places are gone, which ascend.
    fn forget_mailboxes<'p>(&mut self, places: impl IntoIterator<Item = &'p u64>) {
        let mut gone = places.into_iter().peekable();
        let mut place = 0..;
        self.mailboxes.retain(|_| {
            let place = place.next();
            gone.next_if(|gone| Some(**gone) == place).is_none()
        });
    }

    /// Appends the announcement of an id that stood for another mailbox: it keeps its place among the
    /// messages.
    #[cold]
    pub(crate) fn push_announcement(&mut self, pool: &mut ChunkPool, id: u32, name: &str) {
        let Some(chunk) = self.chunk_for(pool, HEADER_BYTES + name.len()) else {
            return;
        };
        let before = chunk.bytes.len();
        append_mailbox(&mut chunk.bytes, id, name);
        chunk.wire_bytes += chunk.bytes.len() - before;
    }

    /// The chunk that the next frame goes into, of which it takes so many encoded bytes.
    #[inline]
    fn chunk_for(&mut self, pool: &mut ChunkPool, bytes: usize) -> Option<&mut Chunk> {
        let newest = self.chunks.back();
        if !newest.is_some_and(|chunk| chunk.has_room_for(bytes)) {
            self.chunks.push_back(pool.chunk());
        }
        self.chunks.back_mut()
    }

    /// Takes the announcements at the front out of the way of what is dropped: messages behind it may
    /// be for them. Of an id that was announced again only the last matters, so they stay bounded.
    /// Afterwards a message is at the front, if there is any.
    fn lift_announcements(&mut self, pool: &mut ChunkPool) {
        while let Some(chunk) = self.chunks.front_mut() {
            while let Some(head) = read_header(&chunk.bytes[chunk.head..])
                && head.kind == Some(FrameKind::Mailbox)
            {
                let end = chunk.head + HEADER_BYTES + head.body_bytes;
                let frame = Box::from(&chunk.bytes[chunk.head..end]);
                chunk.wire_bytes -= end - chunk.head;
                chunk.head = end;
                self.lifted.insert(head.word, frame);
            }
            if chunk.messages > 0 {
                return;
            }
            if let Some(empty) = self.chunks.pop_front() {
                pool.reuse(empty);
            }
        }
    }

    /// The message at the front.
    pub(crate) fn front(&self) -> Option<Taken<'_>> {
        let chunk = self.chunks.iter().find(|chunk| chunk.messages > 0)?;
        let frame = chunk.frames().find(Frame::is_message)?;
        Some(Taken {
            is_extended: frame.head.is_extended,
            mailbox: self.mailboxes.front().copied(),
            payload: frame.payload(),
        })
    }

    /// Removes the message at the front.
    pub(crate) fn drop_front(&mut self, pool: &mut ChunkPool) -> Option<Dropped> {
        self.lift_announcements(pool);
        let chunk = self.chunks.front_mut()?;
        let frame = chunk.frames().next()?;
        let body_bytes = frame.head.body_bytes;
        let is_extended = frame.head.is_extended;
        let awaited = is_extended.then(|| awaited(frame.payload().as_slice()));
        let (awaited, encoded, is_shared) =
            (awaited.flatten(), frame.bytes.len(), frame.piece.is_some());
        chunk.head += encoded;
        if is_shared {
            chunk.shared.pop_front();
        }
        chunk.wire_bytes -= HEADER_BYTES + body_bytes;
        chunk.messages -= 1;
        chunk.payload_bytes -= body_bytes as u64;
        self.mailboxes.pop_front();
        self.messages -= 1;
        self.payload_bytes -= body_bytes as u64;
        self.lift_announcements(pool);
        Some(Dropped {
            bytes: body_bytes as u64,
            awaited,
        })
    }

    /// Calls `each` for the messages here of which somebody waits to hear, with how many are ahead.
    pub(crate) fn each_awaited(&self, mut each: impl FnMut(u64, Awaited)) {
        let mut ahead = 0;
        for chunk in &self.chunks {
            chunk.each_awaited(|place, awaited| each(ahead + place, awaited));
            ahead += chunk.messages;
        }
    }

    /// Empties the outbox; says how many messages it held.
    pub(crate) fn clear(&mut self, pool: &mut ChunkPool) -> Load {
        let load = Load {
            messages: self.messages,
            payload_bytes: self.payload_bytes,
            wire_bytes: 0,
        };
        for chunk in self.chunks.drain(..) {
            pool.reuse(chunk);
        }
        *self = Self::default();
        load
    }

    /// Empties the outbox of its messages, in their order; the lane's own frames stay.
    pub(crate) fn take_chunks(&mut self) -> impl Iterator<Item = Rc<Chunk>> + use<> {
        self.messages = 0;
        self.payload_bytes = 0;
        self.first_due = None;
        self.lifted.clear();
        std::mem::take(&mut self.chunks).into_iter().map(Rc::new)
    }

    /// Puts what `other` holds behind what is here.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.control.append(&mut other.control);
        self.chunks.append(&mut other.chunks);
        self.mailboxes.append(&mut other.mailboxes);
        self.messages += other.messages;
        self.payload_bytes += other.payload_bytes;
        self.first_due = earlier(self.first_due, other.first_due);
    }

    /// Moves the lane's own frames alone into `batch`.
    pub(crate) fn fill_control(&mut self, batch: &mut Batch) -> Load {
        batch.control.append(&mut self.control);
        batch.load = Load {
            wire_bytes: batch.control.len() as u64,
            ..Load::default()
        };
        batch.load
    }

    /// Moves whole chunks into `batch`, at least one if there is any, until `bytes_max` is reached; their
    /// deadlines are what is left of them from now on.
    pub(crate) fn fill(&mut self, batch: &mut Batch, bytes_max: usize, now: Moment) -> Load {
        batch.control.append(&mut self.control);
        for frame in std::mem::take(&mut self.lifted).into_values() {
            batch.control.extend_from_slice(&frame);
        }
        let mut wire_bytes = batch.control.len();
        let mut load = Load::default();
        while let Some(chunk) = self.chunks.front() {
            let full =
                batch.chunks.len() >= BATCH_CHUNKS_MAX || wire_bytes + chunk.wire_bytes > bytes_max;
            if !batch.chunks.is_empty() && full {
                break;
            }
            wire_bytes += chunk.wire_bytes;
            load.messages += chunk.messages;
            load.payload_bytes += chunk.payload_bytes;
            if let Some(mut chunk) = self.chunks.pop_front() {
                if chunk.first_due.is_some() {
                    chunk.count_down(now);
                }
                batch.chunks.push(Rc::new(chunk));
            }
        }
        self.messages -= load.messages;
        self.payload_bytes -= load.payload_bytes;
        if self.chunks.is_empty() {
            self.first_due = None;
        }
        load.wire_bytes = wire_bytes as u64;
        batch.load = load;
        load
    }
}

/// What was removed because its deadline had come.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    pub(crate) load: Load,
    /// Where they stood, counted from the front, in ascending order.
    pub(crate) places: Vec<u64>,
    /// The receipts among them, each with the place of its message.
    pub(crate) receipts: Vec<(u64, u64)>,
}

impl Expired {
    /// That message, which stood at `place`.
    fn note(&mut self, frame: &Frame<'_>, place: u64) {
        self.load.messages += 1;
        self.load.payload_bytes += frame.head.body_bytes as u64;
        self.places.push(place);
        if let Some(Awaited::Receipt(number)) = awaited(frame.payload().as_slice()) {
            self.receipts.push((place, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_chunk_that_absorbs_another_holds_the_messages_of_both_in_order() {
        let mut pool = ChunkPool::default();
        let mut all = Vec::new();
        let mut chunk = |payloads: &[Payload<'static>]| {
            let mut outbox = Outbox::default();
            for payload in payloads {
                all.push(payload.as_slice().to_vec());
                let message = OutgoingMessage {
                    mailbox: MailboxId::from_words(0, 0),
                    is_extended: false,
                    payload: payload.clone(),
                };
                outbox.push_message(&mut pool, 0, message);
            }
            outbox.chunks.pop_front().expect("they fit into one")
        };
        let large = |byte| Payload::Shared(Bytes::from(vec![byte; 5_000]));
        let mut older = chunk(&[Payload::Borrowed(b"1"), large(2), Payload::Borrowed(b"")]);
        let mut newer = chunk(&[large(4), Payload::Borrowed(b"five"), large(6)]);
        let full = vec![7; CHUNK_BYTES - 60].leak();
        let mut huge = chunk(&[Payload::Borrowed(full)]);
        all.pop();
        assert!(older.absorb(&mut newer));
        assert!(!older.absorb(&mut huge), "there is no room");
        assert_eq!((older.messages(), newer.messages()), (6, 0));
        let mut found = Vec::new();
        older.each_message(|_, payload| found.push(payload.as_slice().to_vec()));
        assert_eq!(found, all);
        let bytes: usize = found.iter().map(Vec::len).sum();
        assert_eq!(older.payload_bytes(), bytes as u64);
        assert_eq!(huge.messages(), 1);
    }
}
