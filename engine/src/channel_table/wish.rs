//! What applications wish of the channel table, and what came of it.
//!
//! An application leaves a wish and waits for its outcome, on its thread or in a task; the control shard takes
//! wishes in their order and gives the outcomes. Once the node has ended, every outcome is that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use event_listener::{Event, Listener};

use crate::channel_plan::{ChannelEntry, ChannelPlan};
use crate::config::ChannelConfig;
use crate::error::ChannelError;
use crate::restraint::Side;

/// What is wished of the table.
#[derive(Debug)]
pub(crate) enum ChannelWish {
    Add(Box<ChannelConfig>),
    /// Give the channel these parameters, unless its plan is another by now.
    Retune {
        from: Arc<ChannelPlan>,
        to: Box<ChannelConfig>,
    },
    Remove {
        name: String,
        deadline: Instant,
    },
    /// The cluster is parted, and this node on that side; none: it is whole.
    Partition(Option<Side>),
}

/// What was not settled by the deadline of a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unsettled {
    pub(crate) reported: u64,
    pub(crate) dropped: u64,
}

/// What a wish came to.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Added(Arc<ChannelEntry>),
    Retuned {
        channel: Arc<str>,
        parameters: Arc<[&'static str]>,
    },
    /// It was so already.
    Unchanged,
    /// Somebody else retuned it first: look again.
    Outrun,
    Removed(Unsettled),
}

/// How a wish ended.
pub(crate) type Outcome = Result<Done, ChannelError>;

/// A wish on its way, at whoever waits for what it comes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(Arc<State>);

#[derive(Debug, Default)]
struct State {
    outcome: Mutex<Option<Outcome>>,
    given: Event,
}

impl Pending {
    /// The control shard's. The first outcome counts.
    pub(crate) fn give(&self, outcome: Outcome) {
        lock(&self.0.outcome).get_or_insert(outcome);
        self.0.given.notify(usize::MAX);
    }

    /// How it ended, if it has.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        lock(&self.0.outcome).clone()
    }

    /// Waits on this thread. `None` if it takes longer than until `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> Option<Outcome> {
        loop {
            let given = self.0.given.listen();
            if let Some(outcome) = self.outcome() {
                return Some(outcome);
            }
            if given.wait_deadline(deadline).is_none() {
                return self.outcome();
            }
        }
    }

    /// Waits in a task of any runtime.
    pub(crate) async fn done(&self) -> Outcome {
        loop {
            let given = self.0.given.listen();
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            given.await;
        }
    }
}

/// A wish, and who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Wished {
    pub(crate) wish: ChannelWish,
    pub(crate) pending: Pending,
}

/// The wishes that the control shard has not taken, and those that it is about.
#[derive(Debug, Default)]
pub(crate) struct WishList(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    wishes: Vec<Wished>,
    /// Taken, and without an outcome.
    under_way: Vec<Pending>,
    closed: bool,
}

impl WishList {
    /// Leaves a wish. The control shard is to look.
    pub(crate) fn leave(&self, wish: ChannelWish) -> Pending {
        let pending = Pending::default();
        let list = &mut *lock(&self.0);
        if list.closed {
            pending.give(Err(ChannelError::Closed));
            return pending;
        }
        list.under_way.retain(|pending| pending.outcome().is_none());
        list.under_way.push(pending.clone());
        list.wishes.push(Wished {
            wish,
            pending: pending.clone(),
        });
        pending
    }

    /// The control shard's: those that it has not taken, in their order.
    pub(crate) fn take(&self) -> Vec<Wished> {
        std::mem::take(&mut lock(&self.0).wishes)
    }

    /// The node stops: nothing is changed any more.
    pub(crate) fn close(&self) {
        let list = &mut *lock(&self.0);
        list.closed = true;
        list.wishes.clear();
        for pending in list.under_way.drain(..) {
            pending.give(Err(ChannelError::Closed));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
