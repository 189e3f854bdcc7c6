//! The engine's own threads: how a call tells that it runs on one, and how their end is awaited.
//!
//! Shards and the control shard start through here; `node` joins them. Every call that waits asks
//! `is_own` first: a shard that waits for a shard, be it of another node in this process, keeps what
//! it waits for from happening.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

/// A thread past its deadline that makes no step for so long is held by code of the application.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// How often a thread that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

thread_local!(static IS_OWN: Cell<bool> = const { Cell::new(false) });

thread_local!(static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current()))));

/// Ends a [`thread::park`] of its thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakes this thread from [`thread::park`], which a call that waits does in a loop: it may be woken for
/// other reasons.
pub(crate) fn waker() -> Waker {
    WAKER.with(Waker::clone)
}

/// Whether this thread runs a shard or a control shard of any node in this process.
pub(crate) fn is_own() -> bool {
    IS_OWN.get()
}

/// A thread of the engine. Dropping it leaves the thread to itself.
#[derive(Debug)]
pub(crate) struct EngineThread {
    handle: thread::JoinHandle<()>,
    /// Never carries anything: the thread holds the other end until it ends.
    ended: Receiver<Infallible>,
}

impl EngineThread {
    pub(crate) fn start(name: String, life: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (alive, ended) = bounded(0);
        let handle = thread::Builder::new().name(name).spawn(move || {
            let _alive = alive;
            IS_OWN.set(true);
            life();
        })?;
        Ok(Self { handle, ended })
    }

    /// Waits for the end of the thread, however long it takes.
    pub(crate) fn join(self) {
        // A thread that panicked has said so in the log.
        drop(self.handle.join());
    }

    /// Waits for the end of the thread. False if the deadline has passed and `steps`, which counts
    /// what the thread has done since it was asked to end, has stood still: then the thread is left
    /// to itself.
    pub(crate) fn join_by(
        self,
        asked: Instant,
        deadline: Instant,
        steps: impl Fn() -> u64,
    ) -> bool {
        let (mut seen, mut since) = (0, asked);
        while self.ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            let steps = steps();
            if steps != seen {
                (seen, since) = (steps, now);
            }
            if now >= deadline && now.duration_since(since) >= STUCK_AFTER {
                return false;
            }
        }
        self.join();
        true
    }
}
