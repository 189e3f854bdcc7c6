//! Accepting the streams that come to a mailbox.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::StreamReader;
use crate::deadline::deadline_in;
use crate::error::RecvError;
use crate::fabric::Fabric;
use crate::stream_book::{Accepting, Incoming, Owed};
use crate::threads;
use crate::wire::stream::{CancelReason, Side, Word};

/// The streams that other nodes open to one mailbox, made by [`Node::streams`](crate::Node::streams). A
/// `futures` [`Stream`] of [`StreamReader`]s besides.
///
/// Dropping it refuses those that nobody has accepted, and those that come later; what was accepted goes on.
#[doc = include_str!("../../doc/streams.md")]
#[derive(Debug)]
pub struct Streams {
    fabric: Arc<Fabric>,
    accepting: Arc<Accepting>,
}

impl Streams {
    pub(crate) fn new(fabric: Arc<Fabric>, accepting: Arc<Accepting>) -> Self {
        Self { fabric, accepting }
    }

    /// The name of the mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        &self.accepting.mailbox
    }

    /// The next stream, waiting for it in a task of any runtime; `None` once the node stops.
    pub async fn accept(&mut self) -> Option<StreamReader> {
        poll_fn(|context| self.poll_accept(context.waker())).await
    }

    /// The next stream, blocking the thread until there is one.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the node stops, [`RecvError::WouldDeadlock`] on a thread of the engine.
    pub fn accept_blocking(&mut self) -> Result<StreamReader, RecvError> {
        self.accept_by(None)
    }

    /// The next stream, blocking the thread for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`]; besides, as [`accept_blocking`](Self::accept_blocking).
    pub fn accept_timeout(&mut self, timeout: Duration) -> Result<StreamReader, RecvError> {
        self.accept_by(Some(deadline_in(timeout)))
    }

    fn accept_by(&mut self, deadline: Option<Instant>) -> Result<StreamReader, RecvError> {
        if threads::is_own() {
            return Err(RecvError::WouldDeadlock);
        }
        let waker = threads::waker();
        loop {
            if let Poll::Ready(stream) = self.poll_accept(&waker) {
                return stream.ok_or(RecvError::Closed);
            }
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvError::TimedOut);
            }
            thread::park_timeout(left);
        }
    }

    fn poll_accept(&self, acceptor: &Waker) -> Poll<Option<StreamReader>> {
        let stream = self.accepting.poll_accept(acceptor);
        stream.map(|stream| stream.map(|stream| self.reader(stream)))
    }

    fn reader(&self, stream: Arc<Incoming>) -> StreamReader {
        StreamReader::new(Arc::clone(&self.fabric), stream, self.mailbox())
    }
}

impl Stream for Streams {
    type Item = StreamReader;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StreamReader>> {
        self.poll_accept(context.waker())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for stream in self.fabric.streams.end_accept(&self.accepting) {
            if !self.fabric.streams.close_incoming(&stream) {
                continue;
            }
            self.fabric.owe_stream(Owed::Word {
                peer: Arc::clone(&stream.peer),
                offset: stream.offset,
                word: Word::Cancel {
                    id: stream.id,
                    by: Side::Reader,
                    reason: CancelReason::NobodyAccepts,
                    why: "".into(),
                },
            });
        }
    }
}
