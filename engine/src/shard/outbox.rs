//! The outbox of a lane: frames waiting for its socket, and the batch that is being sent.
//!
//! Frames are encoded once, here, into chunks; a batch is a few chunks given to the kernel in one
//! operation. While a batch is under way the next chunk fills, so batching follows load by itself.
//! Owned by its lane; it does not know sockets, only bytes. A batch belongs to its connection while
//! the kernel reads it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use crate::awaited::{Awaited, awaited};
use crate::deadline::{Moment, earlier};
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::wire::control::append_mailbox;
use crate::wire::extension::{deadline_of, extension_block_bytes, set_deadline};
use crate::wire::frame::{EXTENDED_KIND_BIT, mark_extended};
use crate::wire::{FrameKind, HEADER_BYTES, put_header};

/// Encoded bytes in one chunk. A batch of this size costs one system call for about 900 messages of
/// 64 bytes, and stays within the second-level cache beside the receive buffers.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Wire bytes at which a chunk of shared payloads is closed, so that a quantum can be kept to.
const CHUNK_WIRE_BYTES: usize = 64 * 1024;

/// Shared payloads in one chunk, and chunks in one batch: the kernel takes at most 1,024 pieces in
/// one operation, and each shared payload makes two.
const SHARED_PIECES_MAX: usize = 64;
const BATCH_CHUNKS_MAX: usize = 7;

/// Empty chunks kept by a shard for reuse: 4 MiB.
const POOL_CHUNKS_MAX: usize = 64;

/// A payload that goes out by reference, after the `at`th encoded byte of its chunk.
#[derive(Clone, Debug)]
struct SharedPiece {
    at: usize,
    /// With the extension, if there is one; that is encoded too, and goes out from there.
    payload: Bytes,
    /// Bytes of the extension, its length included.
    head: usize,
}

impl SharedPiece {
    /// Whether it is of the frame with that header, whose body begins at `body_at`. An empty body is never
    /// shared: it is inline by any limit.
    fn belongs_to(&self, head: &Head, body_at: usize) -> bool {
        head.body_bytes > 0 && self.at == body_at + self.head
    }
}

/// Some whole frames, encoded.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    /// Where the first frame begins that was not dropped or looped back.
    head: usize,
    shared: VecDeque<SharedPiece>,
    wire_bytes: usize,
    messages: u64,
    /// What the messages were charged for at the gate.
    payload_bytes: u64,
    /// There are messages with an extension among them.
    has_extended: bool,
    /// Not later than the deadline of any message in it.
    first_due: Option<Moment>,
    /// When it was handed over: since then, encoded deadlines are what was left of them.
    counted_from: Option<Moment>,
}

impl Chunk {
    /// Messages in it.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// What they were charged for at the gate.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Calls `each` with its bytes as they go out, piece by piece.
    fn each_piece(&self, mut each: impl FnMut(&[u8])) {
        let mut from = self.head;
        for piece in &self.shared {
            each(&self.bytes[from..piece.at]);
            each(&piece.payload[piece.head..]);
            from = piece.at;
        }
        each(&self.bytes[from..]);
    }

    /// Calls `each` for the messages of which somebody waits to hear, with how many are ahead.
    pub(crate) fn each_awaited(&self, mut each: impl FnMut(u64, Awaited)) {
        if !self.has_extended {
            return;
        }
        let mut ahead = 0;
        self.each_message(|is_extended, payload| {
            if is_extended && let Some(awaited) = awaited(payload.as_slice()) {
                each(ahead, awaited);
            }
            ahead += 1;
        });
    }

    /// Calls `take` with each message, in order: whether its payload begins with an extension, and the
    /// payload, with its deadline by this node's clock.
    pub(crate) fn each_message(&self, mut take: impl FnMut(bool, Payload<'_>)) {
        for frame in self.frames().filter(Frame::is_message) {
            let is_extended = frame.head.is_extended;
            match (self.counted_from, frame.payload()) {
                (Some(from), Payload::Borrowed(bytes))
                    if is_extended && deadline_of(bytes).is_some() =>
                {
                    let mut bytes = bytes.to_vec();
                    let left_ms = deadline_of(&bytes).unwrap_or(0);
                    set_deadline(&mut bytes, from.plus(left_ms).0);
                    take(true, Payload::Borrowed(&bytes));
                }
                (_, payload) => take(is_extended, payload),
            }
        }
    }

    /// The frames that were not dropped, in order.
    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut shared = self.shared.iter().peekable();
        let mut at = self.head;
        std::iter::from_fn(move || {
            let head = read_header(self.bytes.get(at..)?)?;
            let body_at = at + HEADER_BYTES;
            let piece = shared.next_if(|piece| piece.belongs_to(&head, body_at));
            let encoded = piece.map_or(head.body_bytes, |piece| piece.head);
            let bytes = self.bytes.get(at..body_at + encoded)?;
            at = body_at + encoded;
            Some(Frame { head, bytes, piece })
        })
    }

