//! Messages to members without a lane that go over others (`reach = relay`): how many are open, within their bounds, and
//! what became of each.
//!
//! Senders reserve room here and leave their messages; the control shard (`cluster::relay`) takes them, passes them on,
//! and says how each has ended. It knows no way to anybody, and moves no message.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::peer::Peer;

/// Messages of a node that are under way over others at a time, to one member.
pub const RELAYED_MAX: usize = 1_024;
/// Their bytes.
pub const RELAYED_BYTES_MAX: usize = 256 << 10;
/// To all members together.
const ALL_MAX: usize = 16 * RELAYED_MAX;
const ALL_BYTES_MAX: usize = 16 * RELAYED_BYTES_MAX;

/// A message that a sender leaves.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) to: Arc<Peer>,
    pub(crate) channel: Arc<str>,
    pub(crate) mailbox: Arc<str>,
    pub(crate) ttl: u8,
    /// Its end is told by its receiver.
    pub(crate) is_awaited: bool,
    pub(crate) payload: Bytes,
}

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayEnd {
    /// Its receiver has it.
    Acknowledged,
    /// It is reported.
    Reported,
    /// On a best-effort channel: it went to the first node on its way.
    Sent,
    /// On a best-effort channel: there was no way.
    Dropped,
}

/// Counts of a node's part in messages that go over other nodes to members without a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// Accepted from this node's senders: the sum of the five below.
    pub accepted: u64,
    /// Their receiver has said that it has them.
    pub acknowledged: u64,
    /// Reported, as undelivered or unknown: see [`Event::Reported`](crate::Event::Reported).
    pub reported: u64,
    /// On best-effort channels: handed on to the first node on their way.
    pub sent: u64,
    /// On best-effort channels: there was no way, or no room on it.
    pub dropped: u64,
    /// Not ended yet.
    pub open: u64,
    /// Of other nodes, passed on by this one; answers to them among them.
    pub passed_on: u64,
    /// Of other nodes, given to mailboxes here.
    pub delivered: u64,
    /// Of other nodes, not passed on or not delivered; their senders are told why where they wait for it.
    pub turned_back: u64,
}

impl RelayCounts {
    /// Whether every message that was accepted has ended once, or is open.
    #[must_use]
    pub const fn identity_holds(&self) -> bool {
        let settled = self.acknowledged + self.reported + self.sent + self.dropped;
        self.accepted == settled + self.open
    }
}

#[derive(Debug, Default)]
struct Open {
    /// Messages and bytes, by member.
    by_peer: BTreeMap<Arc<str>, (usize, usize)>,
    messages: usize,
    bytes: usize,
    /// Members to whom there was no room, and the lane at whose gate those listen who wait for it.
    waiting: Vec<(Arc<Peer>, usize)>,
    counts: RelayCounts,
}

/// See the module's text.
pub(crate) struct RelayBook {
    open: Mutex<Open>,
    offers: Sender<Offer>,
    wake: Box<dyn Fn() + Send + Sync>,
    /// Those of other nodes.
    passed_on: AtomicU64,
    delivered: AtomicU64,
    turned_back: AtomicU64,
}

