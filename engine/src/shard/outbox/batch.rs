//! A batch: what of a lane is with the kernel.
//!
//! Filled by the outbox, compressed by `packing`, sent by `lane`. It belongs to its connection, because the
//! kernel reads its bytes where they lie; it says how they go to the kernel, and sends nothing itself.
//!
//! While more waits behind it, a batch goes out in whole segments, and the short rest with the next one
//! ([`carry`](Batch::carry)): a segment of 53 bytes costs both hosts nearly as much as one of 65,483, but for the copy.

use std::io::IoSlice;
use std::rc::Rc;

use super::chunk::Chunk;
use super::pool::ChunkPool;
use crate::deadline::Moment;

/// Chunks in one batch.
const BATCH_CHUNKS_MAX: usize = 7;

/// What a batch held, for the ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    /// What the messages were charged for at the gate.
    pub(crate) payload_bytes: u64,
    pub(crate) wire_bytes: u64,
    /// Of a message of which the last fragment is still to come.
    pub(crate) ahead_bytes: u64,
    /// What of `payload_bytes` was in fragments of earlier batches.
    pub(crate) earlier_bytes: u64,
}

impl Load {
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.payload_bytes += other.payload_bytes;
        self.wire_bytes += other.wire_bytes;
        self.ahead_bytes += other.ahead_bytes;
        self.earlier_bytes += other.earlier_bytes;
    }
}

/// Chunks that can be left of a batch and go out with the next, whose pieces have to fit into one operation with theirs.
const CARRIED_CHUNKS_MAX: usize = 2;