    /// Appends a frame of another chunk.
    fn copy(&mut self, frame: &Frame<'_>) {
        self.bytes.extend_from_slice(frame.bytes);
        if let Some(piece) = frame.piece {
            self.shared.push_back(SharedPiece {
                at: self.bytes.len(),
                ..piece.clone()
            });
        }
        self.wire_bytes += HEADER_BYTES + frame.head.body_bytes;
        if frame.is_message() {
            self.messages += 1;
            self.payload_bytes += frame.head.body_bytes as u64;
        }
        self.first_due = earlier(self.first_due, frame.due());
        self.has_extended |= frame.head.is_extended;
    }

    /// Appends a message without anything in it.
    fn push_empty(&mut self) {
        self.bytes
            .extend_from_slice(&header(FrameKind::Message, 0, 0));
        self.wire_bytes += HEADER_BYTES;
        self.messages += 1;
    }

    /// It is handed over now: from here on each deadline says what is left of it.
    fn count_down(&mut self, now: Moment) {
        let mut shared = self.shared.iter().peekable();
        let mut at = self.head;
        while let Some(head) = self.bytes.get(at..).and_then(read_header) {
            let body_at = at + HEADER_BYTES;
            let piece = shared.next_if(|piece| piece.belongs_to(&head, body_at));
            at = body_at + piece.map_or(head.body_bytes, |piece| piece.head);
            let body = &mut self.bytes[body_at..at];
            if head.is_extended
                && let Some(due) = deadline_of(body)
            {
                set_deadline(body, Moment(due).left_ms(now).unwrap_or(0));
            }
        }
        self.counted_from = Some(now);
    }
}

/// A frame in a chunk.
struct Frame<'c> {
    head: Head,
    /// What of it is encoded.
    bytes: &'c [u8],
    /// The rest.
    piece: Option<&'c SharedPiece>,
}

impl<'c> Frame<'c> {
    fn is_message(&self) -> bool {
        // The rest are messages, whose kind has a bit more if they are extended.
        self.head.kind != Some(FrameKind::Mailbox)
    }

    /// With its extension.
    fn payload(&self) -> Payload<'c> {
        match self.piece {
            Some(piece) => Payload::Shared(piece.payload.clone()),
            None => Payload::Borrowed(&self.bytes[HEADER_BYTES..]),
        }
    }

    /// When it is worth nothing any more. Not for frames of a chunk that was handed over.
    fn due(&self) -> Option<Moment> {
        let is_extended = self.head.is_extended;
        is_extended.then(|| deadline_of(&self.bytes[HEADER_BYTES..]).map(Moment))?
    }
}

impl Chunk {
    /// Takes what `next` holds behind what is here, if one chunk can hold both; then `next` is empty.
    pub(crate) fn absorb(&mut self, next: &mut Self) -> bool {
        let added = &next.bytes[next.head..];
        let fits = self.bytes.len() + added.len() <= CHUNK_BYTES
            && self.shared.len() + next.shared.len() <= SHARED_PIECES_MAX;
        // Deadlines count from when their own chunk was handed over; and they end soon.
        let has_deadlines = self.first_due.or(next.first_due).is_some();
        if !fits || has_deadlines {
            return false;
        }
        let (from, to) = (next.head, self.bytes.len());
        self.bytes.extend_from_slice(added);
        self.shared
            .extend(next.shared.drain(..).map(|piece| SharedPiece {
                at: piece.at - from + to,
                ..piece
            }));
        self.wire_bytes += next.wire_bytes;
        self.messages += next.messages;
        self.payload_bytes += next.payload_bytes;
        self.has_extended |= next.has_extended;
        *next = Self::default();
        true
    }
}

/// Spare buffers for chunks.
#[derive(Debug, Default)]
pub(crate) struct ChunkPool {
    free: Vec<Vec<u8>>,
    /// How many were free all the time since the pool was trimmed.
    unused: usize,
}