impl RelayBook {
    /// `wake` has the control shard look. The offers come out of the receiver.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> (Self, Receiver<Offer>) {
        // As many as can be open: there is always room.
        let (offers, taken) = bounded(ALL_MAX);
        let book = Self {
            open: Mutex::default(),
            offers,
            wake: Box::new(wake),
            passed_on: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            turned_back: AtomicU64::new(0),
        };
        (book, taken)
    }

    /// Reserves room for a message to that member. A message larger than the whole bound passes if nothing else is open.
    /// Where there is none, whoever waits at the gate of that lane of the member's is woken when there is.
    pub(crate) fn reserve(&self, to: &Arc<Peer>, lane: usize, bytes: usize) -> bool {
        let open = &mut *self.lock();
        if !open.fits(to.shared_name(), bytes) {
            open.wait(to, lane);
            return false;
        }
        let held = open
            .by_peer
            .entry(Arc::clone(to.shared_name()))
            .or_default();
        *held = (held.0 + 1, held.1 + bytes);
        open.messages += 1;
        open.bytes += bytes;
        open.counts.accepted += 1;
        open.counts.open += 1;
        true
    }

    /// Whether less than half of the bounds is open; if not, whoever waits is woken when it is.
    pub(crate) fn has_room(&self, to: &Arc<Peer>, lane: usize) -> bool {
        let open = &mut *self.lock();
        let has_room = !open.is_crowded(to.shared_name());
        if !has_room {
            open.wait(to, lane);
        }
        has_room
    }

    /// Leaves a message for which room is reserved.
    ///
    /// # Errors
    /// The payload, if the node has stopped: then it was never accepted.
    pub(crate) fn offer(&self, offer: Offer) -> Result<(), Bytes> {
        match self.offers.try_send(offer) {
            Ok(()) => {
                (self.wake)();
                Ok(())
            }
            Err(refused) => {
                let offer = refused.into_inner();
                let open = &mut *self.lock();
                open.free(offer.to.shared_name(), offer.payload.len());
                open.counts.accepted -= 1;
                open.counts.open -= 1;
                Err(offer.payload)
            }
        }
    }

    /// One has ended. Wakes those who wait for room and have some now.
    pub(crate) fn settle(&self, to: &Arc<str>, bytes: usize, end: RelayEnd) {
        let mut open = self.lock();
        let counts = &mut open.counts;
        counts.open -= 1;
        let count = match end {
            RelayEnd::Acknowledged => &mut counts.acknowledged,
            RelayEnd::Reported => &mut counts.reported,
            RelayEnd::Sent => &mut counts.sent,
            RelayEnd::Dropped => &mut counts.dropped,
        };
        *count += 1;
        open.free(to, bytes);
        let ready = open.take_ready();
        drop(open);
        for (peer, lane) in ready {
            peer.lane(lane).gate.stir();
        }
    }

    pub(crate) fn count_passed_on(&self) {
        self.passed_on.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_turned_back(&self) {
        self.turned_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> RelayCounts {
        RelayCounts {
            passed_on: self.passed_on.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            turned_back: self.turned_back.load(Ordering::Relaxed),
            ..self.lock().counts
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn of(&self, to: &Arc<str>) -> (usize, usize) {
        self.by_peer.get(to).copied().unwrap_or_default()
    }

    fn fits(&self, to: &Arc<str>, bytes: usize) -> bool {
        let (messages, held) = self.of(to);
        let fits = messages == 0 || messages < RELAYED_MAX && held + bytes <= RELAYED_BYTES_MAX;
        let fits_all =
            self.messages == 0 || self.messages < ALL_MAX && self.bytes + bytes <= ALL_BYTES_MAX;
        fits && fits_all
    }

    /// Whether half of a bound is reached: from there on, those who wait are not woken for each message.
    fn is_crowded(&self, to: &Arc<str>) -> bool {
        let (messages, bytes) = self.of(to);
        let for_it = messages * 2 >= RELAYED_MAX || bytes * 2 >= RELAYED_BYTES_MAX;
        let for_all = self.messages * 2 >= ALL_MAX || self.bytes * 2 >= ALL_BYTES_MAX;
        for_it || for_all
    }

    fn wait(&mut self, to: &Arc<Peer>, lane: usize) {
        let mut waiting = self.waiting.iter();
        if !waiting.any(|(peer, at)| *at == lane && Arc::ptr_eq(peer, to)) {
            self.waiting.push((Arc::clone(to), lane));
        }
    }

    fn free(&mut self, to: &Arc<str>, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
        if let Some((messages, held)) = self.by_peer.get_mut(to) {
            *messages -= 1;
            *held -= bytes;
            if *messages == 0 {
                self.by_peer.remove(to);
            }
        }
    }

    /// Those who wait and have room now. One who finds that it is too little waits again, until the next has ended.
    fn take_ready(&mut self) -> Vec<(Arc<Peer>, usize)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        let is_ready = |(peer, _): &(Arc<Peer>, usize)| !self.is_crowded(peer.shared_name());
        let (ready, waiting) = waiting.into_iter().partition(is_ready);
        self.waiting = waiting;
        ready
    }
}

impl fmt::Debug for RelayBook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RelayBook")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use event_listener::Listener;

    use super::*;
    use crate::peer::{LaneCells, LaneRange};
    use crate::ring::gate::GateLimits;

    fn peer(name: &str) -> Arc<Peer> {
        let peer = Peer::new(name.into(), false, LaneCells::new(7, 1, 0, 1));
        let lanes = LaneRange {
            channel: 0,
            first: 0,
            count: 1,
            on_one_shard: false,
            keeps_messages: false,
        };
        let limits = GateLimits {
            messages_max: 1,
            bytes_max: 1,
            high_percent: 80,
            low_percent: 20,
        };
        peer.assign_lanes(lanes, limits, false);
        Arc::new(peer)
    }

    #[test]
    fn what_is_open_is_bounded_for_each_member_and_ends_once() {
        let (book, _offers) = RelayBook::new(|| ());
        let peers: Vec<_> = (0..20).map(|n| peer(&format!("n{n}"))).collect();
        assert!(book.reserve(&peers[0], 0, RELAYED_BYTES_MAX + 1), "alone");
        assert!(!book.reserve(&peers[0], 0, 1), "no more to that one");
        let mut accepted = 1;
        for peer in &peers[1..] {
            while book.reserve(peer, 0, 1024) {
                accepted += 1;
            }
        }
        let counts = book.counts();
        assert_eq!((counts.accepted, counts.open), (accepted, accepted));
        assert!(
            accepted <= 16 * 256,
            "256 of 1 KiB fit for each, and 16 such for all"
        );
        let name = peers[1].shared_name();
        book.settle(name, 1024, RelayEnd::Acknowledged);
        book.settle(name, 1024, RelayEnd::Reported);
        assert!(book.reserve(&peers[1], 0, 1024));
        let counts = book.counts();
        assert!(counts.identity_holds(), "{counts:?}");
        assert_eq!((counts.acknowledged, counts.reported), (1, 1));
    }

    /// Whoever was refused is woken, whatever had no room: its member, or all together, for which others were to blame.
    #[test]
    fn whoever_waits_is_woken_when_there_is_room() {
        let (book, _offers) = RelayBook::new(|| ());
        let (one, other) = (peer("one"), peer("other"));
        let gate = |peer: &Arc<Peer>| peer.lane(0).gate.listen();
        assert!(book.reserve(&one, 0, ALL_BYTES_MAX));
        assert!(!book.reserve(&other, 0, 1), "nothing of its own is open");
        let woken = gate(&other);
        book.settle(one.shared_name(), ALL_BYTES_MAX, RelayEnd::Acknowledged);
        woken
            .wait_timeout(std::time::Duration::from_secs(30))
            .expect("it is woken");
        assert!(book.reserve(&other, 0, RELAYED_BYTES_MAX / 4));
        let large = RELAYED_BYTES_MAX - 1;
        assert!(
            !book.reserve(&other, 0, large),
            "not crowded, and no room for so much"
        );
        let woken = gate(&other);
        book.settle(
            other.shared_name(),
            RELAYED_BYTES_MAX / 4,
            RelayEnd::Acknowledged,
        );
        woken
            .wait_timeout(std::time::Duration::from_secs(30))
            .expect("it is woken");
        assert!(book.reserve(&other, 0, large));
        assert!(!book.has_room(&other, 0), "whoever looks waits too");
        let woken = gate(&other);
        book.settle(other.shared_name(), large, RelayEnd::Acknowledged);
        woken
            .wait_timeout(std::time::Duration::from_secs(30))
            .expect("it is woken");
        assert!(book.has_room(&other, 0) && book.lock().waiting.is_empty());
    }
}
