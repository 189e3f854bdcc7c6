//! The open streams of a node as its threads share them: both ends, who accepts them, and what shards are to
//! say of them.
//!
//! Applications open, write and read through [`crate::stream`]; shards bring what the other ends say, and take
//! chunks from here when their lanes have room. What may be said when is `delivery::stream`'s matter; how a stream ends, of whatever
//! cause, is decided by whoever ends it first. Bounded by `streams_max` for each peer and direction, and by the
//! window of each stream.

mod accepting;
mod incoming;
mod large;
mod outgoing;
mod whole;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::delivery::stream::new_checksum;
use crate::error::{NameError, SendError, StreamError};
use crate::mailboxes::{Mailbox, Mailboxes};
use crate::peer::{LaneRange, Peer};
use crate::ring::gate::GateState;
use crate::wire::stream::{CancelReason, Side, Word, data_mailbox};
pub(crate) use accepting::Accepting;
pub(crate) use incoming::{Finished, GATHERED_BELOW_BYTES, Incoming, Next};
pub(crate) use large::LargeMessages;
use outgoing::OutgoingMessage;
pub(crate) use outgoing::{Outgoing, Taken};
pub(crate) use whole::WholeMessage;

/// What the configuration says of streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Open streams for each peer and direction.
    pub(crate) streams_max: usize,
    pub(crate) window_bytes: u64,
    pub(crate) chunk_bytes: usize,
}

/// What a shard is to do for a stream.
#[derive(Debug)]
pub(crate) enum Owed {
    /// To be said to the peer on its lane at `offset`.
    Word {
        peer: Arc<Peer>,
        offset: usize,
        word: Word,
    },
    /// There is something to send again.
    Ready(Arc<Outgoing>),
}

impl Owed {
    /// The shard that owns the lane.
    fn shard(&self) -> usize {
        let (peer, offset) = match self {
            Self::Word { peer, offset, .. } => (peer, *offset),
            Self::Ready(stream) => (&stream.peer, stream.offset),
        };
        peer.lane(offset).shard()
    }
}

/// What one shard is to do.
#[derive(Debug, Default)]
struct ShardDebts {
    any: AtomicBool,
    owed: Mutex<Vec<Owed>>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct StreamBook {
    /// Where words go.
    words: Mailbox,
    pub(crate) limits: StreamLimits,
    open: Mutex<OpenStreams>,
    accepting: Mutex<HashMap<Box<str>, Arc<Accepting>>>,
    debts: Box<[ShardDebts]>,
    /// What became of messages that went as streams.
    pub(crate) large: Arc<LargeMessages>,
    refused: AtomicU64,
    late: AtomicU64,
}

/// A stream that ended with its lane, and at which end of it this node is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Of its lane among the peer's.
    pub(crate) offset: usize,
    id: u64,
    by: Side,
}

impl Ended {
    /// What the other end is told.
    pub(crate) fn word(self) -> Word {
        Word::Cancel {
            id: self.id,
            by: self.by,
            reason: CancelReason::Dropped,
            why: "its lane was given up".into(),
        }
    }
}

/// Of a peer, of which there is one for each name.
type PeerKey = usize;

#[derive(Debug, Default)]
struct OpenStreams {
    outgoing: HashMap<u64, Arc<Outgoing>>,
    incoming: HashMap<(PeerKey, u64), Arc<Incoming>>,
    /// How many are open to and from each peer.
    counts: HashMap<PeerKey, Counts>,
    next: u64,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    outgoing: usize,
    incoming: usize,
    /// Bytes of those that are messages.
    outgoing_bytes: u64,
    incoming_bytes: u64,
}

/// Whether a message of so many bytes may come to others of so many together: one may always.
fn fits(held: u64, bytes: u64, bytes_max: u64) -> bool {
    held == 0 || held + bytes <= bytes_max
}

