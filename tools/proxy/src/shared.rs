//! What the threads of a proxy share: what is to be done to the bytes, the connections there are, and what was counted.
//!
//! proxy.rs writes what is to be done, pipe.rs goes by it. No byte passes here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::{Connection, Direction};
use crate::link::Link;

/// What a proxy has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted and dialled on.
    pub connections: u64,
    /// Connections that were accepted and closed again, because the target could not be reached.
    pub unreachable: u64,
    /// Connections that are there now.
    pub open: u64,
    /// Connections that the proxy has cut.
    pub cut: u64,
    /// Times that it began to stall.
    pub stalls: u64,
    /// Bytes passed on to the target.
    pub bytes_to_target: u64,
    /// Bytes passed on from the target.
    pub bytes_from_target: u64,
    /// Bytes of both that were damaged.
    pub corrupted_bytes: u64,
}

/// What the threads of a proxy share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) target: Mutex<SocketAddr>,
    seed: u64,
    pub(crate) connections: Mutex<BTreeMap<u64, Arc<Connection>>>,
    stalled: Mutex<bool>,
    resumed: Condvar,
    links: [Mutex<Link>; 2],
    pub(crate) delay_ns: [AtomicU64; 2],
    /// 0 is no limit.
    pub(crate) bytes_per_s: [AtomicU64; 2],
    /// 0 is never.
    pub(crate) corrupt_every: AtomicU64,
    /// 0 is never.
    pub(crate) cut_after_bytes: AtomicU64,
    pub(crate) keeps_half_open: AtomicBool,
    pub(crate) over: AtomicBool,
    pub(crate) counts: Mutex<Counts>,
}

/// What a thread that panicked has left is as good as ever: each field stands for itself.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(target: SocketAddr, seed: u64) -> Self {
        Self {
            target: Mutex::new(target),
            seed,
            connections: Mutex::default(),
            stalled: Mutex::default(),
            resumed: Condvar::new(),
            links: Default::default(),
            delay_ns: Default::default(),
            bytes_per_s: Default::default(),
            corrupt_every: AtomicU64::new(0),
            cut_after_bytes: AtomicU64::new(0),
            keeps_half_open: AtomicBool::new(false),
            over: AtomicBool::new(false),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// A seed of its own for each direction of each connection.
    pub(crate) fn seed_of(&self, connection: u64, direction: Direction) -> u64 {
        let mut seeds = fastrand::Rng::with_seed(self.seed ^ connection.rotate_left(32));
        let seeds: [u64; 2] = [seeds.u64(..), seeds.u64(..)];
        seeds[direction as usize]
    }

    pub(crate) fn rate(&self, direction: Direction) -> Option<NonZeroU64> {
        NonZeroU64::new(self.bytes_per_s[direction as usize].load(Ordering::Relaxed))
    }

    pub(crate) fn delay(&self, direction: Direction) -> Duration {
        Duration::from_nanos(self.delay_ns[direction as usize].load(Ordering::Relaxed))
    }

    pub(crate) fn corrupt_every(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.corrupt_every.load(Ordering::Relaxed))
    }

    pub(crate) fn keeps_half_open(&self) -> bool {
        self.keeps_half_open.load(Ordering::Relaxed)
    }

    pub(crate) fn enter_link(
        &self,
        direction: Direction,
        now: Instant,
        bytes: usize,
        bytes_per_s: NonZeroU64,
    ) -> Instant {
        lock(&self.links[direction as usize]).enter(now, bytes, bytes_per_s)
    }

    pub(crate) fn count_damage(&self, bytes: u64) {
        if bytes > 0 {
            lock(&self.counts).corrupted_bytes += bytes;
        }
    }

    pub(crate) fn count_bytes(&self, direction: Direction, bytes: u64) {
        let mut counts = lock(&self.counts);
        match direction {
            Direction::ToTarget => counts.bytes_to_target += bytes,
            Direction::FromTarget => counts.bytes_from_target += bytes,
        }
    }

    /// Bytes that may still pass in a direction that has had `passed`.
    pub(crate) fn left_before_cut(&self, passed: u64) -> usize {
        match self.cut_after_bytes.load(Ordering::Relaxed) {
            0 => usize::MAX,
            after => usize::try_from(after.saturating_sub(passed)).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn stall(&self, stalled: bool) {
        let was = std::mem::replace(&mut *lock(&self.stalled), stalled);
        if stalled && !was {
            lock(&self.counts).stalls += 1;
        }
        self.resumed.notify_all();
    }

    /// Waits while the proxy stalls. Says whether the connection goes on.
    pub(crate) fn wait_out_stall(&self, connection: &Connection) -> bool {
        let waits = |stalled: &mut bool| *stalled && !connection.is_over();
        let waited = self.resumed.wait_while(lock(&self.stalled), waits);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        !connection.is_over()
    }

    pub(crate) fn cut_one(&self, connection: &Connection) {
        if self.end(connection) {
            lock(&self.counts).cut += 1;
        }
    }

    /// One of its sockets failed. With half-open ends, nobody is told.
    pub(crate) fn broken(&self, connection: &Connection) {
        if !self.keeps_half_open() {
            self.end(connection);
        }
    }

    /// Says whether it had not ended before.
    pub(crate) fn end(&self, connection: &Connection) -> bool {
        let is_first = connection.end();
        // Under the lock: a thread that has just looked is not missed.
        drop(lock(&self.stalled));
        self.resumed.notify_all();
        is_first
    }

    /// The connection has ended, and its sockets may go; half open, they stay until they are cut.
    pub(crate) fn forget(&self, connection: &Connection) {
        if connection.is_over() || !self.keeps_half_open() {
            lock(&self.connections).remove(&connection.number);
        }
    }
}
