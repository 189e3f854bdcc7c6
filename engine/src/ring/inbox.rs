//! What the two ends of an inbox share: the ring's signals, the shard's end, and the list of all
//! inboxes of a node.
//!
//! Shards push through `InboxWriter` and wake the reader once a turn; the reader (`inbox`, for
//! applications) takes from the ring and notes here what it freed. Nothing here knows mailboxes,
//! shards or nodes.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use bytes::Bytes;

use super::{Consumer, Producer, PushError, Tag, byte_ring};

/// What the two ends of an inbox share besides its ring.
#[derive(Debug)]
pub(crate) struct InboxSignals {
    /// The reader, while it waits. Woken outside of any lock: a reader that runs on the shard's core
    /// runs at once, and a lock that the shard still holds would send both to sleep once more.
    reader: AtomicWaker,
    /// The shards that found no room and wait to be rung.
    blocked: AtomicU64,
    /// How often room was made for waiting shards.
    rooms: AtomicU32,
    /// Bytes of payloads that lie outside the ring, held by reference.
    shared_bytes: AtomicUsize,
    capacity_bytes: usize,
    /// To see how far the reader is.
    producer: Producer,
}

impl InboxSignals {
    fn fits(&self, bytes: usize) -> bool {
        let held = self.shared_bytes.load(Ordering::Relaxed);
        held == 0 || held + bytes <= self.capacity_bytes
    }

    /// Wakes the reader, if it waits.
    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// For the reader: register, look, then wait, and no arrival is missed.
    pub(crate) fn register(&self, reader: &Waker) {
        self.reader.register(reader);
    }