/// What is with the kernel now. Its bytes stay where they are until the operation completes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What is left of the batch before: it goes first.
    carried: Vec<Rc<Chunk>>,
    /// Bytes of those that went out with the batch before.
    carried_from: usize,
    /// Bytes of those that go out with this one.
    carried_bytes: usize,
    pub(super) control: Vec<u8>,
    /// Shared with the log of a lane that keeps its messages.
    pub(super) chunks: Vec<Rc<Chunk>>,
    /// What goes out in place of the chunks, if they are compressed.
    compressed: Vec<u8>,
    /// What goes out in place of all of it, if the connection has a session.
    sealed: Vec<u8>,
    pub(super) load: Load,
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
    /// Takes a chunk, whose deadlines are what is left of them from now on, and adds it to `load`.
    pub(super) fn take(&mut self, mut chunk: Chunk, now: Moment, load: &mut Load) {
        if chunk.first_due.is_some() {
            chunk.count_down(now);
        }
        load.messages += chunk.messages;
        load.payload_bytes += chunk.payload_bytes;
        load.wire_bytes += chunk.wire_bytes as u64;
        self.chunks.push(Rc::new(chunk));
    }

    /// Its chunks are to be kept until they are acknowledged: those with little in them do not keep their room.
    pub(crate) fn settle(&mut self, pool: &mut ChunkPool) {
        for chunk in self.chunks.iter_mut().filter_map(Rc::get_mut) {
            chunk.settle(pool);
        }
    }

    /// How many chunks it takes.
    pub(super) fn chunks_max(&self) -> usize {
        BATCH_CHUNKS_MAX - self.carried.len()
    }

    /// Bytes of it not sent yet.
    pub(crate) fn remaining(&self) -> usize {
        let wire_bytes = usize::try_from(self.load.wire_bytes).unwrap_or(usize::MAX);
        self.carried_bytes + wire_bytes - self.sent
    }

    /// Bytes that are left of the batch before.
    pub(crate) fn carried_bytes(&self) -> usize {
        self.carried_bytes
    }

    /// Leaves what is not sent yet to the next batch, ahead of which it goes, if that is frames of messages as they are and
    /// in few chunks; otherwise it has to go out first. Returns what the batch held, as [`finish`](Self::finish) does: what is left
    /// counts as gone.
    pub(crate) fn carry(&mut self, pool: &mut ChunkPool) -> Option<Load> {
        let rest = self.remaining();
        let ahead = self.carried_bytes + self.control.len();
        let is_plain = self.compressed.is_empty() && self.sealed.is_empty();
        if !is_plain || self.sent < ahead {
            return None;
        }
        let mut sent = self.sent - ahead;
        let mut gone = 0;
        for chunk in &self.chunks {
            if chunk.wire_bytes > sent {
                break;
            }
            sent -= chunk.wire_bytes;
            gone += 1;
        }
        if self.chunks.len() - gone > CARRIED_CHUNKS_MAX {
            return None;
        }
        for chunk in self.carried.drain(..).chain(self.chunks.drain(..gone)) {
            pool.recycle(chunk);
        }
        std::mem::swap(&mut self.carried, &mut self.chunks);
        (self.carried_from, self.carried_bytes) = (sent, rest);
        self.control.clear();
        self.sent = 0;
        Some(std::mem::take(&mut self.load))
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

    /// What `seal` makes of its bytes goes out in their place; what is kept to be sent again stays as it is. Nothing
    /// has been sent yet.
    pub(crate) fn seal<E>(
        &mut self,
        pool: &mut ChunkPool,
        seal: impl FnOnce(&[IoSlice<'_>], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pieces = vec![IoSlice::new(&self.control)];
        if self.compressed.is_empty() {
            for chunk in &self.chunks {
                chunk.each_piece(|piece| pieces.push(IoSlice::new(piece)));
            }
        } else {
            pieces.push(IoSlice::new(&self.compressed));
        }
        self.sealed = pool.buffer();
        seal(&pieces, &mut self.sealed)?;
        self.load.wire_bytes = self.sealed.len() as u64;
        Ok(())
    }

    /// The pieces not sent yet, up to `bytes_max` together.
    pub(crate) fn shape(&mut self, bytes_max: usize) -> Shape<'_> {
        let sent = self.sent;
        let up_to = |bytes: &'_ [u8]| bytes.len().min(sent.saturating_add(bytes_max));
        if !self.sealed.is_empty() {
            return Shape::Contiguous(&self.sealed[sent..up_to(&self.sealed)]);
        }
        self.vectors.clear();
        if self.carried.is_empty() {
            if let ([chunk], true) = (&self.chunks[..], self.control.is_empty())
                && chunk.shared.is_empty()
                && self.compressed.is_empty()
            {
                let bytes = &chunk.bytes[chunk.head..];
                return Shape::Contiguous(&bytes[sent..up_to(bytes)]);
            }
            if self.chunks.is_empty() {
                return Shape::Contiguous(&self.control[sent..up_to(&self.control)]);
            }
        }
        let mut pieces = Pieces {
            vectors: &mut self.vectors,
            skip: self.carried_from + sent,
            room: bytes_max,
        };
        for chunk in &self.carried {
            chunk.each_piece(|piece| pieces.push(piece));
        }
        pieces.push(&self.control);
        if self.compressed.is_empty() {
            for chunk in &self.chunks {
                chunk.each_piece(|piece| pieces.push(piece));
            }
        } else {
            pieces.push(&self.compressed);
        }
        Shape::Scattered(&mut self.vectors)
    }

    /// The batch is sent, or will never be: its buffers go back.
    pub(crate) fn finish(&mut self, pool: &mut ChunkPool) -> Load {
        for chunk in self.carried.drain(..).chain(self.chunks.drain(..)) {
            pool.recycle(chunk);
        }
        (self.carried_from, self.carried_bytes) = (0, 0);
        self.control.clear();
        self.compressed.clear();
        if !self.sealed.is_empty() {
            pool.take_back(std::mem::take(&mut self.sealed));
        }
        self.sent = 0;
        std::mem::take(&mut self.load)
    }
}

/// A scatter list as it is made.
struct Pieces<'v> {
    vectors: &'v mut Vec<Vector>,
    /// Bytes at the front that are left out.
    skip: usize,
    /// Bytes that may still be added.
    room: usize,
}

