//! The reading end of an open stream: what has come and is not read yet, and the application that waits for more.
//!
//! Filled by the shard that owns the lane, emptied by the application. What lies here is bounded by the stream's
//! window; small chunks are put together, so that a peer that sends single bytes makes it no larger.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::whole::{Whole, WholeMessage};
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
    content: Content,
    failure: Option<StreamError>,
    reader: Option<Waker>,
}

/// What becomes of what comes.
#[derive(Debug)]
enum Content {
    /// An application reads it.
    Read(VecDeque<Piece>),
    /// It is put together to a message.
    Message(Box<Whole>),
}

/// What the end of a stream came to.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Its reader finds out.
    Read,
    /// It was a message, to be handed over.
    Message(WholeMessage),
    /// It was a message, and is not what was sent.
    Mismatch,
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
        let content = Content::Read(VecDeque::new());
        Self::with(id, peer, offset, channel, Receiving::new(window), content)
    }

    /// A message of so many bytes to that mailbox; `None` if there is no memory for it.
    pub(super) fn of_message(
        id: u64,
        peer: Arc<Peer>,
        offset: usize,
        channel: Arc<str>,
        mailbox: &str,
        bytes: usize,
    ) -> Option<Self> {
        let content = Content::Message(Box::new(Whole::new(mailbox, bytes)?));
        let machine = Receiving::new(bytes as u64);
        Some(Self::with(id, peer, offset, channel, machine, content))
    }

    fn with(
        id: u64,
        peer: Arc<Peer>,
        offset: usize,
        channel: Arc<str>,
        machine: Receiving,
        content: Content,
    ) -> Self {
        Self {
            id,
            incarnation: peer.incarnation(),
            peer,
            offset,
            channel,
            state: Mutex::new(State {
                machine,
                content,
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

    /// It was all. Of a message that is said again as long as it is not handed over.
    pub(crate) fn finish(&self, stated: Stated) -> Result<Finished, Violation> {
        let reader = {
            let mut state = self.lock();
            if let Content::Message(whole) = &state.content {
                if let Some(message) = whole.message() {
                    return Ok(Finished::Message(message));
                }
                return state.finish_message(stated);
            }
            state.machine.finish(stated)?;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(Finished::Read)
    }

    /// Its bytes, if it is a message.
    pub(super) fn message_bytes(&self) -> u64 {
        match &self.lock().content {
            Content::Message(whole) => whole.bytes() as u64,
            Content::Read(_) => 0,
        }
    }

    /// What comes next; `checksum` is that of what was read so far.
    pub(crate) fn poll_next(&self, reader: &Waker, checksum: impl FnOnce() -> u64) -> Poll<Next> {
        let mut state = self.lock();
        let piece = match &mut state.content {
            Content::Read(pieces) => pieces.pop_front(),
            Content::Message(_) => None,
        };
        if let Some(piece) = piece {
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
            if let Content::Message(whole) = &mut state.content {
                whole.forget();
            }
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
    /// A message is whole, or was meant to be.
    fn finish_message(&mut self, stated: Stated) -> Result<Finished, Violation> {
        let Content::Message(whole) = &mut self.content else {
            return Ok(Finished::Read);
        };
        let received = self.machine.bytes_received();
        if received != whole.bytes() as u64 {
            let stated = whole.bytes() as u64;
            return Err(Violation::WrongLength { received, stated });
        }
        self.machine.finish(stated)?;
        if whole.checksum() != stated.checksum {
            return Ok(Finished::Mismatch);
        }
        whole.complete();
        Ok(whole
            .message()
            .map_or(Finished::Mismatch, Finished::Message))
    }

    fn put(&mut self, chunk: Payload<'_>) {
        let small = chunk.as_slice();
        let pieces = match &mut self.content {
            Content::Read(pieces) => pieces,
            Content::Message(whole) => return whole.put(small),
        };
        if small.len() >= GATHERED_BELOW_BYTES {
            let chunk = match chunk {
                Payload::Shared(bytes) => bytes,
                Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            };
            pieces.push_back(Piece::Chunk(chunk));
            return;
        }
        match pieces.back_mut() {
            Some(Piece::Gathered(bytes)) if bytes.len() + small.len() <= GATHERED_BYTES => {
                bytes.extend_from_slice(small);
            }
            _ => pieces.push_back(Piece::Gathered(small.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LaneCells;

    #[test]
    fn a_message_is_handed_over_whole_and_right_or_not_at_all() {
        let message = || {
            let cells = LaneCells::new(0, 1, 0, 1);
            let peer = Arc::new(Peer::new(Arc::from("b"), false, cells));
            Incoming::of_message(1, peer, 0, Arc::from("data"), "in", 9).expect("there is memory")
        };
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, b"123456789");
        let stated = Stated { bytes: 9, checksum };
        let stream = message();
        stream.came(Payload::Borrowed(b"12345")).expect("within it");
        let early = stream.finish(stated).expect_err("it is not whole");
        assert!(matches!(
            early,
            Violation::WrongLength {
                received: 5,
                stated: 9
            }
        ));
        stream.came(Payload::Borrowed(b"6789")).expect("within it");
        for _ in 0..2 {
            // The inbox was full, say.
            let Ok(Finished::Message(whole)) = stream.finish(stated) else {
                panic!("it is whole");
            };
            assert_eq!(
                (&*whole.mailbox, &*whole.payload),
                ("in", &b"123456789"[..])
            );
        }
        let stream = message();
        stream
            .came(Payload::Borrowed(b"123456780"))
            .expect("within it");
        assert!(matches!(stream.finish(stated), Ok(Finished::Mismatch)));
        let beyond = message().came(Payload::Borrowed(b"1234567890"));
        assert_eq!(beyond, Err(Violation::BeyondWindow { bytes: 1 }));
    }

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
        let Content::Read(pieces) = &state.content else {
            panic!("it is read");
        };
        assert_eq!(pieces.len(), (1 << 20) / GATHERED_BYTES);
    }
}
