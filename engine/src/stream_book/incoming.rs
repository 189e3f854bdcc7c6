//! The reading end of an open stream: what has come and is not read yet, and the application that waits for more.
//!
//! Filled by the shard that owns the lane, emptied by the application. What lies here is bounded by the stream's
//! window; small chunks are put together, so that a peer that sends single bytes makes it no larger.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::delivery::stream::{Completion, Grant, Receiving, Stated, Violation};
use crate::error::StreamError;
use crate::payload::Payload;
use crate::peer::Peer;
use crate::wire::stream::Word;

/// Chunks below this are copied together.
pub(crate) const GATHERED_BELOW_BYTES: usize = 4 << 10;

/// What is put together of them.
const GATHERED_BYTES: usize = 64 << 10;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) id: u64,
    pub(crate) peer: Arc<Peer>,
    /// Of its lane among the peer's.
    pub(crate) offset: usize,
    pub(crate) channel: Arc<str>,
    /// The process that opened it.
    pub(crate) incarnation: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    machine: Receiving,
    pieces: VecDeque<Piece>,
    failure: Option<StreamError>,
    reader: Option<Waker>,
}

#[derive(Debug)]
enum Piece {
    Chunk(Bytes),
    /// Of several chunks.
    Gathered(Vec<u8>),
}

/// What the application gets next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Bytes, and what to tell the writer, if it is worth a word.
    Chunk(Bytes, Option<Word>),
    /// All of it came, as it was sent.
    Whole,
    /// All of it came, and is not what was sent.
    Mismatch,
    Failed(StreamError),
}

impl Incoming {
    pub(super) fn new(
        id: u64,
        peer: Arc<Peer>,
        offset: usize,
        channel: Arc<str>,
        window: u64,
    ) -> Self {
        Self {
            id,
            incarnation: peer.incarnation(),
            peer,
            offset,
            channel,
            state: Mutex::new(State {
                machine: Receiving::new(window),
                pieces: VecDeque::new(),
                failure: None,
                reader: None,
            }),
        }
    }

    /// What to say of its window.
    pub(super) fn window(&self) -> Word {
        self.word(self.lock().machine.grant())
    }

    fn word(&self, grant: Grant) -> Word {
        Word::Window {
            id: self.id,
            granted: grant.granted,
            received: grant.received,
            read: grant.read,
        }
    }

    /// A chunk came.
    pub(crate) fn came(&self, chunk: Payload<'_>) -> Result<(), Violation> {
        let reader = {
            let mut state = self.lock();
            state.machine.came(chunk.len() as u64)?;
            state.put(chunk);
            state.reader.take()
        };
        // Outside of the lock: who is woken takes it.
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// It was all.
    pub(crate) fn finish(&self, stated: Stated) -> Result<(), Violation> {
        let reader = {
            let mut state = self.lock();
            state.machine.finish(stated)?;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// What comes next; `checksum` is that of what was read so far.
    pub(crate) fn poll_next(&self, reader: &Waker, checksum: impl FnOnce() -> u64) -> Poll<Next> {
        let mut state = self.lock();
        if let Some(piece) = state.pieces.pop_front() {
            let bytes = match piece {
                Piece::Chunk(bytes) => bytes,
                Piece::Gathered(bytes) => bytes.into(),
            };
            let grant = state.machine.read(bytes.len() as u64);
            let grant = grant.filter(|_| state.failure.is_none());
            return Poll::Ready(Next::Chunk(bytes, grant.map(|grant| self.word(grant))));
        }
        if state.machine.length() == Some(state.machine.bytes_read()) {
            return Poll::Ready(match state.machine.completion(checksum()) {
                Some(Completion::Whole) => Next::Whole,
                _ => Next::Mismatch,
            });
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Next::Failed(failure.clone()));
        }
        state.reader = Some(reader.clone());
        Poll::Pending
    }

    /// It is over before its end. What has come can still be read.
    pub(crate) fn end(&self, why: StreamError) {
        let reader = {
            let mut state = self.lock();
            state.failure.get_or_insert(why);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Bytes that have come, those that were read, and the length of all, once it is known.
    pub(crate) fn progress(&self) -> (u64, u64, Option<u64>) {
        let machine = &self.lock().machine;
        (
            machine.bytes_received(),
            machine.bytes_read(),
            machine.length(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, chunk: Payload<'_>) {
        let small = chunk.as_slice();
        if small.len() >= GATHERED_BELOW_BYTES {
            let chunk = match chunk {
                Payload::Shared(bytes) => bytes,
                Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            };
            self.pieces.push_back(Piece::Chunk(chunk));
            return;
        }
        match self.pieces.back_mut() {
            Some(Piece::Gathered(bytes)) if bytes.len() + small.len() <= GATHERED_BYTES => {
                bytes.extend_from_slice(small);
            }
            _ => self.pieces.push_back(Piece::Gathered(small.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LaneCells;

    #[test]
    fn single_bytes_take_no_more_memory_than_a_chunk() {
        let cells = LaneCells::new(0, 1, 0, 1);
        let peer = Arc::new(Peer::new(Arc::from("b"), false, cells));
        let stream = Incoming::new(1, peer, 0, Arc::from("data"), 1 << 20);
        for _ in 0..1 << 20 {
            stream.came(Payload::Borrowed(b"x")).expect("within it");
        }
        let beyond = stream.came(Payload::Borrowed(b"x"));
        assert_eq!(beyond, Err(Violation::BeyondWindow { bytes: 1 }));
        let state = stream.lock();
        assert_eq!(state.pieces.len(), (1 << 20) / GATHERED_BYTES);
    }
}
