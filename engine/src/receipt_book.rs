//! The open receipts of a node as its threads share them, and how each of them ends.
//!
//! Senders open receipts (`receipt`); shards close them as messages are acknowledged or reported. Whatever
//! closes one first decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::delivery::Acknowledged;
use crate::error::{LATE, Reported};
use crate::spans::{Spans, status_of};
use crate::waiter::Waiter;

/// Open receipts of one node. At some 200 bytes each this bounds them to about 13 MB.
pub const RECEIPTS_MAX: usize = 1 << 16;

/// What became of a message.
pub(crate) type Outcome = Result<(), Reported>;

/// Where one outcome is put.
pub(crate) type ReceiptWaiter = Arc<Waiter<Outcome>>;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ReceiptBook {
    open: Mutex<Open>,
    /// Messages that are recorded have a number, whether somebody waits for them or not.
    spans: Arc<Spans>,
    /// No shard settles anything any more.
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    waiters: HashMap<u64, ReceiptWaiter>,
    next: u64,
}

impl ReceiptBook {
    pub(crate) fn new(spans: Arc<Spans>) -> Self {
        Self {
            open: Mutex::default(),
            spans,
            ended: AtomicBool::new(false),
        }
    }

    /// Opens a receipt; its number is never used again, unless it is `recorded` and so a random one. `None` if there are too many.
    pub(crate) fn open(&self, waiter: &ReceiptWaiter, recorded: Option<u64>) -> Option<u64> {
        let mut open = self.lock();
        if open.waiters.len() >= RECEIPTS_MAX {
            return None;
        }
        let number = recorded.unwrap_or(open.next);
        if recorded.is_none() {
            open.next += 1;
        }
        open.waiters.insert(number, Arc::clone(waiter));
        drop(open);
        if self.ended.load(Ordering::Acquire) {
            self.node_ended();
        }
        Some(number)
    }

    /// Nobody waits for it any more.
    pub(crate) fn cancel(&self, number: u64) {
        let waiter = self.lock().waiters.remove(&number);
        drop(waiter);
    }

    /// The message with that receipt has ended.
    pub(crate) fn settle(&self, number: u64, outcome: Outcome) {
        if Spans::is_recorded(number) {
            self.spans.ended(number, status_of(&outcome));
        }
        let waiter = self.lock().waiters.remove(&number);
        if let Some(waiter) = waiter {
            waiter.finish(outcome);
        }
    }

    /// The messages with those receipts were among those that the peer has processed.
    pub(crate) fn processed(
        &self,
        numbers: impl IntoIterator<Item = u64>,
        processed: Acknowledged,
    ) {
        let Acknowledged {
            messages,
            refused,
            late,
        } = processed;
        let outcome = match refused {
            0 => Ok(()),
            _ if late == messages => Err(Reported::Undelivered { why: LATE }),
            _ if refused == messages => Err(Reported::Refused),
            // A peer whose messages for missing mailboxes alternate with others too often, or that was
            // resumed.
            _ => Err(Reported::Unknown {
                why: "the peer has processed it together with messages that it refused",
            }),
        };
        for number in numbers {
            self.settle(number, outcome);
        }
    }

    /// The node has ended: nobody settles anything any more.
    pub(crate) fn node_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.spans.node_ended();
        let waiters = std::mem::take(&mut self.lock().waiters);
        for waiter in waiters.into_values() {
            waiter.finish(Err(Reported::Unknown {
                why: "the node has stopped",
            }));
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiters.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