impl ChunkPool {
    fn chunk(&mut self) -> Chunk {
        let bytes = self
            .free
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES));
        self.unused = self.unused.min(self.free.len());
        Chunk {
            bytes,
            ..Chunk::default()
        }
    }

    /// Takes a chunk back, unless somebody else still needs it.
    pub(crate) fn recycle(&mut self, chunk: impl Into<Rc<Chunk>>) {
        if let Some(chunk) = Rc::into_inner(chunk.into()) {
            self.reuse(chunk);
        }
    }

    fn reuse(&mut self, chunk: Chunk) {
        let mut bytes = chunk.bytes;
        if self.free.len() < POOL_CHUNKS_MAX && bytes.capacity() >= CHUNK_BYTES {
            bytes.clear();
            self.free.push(bytes);
        }
    }

    /// Gives back what nobody has needed since this was called last.
    pub(crate) fn trim(&mut self) {
        drop(self.free.drain(..self.unused));
        self.free.shrink_to_fit();
        self.unused = self.free.len();
    }
}

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

/// What a batch held, for the ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) wire_bytes: u64,
}

impl Load {
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.payload_bytes += other.payload_bytes;
        self.wire_bytes += other.wire_bytes;
    }
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
                expire_chunk(chunk, pool, now, &mut place, kept, &mut expired);
            } else {
                place += chunk.messages;
            }
            self.first_due = earlier(self.first_due, chunk.first_due);
        }
        let emptied = expired.places.iter().filter(|place| **place < kept);
        let removed = expired.load.messages - emptied.count() as u64;
        self.messages -= removed;
        self.payload_bytes -= expired.load.payload_bytes;
        if !self.mailboxes.is_empty() {
            let mut gone = expired
                .places
                .iter()
                .filter(|place| **place >= kept)
                .peekable();
            let mut place = 0..;
            self.mailboxes.retain(|_| {
                let place = place.next();
                gone.next_if(|gone| Some(**gone) == place).is_none()
            });
        }
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
            let mut rest = pool.chunk();
            for frame in chunk.frames() {
                let is_gone = frame.is_message() && gone.next_if(|gone| **gone == place).is_some();
                place += u64::from(frame.is_message());
                if is_gone {
                    self.messages -= 1;
                    self.payload_bytes -= frame.head.body_bytes as u64;
                } else {
                    rest.copy(&frame);
                }
            }
            pool.reuse(std::mem::replace(chunk, rest));
        }
        let mut gone = places.iter().peekable();
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
        let fits = self.chunks.back().is_some_and(|chunk| {
            chunk.bytes.len() + bytes <= CHUNK_BYTES
                && chunk.wire_bytes < CHUNK_WIRE_BYTES
                && chunk.shared.len() < SHARED_PIECES_MAX
        });
        if !fits {
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

/// The same for one chunk, whose first message stands at `place`.
fn expire_chunk(
    chunk: &mut Chunk,
    pool: &mut ChunkPool,
    now: Moment,
    place: &mut u64,
    kept: u64,
    expired: &mut Expired,
) {
    let mut rest = pool.chunk();
    for frame in chunk.frames() {
        if frame.due().is_some_and(|due| due.has_come(now)) {
            expired.load.messages += 1;
            expired.load.payload_bytes += frame.head.body_bytes as u64;
            expired.places.push(*place);
            if let Some(Awaited::Receipt(number)) = awaited(frame.payload().as_slice()) {
                expired.receipts.push((*place, number));
            }
            if *place < kept {
                rest.push_empty();
            }
        } else {
            rest.copy(&frame);
        }
        *place += u64::from(frame.is_message());
    }
    pool.reuse(std::mem::replace(chunk, rest));
}

#[inline]
fn header(kind: FrameKind, body_bytes: u32, word: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    put_header(&mut header, kind, body_bytes, word);
    header
}

/// What the header of a frame in a chunk says.
struct Head {
    kind: Option<FrameKind>,
    is_extended: bool,
    body_bytes: usize,
    word: u32,
}

fn read_header(bytes: &[u8]) -> Option<Head> {
    let first = u32::from_le_bytes(*bytes.first_chunk()?);
    let word = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    Some(Head {
        kind: FrameKind::from_code(first.to_be_bytes()[0]),
        is_extended: first.to_be_bytes()[0] & EXTENDED_KIND_BIT != 0,
        body_bytes: usize::try_from(first & 0x00FF_FFFF).ok()?,
        word,
    })
}

/// What is with the kernel now. Its bytes stay where they are until the operation completes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    control: Vec<u8>,
    /// Shared with the log of a lane that keeps its messages.
    chunks: Vec<Rc<Chunk>>,
    /// What goes out in place of the chunks, if they are compressed.
    compressed: Vec<u8>,
    load: Load,
    sent: usize,
    vectors: Vec<Vector>,
}

