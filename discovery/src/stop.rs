//! How a strategy that waits is asked to end.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is to be done when it is asked to end, such as shutting a connection.
type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    is_stopped: bool,
    hooks: Vec<Hook>,
}

/// Shared by whoever asks and the threads that wait. Never un-asked.
#[derive(Default)]
pub struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stop")
            .field("is_stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}

impl Stop {
    /// Asks all who wait to end.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        let hooks = std::mem::take(&mut state.hooks);
        drop(state);
        self.changed.notify_all();
        for hook in hooks {
            hook();
        }
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Waits for so long. True if it was asked to end.
    pub fn wait(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.lock();
        while !state.is_stopped {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_stopped
    }

    /// Has that done when it is asked; at once if it was.
    pub fn on_stop(&self, hook: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.is_stopped {
            drop(state);
            hook();
        } else {
            state.hooks.push(Box::new(hook));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    #[test]
    fn whoever_waits_ends_and_hooks_run_once() {
        let stop = Arc::new(Stop::default());
        assert!(!stop.wait(Duration::ZERO));
        let ran = Arc::new(AtomicU32::new(0));
        let hook = |ran: &Arc<AtomicU32>| {
            let ran = Arc::clone(ran);
            move || {
                ran.fetch_add(1, Ordering::Relaxed);
            }
        };
        stop.on_stop(hook(&ran));
        let waiting = Arc::clone(&stop);
        let waiter = thread::spawn(move || waiting.wait(Duration::from_secs(600)));
        stop.stop();
        stop.stop();
        assert!(waiter.join().unwrap());
        assert_eq!(ran.load(Ordering::Relaxed), 1);
        stop.on_stop(hook(&ran));
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    }
}
