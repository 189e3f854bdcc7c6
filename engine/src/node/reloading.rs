//! Reading the configuration again while the node runs, and following it.
//!
//! What the new configuration changes is planned and checked as a whole (`config::reload`) before anything is done. Then
//! each change is made the way an application would make it. Called on threads of the application and of the admin socket.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Node;
use crate::config::{
    CHANNEL_PARAMETERS, Change, ChannelConfig, Config, ConfigError, Reload, differences, reload,
};
use crate::error::{ChannelError, ReloadError};

/// Reads the configuration again.
pub(super) type Source = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Where the configuration comes from, and what it was when it was read last.
#[derive(Default)]
pub(super) struct Reloading {
    source: Option<Source>,
    /// Held while a configuration is followed: one after the other.
    loaded: Mutex<Config>,
}

impl std::fmt::Debug for Reloading {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Reloading");
        shown.field("has_source", &self.source.is_some()).finish()
    }
}

impl Reloading {
    pub(super) const fn new(source: Option<Source>, loaded: Config) -> Self {
        let loaded = Mutex::new(loaded);
        Self { source, loaded }
    }
}

/// What became of a configuration that was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReloadReport {
    /// What is as it says now.
    pub changed: Vec<Change>,
    /// What will be as it says when the node is started again.
    pub needs_restart: Vec<Change>,
}

impl Node {
    /// Reads the configuration again ([`NodeBuilder::reload_with`](super::NodeBuilder::reload_with)) and follows what it changes: channels that are new,
    /// gone or retuned, routing rules, peers, rules for the topology. The rest needs a restart, and is told. What was changed
    /// otherwise meanwhile, by an application or over the admin socket, stays, unless the configuration says of that
    /// very thing something else than when it was read last. Blocks the thread. Channels that are gone have until
    /// `deadline` to deliver what they had accepted.
    ///
    /// # Errors
    /// [`ReloadError`]. Nothing was changed then, but for [`ReloadError::Halfway`].
    pub fn reload(&self, deadline: Duration) -> Result<ReloadReport, ReloadError> {
        let source = self.reloading.source.as_ref();
        let source = source.ok_or(ReloadError::NoSource)?;
        let mut loaded = self
            .reloading
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let wanted = source()?;
        let running = self.running_config();
        let plan = reload(&loaded, &wanted, running.clone()).map_err(ReloadError::Together)?;
        let deadline = Instant::now() + deadline;
        self.follow(&plan, &running, &loaded, &wanted, deadline)?;
        *loaded = wanted;
        Ok(ReloadReport {
            changed: plan.changed,
            needs_restart: plan.needs_restart,
        })
    }

    /// The configuration as it is in force.
    fn running_config(&self) -> Config {
        let open = self.fabric.channels.open();
        let table = self.fabric.rules.table();
        Config {
            channels: open.iter().map(|plan| plan.config.clone()).collect(),
            rules: table.counts().map(|(rule, _)| rule.clone()).collect(),
            ..self.fabric.config.clone()
        }
    }

    fn follow(
        &self,
        plan: &Reload,
        running: &Config,
        loaded: &Config,
        wanted: &Config,
        deadline: Instant,
    ) -> Result<(), ReloadError> {
        let target = &plan.target;
        let halfway = |error: &dyn std::fmt::Display| ReloadError::Halfway {
            why: error.to_string(),
        };
        let is_in = |config: &Config, name: &str| {
            let mut channels = config.channels.iter();
            channels.any(|channel| channel.name == name)
        };
        for channel in &target.channels {
            let was = running
                .channels
                .iter()
                .find(|other| other.name == channel.name);
            let done = match was {
                None => self.add_channel(channel.clone()).map(drop),
                Some(was) => self.retune_to(was, channel),
            };
            done.map_err(|error| halfway(&error))?;
        }
        if running.rules != target.rules {
            self.set_rules(&target.rules)
                .map_err(|error| halfway(&error))?;
        }
        for (name, address) in &wanted.peers {
            if loaded.peers.get(name) != Some(address) {
                self.connect(name, *address)
                    .map_err(|error| halfway(&error))?;
            }
        }
        for name in loaded
            .peers
            .keys()
            .filter(|name| !wanted.peers.contains_key(*name))
        {
            self.forget(name).map_err(|error| halfway(&error))?;
        }
        if let Some(cluster) = self.cluster()
            && loaded.topology != wanted.topology
        {
            let taken = cluster.set_topology_rules(wanted.topology.clone());
            taken.map_err(|error| halfway(&error))?;
        }
        for channel in &running.channels {
            if !is_in(target, &channel.name) {
                let left = deadline.saturating_duration_since(Instant::now());
                let removed = self.remove_channel(&channel.name, left);
                removed.map_err(|error| halfway(&error))?;
            }
        }
        Ok(())
    }

    /// Gives a channel the parameters in which `is` differs from `was`; what somebody changes of the others meanwhile stays.
    fn retune_to(&self, was: &ChannelConfig, is: &ChannelConfig) -> Result<(), ChannelError> {
        let changes = differences(was, is);
        if changes.is_empty() {
            return Ok(());
        }
        self.retune_channel(&was.name, |mut channel| {
            for (name, _, wanted) in &changes {
                let known = CHANNEL_PARAMETERS.iter().find(|known| known.name == *name);
                // They were checked when they were read.
                let _ = known.map(|known| known.set(&mut channel, wanted));
            }
            channel
        })
    }
}
