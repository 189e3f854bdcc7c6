//! The writing end of an open stream: chunks that wait for their lane, and the application that waits for room.
//!
//! Filled by the application, emptied by the shard that owns the lane. At most two chunks wait here; the rest
//! is the application's still.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::large::{LargeMessages, Lost, what_is_told};
use crate::delivery::stream::{Sending, Stated, Violation};
use crate::error::StreamError;
use crate::mailboxes::Mailbox;
use crate::peer::Peer;
use crate::wire::stream::Word;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: u64,
    pub(crate) peer: Arc<Peer>,
    /// Of its lane among the peer's.
    pub(crate) offset: usize,
    /// Where its chunks go.
    pub(crate) data: Mailbox,
    queue_bytes_max: usize,
    /// It is a message, which nobody writes piece by piece.
    pub(super) message: Option<OutgoingMessage>,
    state: Mutex<State>,
}

/// A message that goes as a stream.
#[derive(Debug)]
pub(super) struct OutgoingMessage {
    pub(super) bytes: u64,
    pub(super) mailbox: Box<str>,
    pub(super) channel: Arc<str>,
    pub(super) outcomes: Arc<LargeMessages>,
}

#[derive(Debug, Default)]
struct State {
    machine: Sending,
    /// A message is announced by the shard, once its lane is up.
    is_to_be_announced: bool,
    chunks: VecDeque<Bytes>,
    queued_bytes: usize,
    end: End,
    /// The process that knows of it.
    incarnation: Option<u64>,
    outcome: Option<Result<(), StreamError>>,
    /// The shard knows that there is something to send.
    is_ready: bool,
    writer: Option<Waker>,
}

/// How far the end of the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// The application has written all of it; this is its checksum.
    Wanted(u64),
    Stated,
}

/// What a shard got to send.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Nothing, before the application writes or the reader grants more.
    Nothing,
    /// There is a chunk, and its lane takes none now.
    Refused,
    /// It is a message of so many bytes, to be announced before anything of it is sent.
    Announcement(Word, u64),
    Data(Bytes),
    /// It was all.
    End(Word),
}

impl State {
    fn has_something(&self) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        match self.chunks.is_empty() {
            _ if self.is_to_be_announced => true,
            false => self.machine.room() > 0,
            true => matches!(self.end, End::Wanted(_)),
        }
    }

    /// Whether the shard has to be notified that there is something to send.
    fn becomes_ready(&mut self) -> bool {
        let tells = !self.is_ready && self.has_something();
        self.is_ready |= tells;
        tells
    }
}

impl Outgoing {
    pub(super) fn new(
        id: u64,
        peer: Arc<Peer>,
        offset: usize,
        data: Mailbox,
        queue_bytes_max: usize,
    ) -> Self {
        Self {
            id,
            peer,
            offset,
            data,
            queue_bytes_max,
            message: None,
            state: Mutex::default(),
        }
    }

    /// A message, whole.
    pub(super) fn of_message(
        id: u64,
        peer: Arc<Peer>,
        offset: usize,
        data: Mailbox,
        message: OutgoingMessage,
    ) -> Self {
        let state = State {
            is_to_be_announced: true,
            ..State::default()
        };
        Self {
            id,
            peer,
            offset,
            data,
            queue_bytes_max: 0,
            message: Some(message),
            state: Mutex::new(state),
        }
    }

    /// The bytes of the message that it is, in chunks of so many. The shard has to be notified.
    pub(crate) fn put_message(&self, payload: &Bytes, chunk_bytes: usize, checksum: u64) {
        let mut state = self.lock();
        let places = (0..payload.len()).step_by(chunk_bytes.max(1));
        state.chunks = places
            .map(|at| payload.slice(at..payload.len().min(at + chunk_bytes)))
            .collect();
        state.queued_bytes = payload.len();
        state.end = End::Wanted(checksum);
        state.is_ready = true;
    }

    /// Its bytes, if it is a message.
    pub(super) fn message_bytes(&self) -> u64 {
        self.message.as_ref().map_or(0, |message| message.bytes)
    }

    /// Whether it waits to be announced.
    pub(crate) fn is_to_be_announced(&self) -> bool {
        self.lock().is_to_be_announced
    }

