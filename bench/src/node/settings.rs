//! A node's configuration on its way from the flags of the parent to a child process.
//!
//! The parent loads it as any program does (defaults of the test, file, environment, flags), so that a
//! mistake is refused before a process is started. A child gets the same values as text.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};

use overlane::config::{
    CHANNEL_PARAMETERS, ChannelConfig, Config, DISCOVERY_PARAMETERS, DiscoveryConfig, Flags,
    NODE_PARAMETERS, Parameter, Place, Rule, Sources, StrategyChoice,
};
use serde::{Deserialize, Serialize};

use super::protection;
use crate::error::{BenchError, Outcome};

/// Node parameters that the harness gives each node by itself.
const OWN_PARAMETERS: [&str; 3] = ["node_name", "listen", "incarnation"];
/// Those that it gives besides where a test places its nodes.
const PLACE_PARAMETERS: [&str; 2] = ["cores", "shards"];

/// Names of parameters with the text of their values.
type Values = Vec<(String, String)>;

/// All parameters of a node, as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    node: Values,
    channels: Vec<(String, Values)>,
    /// Routing rules, in the form of `--rule`.
    rules: Vec<String>,
    discoveries: Vec<(String, Values)>,
}

/// What a test asks of its nodes before the user's flags change it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults<'a> {
    /// Whether the test says how many shards a node has and where they run.
    pub(crate) places: bool,
    /// Node parameters.
    pub(crate) node: &'a [(&'static str, &'a str)],
    /// Channels, in the form of `--channel`.
    pub(crate) channels: &'a [&'a str],
}

/// Loads what all nodes of a test have in common.
pub(crate) fn load(defaults: Defaults<'_>, given: &Flags) -> Outcome<Config> {
    let own = given.node.iter().find(|(name, _)| {
        OWN_PARAMETERS.contains(name) || defaults.places && PLACE_PARAMETERS.contains(name)
    });
    if let Some((name, value)) = own {
        return Err(BenchError::BadInput(format!(
            "{} {value}: the harness gives each of its nodes its own; leave the flag out",
            overlane::config::flag(name)
        )));
    }
    if let Some(peer) = given.peers.first() {
        return Err(BenchError::BadInput(format!(
            "--peer {peer}: the harness connects its own nodes only; leave the flag out"
        )));
    }
    let mut flags = given.clone();
    protection::provide(&mut flags)?;
    // The harness starts no programs but its own, so that a raised limit is inherited by no other.
    let of_all = [("raise_open_files", "true")];
    let node = of_all
        .iter()
        .chain(defaults.node)
        .map(|(name, value)| (*name, (*value).to_owned()));
    flags.node = node.chain(flags.node).collect();
    let channels = defaults
        .channels
        .iter()
        .map(|definition| (*definition).to_owned());
    flags.channels = channels.chain(given.channels.iter().cloned()).collect();
    let mut config = Sources::of_process(flags).load().map_err(refused)?;
    // No node of another run, or of a stranger, gets a lane to one of this run.
    let run = RandomState::new().build_hasher().finish();
    config.cluster = format!("overlane-bench-{run:016x}");
    Ok(config)
}

/// The definition of a channel, wider than the engine's default where `payload_bytes` asks for it.
pub(crate) fn wide_enough(definition: String, payload_bytes: usize) -> String {
    if payload_bytes <= ChannelConfig::new("any").message_bytes_max {
        return definition;
    }
    format!("{definition},message_bytes_max={payload_bytes}")
}

/// `common` as the configuration of one node with one shard on `core`.
pub(crate) fn on_core(common: &Config, name: &str, core: usize) -> Settings {
    let config = Config {
        shards: 1,
        cores: vec![core],
        ..common.clone()
    };
    as_configured(&config, name)
}

/// `common` as the configuration of one node, with its shards where `common` puts them.
pub(crate) fn as_configured(common: &Config, name: &str) -> Settings {
    let mut config = common.clone();
    config.node_name = name.to_owned();
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.peers.clear();
    Settings::of(&config)
}

