//! A chunk: some whole frames of a lane, encoded, and the payloads among them that go out by reference.
//!
//! Filled by the outbox, sent in a batch, and kept by lanes that keep their messages. It knows frames, and
//! neither lanes nor the order in which chunks leave.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::message::{Dropped, Taken};
use super::pool::{CHUNK_BYTES, ChunkPool, SMALL_BYTES};
use super::runs::Runs;
use crate::awaited::{Awaited, awaited, number};
use crate::deadline::{Moment, earlier};
use crate::mailboxes::MailboxId;
use crate::payload::Payload;
use crate::wire::control::append_mailbox;
use crate::wire::extension::{deadline_of, extension_block_bytes, set_deadline};
use crate::wire::frame::{EXTENDED_KIND_BIT, mark_extended};
use crate::wire::{FrameKind, HEADER_BYTES, put_header};

/// Wire bytes at which a chunk of shared payloads is closed, so that a quantum can be kept to.
pub(super) const CHUNK_WIRE_BYTES: usize = 64 * 1024;

/// Shared payloads in one chunk: the kernel takes at most 1,024 pieces in one operation, of which each makes
/// two, and a batch has several chunks (`BATCH_CHUNKS_MAX`).
const SHARED_PIECES_MAX: usize = 64;

/// A payload, or a piece of it, that goes out by reference, after the `at`th encoded byte of its chunk.
#[derive(Clone, Debug)]
pub(super) struct SharedPiece {
    at: usize,
    /// The whole of it, with the extension if there is one.
    payload: Bytes,
    is_extended: bool,
    /// What of it goes out from here: an extension is encoded, and the rest may go in several fragments.
    out: Range<usize>,
    /// Encoded bytes of the frame's body, ahead of it.
    encoded: usize,
}

impl SharedPiece {
    /// Whether it is of the frame with that header, whose body begins at `body_at`. An empty body is never
    /// shared: it is inline by any limit.
    fn belongs_to(&self, head: &Head, body_at: usize) -> bool {
        head.body_bytes > 0 && self.at == body_at + self.encoded
    }

    /// Whether the message goes out to its end.
    fn is_last(&self) -> bool {
        self.out.end == self.payload.len()
    }
}

