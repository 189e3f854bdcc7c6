//! Reads `OVERLANE_*` variables into layers. The variables are handed in, never read here.

use super::definition::ChannelDefinition;
use super::error::{ConfigError, Place};
use super::layers::Layers;
use super::nearest::nearest;
use super::node::NODE_PARAMETERS;

/// What the names of the variables begin with.
pub const PREFIX: &str = "OVERLANE_";

/// The variable that names the configuration file.
pub(super) const FILE: &str = "OVERLANE_CONFIG";

/// The variable that names the profile.
pub(super) const PROFILE: &str = "OVERLANE_PROFILE";

/// The variable with channel definitions, semicolons between.
const CHANNEL: &str = "OVERLANE_CHANNEL";

/// Belongs to the project's tests: lets them rewrite generated documents.
const BLESS: &str = "OVERLANE_BLESS";

/// The variable of a node's parameter.
#[must_use]
pub fn variable(parameter: &str) -> String {
    format!("{PREFIX}{}", parameter.to_ascii_uppercase())
}

/// Lays the variables over what is there; those without the prefix are not ours.
pub(super) fn apply(
    layers: &mut Layers,
    variables: &[(String, String)],
) -> Result<(), ConfigError> {
    for (name, value) in variables {
        let place = Place::Environment {
            variable: name.clone(),
        };
        match name.as_str() {
            FILE | PROFILE | BLESS => {}
            CHANNEL => channels(layers, value, &place)?,
            _ if !name.starts_with(PREFIX) => {}
            _ => match NODE_PARAMETERS
                .iter()
                .find(|known| variable(known.name) == *name)
            {
                Some(parameter) => layers.node(parameter.name, value, place)?,
                None => return Err(unknown(place, name)),
            },
        }
    }
    Ok(())
}

fn channels(layers: &mut Layers, value: &str, place: &Place) -> Result<(), ConfigError> {
    for text in value.split(';').filter(|text| !text.trim().is_empty()) {
        layers.define(&ChannelDefinition::read(text, place)?, place)?;
    }
    Ok(())
}

fn unknown(place: Place, name: &str) -> ConfigError {
    let known = NODE_PARAMETERS.iter().map(|parameter| parameter.name);
    let stem = name[PREFIX.len()..].to_ascii_lowercase();
    let right = nearest(&stem, known.chain(["config", "profile", "channel"])).map_or_else(
        || format!("unset it, or take one of docs/tuning.md: {PREFIX} is for those alone"),
        |near| format!("did you mean `{}`?", variable(near)),
    );
    ConfigError::Unknown {
        place,
        key: name.to_string(),
        right,
    }
}
