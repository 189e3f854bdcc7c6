//! A configuration that was read again: what it changes, what of that a running node can follow, and what it comes to.
//!
//! Asked by `node` when it is told to read its configuration again; touches nothing itself. What counts is what differs
//! from the configuration that was read before: what was changed by hand since stays, unless the new one says otherwise.

use serde::{Deserialize, Serialize};

use super::channel::{CHANNEL_PARAMETERS, ChannelConfig};
use super::error::ConfigError;
use super::node::{Config, NODE_GROUPS, NODE_PARAMETERS};
use super::retune::retunable;

/// Something that a configuration says otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The parameter, as files name it; `channel.NAME` for a channel as a whole.
    pub what: String,
    /// Its value before; empty for a channel that was not there.
    pub was: String,
    /// Its value now; empty for a channel that is there no more.
    pub is: String,
}

/// What a configuration that was read again comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reload {
    /// What can be followed.
    pub(crate) changed: Vec<Change>,
    /// What cannot, as long as the node runs.
    pub(crate) needs_restart: Vec<Change>,
    /// What the node is to be, checked as a whole.
    pub(crate) target: Config,
}

/// The groups whose parameters can change while a node runs.
const RELOADABLE_GROUPS: &[&str] = &["topology"];

/// The parameters in no group that can.
const RELOADABLE: &[&str] = &["peers"];

/// Whether a parameter of a node can be changed while it runs, by reading its configuration again. Of channels,
/// [`retunable`] says it; channels and rules can come and go.
#[must_use]
pub fn reloadable(parameter: &str) -> bool {
    let mut groups = NODE_GROUPS
        .iter()
        .filter(|group| RELOADABLE_GROUPS.contains(&group.name));
    RELOADABLE.contains(&parameter)
        || groups.any(|group| group.parameters.iter().any(|known| known.name == parameter))
}

/// What `wanted`, which was read now, says otherwise than `loaded`, which was read before, for a node that is as
/// `running` says.
///
/// # Errors
/// What can be changed does not go together with what stays.
pub(crate) fn reload(
    loaded: &Config,
    wanted: &Config,
    running: Config,
) -> Result<Reload, ConfigError> {
    let mut reload = Reload {
        changed: Vec::new(),
        needs_restart: Vec::new(),
        target: running,
    };
    reload.parameters(loaded, wanted);
    for channel in &wanted.channels {
        reload.channel(find(loaded, &channel.name), channel);
    }
    for channel in &loaded.channels {
        if find(wanted, &channel.name).is_none() {
            reload.channel_gone(&channel.name);
        }
    }
    if loaded.rules != wanted.rules {
        let texts = |config: &Config| {
            let rules = config.rules.iter().map(ToString::to_string);
            rules.collect::<Vec<_>>().join("; ")
        };
        reload.target.rules.clone_from(&wanted.rules);
        reload.changed.push(Change {
            what: "rule".to_string(),
            was: texts(loaded),
            is: texts(wanted),
        });
    }
    if loaded.discovery != wanted.discovery {
        let texts = |config: &Config| {
            let discoveries = config.discovery.iter().map(ToString::to_string);
            discoveries.collect::<Vec<_>>().join("; ")
        };
        let what = "discovery".to_string();
        let (was, is) = (texts(loaded), texts(wanted));
        reload.note(false, Change { what, was, is });
    }
    reload.target.validate()?;
    Ok(reload)
}

fn find<'a>(config: &'a Config, name: &str) -> Option<&'a ChannelConfig> {
    let mut channels = config.channels.iter();
    channels.find(|channel| channel.name == name)
}

impl Reload {
    fn parameters(&mut self, loaded: &Config, wanted: &Config) {
        for known in NODE_PARAMETERS {
            let (was, is) = (known.get(loaded), known.get(wanted));
            if was == is {
                continue;
            }
            let can_be_set = reloadable(known.name) && known.set(&mut self.target, &is).is_ok();
            let what = known.name.to_string();
            self.note(can_be_set, Change { what, was, is });
        }
    }

    /// A channel that the configuration has, and had before or not.
    fn channel(&mut self, loaded: Option<&ChannelConfig>, wanted: &ChannelConfig) {
        let mut channels = self.target.channels.iter_mut();
        let Some(running) = channels.find(|channel| channel.name == wanted.name) else {
            // One that was removed by hand stays so.
            if loaded.is_none() {
                self.target.channels.push(wanted.clone());
                self.changed.push(Change {
                    what: format!("channel.{}", wanted.name),
                    was: String::new(),
                    is: "added".to_string(),
                });
            }
            return;
        };
        let before = loaded.unwrap_or(running).clone();
        let mut noted = Vec::new();
        for known in CHANNEL_PARAMETERS {
            let (was, is) = (known.get(&before), known.get(wanted));
            if was != is {
                let can_be_set = retunable(known.name).is_some() && known.set(running, &is).is_ok();
                let what = format!("channel.{}.{}", wanted.name, known.name);
                noted.push((can_be_set, Change { what, was, is }));
            }
        }
        for (can_be_set, change) in noted {
            self.note(can_be_set, change);
        }
    }

