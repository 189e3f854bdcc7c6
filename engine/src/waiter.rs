//! Where the outcome of something is put by one thread, once, and waited for by another.
//!
//! Filled by whoever learns the outcome first; waited for by a thread or by a task of any runtime. It does
//! not know what it waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use event_listener::{Event, EventListener};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    outcome: Mutex<Option<T>>,
    done: Event,
}

impl<T> Default for Waiter<T> {
    fn default() -> Self {
        Self {
            outcome: Mutex::new(None),
            done: Event::new(),
        }
    }
}

impl<T> Waiter<T> {
    pub(crate) fn finish(&self, outcome: T) {
        *self.lock() = Some(outcome);
        self.done.notify(usize::MAX);
    }

    /// Listen, look, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        self.done.listen()
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.lock().take()
    }

    /// Until there is an outcome, which is taken.
    pub(crate) async fn wait(&self) -> T {
        loop {
            let done = self.listen();
            if let Some(outcome) = self.take() {
                return outcome;
            }
            done.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