/// A message that is to go as a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LargeMessage<'a> {
    pub(crate) mailbox: &'a str,
    pub(crate) channel: &'a Arc<str>,
    pub(crate) bytes: u64,
    /// Bytes of such messages to or from one peer.
    pub(crate) bytes_max: u64,
}

fn key(peer: &Arc<Peer>) -> PeerKey {
    Arc::as_ptr(peer) as PeerKey
}

/// A stream of the other node that was let in.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// What to say of its window.
    Window(Word),
    /// It is not let in.
    Refused(CancelReason),
    /// There is a stream of that id already: no well-behaved node says that.
    Twice,
}

impl StreamBook {
    /// `first` is the id of the first stream: a random one. Words go to `words`.
    pub(crate) fn new(words: Mailbox, limits: StreamLimits, shards: usize, first: u64) -> Self {
        Self {
            words,
            limits,
            open: Mutex::new(OpenStreams {
                next: first,
                ..OpenStreams::default()
            }),
            accepting: Mutex::default(),
            debts: (0..shards).map(|_| ShardDebts::default()).collect(),
            large: Arc::default(),
            refused: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }
    }

    /// The mailbox that words go to.
    pub(crate) fn words(&self) -> &Mailbox {
        &self.words
    }

    /// Opens a stream on the lane that `offset_of` picks for its id.
    pub(crate) fn open(
        &self,
        peer: &Arc<Peer>,
        names: &Mailboxes,
        offset_of: impl FnOnce(u64) -> usize,
    ) -> Result<Arc<Outgoing>, StreamError> {
        let mut open = self.lock();
        if open.closed {
            return Err(SendError::Closed.into());
        }
        let streams_max = self.limits.streams_max;
        let counts = open.counts.get(&key(peer));
        if counts.is_some_and(|counts| counts.outgoing >= streams_max) {
            return Err(StreamError::TooMany { streams_max });
        }
        let queue_bytes = self.limits.chunk_bytes * 2;
        open.insert_outgoing(names, |id, data| {
            Outgoing::new(id, Arc::clone(peer), offset_of(id), data, queue_bytes)
        })
    }

    /// Opens a message that goes as a stream on the lane at `offset`; it is counted as accepted. `None` if there is no
    /// room for it now.
    pub(crate) fn open_message(
        &self,
        peer: &Arc<Peer>,
        names: &Mailboxes,
        offset: usize,
        message: LargeMessage<'_>,
    ) -> Option<Arc<Outgoing>> {
        let mut open = self.lock();
        let counts = open.counts.get(&key(peer)).copied().unwrap_or_default();
        let has_room = fits(counts.outgoing_bytes, message.bytes, message.bytes_max);
        if open.closed || !has_room || counts.outgoing >= self.limits.streams_max {
            return None;
        }
        let message = OutgoingMessage {
            bytes: message.bytes,
            mailbox: message.mailbox.into(),
            channel: Arc::clone(message.channel),
            outcomes: Arc::clone(&self.large),
        };
        let of_message =
            |id, data| Outgoing::of_message(id, Arc::clone(peer), offset, data, message);
        let stream = open.insert_outgoing(names, of_message).ok()?;
        self.large.accept();
        Some(stream)
    }

    /// It is not to go after all, and was never accepted.
    pub(crate) fn call_off(&self, stream: &Outgoing) -> bool {
        let is_open = self.close_outgoing(stream);
        if is_open {
            self.large.take_back();
        }
        is_open
    }

    /// What a message goes as: its chunks and checksum are made on the thread that sends it.
    pub(crate) fn put_message(&self, stream: &Outgoing, payload: &Bytes) {
        let mut checksum = new_checksum();
        checksum.update(payload);
        stream.put_message(payload, self.limits.chunk_bytes, checksum.finalize());
    }

    /// A stream of this node to `peer`, while it is open.
    pub(crate) fn outgoing(&self, peer: &Arc<Peer>, id: u64) -> Option<Arc<Outgoing>> {
        let open = self.lock();
        let stream = open.outgoing.get(&id)?;
        Arc::ptr_eq(&stream.peer, peer).then(|| Arc::clone(stream))
    }

