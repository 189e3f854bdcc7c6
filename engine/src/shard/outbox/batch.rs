//! A batch: what of a lane is with the kernel.
//!
//! Filled by the outbox, compressed by `packing`, sent by `lane`. It belongs to its connection, because the
//! kernel reads its bytes where they lie; it says how they go to the kernel, and sends nothing itself.

use std::io::IoSlice;
use std::rc::Rc;

use super::chunk::{Chunk, ChunkPool};
use crate::deadline::Moment;

/// Chunks in one batch.
pub(super) const BATCH_CHUNKS_MAX: usize = 7;

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

/// What is with the kernel now. Its bytes stay where they are until the operation completes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
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

    /// The pieces not sent yet.
    pub(crate) fn shape(&mut self) -> Shape<'_> {
        let sent = self.sent;
        if !self.sealed.is_empty() {
            return Shape::Contiguous(&self.sealed[sent..]);
        }
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
        if !self.sealed.is_empty() {
            pool.take_back(std::mem::take(&mut self.sealed));
        }
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