impl Pieces<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let rest = &bytes[skipped..];
        let rest = &rest[..rest.len().min(self.room)];
        self.room -= rest.len();
        if !rest.is_empty() {
            self.vectors.push(Vector(libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::super::{Fragments, Outbox, OutgoingMessage};
    use super::*;
    use crate::mailboxes::MailboxId;
    use crate::order_tag::OrderTag;
    use crate::payload::Payload;
    use crate::wire::{FrameKind, FrameLimits, Next, next_frame};

    /// What one operation would give to the kernel.
    fn bytes_of(shape: Shape<'_>) -> Vec<u8> {
        match shape {
            Shape::Contiguous(bytes) => bytes.to_vec(),
            Shape::Scattered(vectors) => vectors
                .iter()
                .flat_map(|Vector(vector)| {
                    // SAFETY: it names bytes of the batch, which is borrowed for as long as the list.
                    unsafe {
                        std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len)
                    }
                })
                .copied()
                .collect(),
        }
    }

    /// The payloads of the frames, whole messages and fragments alike, one behind the other; and the words of the lane's own.
    fn read(mut stream: &[u8]) -> (Vec<u8>, Vec<u32>) {
        let limits = FrameLimits {
            body_bytes_max: 1 << 24,
            fragments: true,
            ..FrameLimits::default()
        };
        let (mut payloads, mut words) = (Vec::new(), Vec::new());
        while !stream.is_empty() {
            let (bytes, taken) = match next_frame(stream, &limits).expect("a frame") {
                Next::Frame(frame, taken) if frame.kind == FrameKind::Message => {
                    (frame.body.to_vec(), taken)
                }
                Next::Frame(frame, taken) => {
                    words.push(frame.word);
                    (Vec::new(), taken)
                }
                Next::Fragment(fragment, header) => {
                    let end = header + fragment.bytes;
                    (stream[header..end].to_vec(), end)
                }
                other => panic!("{other:?} of {} bytes", stream.len()),
            };
            payloads.extend(bytes);
            stream = &stream[taken..];
        }
        (payloads, words)
    }

    proptest! {
        /// Whatever the kernel takes at a time, and whatever goes out in whole segments only: all bytes go out once, in order, and
        /// every message is given back once.
        #[test]
        fn what_is_left_of_a_batch_goes_ahead_of_the_next(
            lengths in prop::collection::vec(prop_oneof![0..300_usize, 0..3_000_usize, 0..90_000_usize], 1..60),
            has_fragments: bool,
            segment_bytes in 1_000..70_000_usize,
            seed: u64,
        ) {
            let mut random = Rng::with_seed(seed);
            let mut pool = ChunkPool::default();
            let mut outbox = Outbox::default();
            outbox.set_fragments(has_fragments.then_some(Fragments { above_bytes: 16 << 10, keeps_order: true }));
            let mut batch = Batch::default();
            let (mut stream, mut expected, mut messages) = (Vec::new(), Vec::new(), 0);
            let mut said = 0;
            let mut waiting = lengths.iter();
            loop {
                for (&length, byte) in waiting.by_ref().take(random.usize(0..6)).zip(1_u8..) {
                    let payload = Bytes::from(vec![byte; length]);
                    expected.extend_from_slice(&payload);
                    let payload = if length <= 1024 { Payload::Borrowed(vec![byte; length].leak()) } else { Payload::Shared(payload) };
                    let (mailbox, order) = (MailboxId::from_words(0, 0), OrderTag::WITHOUT_KEY);
                    outbox.push_message(&mut pool, 1, OutgoingMessage { mailbox, order, is_extended: false, payload });
                }
                if random.u8(0..4) == 0 {
                    outbox.push_control(FrameKind::Ping, said, &[]);
                    said += 1;
                }
                let load = outbox.fill(&mut batch, 64 << 10, Moment(0));
                if load.wire_bytes == 0 && batch.carried_bytes() == 0 && waiting.len() == 0 {
                    break;
                }
                while batch.remaining() > 0 {
                    let remaining = batch.remaining();
                    let room = if remaining > segment_bytes { remaining - remaining % segment_bytes } else { remaining };
                    let given = bytes_of(batch.shape(room));
                    prop_assert_eq!(given.len(), room);
                    let taken = if random.bool() { given.len() } else { random.usize(1..=given.len()) };
                    stream.extend_from_slice(&given[..taken]);
                    batch.advance(taken);
                    if random.u8(0..8) > 0 && let Some(load) = batch.carry(&mut pool) {
                        messages += load.messages;
                        break;
                    }
                }
                if batch.remaining() == 0 {
                    messages += batch.finish(&mut pool).messages;
                }
            }
            let (payloads, words) = read(&stream);
            prop_assert!(payloads == expected, "other bytes, or in another order");
            prop_assert!(words.iter().copied().eq(0..said), "{words:?}");
            prop_assert_eq!(messages, lengths.len() as u64);
        }
    }
}
