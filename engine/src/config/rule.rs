//! The definitions of a routing rule's parameters, and a rule as text: `channel:key=value,...`.
//!
//! What a rule says follows from the list, as for a channel in `channel.rs`. Nothing here routes a message: the rules of a
//! node are compiled by `rules`.

use std::fmt;

use super::allowed::{Allowed, Unit};
use super::channel_name::check_channel_name;
use super::error::{ConfigError, Place};
use super::key_values::{read_settings, refused};
use super::nearest::did_you_mean;
use super::parameter::{Parameter, parameters};
use super::pattern::{Metadata, Named, Pattern};
use super::setting::Setting;
use crate::wire::frame::PAYLOAD_BYTES_MAX;

/// Most rules of a node.
pub const RULES_MAX: usize = 64;

parameters! {
    /// A routing rule: which messages it is for, and the channel that they go on. Made by [`Rule::new`] and the setters.
    ///
    /// Of several, the first whose conditions all hold decides. A rule is for messages whose sender names no channel
    /// ([`Router`](crate::Router)), unless [`named`](Self::named) says which it is for: then it overrides the channel named.
    pub struct Rule;
    pub static RULE_PARAMETERS;
    setters on Rule;

    /// The channel that the sender named, whose messages the rule moves: a name, or * for any; none is for messages without.
    named: Named as impl Into<Named> = Named::Nothing;
        Unit::None, Allowed::Described("none, * or the name of a channel");
        origin "what a sender has named should be overridden only where that is asked for";
        cost "* is looked at for every message of the node";
    /// The message's type; a * at its end stands for any rest, and alone for every message, also those without a type.
    message_type: Pattern as impl Into<Pattern> = Pattern::any();
        Unit::None, Allowed::Described(
            "1 to 255 bytes of text without commas, semicolons and control characters, such as order.created or order.*");
        origin "no condition";
        cost "none";
    /// Key=value pairs that the message carries, all of them, with & between.
    metadata: Metadata as impl Into<Metadata> = Metadata::default();
        Unit::None, Allowed::Described(
            "up to 8 pairs such as tenant=7&region=eu, without commas, semicolons and control characters");
        origin "no condition";
        cost "each is searched for among those of the message";
    /// Smallest payload that it is for.
    payload_bytes_min: usize = 0;
        Unit::Bytes, Allowed::Number(0, PAYLOAD_BYTES_MAX as u64);
        origin "no condition";
        cost "none";
    /// Largest payload that it is for.
    payload_bytes_max: usize = PAYLOAD_BYTES_MAX;
        Unit::Bytes, Allowed::Number(0, PAYLOAD_BYTES_MAX as u64);
        origin "no condition";
        cost "none";
    /// The node that the message goes to; a * at its end stands for any rest.
    peer: Pattern as impl Into<Pattern> = Pattern::any();
        Unit::None, Allowed::Described("the name of a node, such as db-1 or db-*");
        origin "no condition";
        cost "none";

    beside {
        /// The channel that the messages go on.
        channel: String;
    }
}

impl Rule {
    /// For all messages whose sender names no channel, until conditions are set.
    #[must_use]
    pub fn new(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            ..Self::default()
        }
    }

    /// Reads `channel` or `channel:key=value,...`; `place` goes into the error.
    ///
    /// # Errors
    /// The first part that is not right, with what would be.
    pub fn read(text: &str, place: &Place) -> Result<Self, ConfigError> {
        let (channel, settings) = match text.split_once(':') {
            Some((channel, settings)) => (channel.trim(), Some(settings)),
            None => (text.trim(), None),
        };
        let mut rule = Self::new(channel);
        rule.check_channel("rule", place)?;
        let unknown = |key: &str| unknown_rule_key(place.clone(), "rule", key);
        for (key, value) in read_settings(RULE_PARAMETERS, settings, "rule", place, unknown)? {
            rule.set(key, &value, "rule", place)?;
        }
        Ok(rule)
    }

    /// Sets a parameter from text; `path` is what the rule is called in the error.
    pub(super) fn set(
        &mut self,
        key: &str,
        text: &str,
        path: &str,
        place: &Place,
    ) -> Result<(), ConfigError> {
        if key == CHANNEL {
            self.channel = text.to_string();
            return self.check_channel(path, place);
        }
        let Some(parameter) = RULE_PARAMETERS.iter().find(|known| known.name == key) else {
            return Err(unknown_rule_key(place.clone(), path, key));
        };
        parameter
            .set(self, text)
            .map_err(|right| refused(place, &format!("{path}.{key}"), text, right))
    }

    fn check_channel(&self, path: &str, place: &Place) -> Result<(), ConfigError> {
        let key = format!("{path}.{CHANNEL}");
        check_channel_name(&self.channel)
            .map_err(|right| refused(place, &key, &self.channel, right))
    }

    /// Checks what it says, by itself; `path` is what it is called in the error.
    pub(super) fn check(&self, path: &str) -> Result<(), ConfigError> {
        let place = Place::Code;
        self.check_channel(path, &place)?;
        for parameter in RULE_PARAMETERS {
            let value = parameter.get(self);
            self.clone().set(parameter.name, &value, path, &place)?;
        }
        if !self.peer.is_of_names() {
            let right = "the name of a node: 1 to 255 of the characters A-Z a-z 0-9 _ . - @, and a * at the end for any rest";
            let key = format!("{path}.peer");
            return Err(refused(&place, &key, self.peer.text(), right.to_string()));
        }
        if self.payload_bytes_min > self.payload_bytes_max {
            let right = "no more than payload_bytes_max, or the rule matches nothing".to_string();
            let (key, value) = (
                format!("{path}.payload_bytes_min"),
                self.payload_bytes_min.to_string(),
            );
            return Err(refused(&place, &key, &value, right));
        }
        Ok(())
    }

    /// The names of channels in it, each with its key.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = match &self.named {
            Named::Channel(name) => Some(("named", name.as_str())),
            Named::Nothing | Named::Any => None,
        };
        [(CHANNEL, self.channel.as_str())].into_iter().chain(named)
    }

    /// What the setters change.
    fn settings(&mut self) -> &mut Self {
        self
    }
}

/// The key of the channel that a rule chooses.
const CHANNEL: &str = "channel";

/// As [`Rule::read`] reads it: what is not a condition is left out.
impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.channel)?;
        let mut separator = ':';
        for parameter in RULE_PARAMETERS {
            let value = parameter.get(self);
            if value != parameter.default_text() {
                write!(formatter, "{separator}{}={value}", parameter.name)?;
                separator = ',';
            }
        }
        Ok(())
    }
}

fn unknown_rule_key(place: Place, path: &str, key: &str) -> ConfigError {
    let known = RULE_PARAMETERS.iter().map(|known| known.name);
    let right = did_you_mean(key, known.chain([CHANNEL]), "docs/tuning.md lists them all");
    ConfigError::Unknown {
        place,
        key: format!("{path}.{key}"),
        right,
    }
}
