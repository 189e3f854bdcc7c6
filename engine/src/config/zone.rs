//! Where a node runs, for overlays that prefer neighbors nearby: the value of the parameter `zone`.

use overlane_overlays::membership::is_zone;

use super::allowed::{Allowed, Unit};
use super::setting::Setting;

/// What is read, as the end of a sentence that starts with "expected".
pub(super) const ZONE_NAMES: &str = "none, or 1 to 64 of the characters A-Z a-z 0-9 _ . -";

const NONE: &str = "none";

/// The zone of a node: a data center, a rack, whatever is nearer inside than to others. Nodes whose zones have the same name are
/// near one another; a node in no zone is near to nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone(String);

impl Zone {
    /// Its name; empty for none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Checked with the rest of the configuration.
impl<T: Into<String>> From<T> for Zone {
    fn from(name: T) -> Self {
        let name = name.into();
        Self(if name == NONE { String::new() } else { name })
    }
}

impl Setting for Zone {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.trim();
        if !text.is_empty() && is_zone(text) {
            Ok(Self::from(text))
        } else {
            Err(allowed.sentence(unit))
        }
    }

    fn print(&self, _: Unit) -> String {
        if self.0.is_empty() {
            NONE.to_string()
        } else {
            self.0.clone()
        }
    }
}