    /// The bytes that the ring holds, and as many again may lie outside it.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// The reader has freed a record, with so many bytes outside the ring. True if a shard waits for
    /// room.
    #[inline]
    pub(crate) fn freed(&self, shared_bytes: usize) -> bool {
        if shared_bytes > 0 {
            self.shared_bytes.fetch_sub(shared_bytes, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        self.blocked.load(Ordering::Relaxed) != 0
    }

    /// Takes back the announcements of the shards that wait, which are to be rung.
    pub(crate) fn take_blocked(&self) -> ShardSet {
        let blocked = ShardSet(self.blocked.swap(0, Ordering::SeqCst));
        if blocked != ShardSet::NONE {
            self.note_room();
        }
        blocked
    }

    /// There is room, or nobody will make any: whoever waits is to try again.
    pub(crate) fn note_room(&self) {
        self.rooms.fetch_add(1, Ordering::Release);
    }
}

/// Shards of a node, in one word: of a node with more than 64, some stand for others too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardSet(u64);

impl ShardSet {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    const fn of(shard: usize) -> Self {
        Self(1 << (shard % 64))
    }

    pub(crate) const fn contains(self, shard: usize) -> bool {
        self.0 & Self::of(shard).0 != 0
    }
}

/// A shard's end of an inbox.
#[derive(Clone, Debug)]
pub(crate) struct InboxWriter {
    producer: Producer,
    signals: Arc<InboxSignals>,
    shard: ShardSet,
    /// The shard's turn in which it was last pushed to.
    touched_in: u64,
    /// How often room had been made when the shard asked last.
    rooms_seen: u32,
}

impl InboxWriter {
    /// Whether a payload of that length can be copied into the ring at all: a small one takes larger
    /// payloads by reference only.
    #[inline]
    pub(crate) fn takes_inline(&self, bytes: usize) -> bool {
        bytes <= self.producer.payload_bytes_max()
    }

    /// Whether room was made since this was asked last.
    pub(crate) fn has_made_room(&mut self) -> bool {
        let rooms = self.signals.rooms.load(Ordering::Acquire);
        std::mem::replace(&mut self.rooms_seen, rooms) != rooms
    }

    #[inline]
    pub(crate) fn push(&mut self, tag: Tag, payload: &[u8]) -> Result<(), PushError> {
        match self.producer.try_push(tag, payload) {
            Err(PushError::Full) => {
                self.announce_block();
                // Room that was made before the announcement was not signalled: look again.
                self.producer.try_push(tag, payload)
            }
            outcome => outcome,
        }
    }

    /// Whether a payload that is held by reference fits: the ring has room for many references, so
    /// what they refer to is bounded by the inbox's size too. One payload always passes.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        // Into a closed one nothing will be pushed, and nobody will make room in it any more.
        if self.signals.fits(bytes) || self.producer.is_closed() {
            return true;
        }
        self.announce_block();
        self.signals.fits(bytes) || self.producer.is_closed()
    }

    /// Pushes a payload by reference; [`has_room_for`](Self::has_room_for) has been asked.
    pub(crate) fn push_shared(&mut self, tag: Tag, payload: Bytes) -> Result<(), PushError> {
        let bytes = payload.len();
        self.signals
            .shared_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        let pushed = match self.producer.try_push_shared(tag, payload) {
            Err((PushError::Full, payload)) => {
                self.announce_block();
                self.producer.try_push_shared(tag, payload)
            }
            outcome => outcome,
        };
        pushed.map_err(|(error, _)| {
            self.signals
                .shared_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
            error
        })
    }

    fn announce_block(&self) {
        self.signals
            .blocked
            .fetch_or(self.shard.0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The same for another shard.
    pub(crate) fn on_shard(&self, shard: usize) -> Self {
        Self {
            shard: ShardSet::of(shard),
            ..self.clone()
        }
    }

    /// Notes the turn of a push; true the first time in that turn.
    pub(crate) fn touch(&mut self, turn: u64) -> bool {
        std::mem::replace(&mut self.touched_in, turn) != turn
    }

    pub(crate) fn signals(&self) -> &Arc<InboxSignals> {
        &self.signals
    }
}

/// The ring of an inbox of `capacity_bytes`: the end that the first shard pushes into, and the reader's end with
/// the signals.
pub(crate) fn inbox_ring(capacity_bytes: usize) -> (InboxWriter, Consumer, Arc<InboxSignals>) {
    let (producer, consumer) = byte_ring(capacity_bytes);
    let signals = Arc::new(InboxSignals {
        reader: AtomicWaker::new(),
        blocked: AtomicU64::new(0),
        rooms: AtomicU32::new(0),
        shared_bytes: AtomicUsize::new(0),
        capacity_bytes: producer.capacity_bytes(),
        producer: producer.clone(),
    });
    let writer = InboxWriter {
        producer,
        signals: Arc::clone(&signals),
        shard: ShardSet::of(0),
        touched_in: 0,
        rooms_seen: 0,
    };
    (writer, consumer, signals)
}

/// The messages that were in an inbox at some moment.
#[derive(Debug)]
pub(crate) struct Unread {
    inbox: Weak<InboxSignals>,
    /// The position in its ring behind the last of them.
    up_to: usize,
}

impl Unread {
    /// Whether all of them have been read, or never will be.
    pub(crate) fn is_read(&self) -> bool {
        let inbox = self.inbox.upgrade();
        inbox.is_none_or(|signals| {
            signals.producer.is_closed() || signals.producer.freed() >= self.up_to
        })
    }
}

/// The inboxes of a node, so that their readers can be woken when it ends.
#[derive(Debug, Default)]
pub(crate) struct Inboxes {
    signals: Mutex<Vec<Weak<InboxSignals>>>,
}

impl Inboxes {
    /// From now on that reader is woken at the end; those that are gone are forgotten.
    pub(crate) fn add(&self, signals: &Arc<InboxSignals>) {
        let mut known = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|signals| signals.strong_count() > 0);
        known.push(Arc::downgrade(signals));
    }

    /// What is unread in each of them now.
    pub(crate) fn unread(&self) -> Vec<Unread> {
        let known = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = known.iter().filter_map(|inbox| {
            let signals = inbox.upgrade()?;
            let up_to = signals.producer.position();
            Some(Unread {
                inbox: Weak::clone(inbox),
                up_to,
            })
        });
        unread.filter(|unread| !unread.is_read()).collect()
    }

    /// No shard pushes any more.
    pub(crate) fn wake_all(&self) {
        let mut known = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        for signals in known.drain(..).filter_map(|signals| signals.upgrade()) {
            signals.wake();
        }
    }
}