    /// The application's: puts a chunk behind the others, once there is room. True if the shard is to be
    /// told.
    pub(crate) fn poll_push(
        &self,
        writer: &Waker,
        chunk: &mut Option<Bytes>,
    ) -> Poll<Result<bool, StreamError>> {
        let mut state = self.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone().and(Err(StreamError::Over)));
        }
        let Some(bytes) = chunk.as_ref().map(Bytes::len) else {
            return Poll::Ready(Ok(false));
        };
        if state.queued_bytes > 0 && state.queued_bytes + bytes > self.queue_bytes_max {
            state.writer = Some(writer.clone());
            return Poll::Pending;
        }
        state.queued_bytes += bytes;
        state.chunks.extend(chunk.take());
        Poll::Ready(Ok(state.becomes_ready()))
    }

    /// The application has written all of it. Returns whether the shard has to be notified.
    pub(crate) fn want_end(&self, checksum: u64) -> bool {
        let mut state = self.lock();
        if state.end == End::Open {
            state.end = End::Wanted(checksum);
        }
        state.becomes_ready()
    }

    /// How the stream ended, once it has.
    pub(crate) fn poll_outcome(&self, writer: &Waker) -> Poll<Result<(), StreamError>> {
        let mut state = self.lock();
        match &state.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                state.writer = Some(writer.clone());
                Poll::Pending
            }
        }
    }

    /// The shard's: what to send next, at most `bytes_max` bytes of it, if the lane `admits` so many.
    pub(crate) fn take(&self, bytes_max: usize, admits: impl FnOnce(usize) -> bool) -> Taken {
        let (taken, writer) = {
            let mut state = self.lock();
            if !state.has_something() {
                state.is_ready = false;
                return Taken::Nothing;
            }
            if state.is_to_be_announced
                && let Some(OutgoingMessage { bytes, mailbox, .. }) = &self.message
            {
                state.is_to_be_announced = false;
                let word = Word::Message {
                    id: self.id,
                    bytes: *bytes,
                    mailbox: mailbox.clone(),
                };
                return Taken::Announcement(word, *bytes);
            }
            let Some(chunk) = state.chunks.front() else {
                let End::Wanted(checksum) = state.end else {
                    return Taken::Nothing;
                };
                let Stated { bytes, checksum } = state.machine.finish(checksum);
                state.end = End::Stated;
                return Taken::End(Word::Finish {
                    id: self.id,
                    bytes,
                    checksum,
                });
            };
            let room = usize::try_from(state.machine.room()).unwrap_or(usize::MAX);
            let bytes = chunk.len().min(bytes_max).min(room);
            if !admits(bytes) {
                return Taken::Refused;
            }
            state.machine.sent(bytes as u64);
            state.queued_bytes -= bytes;
            let chunk = match state.chunks.front_mut() {
                Some(chunk) if chunk.len() > bytes => Some(chunk.split_to(bytes)),
                _ => state.chunks.pop_front(),
            };
            (
                chunk.map_or(Taken::Nothing, Taken::Data),
                state.writer.take(),
            )
        };
        // Outside of the lock: who is woken takes it.
        if let Some(writer) = writer {
            writer.wake();
        }
        taken
    }

    /// The reader says how far it is. True if there is something to send now, which the shard did not know.
    pub(crate) fn window(&self, granted: u64, received: u64, read: u64) -> Result<bool, Violation> {
        let mut state = self.lock();
        state.machine.window(granted, received, read)?;
        state
            .incarnation
            .get_or_insert_with(|| self.peer.incarnation());
        Ok(state.becomes_ready())
    }

    /// The reader has all of it.
    pub(crate) fn done(&self) -> Result<(), Violation> {
        self.lock().machine.done()?;
        self.settle(Ok(()));
        Ok(())
    }

    /// It is over before its end.
    pub(crate) fn end(&self, why: StreamError) {
        self.settle(Err(why));
    }

    fn settle(&self, outcome: Result<(), StreamError>) {
        let (writer, chunks) = {
            let mut state = self.lock();
            if state.outcome.is_none() {
                self.account(&outcome, state.end == End::Stated);
                state.outcome = Some(outcome);
            }
            state.queued_bytes = 0;
            (state.writer.take(), std::mem::take(&mut state.chunks))
        };
        drop(chunks);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// It ends so, if it is a message.
    fn account(&self, outcome: &Result<(), StreamError>, is_sent: bool) {
        let Some(message) = &self.message else {
            return;
        };
        match outcome {
            Ok(()) => message.outcomes.acknowledge(),
            Err(end) => {
                let (unknown, why) = what_is_told(end, is_sent);
                message.outcomes.report(Lost {
                    peer: Arc::clone(&self.peer),
                    channel: Arc::clone(&message.channel),
                    unknown,
                    why,
                });
            }
        }
    }

    /// That process knows of the stream: none that comes after it does.
    pub(crate) fn heard_by(&self, incarnation: u64) {
        self.lock().incarnation.get_or_insert(incarnation);
    }

    /// The process that knows of the stream, if one does.
    pub(super) fn incarnation(&self) -> Option<u64> {
        self.lock().incarnation
    }

    /// Bytes put on the lane, arrived, and read at the other end.
    pub(crate) fn progress(&self) -> [u64; 3] {
        let machine = &self.lock().machine;
        [
            machine.bytes_sent(),
            machine.bytes_received(),
            machine.bytes_read(),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