/// An entry of a scatter list, as `sendmsg` takes it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Vector(libc::iovec);

/// How a batch goes to the kernel.
#[derive(Debug)]
pub(crate) enum Shape<'a> {
    /// In one piece.
    Contiguous(&'a [u8]),
    /// In several: the list to put into the message header.
    Scattered(&'a mut [Vector]),
}

impl Batch {
    /// Bytes of the batch not sent yet.
    pub(crate) fn remaining(&self) -> usize {
        usize::try_from(self.load.wire_bytes).unwrap_or(usize::MAX) - self.sent
    }

    /// So many more bytes were sent.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes.min(self.remaining());
    }

    pub(crate) fn load(&self) -> Load {
        self.load
    }

    pub(crate) fn chunks(&self) -> &[Rc<Chunk>] {
        &self.chunks
    }

    /// What its messages take, headers included.
    pub(crate) fn message_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.wire_bytes).sum()
    }

    /// Appends the frames of its chunks, in one piece.
    pub(crate) fn gather(&self, frames: &mut Vec<u8>) {
        for chunk in &self.chunks {
            chunk.each_piece(|piece| frames.extend_from_slice(piece));
        }
    }

    /// The frame `compressed` goes out in place of its chunks. Nothing has been sent yet.
    pub(crate) fn replace(&mut self, compressed: &[u8]) {
        self.compressed.extend_from_slice(compressed);
        self.load.wire_bytes = (self.control.len() + compressed.len()) as u64;
    }

    /// The pieces not sent yet.
    pub(crate) fn shape(&mut self) -> Shape<'_> {
        let sent = self.sent;
        if !self.compressed.is_empty() {
            return self.shape_compressed();
        }
        if let ([chunk], true) = (&self.chunks[..], self.control.is_empty())
            && chunk.shared.is_empty()
        {
            return Shape::Contiguous(&chunk.bytes[chunk.head + sent..]);
        }
        if self.chunks.is_empty() {
            return Shape::Contiguous(&self.control[sent..]);
        }
        self.vectors.clear();
        let mut skip = sent;
        push_vector(&mut self.vectors, &self.control, &mut skip);
        let vectors = &mut self.vectors;
        for chunk in &self.chunks {
            chunk.each_piece(|piece| push_vector(vectors, piece, &mut skip));
        }
        Shape::Scattered(&mut self.vectors)
    }

    fn shape_compressed(&mut self) -> Shape<'_> {
        if let Some(sent) = self.sent.checked_sub(self.control.len()) {
            return Shape::Contiguous(&self.compressed[sent..]);
        }
        self.vectors.clear();
        let mut skip = self.sent;
        push_vector(&mut self.vectors, &self.control, &mut skip);
        push_vector(&mut self.vectors, &self.compressed, &mut skip);
        Shape::Scattered(&mut self.vectors)
    }

    /// The batch is sent, or will never be: its buffers go back.
    pub(crate) fn finish(&mut self, pool: &mut ChunkPool) -> Load {
        for chunk in self.chunks.drain(..) {
            pool.recycle(chunk);
        }
        self.control.clear();
        self.compressed.clear();
        self.sent = 0;
        std::mem::take(&mut self.load)
    }
}

fn push_vector(vectors: &mut Vec<Vector>, bytes: &[u8], skip: &mut usize) {
    let skipped = (*skip).min(bytes.len());
    *skip -= skipped;
    let rest = &bytes[skipped..];
    if !rest.is_empty() {
        vectors.push(Vector(libc::iovec {
            iov_base: rest.as_ptr().cast_mut().cast(),
            iov_len: rest.len(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_back_what_was_not_needed_since_it_was_trimmed() {
        let mut pool = ChunkPool::default();
        let chunks: Vec<_> = (0..5).map(|_| pool.chunk()).collect();
        chunks.into_iter().for_each(|chunk| pool.reuse(chunk));
        pool.trim();
        assert_eq!(pool.free.len(), 5, "all were needed");
        let (one, other) = (pool.chunk(), pool.chunk());
        pool.reuse(one);
        pool.reuse(other);
        pool.trim();
        assert_eq!(pool.free.len(), 2, "two were needed at a time");
        pool.trim();
        assert_eq!(pool.free.len(), 0);
    }

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