/// Some whole frames, encoded.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Where the first frame begins that was not dropped or looped back.
    pub(super) head: usize,
    pub(super) shared: VecDeque<SharedPiece>,
    /// What its messages are for, if that is noted.
    mailboxes: Runs,
    pub(super) wire_bytes: usize,
    /// Of a message that goes out in fragments, the last is here.
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

    /// Appends a message, with `mailbox` noted if that is given. Returns when it is worth nothing any more.
    #[inline]
    pub(super) fn push_message(
        &mut self,
        id: u32,
        is_extended: bool,
        payload: Payload<'_>,
        mailbox: Option<MailboxId>,
    ) -> Option<Moment> {
        let length = payload.len();
        let frame_length = u32::try_from(length).unwrap_or(u32::MAX);
        let mut header = header(FrameKind::Message, frame_length, id);
        let mut due = None;
        let mut head = 0;
        if is_extended {
            mark_extended(&mut header);
            head = extension_block_bytes(payload.as_slice());
            self.has_extended = true;
            due = deadline_of(payload.as_slice()).map(Moment);
            self.first_due = earlier(self.first_due, due);
        }
        self.bytes.extend_from_slice(&header);
        match payload {
            Payload::Borrowed(bytes) => self.bytes.extend_from_slice(bytes),
            Payload::Shared(payload) => {
                // Encoded, so that the deadline in it can be counted down.
                self.bytes.extend_from_slice(&payload[..head]);
                self.shared.push_back(SharedPiece {
                    at: self.bytes.len(),
                    out: head..length,
                    encoded: head,
                    payload,
                    is_extended,
                });
            }
        }
        self.wire_bytes += HEADER_BYTES + length;
        self.messages += 1;
        self.payload_bytes += length as u64;
        if let Some(mailbox) = mailbox {
            self.mailboxes.push(mailbox);
        }
        due
    }

    /// Appends messages without an extension, by copy: the first of `payloads`, and those behind it that it has room for
    /// and that are not large. Returns how many.
    pub(super) fn push_run(
        &mut self,
        id: u32,
        mailbox: Option<MailboxId>,
        payloads: &[&[u8]],
        chunk_bytes_max: usize,
        large_above_bytes: usize,
    ) -> usize {
        let mut pushed = 0;
        for payload in payloads {
            let frame_bytes = HEADER_BYTES + payload.len();
            let goes_with = payload.len() <= large_above_bytes
                && self.has_room_for(frame_bytes, chunk_bytes_max);
            if pushed > 0 && !goes_with {
                break;
            }
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let header = header(FrameKind::Message, length, id);
            self.bytes.extend_from_slice(&header);
            self.bytes.extend_from_slice(payload);
            self.wire_bytes += frame_bytes;
            self.payload_bytes += payload.len() as u64;
            if let Some(mailbox) = mailbox {
                self.mailboxes.push(mailbox);
            }
            pushed += 1;
        }
        self.messages += pushed as u64;
        pushed
    }

    /// Appends the announcement of a mailbox id.
    pub(super) fn push_announcement(&mut self, id: u32, name: &str) {
        let before = self.bytes.len();
        append_mailbox(&mut self.bytes, id, name);
        self.wire_bytes += self.bytes.len() - before;
    }

    /// Appends a fragment of a message: `out` of its payload. Of the first fragment, `first` is what stands
    /// ahead of that: how much there is in all, and the extension. The last one counts as the message.
    pub(super) fn push_fragment(
        &mut self,
        message: &Fragmented,
        first: Option<&[u8]>,
        out: Range<usize>,
    ) {
        let (kind, encoded) = match first {
            Some(encoded) => (FrameKind::FirstFragment, encoded),
            None => (FrameKind::Fragment, [].as_slice()),
        };
        let body_bytes = encoded.len() + out.len();
        let length = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        self.bytes
            .extend_from_slice(&header(kind, length, message.id));
        self.bytes.extend_from_slice(encoded);
        let piece = SharedPiece {
            at: self.bytes.len(),
            payload: message.payload.clone(),
            is_extended: message.is_extended,
            out,
            encoded: encoded.len(),
        };
        self.wire_bytes += HEADER_BYTES + body_bytes;
        if piece.is_last() {
            self.messages += 1;
            self.payload_bytes += message.payload.len() as u64;
            self.has_extended |= message.is_extended;
            if let Some(mailbox) = message.noted {
                self.mailboxes.push(mailbox);
            }
        }
        self.shared.push_back(piece);
    }

    /// Calls `each` with its bytes as they go out, piece by piece.
    pub(super) fn each_piece<'c>(&'c self, mut each: impl FnMut(&'c [u8])) {
        let mut from = self.head;
        for piece in &self.shared {
            each(&self.bytes[from..piece.at]);
            each(&piece.payload[piece.out.clone()]);
            from = piece.at;
        }
        each(&self.bytes[from..]);
    }

    /// Calls `each` for the messages of which somebody waits to hear, with how many are ahead.
    pub(crate) fn each_awaited(&self, each: impl FnMut(u64, Awaited)) {
        self.each_said(awaited, each);
    }

    /// The same for their numbers on a causal channel.
    pub(crate) fn each_number(&self, each: impl FnMut(u64, u64)) {
        self.each_said(number, each);
    }

    fn each_said<T>(&self, read: fn(&[u8]) -> Option<T>, mut each: impl FnMut(u64, T)) {
        if !self.has_extended {
            return;
        }
        let mut ahead = 0;
        self.each_message(|message| {
            if message.is_extended
                && let Some(said) = read(message.payload.as_slice())
            {
                each(ahead, said);
            }
            ahead += 1;
        });
    }

    /// Calls `take` with each message, in order, with its deadline by this node's clock.
    pub(crate) fn each_message(&self, mut take: impl FnMut(Taken<'_>)) {
        let mut mailboxes = self.mailboxes.iter();
        for frame in self.frames().filter(Frame::is_message) {
            let (is_extended, mailbox) = (frame.is_extended(), mailboxes.next());
            let mut taken = Taken {
                is_extended,
                mailbox,
                payload: frame.payload(),
            };
            if let (Some(from), Payload::Borrowed(bytes)) = (self.counted_from, &taken.payload)
                && is_extended
                && let Some(left_ms) = deadline_of(bytes)
            {
                let mut bytes = bytes.to_vec();
                set_deadline(&mut bytes, from.plus(left_ms).0);
                taken.payload = Payload::Borrowed(&bytes);
                take(taken);
            } else {
                take(taken);
            }
        }
    }

    /// The first message, if there is one.
    pub(super) fn front(&self) -> Option<Taken<'_>> {
        let frame = self.frames().find(Frame::is_message)?;
        Some(Taken {
            is_extended: frame.is_extended(),
            mailbox: self.mailboxes.iter().next(),
            payload: frame.payload(),
        })
    }

    /// Takes the announcements at the front out of the way of what is dropped: calls `lift` with the id of
    /// each, and its frame.
    pub(super) fn lift_announcements(&mut self, mut lift: impl FnMut(u32, Box<[u8]>)) {
        while let Some(head) = read_header(&self.bytes[self.head..])
            && head.kind == Some(FrameKind::Mailbox)
        {
            let end = self.head + HEADER_BYTES + head.body_bytes;
            lift(head.word, Box::from(&self.bytes[self.head..end]));
            self.wire_bytes -= end - self.head;
            self.head = end;
        }
    }

    /// Removes the message at the front, where no announcement is.
    pub(super) fn drop_front(&mut self) -> Option<Dropped> {
        let frame = self.frames().next()?;
        let (encoded, body_bytes) = (frame.bytes.len(), frame.head.body_bytes);
        let (is_shared, awaited) = (frame.piece.is_some(), frame.awaited());
        self.head += encoded;
        if is_shared {
            self.shared.pop_front();
        }
        self.wire_bytes -= HEADER_BYTES + body_bytes;
        self.messages -= 1;
        self.payload_bytes -= body_bytes as u64;
        self.mailboxes.pop();
        Some(Dropped {
            bytes: body_bytes as u64,
            awaited,
        })
    }

    /// The frames that were not dropped, in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut shared = self.shared.iter().peekable();
        let mut at = self.head;
        std::iter::from_fn(move || {
            let head = read_header(self.bytes.get(at..)?)?;
            let body_at = at + HEADER_BYTES;
            let piece = shared.next_if(|piece| piece.belongs_to(&head, body_at));
            let encoded = piece.map_or(head.body_bytes, |piece| piece.encoded);
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

    /// Appends a frame of another chunk, which is not of a fragment.
    pub(super) fn copy(&mut self, frame: &Frame<'_>, mailbox: Option<MailboxId>) {
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
            if let Some(mailbox) = mailbox {
                self.mailboxes.push(mailbox);
            }
        }
        self.first_due = earlier(self.first_due, frame.due());
        self.has_extended |= frame.head.is_extended;
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
        let mut rest = pool.chunk(self.bytes.len());
        let mut mailboxes = self.mailboxes.iter();
        for frame in self.frames() {
            let mailbox = frame.is_message().then(|| mailboxes.next()).flatten();
            match fate(&frame) {
                Fate::Stays => rest.copy(&frame, mailbox),
                Fate::Emptied => drop(rest.push_message(0, false, Payload::Borrowed(&[]), mailbox)),
                Fate::Goes => {}
            }
        }
        drop(mailboxes);
        pool.reuse(std::mem::replace(self, rest));
    }

    /// Takes the frames out at the front, as long as `takes` says so of what was taken before and the next one; `None` if that is
    /// all.
    pub(super) fn split_front(
        &mut self,
        pool: &mut ChunkPool,
        takes: impl Fn(&Self, &Frame<'_>) -> bool,
    ) -> Option<Self> {
        let mut front = pool.chunk(self.bytes.len());
        let mut encoded = 0;
        let mut mailboxes = self.mailboxes.iter();
        for frame in self.frames() {
            if !takes(&front, &frame) {
                break;
            }
            let mailbox = frame.is_message().then(|| mailboxes.next()).flatten();
            front.copy(&frame, mailbox);
            encoded += frame.bytes.len();
        }
        drop(mailboxes);
        if front.messages == self.messages {
            pool.reuse(front);
            return None;
        }
        self.head += encoded;
        self.shared.drain(..front.shared.len());
        self.wire_bytes -= front.wire_bytes;
        self.messages -= front.messages;
        self.payload_bytes -= front.payload_bytes;
        (0..front.messages).for_each(|_| self.mailboxes.pop());
        Some(front)
    }

    /// Whether a frame of so many encoded bytes goes into it too, if it is closed at `wire_bytes_max`.
    #[inline]
    pub(super) fn has_room_for(&self, bytes: usize, wire_bytes_max: usize) -> bool {
        self.bytes.len() + bytes <= CHUNK_BYTES
            && self.wire_bytes < wire_bytes_max
            && self.shared.len() < SHARED_PIECES_MAX
    }

    /// So many encoded bytes, which it has room for, are put into it: where its small buffer does not hold them, a large one takes its
    /// place.
    #[inline]
    pub(super) fn make_room(&mut self, pool: &mut ChunkPool, bytes: usize) {
        let room = self.bytes.capacity();
        if self.bytes.len() + bytes > room && room < CHUNK_BYTES {
            self.outgrow(pool);
        }
    }

    #[cold]
    fn outgrow(&mut self, pool: &mut ChunkPool) {
        let mut buffer = pool.buffer();
        buffer.extend_from_slice(&self.bytes);
        pool.take_back(std::mem::replace(&mut self.bytes, buffer));
    }

    #[cfg(test)]
    pub(crate) fn room_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Nothing is appended to it any more, and it stays until it is acknowledged: the little that it holds is put
    /// where it takes no more room than that, before anybody reads it.
    pub(super) fn settle(&mut self, pool: &mut ChunkPool) {
        if self.bytes.len() <= SMALL_BYTES && self.has_unused_room() {
            self.give_buffer_back(pool);
        }
    }

    /// Nothing is appended to it any more, and it waits behind others: it does not wait with a quarter of its room and
    /// more unused.
    pub(super) fn close(&mut self, pool: &mut ChunkPool) {
        if self.has_unused_room() {
            self.give_buffer_back(pool);
        }
    }

    /// The buffer goes to the next chunk as a whole: of one that is made smaller where it lies, the rest is a gap that no
    /// other buffer fits into.
    fn give_buffer_back(&mut self, pool: &mut ChunkPool) {
        let filled = self.bytes.as_slice().to_vec();
        pool.take_back(std::mem::replace(&mut self.bytes, filled));
    }

    /// Nothing is appended to it any more: a quarter of its room and more is given back. Of one that grew as it absorbed
    /// others, whose buffer the pool never had and would only collect.
    pub(crate) fn give_back_room(&mut self) {
        if self.has_unused_room() {
            self.bytes.shrink_to_fit();
        }
    }

    const fn has_unused_room(&self) -> bool {
        self.bytes.len() < self.bytes.capacity() / 4 * 3
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
        self.mailboxes.append(&mut next.mailboxes);
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
    /// Of the fragments of a message, the last counts as it.
    pub(super) fn is_message(&self) -> bool {
        // Besides announcements there are messages, whose kind has a bit more if they are extended.
        let is_announcement = self.head.kind == Some(FrameKind::Mailbox);
        !is_announcement && self.piece.is_none_or(SharedPiece::is_last)
    }

    /// Whether the payload of the message begins with an extension.
    fn is_extended(&self) -> bool {
        let by_header = self.head.is_extended;
        self.piece.map_or(by_header, |piece| piece.is_extended)
    }

    /// Who waits to hear of the message, if anybody does.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        let is_extended = self.is_extended();
        is_extended.then(|| awaited(self.payload().as_slice()))?
    }

    /// Its number on a causal channel, if it has one.
    pub(super) fn number(&self) -> Option<u64> {
        let is_extended = self.is_extended();
        is_extended.then(|| number(self.payload().as_slice()))?
    }

    /// What of its body is encoded.
    fn encoded_body(&self) -> Range<usize> {
        self.body_at..self.body_at + self.bytes.len() - HEADER_BYTES
    }

    /// That of the whole message, with its extension.
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

/// A message that goes out in fragments.
#[derive(Debug)]
pub(super) struct Fragmented {
    /// Of its mailbox, on this connection.
    pub(super) id: u32,
    /// The mailbox itself, if that is to be noted.
    pub(super) noted: Option<MailboxId>,
    pub(super) is_extended: bool,
    /// With its extension.
    pub(super) payload: Bytes,
}

/// What becomes of a frame when its chunk is written anew.
pub(super) enum Fate {
    Stays,
    /// A message that has to stay countable: it keeps its place, without anything in it.
    Emptied,
    Goes,
}

/// Chunks in its buffers.
impl ChunkPool {
    /// An empty one that takes so many encoded bytes.
    pub(super) fn chunk(&mut self, bytes: usize) -> Chunk {
        Chunk {
            bytes: self.buffer_for(bytes),
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
        self.take_back(chunk.bytes);
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
