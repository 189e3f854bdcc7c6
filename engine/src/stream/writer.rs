//! The writing end of a stream, as an application has it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_io::AsyncWrite;

use super::{as_io, wait};
use crate::delivery::stream::new_checksum;
use crate::error::StreamError;
use crate::fabric::Fabric;
use crate::peer::Peer;
use crate::ring::Block;
use crate::stream_book::{Outgoing, Owed};
use crate::wire::stream::{CancelReason, Side, Word};

/// How far a stream is, at the end that writes it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteProgress {
    /// Written by the application, and taken over.
    pub written: u64,
    /// Put on the lane.
    pub sent: u64,
    /// Come to the other node, as far as it has said: it does so twice for each window.
    pub acknowledged: u64,
    /// Read by the application there, as far as its node has said.
    pub read: u64,
}

/// The writing end of a stream: see [`Channel::open_stream`](crate::Channel::open_stream).
///
/// Written with [`std::io::Write`] on a thread, [`AsyncWrite`] (of `futures-io`, with the feature `tokio` of that too) in a
/// task, or without a copy with [`write_bytes`](Self::write_bytes) and its blocking sibling. A write waits while two chunks
/// wait for the other node.
///
/// [`finish`](Self::finish) (or closing it as an `AsyncWrite`) waits until the other application has read all of it, and its
/// checksum was right. Dropping it before that cancels the stream.
pub struct StreamWriter {
    fabric: Arc<Fabric>,
    stream: Arc<Outgoing>,
    checksum: crc_fast::Digest,
    written: u64,
    /// What is written byte by byte, until it makes a chunk.
    filling: Option<Block>,
    filled: usize,
    /// A chunk that found no room yet.
    pending: Option<Bytes>,
    end: End,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The last chunk has been handed over.
    Wanted,
    Over,
}

impl StreamWriter {
    pub(super) fn new(fabric: Arc<Fabric>, stream: Arc<Outgoing>) -> Self {
        Self {
            fabric,
            stream,
            checksum: new_checksum(),
            written: 0,
            filling: None,
            filled: 0,
            pending: None,
            end: End::Open,
        }
    }

    /// The node it goes to.
    #[must_use]
    pub fn to(&self) -> &Arc<Peer> {
        &self.stream.peer
    }

    /// What tells it from other streams of this node: for logs.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.stream.id
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> WriteProgress {
        let [sent, acknowledged, read] = self.stream.progress();
        WriteProgress {
            written: self.written,
            sent,
            acknowledged,
            read,
        }
    }

    /// Writes `bytes` without a copy, in a task of any runtime. If the future is dropped, some of them may
    /// have been written: cancel the stream then.
    ///
    /// # Errors
    /// [`StreamError`]: how the stream has ended.
    pub async fn write_bytes(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        poll_fn(|context| self.poll_write_bytes(context.waker(), &mut bytes)).await
    }

    /// [`write_bytes`](Self::write_bytes) for a thread that may block.
    ///
    /// # Errors
    /// As [`write_bytes`](Self::write_bytes), and [`StreamError::WouldDeadlock`] on a thread of the engine.
    pub fn write_bytes_blocking(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        wait(|waker| self.poll_write_bytes(waker, &mut bytes))
    }

    /// Ends the stream and waits until the other application has read all of it and its checksum was right.
    ///
    /// # Errors
    /// [`StreamError`]: how the stream has ended instead.
    pub async fn finish(mut self) -> Result<(), StreamError> {
        poll_fn(|context| self.poll_finish(context.waker())).await
    }

    /// [`finish`](Self::finish) for a thread that may block.
    ///
    /// # Errors
    /// As [`finish`](Self::finish), and [`StreamError::WouldDeadlock`] on a thread of the engine.
    pub fn finish_blocking(mut self) -> Result<(), StreamError> {
        wait(|waker| self.poll_finish(waker))
    }

    /// Ends the stream before its end: the reader gets `why`, at most 200 bytes of it, as an error behind what has come.
    pub fn cancel(mut self, why: &str) {
        self.cancel_for(CancelReason::Application, why);
    }

