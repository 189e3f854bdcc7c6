//! The channels of a node that runs: looked up, added, retuned, removed.
//!
//! Each change is a wish to the control shard, which makes it on every shard; the calls here wait for that. What a
//! channel is at other nodes is theirs: the two ends of a lane settle what they differ in when it is made.

use std::sync::Arc;
use std::time::Duration;

use super::{Node, PATIENCE};
use crate::channel::Channel;
use crate::channel_plan::{ChannelPhase, ChannelPlan};
use crate::channel_table::{ChannelWish, Done, Outcome, Pending};
use crate::config::ChannelConfig;
use crate::deadline::deadline_in;
use crate::error::{ChannelError, NameError};
use crate::threads;

/// How the removal of a channel ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedChannel {
    /// Messages that were reported since it began: the deadline came first, or their lane ended.
    pub reported: u64,
    /// Messages that were dropped since then, on a best-effort channel.
    pub dropped: u64,
}

impl RemovedChannel {
    /// Whether all that was accepted was delivered, or, best effort, sent.
    #[must_use]
    pub const fn is_drained(&self) -> bool {
        self.reported == 0 && self.dropped == 0
    }
}

impl Node {
    /// A channel, to send on: one of the configuration, or one that was added since.
    ///
    /// # Errors
    /// [`NameError::UnknownChannel`], which names those there are.
    pub fn channel(&self, name: &str) -> Result<Channel, NameError> {
        match self.open_channel(name) {
            Some(plan) => Ok(Channel::new(
                Arc::clone(&self.fabric),
                Arc::clone(&plan.entry),
            )),
            None => Err(NameError::UnknownChannel {
                name: name.to_owned(),
                known: self.channel_names(),
            }),
        }
    }

    /// What a channel is now, the changes of [`retune_channel`](Self::retune_channel) included.
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub fn channel_config(&self, name: &str) -> Result<ChannelConfig, NameError> {
        let plan = self.open_channel(name);
        let plan = plan.ok_or_else(|| NameError::UnknownChannel {
            name: name.to_owned(),
            known: self.channel_names(),
        })?;
        Ok(plan.config.clone())
    }

    /// Adds a channel to this node, blocking the thread until every shard has it: from then on it can be sent on,
    /// and lanes that peers make for it are taken. A peer that has no such channel refuses it, with the reason on
    /// both sides, and takes the next message once it has.
    ///
    /// # Errors
    /// [`ChannelError`]: the configuration is not right, there is a channel of that name or there are too many,
    /// the node stops, a shard does not answer within 10 s, or the call is made on a thread of the engine.
    pub fn add_channel(&self, channel: ChannelConfig) -> Result<Channel, ChannelError> {
        refuse_own_threads()?;
        let pending = self.wish(ChannelWish::Add(Box::new(channel)));
        self.added(wait(&pending, PATIENCE)?)
    }

    /// [`add_channel`](Self::add_channel) in a task of any runtime.
    ///
    /// # Errors
    /// As [`add_channel`](Self::add_channel), but for those of waiting.
    pub async fn add_channel_async(&self, channel: ChannelConfig) -> Result<Channel, ChannelError> {
        let pending = self.wish(ChannelWish::Add(Box::new(channel)));
        self.added(pending.done().await?)
    }

    /// Changes parameters of a channel, blocking the thread until every shard goes by them: `change` gets what the
    /// channel is, and returns what it is to be. Lanes that are up stay up. `docs/tuning.md` says which parameters
    /// can be changed, and which of those count on lanes that are made from then on. `change` is asked again if
    /// somebody else changes the channel at the same time.
    ///
    /// # Errors
    /// [`ChannelError::Fixed`] for a parameter that is fixed as long as there is the channel, and otherwise as
    /// [`add_channel`](Self::add_channel). Nothing was changed then.
    pub fn retune_channel(
        &self,
        name: &str,
        change: impl Fn(ChannelConfig) -> ChannelConfig,
    ) -> Result<(), ChannelError> {
        refuse_own_threads()?;
        loop {
            let pending = self.wish_retuned(name, &change)?;
            if !matches!(wait(&pending, PATIENCE)?, Done::Outrun) {
                return Ok(());
            }
        }
    }

