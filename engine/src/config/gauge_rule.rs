//! Rules over gauges of the application, such as `session_ms>500=full_mesh`: text form and meaning.

use std::fmt;
use std::str::FromStr;

use overlane_overlays::epoch::OverlayKind;

use super::allowed::{Allowed, Unit};
use super::setting::{Setting, is_name};

/// Most rules over gauges: a guess, as many as there are gauges.
const GAUGE_RULES_MAX: usize = 64;

/// An overlay for when a gauge is above a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaugeRule {
    /// Name of the gauge: see `Cluster::set_gauge`.
    pub gauge: String,
    /// What it must be above.
    pub above: u64,
    /// The overlay that is switched to then.
    pub overlay: OverlayKind,
}

impl fmt::Display for GaugeRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}>{}={}", self.gauge, self.above, self.overlay)
    }
}

impl FromStr for GaugeRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none");
        let (gauge, rest) = text.split_once('>').ok_or_else(wrong)?;
        let (above, overlay) = rest.split_once('=').ok_or_else(wrong)?;
        let gauge = gauge.trim();
        if !is_name(gauge) {
            return Err(wrong());
        }
        let overlay = overlay.trim().parse();
        Ok(Self {
            gauge: gauge.to_owned(),
            above: above.trim().parse().map_err(|_| wrong())?,
            overlay: overlay.map_err(|error| format!("{}: {error}", wrong()))?,
        })
    }
}

impl Setting for Vec<GaugeRule> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let right = |wrong: String| format!("{}; {wrong}", allowed.sentence(unit));
        let is_empty = text.trim().is_empty();
        let entries = text.split(',').map(str::trim).filter(|_| !is_empty);
        let rules: Self = entries
            .map(|entry| entry.parse().map_err(right))
            .collect::<Result<_, _>>()?;
        if rules.len() > GAUGE_RULES_MAX {
            return Err(right(format!("at most {GAUGE_RULES_MAX}")));
        }
        Ok(rules)
    }

    fn print(&self, _: Unit) -> String {
        let rules: Vec<_> = self.iter().map(GaugeRule::to_string).collect();
        rules.join(",")
    }
}
