//! Lays one source over another and remembers where each value came from.
//!
//! Called by the readers of file, environment and flags, in order of precedence. Values are
//! replaced, and so are the rules as a whole; peers and channels are merged by name. Reads no source itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::channel::{CHANNEL_PARAMETERS, ChannelConfig};
use super::channel_name::check_channel_name;
use super::error::{ConfigError, Given, Place};
use super::nearest::did_you_mean;
use super::node::{Config, NODE_GROUPS, NODE_PARAMETERS};
use super::profile::Profile;
use super::rule::Rule;
use super::secret::Secrets;
use super::setting::is_node_name;
use super::validate::rule_path;

/// The parameter whose values are merged by name.
pub(super) const PEERS: &str = "peers";

/// A configuration that is being put together.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    config: Config,
    places: BTreeMap<String, Place>,
}

impl Layers {
    /// The defaults, with those of the program, under a profile.
    pub(super) fn of_profile(
        program: &[(&'static str, String)],
        profile: Profile,
    ) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        for (name, value) in program {
            layers.node(name, value, Place::Code)?;
        }
        for (name, value) in profile.differences() {
            layers.node(
                name,
                value,
                Place::BuiltInProfile {
                    profile: profile.name(),
                },
            )?;
        }
        Ok(layers)
    }

    /// Sets a parameter of the node.
    pub(super) fn node(&mut self, name: &str, text: &str, place: Place) -> Result<(), ConfigError> {
        let Some(parameter) = NODE_PARAMETERS.iter().find(|known| known.name == name) else {
            return Err(unknown_node_key(place, name));
        };
        let mut before = BTreeMap::<String, SocketAddr>::new();
        if name == PEERS {
            before.clone_from(&self.config.peers);
        }
        parameter
            .set(&mut self.config, text)
            .map_err(|right| ConfigError::Refused {
                place: place.clone(),
                key: name.to_string(),
                value: text.to_string(),
                right,
            })?;
        for (peer, address) in before {
            self.config.peers.entry(peer).or_insert(address);
        }
        self.places.insert(name.to_string(), place);
        Ok(())
    }

    /// Adds a peer, or gives it another address.
    pub(super) fn peer(
        &mut self,
        name: &str,
        address: &str,
        place: Place,
    ) -> Result<(), ConfigError> {
        let text = format!("{name}={address}");
        if is_node_name(name) && !address.contains(',') {
            return self.node(PEERS, &text, place);
        }
        // Not left to the list, to which this might look like two peers.
        Err(ConfigError::Refused {
            place,
            key: PEERS.to_string(),
            value: text,
            right: "one name and one address, such as b=127.0.0.1:7401".to_string(),
        })
    }

    /// Adds a channel if it is not there yet.
    pub(super) fn channel(&mut self, name: &str, place: &Place) -> Result<(), ConfigError> {
        self.entry(name, place).map(|_| ())
    }

    /// Sets a parameter of a channel, which is added if it is not there yet.
    pub(super) fn channel_key(
        &mut self,
        channel: &str,
        key: &str,
        text: &str,
        place: Place,
    ) -> Result<(), ConfigError> {
        let Some(parameter) = CHANNEL_PARAMETERS.iter().find(|known| known.name == key) else {
            return Err(unknown_channel_key(place, channel, key));
        };
        let path = format!("channel.{channel}.{key}");
        let entry = self.entry(channel, &place)?;
        parameter
            .set(entry, text)
            .map_err(|right| ConfigError::Refused {
                place: place.clone(),
                key: path.clone(),
                value: text.to_string(),
                right,
            })?;
        self.places.insert(path, place);
        Ok(())
    }

    /// Secrets from text, which no error shows.
    pub(super) fn secrets(&mut self, text: &str, place: Place) -> Result<(), ConfigError> {
        self.config.secrets = Secrets::read(text).map_err(|wrong| ConfigError::Refused {
            place,
            key: "secret".to_string(),
            value: "(not shown)".to_string(),
            right: wrong.to_string(),
        })?;
        Ok(())
    }

    /// Rules from text, in place of those of earlier sources, if there are any.
    pub(super) fn rules<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str>,
        place: &Place,
    ) -> Result<(), ConfigError> {
        let rules = texts.map(|text| Ok((Rule::read(text, place)?, place.clone())));
        let rules: Vec<_> = rules.collect::<Result<_, _>>()?;
        if !rules.is_empty() {
            self.replace_rules(rules);
        }
        Ok(())
    }

    /// Takes rules in place of those of earlier sources, each with where it is given.
    pub(super) fn replace_rules(&mut self, rules: Vec<(Rule, Place)>) {
        self.config.rules.clear();
        for (index, (rule, place)) in rules.into_iter().enumerate() {
            for key in ["channel", "named"] {
                self.places
                    .insert(format!("{}.{key}", rule_path(index)), place.clone());
            }
            self.config.rules.push(rule);
        }
    }

    /// Checks the whole and hands it over.
    pub(super) fn finish(mut self) -> Result<Config, ConfigError> {
        // One list of peers can then serve all nodes of a cluster.
        self.config.peers.remove(&self.config.node_name);
        match self.config.validate() {
            Ok(()) => Ok(self.config),
            Err(ConfigError::Conflict { given, right }) => {
                let given = given.into_iter().map(|given| self.placed(given)).collect();
                Err(ConfigError::Conflict { given, right })
            }
            Err(error) => Err(error),
        }
    }

    fn placed(&self, given: Given) -> Given {
        let place = self
            .places
            .get(&given.key)
            .cloned()
            .unwrap_or(Place::Default);
        Given {
            place: given.place.map(|_| place),
            ..given
        }
    }

    fn entry(&mut self, name: &str, place: &Place) -> Result<&mut ChannelConfig, ConfigError> {
        check_channel_name(name).map_err(|right| ConfigError::Refused {
            place: place.clone(),
            key: "channel name".to_string(),
            value: name.to_string(),
            right,
        })?;
        let channels = &mut self.config.channels;
        let index = channels.iter().position(|channel| channel.name == name);
        let index = index.unwrap_or_else(|| {
            channels.push(ChannelConfig::new(name));
            channels.len() - 1
        });
        Ok(&mut channels[index])
    }
}

/// The error for a key that is no parameter of a node.
pub(super) fn unknown_node_key(place: Place, key: &str) -> ConfigError {
    let right = if CHANNEL_PARAMETERS.iter().any(|known| known.name == key) {
        format!("it is a parameter of a channel: put it under [channel.NAME] as {key}")
    } else {
        let known = NODE_PARAMETERS.iter().map(|known| known.name);
        let groups = NODE_GROUPS.iter().map(|group| group.name);
        did_you_mean(
            key,
            known.chain(groups).chain(["channel", "rule", "profile"]),
            "docs/tuning.md lists them all",
        )
    };
    ConfigError::Unknown {
        place,
        key: key.to_string(),
        right,
    }
}

/// The error for a key that is no parameter of a channel.
pub(super) fn unknown_channel_key(place: Place, channel: &str, key: &str) -> ConfigError {
    let right = if NODE_PARAMETERS.iter().any(|known| known.name == key) {
        format!("it is a parameter of the node: give {key} outside of channels")
    } else {
        let known = CHANNEL_PARAMETERS.iter().map(|known| known.name);
        did_you_mean(key, known, "docs/tuning.md lists them all")
    };
    ConfigError::Unknown {
        place,
        key: format!("channel.{channel}.{key}"),
        right,
    }
}