    fn cancel_for(&mut self, reason: CancelReason, why: &str) {
        if mem::replace(&mut self.end, End::Over) == End::Over
            || !self.fabric.streams.close_outgoing(&self.stream)
        {
            return;
        }
        self.stream.end(StreamError::Over);
        self.fabric.owe_stream(Owed::Word {
            peer: Arc::clone(&self.stream.peer),
            offset: self.stream.offset,
            word: Word::Cancel {
                id: self.stream.id,
                by: Side::Writer,
                reason,
                why: why.into(),
            },
        });
    }

    fn chunk_bytes(&self) -> usize {
        self.fabric.streams.limits.chunk_bytes
    }

    /// Hands over the chunk that is whole.
    fn poll_pending(&mut self, writer: &Waker) -> Poll<Result<(), StreamError>> {
        if self.end != End::Open {
            return Poll::Ready(Err(StreamError::Over));
        }
        // Also without a chunk: it says when the stream is over.
        if ready!(self.stream.poll_push(writer, &mut self.pending))? {
            self.fabric
                .owe_stream(Owed::Ready(Arc::clone(&self.stream)));
        }
        Poll::Ready(Ok(()))
    }

    /// What was written byte by byte is a chunk, whole or not.
    fn close_filling(&mut self) {
        if let Some(block) = self.filling.take() {
            let filled = mem::take(&mut self.filled);
            self.put_off(block.into_payload().slice(..filled));
        }
    }

    fn put_off(&mut self, chunk: Bytes) {
        self.checksum.update(&chunk);
        self.pending = Some(chunk);
    }

    pub(super) fn poll_flush_chunk(&mut self, writer: &Waker) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_pending(writer))?;
        self.close_filling();
        self.poll_pending(writer)
    }

    pub(super) fn poll_write_copy(
        &mut self,
        writer: &Waker,
        bytes: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        ready!(self.poll_pending(writer))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let chunk_bytes = self.chunk_bytes();
        let filled = self.filled;
        let block = self
            .filling
            .get_or_insert_with(|| self.fabric.payloads.block(chunk_bytes));
        let taken = bytes.len().min(chunk_bytes - filled);
        block.as_mut()[filled..filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        self.written += taken as u64;
        if self.filled == chunk_bytes {
            self.close_filling();
            // If there is no room now, the next write waits for it.
            if let Poll::Ready(Err(error)) = self.poll_pending(writer) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_write_bytes(
        &mut self,
        writer: &Waker,
        bytes: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_flush_chunk(writer))?;
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(self.chunk_bytes()));
            self.written += chunk.len() as u64;
            self.put_off(chunk);
            ready!(self.poll_pending(writer))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_finish(&mut self, writer: &Waker) -> Poll<Result<(), StreamError>> {
        if self.end == End::Open {
            ready!(self.poll_flush_chunk(writer))?;
            self.end = End::Wanted;
            if self.stream.want_end(self.checksum.finalize()) {
                self.fabric
                    .owe_stream(Owed::Ready(Arc::clone(&self.stream)));
            }
        }
        let outcome = ready!(self.stream.poll_outcome(writer));
        self.end = End::Over;
        Poll::Ready(outcome)
    }
}

impl io::Write for StreamWriter {
    /// Takes some of `bytes`, at most what is left of a chunk.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(wait(|waker| self.poll_write_copy(waker, bytes))?)
    }

    /// Hands over what has been written, so that it goes out; does not wait until it has.
    fn flush(&mut self) -> io::Result<()> {
        Ok(wait(|waker| self.poll_flush_chunk(waker))?)
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        as_io(self.get_mut().poll_write_copy(context.waker(), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        as_io(self.get_mut().poll_flush_chunk(context.waker()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        as_io(self.get_mut().poll_finish(context.waker()))
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.cancel_for(CancelReason::Dropped, "");
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StreamWriter")
            .field("id", &self.stream.id)
            .field("to", &self.stream.peer.name())
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