    fn channel_gone(&mut self, name: &str) {
        let channels = &mut self.target.channels;
        let before = channels.len();
        channels.retain(|channel| channel.name != name);
        if channels.len() < before {
            self.changed.push(Change {
                what: format!("channel.{name}"),
                was: "there".to_string(),
                is: String::new(),
            });
        }
    }

    fn note(&mut self, can_be_set: bool, change: Change) {
        if can_be_set {
            self.changed.push(change);
        } else {
            self.needs_restart.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overflow, Reliability};

    fn config(channels: &[ChannelConfig]) -> Config {
        Config {
            channels: channels.to_vec(),
            ..Config::default()
        }
    }

    fn what(changes: &[Change]) -> Vec<(&str, &str, &str)> {
        let parts = changes.iter().map(|it| (&*it.what, &*it.was, &*it.is));
        parts.collect()
    }

    #[test]
    fn what_can_be_followed_is_told_from_what_needs_a_restart() {
        let loaded = config(&[
            ChannelConfig::new("data").priority(4),
            ChannelConfig::new("old"),
        ]);
        let mut wanted = config(&[
            ChannelConfig::new("data").priority(2).parallelism(3),
            ChannelConfig::new("new"),
        ]);
        wanted.spin_us = 7;
        wanted.topology.cooldown_s = 9;
        let reload = reload(&loaded, &wanted, loaded.clone()).expect("it holds together");
        assert_eq!(
            what(&reload.changed),
            [
                ("topology_cooldown_s", "300", "9"),
                ("channel.data.priority", "medium", "2"),
                ("channel.new", "", "added"),
                ("channel.old", "there", ""),
            ]
        );
        assert_eq!(
            what(&reload.needs_restart),
            [
                ("spin_us", "50", "7"),
                ("channel.data.parallelism", "1", "3")
            ]
        );
        let [data, new] = &reload.target.channels[..] else {
            panic!("{:?}", reload.target.channels);
        };
        assert_eq!(*data, ChannelConfig::new("data").priority(2));
        assert_eq!(new.name, "new");
        assert_eq!(reload.target.topology.cooldown_s, 9);
        assert_eq!(reload.target.spin_us, 50);
    }

    #[test]
    fn what_was_changed_by_hand_stays_unless_the_file_says_otherwise() {
        let loaded = config(&[ChannelConfig::new("data").priority(4)]);
        let by_hand = ChannelConfig::new("data").priority(1).dscp(10);
        let running = config(&[by_hand.clone(), ChannelConfig::new("mine")]);
        let same = reload(&loaded, &loaded, running.clone()).expect("it holds together");
        assert_eq!((same.changed.len(), &same.target), (0, &running));
        let wanted = config(&[ChannelConfig::new("data").priority(3)]);
        let other = reload(&loaded, &wanted, running).expect("it holds together");
        assert_eq!(other.target.channels[0], by_hand.priority(3));
        assert_eq!(other.target.channels[1].name, "mine");
        let removed = reload(&loaded, &loaded, config(&[])).expect("it holds together");
        assert!(removed.target.channels.is_empty());
    }

    #[test]
    fn what_does_not_go_together_with_what_stays_is_refused() {
        let loaded = config(&[ChannelConfig::new("data")]);
        let running = config(&[ChannelConfig::new("data").reliability(Reliability::Guaranteed)]);
        let wanted = config(&[ChannelConfig::new("data").overflow(Overflow::DropOldest)]);
        let error = reload(&loaded, &wanted, running).expect_err("it would drop what is kept");
        assert!(error.to_string().contains("cannot be dropped"), "{error}");
    }

    #[test]
    fn every_reloadable_name_is_one_of_a_parameter() {
        for name in RELOADABLE {
            assert!(
                NODE_PARAMETERS.iter().any(|known| known.name == *name),
                "{name}"
            );
        }
        for name in RELOADABLE_GROUPS {
            assert!(
                NODE_GROUPS.iter().any(|known| known.name == *name),
                "{name}"
            );
        }
        assert!(reloadable("topology_mode") && !reloadable("shards"));
    }
}
