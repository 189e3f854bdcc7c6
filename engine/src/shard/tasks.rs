//! The tasks of applications that live on a shard: where they run, and how they wake it.
//!
//! Polled by the turn, between turns, never inside one. A task waits for what the shard gives: room
//! in a lane, the next turn, a time, or anything that wakes a waker from anywhere. The waker rings
//! the doorbell, so a parked shard comes back for its tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_executor::LocalExecutor;
use futures_lite::FutureExt;

use super::command::TaskMaker;
use super::context::ShardHandle;
use crate::ring::Doorbell;

/// Polls of tasks between two turns: a task that is always ready must not keep lanes waiting.
const POLLS_PER_TURN: usize = 64;

/// What tasks have asked of their shard, and what was asked for them.
#[derive(Debug, Default)]
pub(super) struct TaskRequests {
    /// Tasks asked for in this turn.
    pub(super) newborn: Vec<TaskMaker>,
    /// Tasks that wait for the end of a turn.
    pub(super) turn_waiters: Vec<Waker>,
    /// Tasks that wait for a deadline, by its key.
    pub(super) sleepers: BTreeMap<u64, Waker>,
    sleepers_made: u64,
}

impl TaskRequests {
    /// The key of a new sleeper.
    pub(super) fn new_sleeper(&mut self) -> u64 {
        self.sleepers_made += 1;
        self.sleepers_made
    }
}

/// The tasks of one shard.
pub(super) struct Tasks {
    executor: Rc<LocalExecutor<'static>>,
    signal: Arc<Signal>,
    waker: Waker,
    /// The executor's wait for a task that can run: asked with a waker that rings the doorbell.
    next: Pin<Box<dyn Future<Output = ()>>>,
}

/// Set when a task can run.
struct Signal {
    woken: AtomicBool,
    doorbell: Arc<Doorbell>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.doorbell.ring();
    }
}

impl Tasks {
    pub(super) fn new(doorbell: Arc<Doorbell>) -> Self {
        let executor = Rc::new(LocalExecutor::new());
        let signal = Arc::new(Signal {
            woken: AtomicBool::new(false),
            doorbell,
        });
        Self {
            waker: Waker::from(Arc::clone(&signal)),
            next: wait_for_task(&executor),
            executor,
            signal,
        }
    }

    /// Starts what was asked for.
    pub(super) fn start(&mut self, newborn: Vec<TaskMaker>, handle: &ShardHandle) {
        for maker in newborn {
            let own = handle.clone();
            // Made within the task: what makes it is the application's, and can panic too.
            let task = self.executor.spawn(async move { maker.make(own).await });
            self.executor.spawn(watch(task, handle.clone())).detach();
        }
        self.signal.woken.store(true, Ordering::Release);
    }

    /// Whether a task can run.
    #[inline]
    pub(super) fn can_run(&self) -> bool {
        self.signal.woken.load(Ordering::Acquire)
    }

    /// Runs tasks that can run, up to a bound. True if there were any.
    pub(super) fn run(&mut self) -> bool {
        if !self.can_run() {
            return false;
        }
        // Before the look: a wake during it counts for the next time.
        self.signal.woken.store(false, Ordering::SeqCst);
        for _ in 0..POLLS_PER_TURN {
            let mut context = Context::from_waker(&self.waker);
            match self.next.as_mut().poll(&mut context) {
                Poll::Ready(()) => self.next = wait_for_task(&self.executor),
                Poll::Pending => return true,
            }
        }
        self.signal.woken.store(true, Ordering::Release);
        true
    }
}

/// A task that panics ends itself and nothing else; it is counted and logged.
async fn watch(task: async_executor::Task<()>, handle: ShardHandle) {
    let ended = AssertUnwindSafe(task.fallible()).catch_unwind().await;
    if ended.is_err() {
        let core = &mut handle.shard.borrow_mut().core;
        core.tally.task_panics += 1;
        core.recording.task_panicked();
        tracing::error!(shard = handle.index, "a task on a shard panicked");
    }
}

fn wait_for_task(executor: &Rc<LocalExecutor<'static>>) -> Pin<Box<dyn Future<Output = ()>>> {
    let executor = Rc::clone(executor);
    Box::pin(async move { executor.tick().await })
}
