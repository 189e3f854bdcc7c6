//! A chunk: some whole frames of a lane, encoded, and the payloads among them that go out by reference.
//!
//! Filled by the outbox, sent in a batch, and kept by lanes that keep their messages. It knows frames, and
//! neither lanes nor the order in which chunks leave.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use crate::awaited::{Awaited, awaited};
use crate::deadline::{Moment, earlier};
use crate::payload::Payload;
use crate::wire::extension::{deadline_of, set_deadline};
use crate::wire::frame::EXTENDED_KIND_BIT;
use crate::wire::{FrameKind, HEADER_BYTES, put_header};

/// Encoded bytes in one chunk. A batch of this size costs one system call for about 900 messages of
/// 64 bytes, and stays within the second-level cache beside the receive buffers.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// Wire bytes at which a chunk of shared payloads is closed, so that a quantum can be kept to.
const CHUNK_WIRE_BYTES: usize = 64 * 1024;

/// Shared payloads in one chunk: the kernel takes at most 1,024 pieces in one operation, of which each makes
/// two, and a batch has several chunks (`BATCH_CHUNKS_MAX`).
const SHARED_PIECES_MAX: usize = 64;

/// Empty chunks kept by a shard for reuse: 4 MiB.
const POOL_CHUNKS_MAX: usize = 64;

/// A payload that goes out by reference, after the `at`th encoded byte of its chunk.
#[derive(Clone, Debug)]
pub(super) struct SharedPiece {
    pub(super) at: usize,
    /// With the extension, if there is one; that is encoded too, and goes out from there.
    pub(super) payload: Bytes,
    /// Bytes of the extension, its length included.
    pub(super) head: usize,
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
    pub(super) bytes: Vec<u8>,
    /// Where the first frame begins that was not dropped or looped back.
    pub(super) head: usize,
    pub(super) shared: VecDeque<SharedPiece>,
    pub(super) wire_bytes: usize,
    pub(super) messages: u64,
    /// What the messages were charged for at the gate.
    pub(super) payload_bytes: u64,
    /// There are messages with an extension among them.
    pub(super) has_extended: bool,
    /// Not later than the deadline of any message in it.
    pub(super) first_due: Option<Moment>,
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
    pub(super) fn each_piece(&self, mut each: impl FnMut(&[u8])) {
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
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut shared = self.shared.iter().peekable();
        let mut at = self.head;
        std::iter::from_fn(move || {
            let head = read_header(self.bytes.get(at..)?)?;
            let body_at = at + HEADER_BYTES;
            let piece = shared.next_if(|piece| piece.belongs_to(&head, body_at));
            let encoded = piece.map_or(head.body_bytes, |piece| piece.head);
            let bytes = self.bytes.get(at..body_at + encoded)?;
            at = body_at + encoded;
            Some(Frame {
                head,
                body_at,
                bytes,
                piece,
            })
        })
    }

    /// Appends a frame of another chunk.
    pub(super) fn copy(&mut self, frame: &Frame<'_>) {
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
    pub(super) fn count_down(&mut self, now: Moment) {
        let extended = self.frames().filter(|frame| frame.head.is_extended);
        let bodies: Vec<_> = extended.map(|frame| frame.encoded_body()).collect();
        for body in bodies {
            let body = &mut self.bytes[body];
            if let Some(due) = deadline_of(body) {
                set_deadline(body, Moment(due).left_ms(now).unwrap_or(0));
            }
        }
        self.counted_from = Some(now);
    }

    /// Writes the chunk anew: `fate` says what becomes of each frame, in order.
    pub(super) fn rewrite(
        &mut self,
        pool: &mut ChunkPool,
        mut fate: impl FnMut(&Frame<'_>) -> Fate,
    ) {
        let mut rest = pool.chunk();
        for frame in self.frames() {
            match fate(&frame) {
                Fate::Stays => rest.copy(&frame),
                Fate::Emptied => rest.push_empty(),
                Fate::Goes => {}
            }
        }
        pool.reuse(std::mem::replace(self, rest));
    }

    /// Whether a frame of so many encoded bytes goes into it too.
    #[inline]
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= CHUNK_BYTES
            && self.wire_bytes < CHUNK_WIRE_BYTES
            && self.shared.len() < SHARED_PIECES_MAX
    }

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

/// A frame in a chunk.
pub(super) struct Frame<'c> {
    pub(super) head: Head,
    /// Where its body begins in the chunk.
    body_at: usize,
    /// What of it is encoded.
    pub(super) bytes: &'c [u8],
    /// The rest.
    pub(super) piece: Option<&'c SharedPiece>,
}

impl<'c> Frame<'c> {
    pub(super) fn is_message(&self) -> bool {
        // The rest are messages, whose kind has a bit more if they are extended.
        self.head.kind != Some(FrameKind::Mailbox)
    }

    /// What of its body is encoded.
    fn encoded_body(&self) -> Range<usize> {
        self.body_at..self.body_at + self.bytes.len() - HEADER_BYTES
    }

    /// With its extension.
    pub(super) fn payload(&self) -> Payload<'c> {
        match self.piece {
            Some(piece) => Payload::Shared(piece.payload.clone()),
            None => Payload::Borrowed(&self.bytes[HEADER_BYTES..]),
        }
    }

    /// When it is worth nothing any more. Not for frames of a chunk that was handed over.
    pub(super) fn due(&self) -> Option<Moment> {
        let is_extended = self.head.is_extended;
        is_extended.then(|| deadline_of(&self.bytes[HEADER_BYTES..]).map(Moment))?
    }
}

/// What becomes of a frame when its chunk is written anew.
pub(super) enum Fate {
    Stays,
    /// A message that has to stay countable: it keeps its place, without anything in it.
    Emptied,
    Goes,
}

/// Spare buffers for chunks.
#[derive(Debug, Default)]
pub(crate) struct ChunkPool {
    free: Vec<Vec<u8>>,
    /// How many were free all the time since the pool was trimmed.
    unused: usize,
}

impl ChunkPool {
    pub(super) fn chunk(&mut self) -> Chunk {
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

    pub(super) fn reuse(&mut self, chunk: Chunk) {
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

#[inline]
pub(super) fn header(kind: FrameKind, body_bytes: u32, word: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    put_header(&mut header, kind, body_bytes, word);
    header
}

/// What the header of a frame in a chunk says.
pub(super) struct Head {
    pub(super) kind: Option<FrameKind>,
    pub(super) is_extended: bool,
    pub(super) body_bytes: usize,
    pub(super) word: u32,
}

pub(super) fn read_header(bytes: &[u8]) -> Option<Head> {
    let first = u32::from_le_bytes(*bytes.first_chunk()?);
    let word = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    Some(Head {
        kind: FrameKind::from_code(first.to_be_bytes()[0]),
        is_extended: first.to_be_bytes()[0] & EXTENDED_KIND_BIT != 0,
        body_bytes: usize::try_from(first & 0x00FF_FFFF).ok()?,
        word,
    })
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
