//! A mailbox at which streams are accepted: those that were opened to it, and the application that waits for one.
//!
//! What waits is bounded by the open streams of each peer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::Incoming;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Accepting {
    pub(crate) mailbox: Box<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Incoming>>,
    closed: bool,
    acceptor: Option<Waker>,
}

impl Accepting {
    pub(super) fn new(mailbox: &str) -> Self {
        Self {
            mailbox: mailbox.into(),
            state: Mutex::default(),
        }
    }

    /// A stream was opened. False if nobody accepts it any more.
    pub(super) fn offer(&self, stream: Arc<Incoming>) -> bool {
        let acceptor = {
            let mut state = self.lock();
            if state.closed {
                return false;
            }
            state.waiting.push_back(stream);
            state.acceptor.take()
        };
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
        true
    }

    /// The next stream; `None` once there will be none.
    pub(crate) fn poll_accept(&self, acceptor: &Waker) -> Poll<Option<Arc<Incoming>>> {
        let mut state = self.lock();
        if let Some(stream) = state.waiting.pop_front() {
            return Poll::Ready(Some(stream));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.acceptor = Some(acceptor.clone());
        Poll::Pending
    }

    /// No more are accepted. Returns those that wait to be.
    pub(super) fn close(&self) -> Vec<Arc<Incoming>> {
        let (waiting, acceptor) = {
            let mut state = self.lock();
            state.closed = true;
            let waiting = std::mem::take(&mut state.waiting);
            (waiting, state.acceptor.take())
        };
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
        waiting.into()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