impl Settings {
    /// The values of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let channel =
            |channel: &ChannelConfig| (channel.name.clone(), values(CHANNEL_PARAMETERS, channel));
        Self {
            node: values(NODE_PARAMETERS, config),
            channels: config.channels.iter().map(channel).collect(),
            rules: config.rules.iter().map(Rule::to_string).collect(),
            discoveries: config
                .discovery
                .iter()
                .map(|known| (known.name.clone(), values(DISCOVERY_PARAMETERS, known)))
                .collect(),
        }
    }

    /// The same, of a node that listens on any free port of `address`.
    pub(crate) fn listening_at(&self, address: IpAddr) -> Outcome<Self> {
        let mut config = self.config()?;
        config.listen = SocketAddr::new(address, 0);
        // Who measures plain lanes between hosts wants them plain.
        config.insecure |= !address.is_loopback();
        Ok(Self::of(&config))
    }

    /// The configuration again.
    pub(crate) fn config(&self) -> Outcome<Config> {
        let mut config = Config::default();
        set(NODE_PARAMETERS, &mut config, &self.node)?;
        for (name, values) in &self.channels {
            let mut channel = ChannelConfig::new(name);
            set(CHANNEL_PARAMETERS, &mut channel, values)?;
            config.channels.push(channel);
        }
        for rule in &self.rules {
            let rule = Rule::read(rule, &Place::Code).map_err(refused)?;
            config.rules.push(rule);
        }
        for (name, values) in &self.discoveries {
            let mut discovery = DiscoveryConfig::new(name, StrategyChoice::Static);
            set(DISCOVERY_PARAMETERS, &mut discovery, values)?;
            config.discovery.push(discovery);
        }
        config.validate().map_err(refused)?;
        Ok(config)
    }

    /// What differs from the engine's defaults, for reports.
    pub(crate) fn differences(&self) -> String {
        let differs = |name: &str, value: &str, default: &str| {
            (value != default).then(|| format!("{name}={value}"))
        };
        let node =
            self.node
                .iter()
                .zip(NODE_PARAMETERS)
                .filter_map(|((name, value), parameter)| {
                    differs(name, value, &parameter.default_text())
                });
        let channels = self.channels.iter().map(|(channel, values)| {
            let values = values.iter().zip(CHANNEL_PARAMETERS);
            let keys: Vec<String> = values
                .filter_map(|((name, value), parameter)| {
                    differs(name, value, &parameter.default_text())
                })
                .collect();
            format!("channel {channel}: {}", keys.join(", "))
        });
        let node: Vec<String> = node.collect();
        let channels: Vec<String> = channels.collect();
        let rules = self.rules.iter().map(|rule| format!("rule {rule}"));
        let rules: Vec<String> = rules.collect();
        let discoveries = self.discoveries.iter();
        let discoveries: Vec<String> = discoveries
            .map(|(name, _)| format!("discovery {name}"))
            .collect();
        let all = [
            node.join(", "),
            channels.join("; "),
            rules.join("; "),
            discoveries.join("; "),
        ];
        let given = all.into_iter().filter(|part| !part.is_empty());
        given.collect::<Vec<_>>().join("; ")
    }
}

fn values<S: Default>(parameters: &[Parameter<S>], settings: &S) -> Values {
    parameters
        .iter()
        .map(|known| (known.name.to_owned(), known.get(settings)))
        .collect()
}

fn set<S: Default>(parameters: &[Parameter<S>], settings: &mut S, values: &Values) -> Outcome<()> {
    for (name, value) in values {
        let known = parameters.iter().find(|known| known.name == name);
        let known = known.ok_or_else(|| BenchError::BadInput(format!("no parameter {name}")))?;
        known
            .set(settings, value)
            .map_err(|right| BenchError::BadInput(format!("{name} {value}: {right}")))?;
    }
    Ok(())
}

fn refused(error: overlane::config::ConfigError) -> BenchError {
    BenchError::BadInput(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults<'_> = Defaults {
        places: true,
        node: &[("spin_us", "9")],
        channels: &["data:priority=4,overflow=block", "coordination:priority=1"],
    };

    #[test]
    fn a_configuration_survives_the_way_to_a_child() {
        let given = Flags {
            rules: vec!["coordination:message_type=vote.*".to_owned()],
            ..Flags::default()
        };
        let common = load(DEFAULTS, &given).unwrap();
        let settings = on_core(&common, "a", 0);
        let config = settings.config().unwrap();
        assert_eq!(
            (config.node_name.as_str(), config.spin_us, config.shards),
            ("a", 9, 1)
        );
        assert_eq!(config.channels, common.channels);
        assert_eq!((config.rules.len(), &config.rules), (1, &common.rules));
        let differences = settings.differences();
        assert!(differences.contains("spin_us=9"), "{differences}");
        assert!(differences.contains("overflow=block"), "{differences}");
        let rule = "rule coordination:message_type=vote.*";
        assert!(differences.contains(rule), "{differences}");
    }

    #[test]
    fn flags_change_what_a_test_asks_for() {
        let given = Flags {
            node: vec![("spin_us", "7".to_owned())],
            channels: vec!["data:priority=2".to_owned()],
            ..Flags::default()
        };
        let config = load(DEFAULTS, &given).unwrap();
        assert_eq!(config.spin_us, 7);
        let data = config
            .channels
            .iter()
            .find(|channel| channel.name == "data")
            .unwrap();
        assert_eq!(data.priority, 2.into());
        assert_eq!(
            data.overflow,
            overlane::config::Overflow::Block,
            "the rest stays"
        );
    }

    #[test]
    fn what_the_harness_decides_by_itself_is_refused() {
        let node = vec![("listen", "127.0.0.1:1".to_owned())];
        let error = load(
            DEFAULTS,
            &Flags {
                node,
                ..Flags::default()
            },
        )
        .unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::Usage);
        assert!(
            error.to_string().starts_with("--listen 127.0.0.1:1: "),
            "{error}"
        );
        let peers = vec!["b=127.0.0.1:1".to_owned()];
        assert!(
            load(
                DEFAULTS,
                &Flags {
                    peers,
                    ..Flags::default()
                }
            )
            .is_err()
        );
    }

    #[test]
    fn shards_are_refused_only_where_the_test_places_them() {
        let given = Flags {
            node: vec![("shards", "1".to_owned())],
            ..Flags::default()
        };
        let error = load(DEFAULTS, &given).unwrap_err();
        assert!(error.to_string().starts_with("--shards 1: "), "{error}");
        let free = Defaults {
            places: false,
            ..DEFAULTS
        };
        assert_eq!(load(free, &given).unwrap().shards, 1);
    }

    #[test]
    fn a_mistake_in_a_channel_is_bad_input() {
        let channels = vec!["data:priority=99".to_owned()];
        let error = load(
            DEFAULTS,
            &Flags {
                channels,
                ..Flags::default()
            },
        )
        .unwrap_err();
        assert_eq!(error.exit(), crate::exit::Exit::Usage);
    }
}
