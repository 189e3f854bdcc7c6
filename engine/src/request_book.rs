//! The open requests of a node as its threads share them, and how each of them ends.
//!
//! Senders open requests and wait (`request`); shards close them: one that reads a reply, one whose lane
//! ends, and shard 0 when a deadline passes. Whatever closes a request first decides its outcome.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::delivery::Requests;
use crate::error::RequestError;
use crate::message::OwnedMessage;
use crate::peer::Peer;
use crate::waiter::Waiter;

/// Open requests of one node. At some 300 bytes each this bounds them to about 20 MB.
pub const REQUESTS_MAX: usize = 1 << 16;

/// When nothing is due.
const NEVER: u64 = u64::MAX;

/// How a request ended.
pub(crate) type Outcome = Result<OwnedMessage, RequestError>;

/// Where the outcome of one request is put.
pub(crate) type RequestWaiter = Waiter<Outcome>;

/// The lane that a request went on.
#[derive(Debug)]
struct Asked {
    peer: Arc<Peer>,
    offset: usize,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct RequestBook {
    requests: Mutex<Requests<Asked, Arc<RequestWaiter>>>,
    began: Instant,
    /// When shard 0 is to look for requests that have expired, in nanoseconds after `began`. Not later
    /// than the first deadline.
    due_ns: AtomicU64,
    late: AtomicU64,
}

impl RequestBook {
    /// `first` is the number of the first request: a random one.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            requests: Mutex::new(Requests::new(REQUESTS_MAX, first)),
            began: Instant::now(),
            due_ns: AtomicU64::new(NEVER),
            late: AtomicU64::new(0),
        }
    }

    /// Opens a request. True beside its number if shard 0 is to be woken: it has to look earlier than
    /// it knows.
    pub(crate) fn open(
        &self,
        peer: &Arc<Peer>,
        offset: usize,
        waiter: &Arc<RequestWaiter>,
        deadline: Instant,
    ) -> Option<(u64, bool)> {
        let asked = Asked {
            peer: Arc::clone(peer),
            offset,
        };
        let mut requests = self.lock();
        let id = requests.open(asked, Arc::clone(waiter), deadline)?;
        let at_ns = self.after_began(deadline);
        let is_first = at_ns < self.due_ns.load(Ordering::Acquire);
        if is_first {
            self.due_ns.store(at_ns, Ordering::Release);
        }
        Some((id, is_first))
    }

    /// Nobody waits for it any more.
    pub(crate) fn cancel(&self, id: u64) {
        let waiter = self.lock().close(id, |_| true);
        drop(waiter);
    }

    /// A reply came, or a refusal, from `peer`. False if nobody waits for it: it came late, or from a
    /// node that was not asked.
    pub(crate) fn answer(
        &self,
        id: u64,
        peer: &Arc<Peer>,
        outcome: impl FnOnce() -> Outcome,
    ) -> bool {
        let is_from = |asked: &Asked| Arc::ptr_eq(&asked.peer, peer);
        let waiter = self.lock().close(id, is_from);
        match waiter {
            Some(waiter) => {
                waiter.finish(outcome());
                true
            }
            None => {
                self.late.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// This node's own request was accepted and surely does not reach its peer.
    #[cold]
    pub(crate) fn undelivered(&self, id: u64, why: &'static str) {
        let waiter = self.lock().close(id, |_| true);
        if let Some(waiter) = waiter {
            waiter.finish(Err(RequestError::Undelivered { why }));
        }
    }

    /// A lane has ended: whether the requests on it arrived, nobody knows.
    pub(crate) fn lane_ended(&self, peer: &Arc<Peer>, offset: usize) {
        self.abandon(|asked| asked.offset == offset && Arc::ptr_eq(&asked.peer, peer));
    }

    /// The last lane to a peer has ended: what was asked on lanes that came to rest is not answered any
    /// more either. What waits for a lane is still to be asked.
    pub(crate) fn peer_left(&self, peer: &Arc<Peer>) {
        self.abandon(|asked| {
            Arc::ptr_eq(&asked.peer, peer) && peer.lane(asked.offset).gate.is_unused()
        });
    }

    /// Whether an answer of that peer is waited for.
    pub(crate) fn has_open(&self, peer: &Arc<Peer>) -> bool {
        self.lock().any(|asked| Arc::ptr_eq(&asked.peer, peer))
    }

    /// The node has ended: nobody closes a request any more.
    pub(crate) fn node_ended(&self) {
        self.abandon(|_| true);
    }

    fn abandon(&self, is_gone: impl Fn(&Asked) -> bool) {
        let gone = self.lock().abandon(is_gone);
        for waiter in gone {
            waiter.finish(Err(RequestError::LaneEnded));
        }
    }

    /// When shard 0 is to look next.
    #[inline]
    pub(crate) fn due(&self) -> Option<Instant> {
        let due_ns = self.due_ns.load(Ordering::Acquire);
        (due_ns != NEVER).then(|| self.began + Duration::from_nanos(due_ns))
    }

    /// Ends the requests whose deadline has passed.
    pub(crate) fn expire(&self, now: Instant) {
        let expired = {
            let mut requests = self.lock();
            let expired = requests.expire(now);
            let next = requests.next_deadline();
            let due_ns = next.map_or(NEVER, |deadline| self.after_began(deadline));
            self.due_ns.store(due_ns, Ordering::Release);
            expired
        };
        for waiter in expired {
            waiter.finish(Err(RequestError::DeadlinePassed));
        }
    }

    /// Replies that came when nobody waited for them any more.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Requests that are open now.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn after_began(&self, at: Instant) -> u64 {
        let after = at.saturating_duration_since(self.began).as_nanos();
        u64::try_from(after).unwrap_or(NEVER - 1)
    }

    fn lock(&self) -> MutexGuard<'_, Requests<Asked, Arc<RequestWaiter>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