    /// A stream of `peer` to this node, while it is open.
    pub(crate) fn incoming(&self, peer: &Arc<Peer>, id: u64) -> Option<Arc<Incoming>> {
        self.lock().incoming.get(&(key(peer), id)).cloned()
    }

    /// A peer opens a stream on its lane at `offset`, which carries `channel`.
    pub(crate) fn admit(
        &self,
        peer: &Arc<Peer>,
        offset: usize,
        channel: &Arc<str>,
        id: u64,
        mailbox: &str,
    ) -> Admitted {
        let accepting = self.accepting().get(mailbox).cloned();
        let Some(accepting) = accepting else {
            return self.refuse(CancelReason::NobodyAccepts);
        };
        let stream = {
            let mut open = self.lock();
            if open.incoming.contains_key(&(key(peer), id)) {
                return Admitted::Twice;
            }
            let streams_max = self.limits.streams_max;
            let counts = open.counts.get(&key(peer));
            if counts.is_some_and(|counts| counts.incoming >= streams_max) {
                return self.refuse(CancelReason::TooMany);
            }
            let window = self.limits.window_bytes;
            let stream = Incoming::new(id, Arc::clone(peer), offset, Arc::clone(channel), window);
            open.insert_incoming(stream)
        };
        let window = stream.window();
        if accepting.offer(Arc::clone(&stream)) {
            return Admitted::Window(window);
        }
        self.close_incoming(&stream);
        self.refuse(CancelReason::NobodyAccepts)
    }

    /// A peer announces a message that comes as a stream, to a mailbox that there is.
    pub(crate) fn admit_message(
        &self,
        peer: &Arc<Peer>,
        offset: usize,
        id: u64,
        message: LargeMessage<'_>,
    ) -> Admitted {
        let mut open = self.lock();
        if open.incoming.contains_key(&(key(peer), id)) {
            return Admitted::Twice;
        }
        let counts = open.counts.get(&key(peer)).copied().unwrap_or_default();
        let has_room = fits(counts.incoming_bytes, message.bytes, message.bytes_max);
        let bytes = usize::try_from(message.bytes).ok();
        let bytes = bytes.filter(|_| has_room && counts.incoming < self.limits.streams_max);
        let stream = bytes.and_then(|bytes| {
            let (peer, channel) = (Arc::clone(peer), Arc::clone(message.channel));
            Incoming::of_message(id, peer, offset, channel, message.mailbox, bytes)
        });
        match stream {
            Some(stream) => Admitted::Window(open.insert_incoming(stream).window()),
            None => self.refuse(CancelReason::TooMany),
        }
    }

    #[cold]
    fn refuse(&self, reason: CancelReason) -> Admitted {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Admitted::Refused(reason)
    }

    /// The stream is over at this end. True if it was open until now.
    pub(crate) fn close_outgoing(&self, stream: &Outgoing) -> bool {
        let was_open = self.lock().remove_outgoing(stream.id);
        stir_if_message(stream);
        was_open
    }

    /// The same, of a stream of a peer.
    pub(crate) fn close_incoming(&self, stream: &Incoming) -> bool {
        self.lock().remove_incoming((key(&stream.peer), stream.id))
    }

    /// The lane at `offset` has ended, and what was on it is not resumed. Returns the streams that were open on it.
    pub(crate) fn lane_ended(
        &self,
        peer: &Arc<Peer>,
        offset: usize,
        end: &StreamError,
    ) -> Vec<Ended> {
        let on_lane = |other: &Arc<Peer>, at: usize| at == offset && Arc::ptr_eq(other, peer);
        self.end(end, on_lane, |_| true)
    }

    /// The lane at `offset` leads to the process of that incarnation from now on: what was of another ends.
    pub(crate) fn lane_came(&self, peer: &Arc<Peer>, offset: usize, incarnation: u64) {
        let on_lane = |other: &Arc<Peer>, at: usize| at == offset && Arc::ptr_eq(other, peer);
        let is_other = |of: Option<u64>| of.is_some_and(|of| of != incarnation);
        let why = "the peer was started again";
        self.end(&StreamError::LaneEnded { why }, on_lane, is_other);
    }