    /// [`retune_channel`](Self::retune_channel) in a task of any runtime.
    ///
    /// # Errors
    /// As [`retune_channel`](Self::retune_channel), but for those of waiting.
    pub async fn retune_channel_async(
        &self,
        name: &str,
        change: impl Fn(ChannelConfig) -> ChannelConfig,
    ) -> Result<(), ChannelError> {
        loop {
            let pending = self.wish_retuned(name, &change)?;
            if !matches!(pending.done().await?, Done::Outrun) {
                return Ok(());
            }
        }
    }

    /// Removes a channel from this node, blocking the thread until nothing of it is left: nothing more is accepted
    /// on it, what was accepted is delivered, or reported at the deadline, and its lanes end. Peers that have the
    /// channel hear that, and are refused when they send on it. Its streams end at once. From then on a channel of
    /// that name can be added, whatever it promises.
    ///
    /// # Errors
    /// [`ChannelError::Unknown`], [`ChannelError::Leaving`]; [`ChannelError::NoAnswer`] if a shard does not answer
    /// within 10 s after the deadline; otherwise as [`add_channel`](Self::add_channel).
    pub fn remove_channel(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<RemovedChannel, ChannelError> {
        refuse_own_threads()?;
        let pending = self.wish_removed(name, deadline);
        removed(&wait(&pending, deadline.saturating_add(PATIENCE))?)
    }

    /// [`remove_channel`](Self::remove_channel) in a task of any runtime. The removal goes on if the future is
    /// dropped.
    ///
    /// # Errors
    /// As [`remove_channel`](Self::remove_channel), but for those of waiting.
    pub async fn remove_channel_async(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<RemovedChannel, ChannelError> {
        removed(&self.wish_removed(name, deadline).done().await?)
    }

    fn wish(&self, wish: ChannelWish) -> Pending {
        let pending = self.fabric.channels.wishes.leave(wish);
        self.control_link.look();
        pending
    }

    fn wish_removed(&self, name: &str, deadline: Duration) -> Pending {
        self.wish(ChannelWish::Remove {
            name: name.to_owned(),
            deadline: deadline_in(deadline),
        })
    }

    fn wish_retuned(
        &self,
        name: &str,
        change: &impl Fn(ChannelConfig) -> ChannelConfig,
    ) -> Result<Pending, ChannelError> {
        let from = self
            .open_channel(name)
            .ok_or_else(|| ChannelError::Unknown {
                name: name.to_owned(),
                known: self.channel_names(),
            })?;
        let to = Box::new(change(from.config.clone()));
        Ok(self.wish(ChannelWish::Retune { from, to }))
    }

    fn added(&self, done: Done) -> Result<Channel, ChannelError> {
        match done {
            Done::Added(entry) => Ok(Channel::new(Arc::clone(&self.fabric), entry)),
            _ => Err(ChannelError::Closed),
        }
    }

    fn open_channel(&self, name: &str) -> Option<Arc<ChannelPlan>> {
        let plan = self.fabric.channels.find(name)?;
        (plan.phase == ChannelPhase::Open && !plan.is_control()).then_some(plan)
    }

    pub(super) fn channel_names(&self) -> String {
        let open = self.fabric.channels.open();
        let names: Vec<_> = open.iter().map(|plan| &*plan.name).collect();
        names.join(", ")
    }
}

fn wait(pending: &Pending, patience: Duration) -> Outcome {
    let outcome = pending.wait(deadline_in(patience));
    outcome.unwrap_or(Err(ChannelError::NoAnswer {
        seconds: patience.as_secs(),
    }))
}

fn removed(done: &Done) -> Result<RemovedChannel, ChannelError> {
    match done {
        Done::Removed(unsettled) => Ok(RemovedChannel {
            reported: unsettled.reported,
            dropped: unsettled.dropped,
        }),
        _ => Err(ChannelError::Closed),
    }
}

/// A shard that waits for shards would wait for itself.
fn refuse_own_threads() -> Result<(), ChannelError> {
    if threads::is_own() {
        Err(ChannelError::WouldDeadlock)
    } else {
        Ok(())
    }
}
