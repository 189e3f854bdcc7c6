//! Changes of channels on all nodes of the cluster, as an application orders them.
//!
//! Leaves orders for the control shard and waits for how they end: see `channels` for what becomes of them.

use std::time::Duration;

use super::channels::agreed::Operation;
use super::channels::{ChannelChange, ChannelChangeReport};
use super::error::ChannelChangeError;
use super::handle::{Cluster, Unanswered, from_unanswered};
use super::orders::Order;
use crate::channel_plan::ChannelPhase;
use crate::config::{ChannelConfig, ChannelDefinition, Place, differences};
use crate::error::ChannelError;

/// How long the control shard may take beyond what was allowed. 20 s: a shard has 10 s to adopt a change, twice where
/// one channel takes the place of another.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that a removal may let channels drain.
const DRAIN_MAX: Duration = Duration::from_secs(600);

impl Cluster {
    /// Adds a channel to every node, and waits until all live members have said that they have it, at most for so long.
    /// It is added at this node first: what is wrong with it is said here, and nobody else hears of it. Nodes that
    /// join later, or were away, add it then. A node that is started again learns it from its neighbors; one whose
    /// whole cluster is started again does not, so put it into the configuration too.
    ///
    /// A node that has a channel of that name by itself keeps it, and says so if it is another one.
    ///
    /// # Errors
    /// [`ChannelChangeError`].
    pub fn add_channel(
        &self,
        channel: &ChannelConfig,
        timeout: Duration,
    ) -> Result<ChannelChangeReport, ChannelChangeError> {
        channel.validate().map_err(ChannelError::from)?;
        let open = self.fabric().channels.find(&channel.name);
        let open = open.filter(|plan| plan.phase == ChannelPhase::Open);
        if open.is_some_and(|plan| plan.config != *channel) {
            let name = channel.name.clone();
            return Err(ChannelError::Exists { name }.into());
        }
        let defaults = ChannelConfig::new(channel.name.clone());
        let settings = differences(&defaults, channel).into_iter();
        let settings = settings.map(|(key, _, value)| (key.to_owned(), value));
        let operation = Operation::Add(settings.collect());
        self.change_channel(&channel.name, operation, timeout)
    }

    /// Gives a channel these values of parameters on every node, and waits as [`add_channel`](Self::add_channel) does. Each
    /// node keeps its own values of the rest. `docs/tuning.md` says which parameters can be changed.
    ///
    /// Of two changes of one channel at the same time one counts: the other ends with
    /// [`ChannelChangeError::Outrun`], and what it has set goes back to what it was. Where both sides of a partition
    /// have changed one channel, the later change in numbers counts on all nodes once it has healed.
    ///
    /// # Errors
    /// [`ChannelChangeError`].
    pub fn set_channel(
        &self,
        name: &str,
        settings: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<ChannelChangeReport, ChannelChangeError> {
        let texts: Vec<_> = settings
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let text = format!("{name}:{}", texts.join(","));
        let defined = ChannelDefinition::read(&text, &Place::Code).map_err(ChannelError::from)?;
        let settings = defined.settings();
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let operation = Operation::Set(settings.collect());
        self.change_channel(name, operation, timeout)
    }

    /// Removes a channel from every node, and waits until it is gone from all live members. Nobody accepts anything on it any
    /// more from when it hears of it; what was accepted has until `drain`, at most 10 minutes, and is reported then. A node
    /// whose configuration has the channel removes it again each time it is started and finds the cluster.
    ///
    /// # Errors
    /// [`ChannelChangeError`].
    pub fn remove_channel(
        &self,
        name: &str,
        drain: Duration,
        timeout: Duration,
    ) -> Result<ChannelChangeReport, ChannelChangeError> {
        let open = self.fabric().channels.open();
        if !open.iter().any(|plan| *plan.name == *name) {
            let known: Vec<_> = open.iter().map(|plan| &*plan.name).collect();
            let (name, known) = (name.to_owned(), known.join(", "));
            return Err(ChannelError::Unknown { name, known }.into());
        }
        let drain = drain.min(DRAIN_MAX);
        let wait_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
        let operation = Operation::Remove { wait_ms };
        self.change_channel(name, operation, timeout.saturating_add(drain))
    }

    /// The changes of channels that are in force in the cluster, by channel, and whether each is made at this node.
    ///
    /// # Errors
    /// [`ChannelChangeError`] if the control shard does not answer.
    pub fn channel_changes(&self) -> Result<Vec<ChannelChange>, ChannelChangeError> {
        Ok(self.ask(Order::ChannelChanges, PATIENCE)?)
    }

    fn change_channel(
        &self,
        channel: &str,
        operation: Operation,
        within: Duration,
    ) -> Result<ChannelChangeReport, ChannelChangeError> {
        let order = |answer| Order::ChangeChannel {
            channel: channel.to_owned(),
            operation,
            within,
            answer,
        };
        self.ask(order, within.saturating_add(PATIENCE))?
    }
}

from_unanswered!(ChannelChangeError);
