//! The reading end of a stream, as an application has it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use futures_io::AsyncRead;

use super::{as_io, wait};
use crate::delivery::stream::new_checksum;
use crate::error::StreamError;
use crate::fabric::Fabric;
use crate::peer::Peer;
use crate::stream_book::{Incoming, Next, Owed};
use crate::wire::stream::{CancelReason, Side, Word};

/// How far a stream is, at the end that reads it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadProgress {
    /// Come to this node.
    pub received: u64,
    /// Taken by the application.
    pub read: u64,
    /// The length of the stream, once its end has come.
    pub length: Option<u64>,
}

/// The reading end of a stream: see [`Streams`](super::Streams).
///
/// Read with [`std::io::Read`] on a thread, [`AsyncRead`] (of `futures-io`) in a task, or without a copy with
/// [`read_chunk`](Self::read_chunk) and its blocking sibling. Its end is only told once all of it has come and
/// its checksum is right; anything else is an error, behind what came before it.
///
/// The other node may send as much as is read, and `stream_window_bytes` beyond it. Dropping the reader before
/// the end cancels the stream.
pub struct StreamReader {
    fabric: Arc<Fabric>,
    stream: Arc<Incoming>,
    mailbox: Box<str>,
    checksum: crc_fast::Digest,
    /// What is left of the chunk that was taken last.
    current: Bytes,
    /// How it ended.
    outcome: Option<Result<(), StreamError>>,
}

impl StreamReader {
    pub(super) fn new(fabric: Arc<Fabric>, stream: Arc<Incoming>, mailbox: &str) -> Self {
        Self {
            fabric,
            stream,
            mailbox: mailbox.into(),
            checksum: new_checksum(),
            current: Bytes::new(),
            outcome: None,
        }
    }

    /// The node that writes it.
    #[must_use]
    pub fn from(&self) -> &Arc<Peer> {
        &self.stream.peer
    }

    /// The name of the channel it comes on.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.stream.channel
    }

    /// The name of the mailbox it was opened to.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// What tells it from other streams of that node: for logs.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.stream.id
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> ReadProgress {
        let (received, taken, length) = self.stream.progress();
        ReadProgress {
            received,
            read: taken - self.current.len() as u64,
            length,
        }
    }

    /// The next bytes, as they came, without a copy; `None` at the end. In a task of any runtime.
    ///
    /// # Errors
    /// [`StreamError`]: how the stream has ended before its end.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|context| self.poll_chunk(context.waker())).await
    }

    /// [`read_chunk`](Self::read_chunk) for a thread that may block.
    ///
    /// # Errors
    /// As [`read_chunk`](Self::read_chunk), and [`StreamError::WouldDeadlock`] on a thread of the engine.
    pub fn read_chunk_blocking(&mut self) -> Result<Option<Bytes>, StreamError> {
        wait(|waker| self.poll_chunk(waker))
    }

    /// Ends the stream before its end: the writer gets `why`, at most 200 bytes of it, as an error.
    pub fn cancel(mut self, why: &str) {
        self.cancel_for(CancelReason::Application, why);
    }

    fn cancel_for(&mut self, reason: CancelReason, why: &str) {
        if self.outcome.is_some() {
            return;
        }
        self.outcome = Some(Err(StreamError::Over));
        if self.fabric.streams.close_incoming(&self.stream) {
            self.say(Word::Cancel {
                id: self.stream.id,
                by: Side::Reader,
                reason,
                why: why.into(),
            });
        }
    }

    fn say(&self, word: Word) {
        self.fabric.owe_stream(Owed::Word {
            peer: Arc::clone(&self.stream.peer),
            offset: self.stream.offset,
            word,
        });
    }

    fn poll_chunk(&mut self, reader: &Waker) -> Poll<Result<Option<Bytes>, StreamError>> {
        if !self.current.is_empty() {
            return Poll::Ready(Ok(Some(mem::take(&mut self.current))));
        }
        if let Some(outcome) = &self.outcome {
            return Poll::Ready(outcome.clone().map(|()| None));
        }
        let checksum = || self.checksum.finalize();
        match ready!(self.stream.poll_next(reader, checksum)) {
            Next::Chunk(bytes, word) => {
                if let Some(word) = word {
                    self.say(word);
                }
                self.checksum.update(&bytes);
                Poll::Ready(Ok(Some(bytes)))
            }
            Next::Whole => {
                self.outcome = Some(Ok(()));
                if self.fabric.streams.close_incoming(&self.stream) {
                    self.say(Word::Done { id: self.stream.id });
                }
                Poll::Ready(Ok(None))
            }
            Next::Mismatch => {
                self.cancel_for(CancelReason::ChecksumMismatch, "");
                self.outcome = Some(Err(StreamError::ChecksumMismatch));
                Poll::Ready(Err(StreamError::ChecksumMismatch))
            }
            Next::Failed(error) => {
                self.outcome = Some(Err(error.clone()));
                Poll::Ready(Err(error))
            }
        }
    }

    pub(super) fn poll_read_copy(
        &mut self,
        reader: &Waker,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, StreamError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.current.is_empty() {
            match ready!(self.poll_chunk(reader))? {
                Some(bytes) => self.current = bytes,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let taken = buffer.len().min(self.current.len());
        buffer[..taken].copy_from_slice(&self.current[..taken]);
        self.current.advance(taken);
        Poll::Ready(Ok(taken))
    }
}

impl io::Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(wait(|waker| self.poll_read_copy(waker, buffer))?)
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        as_io(self.get_mut().poll_read_copy(context.waker(), buffer))
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.cancel_for(CancelReason::Dropped, "");
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StreamReader")
            .field("id", &self.stream.id)
            .field("from", &self.stream.peer.name())
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