    /// The last lane to a peer has ended: streams whose lane rested are lost with it. Returns them.
    pub(crate) fn peer_left(&self, peer: &Arc<Peer>, why: &'static str) -> Vec<Ended> {
        let is_gone = |other: &Arc<Peer>, at: usize| {
            Arc::ptr_eq(other, peer) && other.lane(at).gate.state() != GateState::Open
        };
        self.end(&StreamError::LaneEnded { why }, is_gone, |_| true)
    }

    /// Whether a stream to or from that peer is open.
    pub(crate) fn has_open(&self, peer: &Arc<Peer>) -> bool {
        self.lock().counts.contains_key(&key(peer))
    }

    /// A channel was removed, which had those lanes.
    pub(crate) fn channel_removed(&self, lanes: LaneRange) {
        let is_on = |_: &Arc<Peer>, at: usize| lanes.offsets().contains(&at);
        self.end(&SendError::ChannelRemoved.into(), is_on, |_| true);
    }

    /// The node stops: every stream ends, and none is opened any more.
    pub(crate) fn node_ended(&self) {
        self.lock().closed = true;
        self.end(&SendError::Closed.into(), |_, _| true, |_| true);
        for accepting in self.accepting().values() {
            accepting.close();
        }
    }

    /// Ends the streams that are on such a lane, and of such a process of their peer. Returns them.
    fn end(
        &self,
        why: &StreamError,
        is_on: impl Fn(&Arc<Peer>, usize) -> bool,
        is_of: impl Fn(Option<u64>) -> bool,
    ) -> Vec<Ended> {
        let (outgoing, incoming) = {
            let mut open = self.lock();
            let outgoing = open.outgoing.values();
            let outgoing = outgoing
                .filter(|stream| is_on(&stream.peer, stream.offset) && is_of(stream.incarnation()));
            let outgoing: Vec<_> = outgoing.cloned().collect();
            let incoming = open.incoming.values();
            let incoming = incoming.filter(|stream| {
                is_on(&stream.peer, stream.offset) && is_of(Some(stream.incarnation))
            });
            let incoming: Vec<_> = incoming.cloned().collect();
            for stream in &outgoing {
                open.remove_outgoing(stream.id);
            }
            for stream in &incoming {
                open.remove_incoming((key(&stream.peer), stream.id));
            }
            (outgoing, incoming)
        };
        for stream in &outgoing {
            stream.end(why.clone());
            stir_if_message(stream);
        }
        for stream in &incoming {
            stream.end(why.clone());
        }
        let ended = |offset, id, by| Ended { offset, id, by };
        let written = outgoing.iter();
        let written = written.map(|stream| ended(stream.offset, stream.id, Side::Writer));
        let read = incoming.iter();
        let read = read.map(|stream| ended(stream.offset, stream.id, Side::Reader));
        written.chain(read).collect()
    }

    /// Streams to that mailbox are accepted from now on.
    pub(crate) fn accept(&self, mailbox: &str) -> Result<Arc<Accepting>, NameError> {
        crate::wire::name::check_name(mailbox)
            .map_err(|error| NameError::malformed(mailbox, &error))?;
        let mut all = self.accepting();
        if self.lock().closed {
            return Err(NameError::Closed);
        }
        if all.contains_key(mailbox) {
            let name = mailbox.to_owned();
            return Err(NameError::MailboxTaken { name });
        }
        let accepting = Arc::new(Accepting::new(mailbox));
        all.insert(mailbox.into(), Arc::clone(&accepting));
        Ok(accepting)
    }

    /// No more streams to that mailbox are accepted. Returns those that wait to be.
    pub(crate) fn end_accept(&self, accepting: &Accepting) -> Vec<Arc<Incoming>> {
        self.accepting().remove(&accepting.mailbox);
        accepting.close()
    }

