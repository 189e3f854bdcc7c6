//! The channel table: the channels that a node has, each with a plan, and the epoch of the last change.
//!
//! The control shard alone writes it (`control::channels`), as applications wish (`wish`). Shards compare
//! the epoch once a turn and take the plans that are new; senders hold on to the entry of their channel and
//! look here for messages with hints alone. Plans are immutable: what is taken stays as it was.

mod wish;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::channel_plan::{ChannelEntry, ChannelPhase, ChannelPlan};
pub(crate) use wish::{ChannelWish, Done, Outcome, Pending, Unsettled, WishList, Wished};

/// Places in the table: twice as many as there may be channels, because those that were removed keep theirs
/// until messages of them are read.
pub(crate) const CHANNEL_PLACES_MAX: usize = 2 * crate::config::CHANNELS_MAX;

/// By place in the table, the plan of the channel there.
pub(crate) type Plans = Vec<Option<Arc<ChannelPlan>>>;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ChannelTable {
    epoch: AtomicU64,
    plans: RwLock<Plans>,
    /// By shard: the epoch that it has adopted.
    adopted: Box<[AtomicU64]>,
    pub(crate) wishes: WishList,
}

impl ChannelTable {
    pub(crate) fn new(plans: Plans, shards: usize) -> Self {
        Self {
            epoch: AtomicU64::new(1),
            plans: RwLock::new(plans),
            adopted: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            wishes: WishList::default(),
        }
    }

    /// The newest epoch. One load: shards ask each turn.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The table as it is now, and its epoch.
    pub(crate) fn snapshot(&self) -> (u64, Plans) {
        let plans = self.read();
        (self.epoch(), plans.clone())
    }

    /// The channel of that name, also on its way out.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ChannelPlan>> {
        let plans = self.read();
        let mut present = plans.iter().flatten();
        present
            .find(|plan| *plan.name == *name && plan.phase != ChannelPhase::Gone)
            .cloned()
    }

    /// The plan of that channel, unless its place is another's by now.
    pub(crate) fn plan_of(&self, entry: &Arc<ChannelEntry>) -> Option<Arc<ChannelPlan>> {
        self.at(entry.index)
            .filter(|plan| Arc::ptr_eq(&plan.entry, entry))
    }

    /// Of the channels of those names, in that order, the first that is open and fits.
    pub(crate) fn first_open(
        &self,
        names: &[String],
        fits: impl Fn(&ChannelPlan) -> bool,
    ) -> Option<Arc<ChannelPlan>> {
        let plans = self.read();
        let present = plans.iter().flatten();
        let open = present.filter(|plan| plan.phase == ChannelPhase::Open);
        let mut named = names.iter().filter_map(|name| {
            let mut open = open.clone();
            open.find(|plan| *plan.name == **name)
        });
        named.find(|plan| fits(plan)).cloned()
    }

    /// The engine's own channel.
    pub(crate) fn control(&self) -> Option<Arc<ChannelPlan>> {
        let plans = self.read();
        plans
            .iter()
            .flatten()
            .find(|plan| plan.is_control())
            .cloned()
    }

    /// What is at a place.
    pub(crate) fn at(&self, index: usize) -> Option<Arc<ChannelPlan>> {
        self.read().get(index)?.clone()
    }

    /// The name of the channel at a place, which messages that are unread keep for it.
    pub(crate) fn name_at(&self, index: usize) -> Option<Arc<str>> {
        Some(Arc::clone(&self.at(index)?.name))
    }

    /// The channels that applications can send on, in the order of their places.
    pub(crate) fn open(&self) -> Vec<Arc<ChannelPlan>> {
        let plans = self.read();
        let open =
            |plan: &&Arc<ChannelPlan>| !plan.is_control() && plan.phase == ChannelPhase::Open;
        plans.iter().flatten().filter(open).cloned().collect()
    }

    /// The control shard's: what is at a place from now on. Returns the epoch of the change.
    pub(crate) fn write(&self, index: usize, plan: Option<Arc<ChannelPlan>>) -> u64 {
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if plans.len() <= index {
            plans.resize_with(index + 1, || None);
        }
        plans[index] = plan;
        let epoch = self.epoch() + 1;
        // Within the lock: a shard that sees the epoch finds the change.
        self.epoch.store(epoch, Ordering::Release);
        epoch
    }

    /// That shard has adopted everything up to `epoch`.
    pub(crate) fn note_adopted(&self, shard: usize, epoch: u64) {
        self.adopted[shard].store(epoch, Ordering::Release);
    }

    /// The epoch that every shard has adopted.
    pub(crate) fn adopted_by_all(&self) -> u64 {
        let epochs = self.adopted.iter();
        let epochs = epochs.map(|epoch| epoch.load(Ordering::Acquire));
        epochs.min().unwrap_or(0)
    }

    fn read(&self) -> RwLockReadGuard<'_, Plans> {
        self.plans.read().unwrap_or_else(PoisonError::into_inner)
    }
}
