//! The text `key=value,...` of channels and routing rules in flags and variables, read by a table of parameters.
//!
//! Called by `definition.rs` and `rule.rs`, which know what the keys are of.

use super::error::{ConfigError, Place};
use super::parameter::Parameter;

/// Reads `key=value,...`, each key once: key and value as the table prints them, in the order given. `path` is what they
/// are of, `unknown` the error for a key that is not in the table.
pub(super) fn read_settings<S: Default>(
    table: &'static [Parameter<S>],
    text: Option<&str>,
    path: &str,
    place: &Place,
    unknown: impl Fn(&str) -> ConfigError,
) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let mut settings: Vec<(&'static str, String)> = Vec::new();
    for setting in text.into_iter().flat_map(|text| text.split(',')) {
        let Some((key, value)) = setting.split_once('=') else {
            let right = "key=value, with commas between".to_string();
            return Err(refused(place, path, setting, right));
        };
        let (key, value) = (key.trim(), value.trim());
        let Some(parameter) = table.iter().find(|known| known.name == key) else {
            return Err(unknown(key));
        };
        let path = format!("{path}.{key}");
        if settings.iter().any(|(given, _)| *given == key) {
            return Err(refused(place, &path, value, "each key once".to_string()));
        }
        let mut of_one = S::default();
        parameter
            .set(&mut of_one, value)
            .map_err(|right| refused(place, &path, value, right))?;
        settings.push((parameter.name, parameter.get(&of_one)));
    }
    Ok(settings)
}

/// A value that is not one of its key.
pub(super) fn refused(place: &Place, key: &str, value: &str, right: String) -> ConfigError {
    ConfigError::Refused {
        place: place.clone(),
        key: key.to_string(),
        value: value.trim().to_string(),
        right,
    }
}