    /// A shard is to do that; it has to be woken. Returns which one.
    pub(crate) fn owe(&self, owed: Owed) -> usize {
        let shard = owed.shard();
        let debts = &self.debts[shard];
        debts
            .owed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(owed);
        debts.any.store(true, Ordering::Release);
        shard
    }

    /// Whether a shard has something to do.
    #[inline]
    pub(crate) fn owes(&self, shard: usize) -> bool {
        self.debts[shard].any.load(Ordering::Acquire)
    }

    /// What a shard has to do.
    pub(crate) fn take_owed(&self, shard: usize) -> Vec<Owed> {
        let debts = &self.debts[shard];
        // First: what is added from here on is said again.
        debts.any.store(false, Ordering::Release);
        std::mem::take(&mut debts.owed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A message came for a stream that is not open.
    #[cold]
    pub(crate) fn count_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted of this node's and its peers' streams: open outgoing and incoming ones, refused ones,
    /// late messages.
    pub(crate) fn counted(&self) -> (usize, usize, u64, u64) {
        let open = self.lock();
        (
            open.outgoing.len(),
            open.incoming.len(),
            self.refused.load(Ordering::Relaxed),
            self.late.load(Ordering::Relaxed),
        )
    }

    fn lock(&self) -> MutexGuard<'_, OpenStreams> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepting(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Accepting>>> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits to send another message as a stream to that peer, on any lane, looks again.
fn stir_if_message(stream: &Outgoing) {
    if stream.message_bytes() > 0 {
        for (_, lane) in stream.peer.lanes() {
            lane.gate.stir();
        }
    }
}

/// Only where a node holds a million names.
const NO_NAME: StreamError = StreamError::TooMany {
    streams_max: crate::mailboxes::MAILBOXES_MAX,
};

impl OpenStreams {
    /// One with the next id, counted.
    fn insert_outgoing(
        &mut self,
        names: &Mailboxes,
        make: impl FnOnce(u64, Mailbox) -> Outgoing,
    ) -> Result<Arc<Outgoing>, StreamError> {
        let id = self.next;
        let data = names.get(&data_mailbox(id)).map_err(|_| NO_NAME)?;
        self.next = id.wrapping_add(1);
        let stream = Arc::new(make(id, data));
        let counts = self.counts.entry(key(&stream.peer)).or_default();
        counts.outgoing += 1;
        counts.outgoing_bytes += stream.message_bytes();
        self.outgoing.insert(id, Arc::clone(&stream));
        Ok(stream)
    }

    fn insert_incoming(&mut self, stream: Incoming) -> Arc<Incoming> {
        let stream = Arc::new(stream);
        let peer = key(&stream.peer);
        let counts = self.counts.entry(peer).or_default();
        counts.incoming += 1;
        counts.incoming_bytes += stream.message_bytes();
        self.incoming.insert((peer, stream.id), Arc::clone(&stream));
        stream
    }

    fn remove_outgoing(&mut self, id: u64) -> bool {
        let Some(stream) = self.outgoing.remove(&id) else {
            return false;
        };
        let bytes = stream.message_bytes();
        self.uncount(&stream.peer, |counts| {
            counts.outgoing -= 1;
            counts.outgoing_bytes -= bytes;
        });
        true
    }

    fn remove_incoming(&mut self, stream: (PeerKey, u64)) -> bool {
        let Some(stream) = self.incoming.remove(&stream) else {
            return false;
        };
        let bytes = stream.message_bytes();
        self.uncount(&stream.peer, |counts| {
            counts.incoming -= 1;
            counts.incoming_bytes -= bytes;
        });
        true
    }

    fn uncount(&mut self, peer: &Arc<Peer>, change: impl FnOnce(&mut Counts)) {
        let key = key(peer);
        if let Some(counts) = self.counts.get_mut(&key) {
            change(counts);
            if counts.outgoing + counts.incoming == 0 {
                self.counts.remove(&key);
            }
        }
    }
}
