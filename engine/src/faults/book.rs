//! The faults that are open on a node, with an epoch that shards follow.
//!
//! Written by whoever orders a fault or removes it, and by the control shard, which ends those whose time is over and tells of both. Shards
//! look at the epoch in each turn, and at the faults when it has changed; what faults do is counted here, by each shard that carries it out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::events::Event;

use super::{FAULTS_MAX, Fault, FaultCounts, FaultError, FaultMetrics, FaultStatus};

/// A fault that is open. Shards hold it as long as they go by it.
#[derive(Debug)]
pub(crate) struct OpenFault {
    pub(crate) id: u64,
    pub(crate) fault: Fault,
    until: Instant,
    dropped: AtomicU64,
    delayed: AtomicU64,
    cut: AtomicU64,
    dials_failed: AtomicU64,
}

impl OpenFault {
    /// One for the tests of what faults do, without a book.
    #[cfg(test)]
    pub(crate) fn alone(fault: Fault, now: Instant) -> Arc<Self> {
        Arc::new(Self::new(1, fault, now))
    }

    fn new(id: u64, fault: Fault, now: Instant) -> Self {
        Self {
            id,
            until: now + fault.lasts,
            fault,
            dropped: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            dials_failed: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_delayed(&self, messages: u64) {
        self.delayed.fetch_add(messages, Ordering::Relaxed);
    }

    pub(crate) fn count_cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failed_dial(&self) {
        self.dials_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> FaultCounts {
        FaultCounts {
            dropped: self.dropped.load(Ordering::Relaxed),
            delayed: self.delayed.load(Ordering::Relaxed),
            cut: self.cut.load(Ordering::Relaxed),
            dials_failed: self.dials_failed.load(Ordering::Relaxed),
        }
    }
}

/// Something that the control shard is to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is open from now on.
    Added(Arc<OpenFault>),
    /// It is not any more.
    Ended(Arc<OpenFault>),
}

impl Told {
    pub(crate) fn event(&self) -> Event {
        let text = |open: &OpenFault| open.fault.to_string().into();
        match self {
            Self::Added(open) => Event::FaultAdded {
                id: open.id,
                fault: text(open),
                lasts: open.fault.lasts,
            },
            Self::Ended(open) => Event::FaultEnded {
                id: open.id,
                fault: text(open),
                done: open.counts(),
            },
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct FaultBook {
    epoch: AtomicU64,
    state: Mutex<State>,
    /// Notified when a shard goes by other faults than before.
    adopted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    open: Vec<Arc<OpenFault>>,
    told: Vec<Told>,
    /// Those that have ended: shards may still count on them for a turn.
    ended: FaultCounts,
    ending: Vec<Arc<OpenFault>>,
    /// By shard: the epoch that it goes by.
    adopted: Vec<u64>,
}

impl FaultBook {
    /// Grows with each change.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The faults that are open, and the epoch as of which they are.
    pub(crate) fn open(&self) -> (u64, Vec<Arc<OpenFault>>) {
        let state = self.lock();
        (self.epoch(), state.open.clone())
    }

    /// A shard goes by the faults of that epoch.
    pub(crate) fn note_adopted(&self, shard: usize, epoch: u64) {
        let mut state = self.lock();
        if state.adopted.len() <= shard {
            state.adopted.resize(shard + 1, 0);
        }
        state.adopted[shard] = epoch;
        self.adopted.notify_all();
    }

    /// Waits until so many shards go by the faults there are now, or the time is over: then one of them is held by a handler or a task.
    pub(crate) fn await_adoption(&self, shards: usize, patience: Duration) {
        let state = self.lock();
        let epoch = self.epoch();
        let is_awaited = |state: &mut State| {
            let adopted = state.adopted.iter().filter(|adopted| **adopted >= epoch);
            adopted.count() < shards
        };
        drop(self.adopted.wait_timeout_while(state, patience, is_awaited));
    }

    /// Opens one; returns its number.
    pub(crate) fn add(&self, fault: Fault, now: Instant) -> Result<u64, FaultError> {
        fault.check()?;
        let mut state = self.lock();
        if state.open.len() >= FAULTS_MAX {
            return Err(FaultError::TooMany);
        }
        state.last_id += 1;
        let id = state.last_id;
        let open = Arc::new(OpenFault::new(id, fault, now));
        state.open.push(Arc::clone(&open));
        state.told.push(Told::Added(open));
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(id)
    }

    /// Ends one before its time.
    pub(crate) fn remove(&self, id: u64) -> Result<(), FaultError> {
        let mut state = self.lock();
        let count = state.end(|open| open.id == id);
        if count == 0 {
            return Err(FaultError::Unknown { id });
        }
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Ends those whose time is over. True if there were any.
    pub(crate) fn end_due(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let any = state.end(|open| open.until <= now) > 0;
        if any {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        any
    }

    /// When the next one ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        // Looked at after each notice: without faults that is one load.
        if self.epoch() == 0 {
            return None;
        }
        self.lock().open.iter().map(|open| open.until).min()
    }

    /// What has not been told yet.
    pub(crate) fn take_told(&self) -> Vec<Told> {
        if self.epoch() == 0 {
            return Vec::new();
        }
        std::mem::take(&mut self.lock().told)
    }

    /// Those that are open, for whoever asks.
    pub(crate) fn list(&self, now: Instant) -> Vec<FaultStatus> {
        let state = self.lock();
        let status = |open: &Arc<OpenFault>| FaultStatus {
            id: open.id,
            fault: open.fault.clone(),
            left: open.until.saturating_duration_since(now),
            done: open.counts(),
        };
        state.open.iter().map(status).collect()
    }

    pub(crate) fn metrics(&self) -> FaultMetrics {
        let mut state = self.lock();
        state.settle();
        let mut done = state.ended;
        for open in state.open.iter().chain(&state.ending) {
            done.add(&open.counts());
        }
        FaultMetrics {
            open: state.open.len(),
            done,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, is_over: impl Fn(&OpenFault) -> bool) -> usize {
        self.settle();
        let is_over = |open: &mut Arc<OpenFault>| is_over(open);
        let ended: Vec<_> = self.open.extract_if(.., is_over).collect();
        let count = ended.len();
        self.told.extend(ended.iter().cloned().map(Told::Ended));
        self.ending.extend(ended);
        count
    }

    /// What nobody counts on any more is a sum from now on.
    fn settle(&mut self) {
        let ended = &mut self.ended;
        self.ending.retain(|open| {
            let is_held = Arc::strong_count(open) > 1;
            if !is_held {
                ended.add(&open.counts());
            }
            is_held
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fault_is_open_until_its_time_is_over() {
        let (book, now) = (FaultBook::default(), Instant::now());
        assert_eq!((book.epoch(), book.next_end()), (0, None));
        let id = book.add(Fault::lasting(SECOND).cut(), now).expect("right");
        let longer = Fault::lasting(2 * SECOND).drop_ppm(1);
        let other = book.add(longer, now).expect("right");
        assert_ne!(id, other);
        assert_eq!(book.next_end(), Some(now + SECOND));
        assert!(!book.end_due(now));
        assert!(book.end_due(now + SECOND));
        assert_eq!(book.next_end(), Some(now + 2 * SECOND));
        let left: Vec<_> = book.list(now).iter().map(|open| open.id).collect();
        assert_eq!(left, [other]);
        assert_eq!(book.remove(id), Err(FaultError::Unknown { id }));
        assert_eq!(book.remove(other), Ok(()));
        assert_eq!(book.next_end(), None);
        let told = book.take_told();
        let ends = told.iter().filter(|told| matches!(told, Told::Ended(_)));
        assert_eq!((told.len(), ends.count()), (4, 2));
        assert!(book.take_told().is_empty());
    }

    #[test]
    fn what_a_fault_has_done_stays_counted_when_it_is_over() {
        let (book, now) = (FaultBook::default(), Instant::now());
        let id = book.add(Fault::lasting(SECOND).cut(), now).expect("right");
        let (_, of_shard) = book.open();
        of_shard[0].count_dropped();
        book.remove(id).expect("it is open");
        // The shard has not looked yet.
        of_shard[0].count_dropped();
        drop(book.take_told());
        assert_eq!(book.metrics().done.dropped, 2);
        drop(of_shard);
        let metrics = book.metrics();
        assert_eq!((metrics.open, metrics.done.dropped), (0, 2));
        assert!(book.lock().ending.is_empty());
    }

    #[test]
    fn there_are_no_more_faults_than_may_be() {
        let (book, now) = (FaultBook::default(), Instant::now());
        let fault = Fault::lasting(SECOND).cut();
        for _ in 0..FAULTS_MAX {
            book.add(fault.clone(), now).expect("there is room");
        }
        assert_eq!(book.add(fault, now), Err(FaultError::TooMany));
    }
}
