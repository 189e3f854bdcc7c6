//! Lays one source over another and remembers where each value came from.
//!
//! Called by the readers of file, environment and flags, in order of precedence; a preset comes last, and sets what nobody
//! else has. Values are replaced, and so are the rules as a whole; peers, channels and discoveries are merged by name. Reads no source itself.

use overlane_discovery::secret::Secrets;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::channel::{CHANNEL_PARAMETERS, ChannelConfig};
use super::channel_name::check_channel_name;
use super::choices::StrategyChoice;
use super::discovery::{
    DISCOVERY_PARAMETERS, DiscoveryConfig, check_discovery_name, unknown_discovery_key,
};
use super::error::{ConfigError, Given, Place};
use super::nearest::did_you_mean;
use super::node::{Config, NODE_GROUPS, NODE_PARAMETERS};
use super::parameter::Parameter;
use super::profile::Profile;
use super::rule::Rule;
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

    /// Adds a channel or a discovery if it is not there yet.
    pub(super) fn add(&mut self, kind: Kind, name: &str, place: &Place) -> Result<(), ConfigError> {
        kind.check_name(name)
            .map_err(|right| ConfigError::Refused {
                place: place.clone(),
                key: format!("{} name", kind.table()),
                value: name.to_string(),
                right,
            })?;
        match kind {
            Kind::Channel => {
                named(
                    &mut self.config.channels,
                    |known| known.name == name,
                    || ChannelConfig::new(name),
                );
            }
            Kind::Discovery => {
                named(
                    &mut self.config.discovery,
                    |known| known.name == name,
                    || DiscoveryConfig::new(name, StrategyChoice::Static),
                );
            }
        }
        Ok(())
    }

    /// Sets a parameter of a channel or a discovery, which is added if it is not there yet.
    pub(super) fn set(
        &mut self,
        kind: Kind,
        name: &str,
        key: &str,
        text: &str,
        place: Place,
    ) -> Result<(), ConfigError> {
        if !kind.is_key(key) {
            return Err(kind.unknown_key(place, name, key));
        }
        self.add(kind, name, &place)?;
        let set = match kind {
            Kind::Channel => {
                let mut all = self.config.channels.iter_mut();
                let channel = all.find(|known| known.name == name);
                set_in(CHANNEL_PARAMETERS, channel, key, text)
            }
            Kind::Discovery => {
                let mut all = self.config.discovery.iter_mut();
                let discovery = all.find(|known| known.name == name);
                set_in(DISCOVERY_PARAMETERS, discovery, key, text)
            }
        };
        let path = format!("{}.{name}.{key}", kind.table());
        set.map_err(|right| ConfigError::Refused {
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
            right: format!("a secret, or for the time of a rotation two; {wrong}"),
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

    /// Fills in what the preset says and nobody has given, checks the whole and hands it over.
    pub(super) fn finish(mut self) -> Result<Config, ConfigError> {
        let preset = self.config.preset.word();
        for name in self.config.fill_in(|path| self.places.contains_key(path)) {
            self.places.insert(name, Place::Preset { preset });
        }
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
}

/// What a configuration has several of, told apart by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Channel,
    Discovery,
}

impl Kind {
    /// The kind whose table in a file, and whose variable in small letters, has that name.
    pub(super) fn of_table(table: &str) -> Option<Self> {
        [Self::Channel, Self::Discovery]
            .into_iter()
            .find(|kind| kind.table() == table)
    }

    /// The name of its table in a file.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Discovery => "discovery",
        }
    }

    /// Whether it has a parameter of that name.
    pub(super) fn is_key(self, key: &str) -> bool {
        match self {
            Self::Channel => CHANNEL_PARAMETERS.iter().any(|known| known.name == key),
            Self::Discovery => DISCOVERY_PARAMETERS.iter().any(|known| known.name == key),
        }
    }

    fn check_name(self, name: &str) -> Result<(), String> {
        match self {
            Self::Channel => check_channel_name(name),
            Self::Discovery => check_discovery_name(name),
        }
    }

    fn unknown_key(self, place: Place, name: &str, key: &str) -> ConfigError {
        match self {
            Self::Channel => unknown_channel_key(place, name, key),
            Self::Discovery => unknown_discovery_key(place, name, key),
        }
    }
}

/// Adds one if none fits.
fn named<T>(all: &mut Vec<T>, fits: impl Fn(&T) -> bool, new: impl FnOnce() -> T) {
    if !all.iter().any(fits) {
        all.push(new());
    }
}

/// Sets a parameter that the table has.
fn set_in<S: Default>(
    table: &[Parameter<S>],
    settings: Option<&mut S>,
    key: &str,
    text: &str,
) -> Result<(), String> {
    let parameter = table.iter().find(|known| known.name == key);
    match parameter.zip(settings) {
        Some((parameter, settings)) => parameter.set(settings, text),
        None => Ok(()),
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
            known
                .chain(groups)
                .chain(["channel", "discovery", "libcluster", "rule", "profile"]),
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
