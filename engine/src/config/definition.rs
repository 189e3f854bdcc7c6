//! The text that defines a channel, or a discovery: `name:key=value,...`, for flags and environment alike.
//!
//! Reading checks names, keys and values; what is accepted prints back as an equal definition.

use std::fmt;

use super::channel::CHANNEL_PARAMETERS;
use super::channel_name::check_channel_name;
use super::discovery::{DISCOVERY_PARAMETERS, unknown_discovery_key};
use super::error::{ConfigError, Place};
use super::key_values::{read_settings, refused};
use super::layers::{Kind, Layers, unknown_channel_key};

/// A channel to add, or parameters to change of a channel that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelDefinition {
    name: String,
    /// Key and value as the table prints it, each key once, in the order given.
    settings: Vec<(&'static str, String)>,
}

impl ChannelDefinition {
    /// Reads `name` or `name:key=value,...`; `place` goes into the error.
    ///
    /// # Errors
    /// The first part that is not right, with what would be.
    pub fn read(text: &str, place: &Place) -> Result<Self, ConfigError> {
        let (name, settings) = parts(text);
        check_channel_name(name).map_err(|right| refused(place, "channel name", name, right))?;
        let path = format!("channel.{name}");
        let unknown = |key: &str| unknown_channel_key(place.clone(), name, key);
        let settings = read_settings(CHANNEL_PARAMETERS, settings, &path, place, unknown)?;
        Ok(Self {
            name: name.to_string(),
            settings,
        })
    }

    /// Name of the channel.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The keys that are given and their values, in text form.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.settings
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
    }
}

impl fmt::Display for ChannelDefinition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        for (index, (key, value)) in self.settings.iter().enumerate() {
            let separator = if index == 0 { ':' } else { ',' };
            write!(formatter, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}

impl Layers {
    /// Lays the text that defines a channel or a discovery over what is there.
    pub(super) fn define(
        &mut self,
        kind: Kind,
        text: &str,
        place: &Place,
    ) -> Result<(), ConfigError> {
        let (name, settings) = match kind {
            Kind::Channel => {
                let definition = ChannelDefinition::read(text, place)?;
                (definition.name, definition.settings)
            }
            Kind::Discovery => {
                let (name, settings) = parts(text);
                let path = format!("discovery.{name}");
                let unknown = |key: &str| unknown_discovery_key(place.clone(), name, key);
                let settings =
                    read_settings(DISCOVERY_PARAMETERS, settings, &path, place, unknown)?;
                (name.to_string(), settings)
            }
        };
        self.add(kind, &name, place)?;
        for (key, value) in settings {
            self.set(kind, &name, key, &value, place.clone())?;
        }
        Ok(())
    }
}

/// `name` and `key=value,...` of a definition.
fn parts(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, settings)) => (name.trim(), Some(settings)),
        None => (text.trim(), None),
    }
}

/// Reads arbitrary bytes as a definition: it must not panic, and must print back what it accepted.
#[doc(hidden)]
pub fn fuzz_channel_definition(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(definition) = ChannelDefinition::read(&text, &Place::Code) {
        let printed = definition.to_string();
        let again = ChannelDefinition::read(&printed, &Place::Code);
        assert_eq!(again.as_ref(), Ok(&definition), "{printed}");
    }
}
