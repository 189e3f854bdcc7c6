//! What a channel can be called: checked wherever a configuration names one.

use super::setting::is_name;

/// What names of the engine's own channels begin with.
pub const RESERVED_PREFIX: &str = "overlane.";

/// Checks a channel's name; `right` says what is wrong with it.
pub(super) fn check_channel_name(name: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err("1 to 255 of the characters a-z 0-9 _ . -".to_string());
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Err(format!(
            "a name that does not begin with {RESERVED_PREFIX}, which the engine's own channels do"
        ));
    }
    Ok(())
}
