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
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::wire::control::append_mailbox;
use crate::wire::extension::extension_block_bytes;
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
#[derive(Debug)]
struct SharedPiece {
    at: usize,
    payload: Bytes,
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
            each(&piece.payload);
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
    /// payload.
    pub(crate) fn each_message(&self, mut take: impl FnMut(bool, Payload<'_>)) {
        let mut shared = self.shared.iter().peekable();
        let mut at = self.head;
        while let Some(head) = read_header(self.bytes.get(at..).unwrap_or_default()) {
            let body_at = at + HEADER_BYTES;
            let piece = shared.next_if(|piece| head.body_bytes > 0 && piece.at == body_at);
            let payload = match piece {
                Some(piece) => Payload::Shared(piece.payload.clone()),
                None => Payload::Borrowed(&self.bytes[body_at..body_at + head.body_bytes]),
            };
            at = match &payload {
                Payload::Shared(_) => body_at,
                Payload::Borrowed(bytes) => body_at + bytes.len(),
            };
            // The rest are messages, whose kind has a bit more if they are extended.
            if head.kind != Some(FrameKind::Mailbox) {
                take(head.is_extended, payload);
            }
        }
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
        let inline = if let Payload::Borrowed(bytes) = &payload {
            bytes.len()
        } else {
            0
        };
        let Some(chunk) = self.chunk_for(pool, HEADER_BYTES + inline) else {
            return;
        };
        let frame_length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut header = header(FrameKind::Message, frame_length, id);
        if is_extended {
            mark_extended(&mut header);
            chunk.has_extended = true;
        }
        chunk.bytes.extend_from_slice(&header);
        match payload {
            Payload::Borrowed(bytes) => chunk.bytes.extend_from_slice(bytes),
            Payload::Shared(payload) => {
                chunk.shared.push_back(SharedPiece {
                    at: chunk.bytes.len(),
                    payload,
                });
            }
        }
        chunk.wire_bytes += HEADER_BYTES + length;
        chunk.messages += 1;
        chunk.payload_bytes += length as u64;
        self.messages += 1;
        self.payload_bytes += length as u64;
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
        let chunk = self.chunks.front()?;
        let Head {
            body_bytes,
            is_extended,
            ..
        } = read_header(&chunk.bytes[chunk.head..])?;
        let body_at = chunk.head + HEADER_BYTES;
        let payload = match chunk.shared.front() {
            Some(piece) if is_shared(chunk, body_at, body_bytes) => {
                Payload::Shared(piece.payload.clone())
            }
            _ => Payload::Borrowed(&chunk.bytes[body_at..body_at + body_bytes]),
        };
        Some(Taken {
            is_extended,
            mailbox: self.mailboxes.front().copied(),
            payload,
        })
    }

    /// Removes the message at the front.
    pub(crate) fn drop_front(&mut self, pool: &mut ChunkPool) -> Option<Dropped> {
        self.lift_announcements(pool);
        let chunk = self.chunks.front_mut()?;
        let Head {
            body_bytes,
            is_extended,
            ..
        } = read_header(&chunk.bytes[chunk.head..])?;
        let body_at = chunk.head + HEADER_BYTES;
        let awaited = |body: &[u8]| is_extended.then(|| awaited(body)).flatten();
        let awaited = if is_shared(chunk, body_at, body_bytes) {
            chunk.head = body_at;
            let piece = chunk.shared.pop_front()?;
            awaited(&piece.payload)
        } else {
            chunk.head = body_at + body_bytes;
            awaited(&chunk.bytes[body_at..chunk.head])
        };
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

    /// Moves whole chunks into `batch`, at least one if there is any, until `bytes_max` is reached.
    pub(crate) fn fill(&mut self, batch: &mut Batch, bytes_max: usize) -> Load {
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
            if let Some(chunk) = self.chunks.pop_front() {
                batch.chunks.push(Rc::new(chunk));
            }
        }
        self.messages -= load.messages;
        self.payload_bytes -= load.payload_bytes;
        load.wire_bytes = wire_bytes as u64;
        batch.load = load;
        load
    }
}

fn is_shared(chunk: &Chunk, body_at: usize, body_bytes: usize) -> bool {
    // An empty payload is never shared (it is inline by any limit), so a piece at this place is
    // this frame's.
    body_bytes > 0
        && chunk
            .shared
            .front()
            .is_some_and(|piece| piece.at == body_at)
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
}
