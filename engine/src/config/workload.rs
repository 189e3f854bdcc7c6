//! Workloads: a name for an overlay and for how its rules are followed, such as `gaming=full_mesh+cooldown_s=60`.
//!
//! The built-in ones are in `cluster/topology/workloads.rs`. Here is their text form; that their settings are
//! parameters of the group `topology` is checked in `agreement.rs`.

use std::fmt;
use std::str::FromStr;

use overlane_overlays::epoch::OverlayKind;

use super::allowed::{Allowed, Unit};
use super::setting::{Setting, is_name};

/// Most workloads of a node: a guess, more than a person tells apart.
const WORKLOADS_MAX: usize = 64;

/// A workload of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it is chosen by.
    pub name: String,
    /// The overlay for it.
    pub overlay: OverlayKind,
    /// Parameters of the group `topology`, without its name, that have other values while it is chosen.
    pub settings: Vec<(String, String)>,
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, self.overlay)?;
        for (key, value) in &self.settings {
            write!(formatter, "+{key}={value}")?;
        }
        Ok(())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none");
        let mut parts = text.split('+');
        let (name, overlay) = parts
            .next()
            .and_then(|first| first.split_once('='))
            .ok_or_else(wrong)?;
        let name = name.trim();
        if !is_name(name) {
            return Err(wrong());
        }
        let overlay = overlay.trim().parse();
        let overlay = overlay.map_err(|error| format!("{}: {error}", wrong()))?;
        let setting = |part: &str| {
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        };
        Ok(Self {
            name: name.to_owned(),
            overlay,
            settings: parts.map(setting).collect::<Result<_, String>>()?,
        })
    }
}

impl Setting for Vec<Workload> {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let right = |wrong: String| format!("{}; {wrong}", allowed.sentence(unit));
        let entries = text
            .split(',')
            .map(str::trim)
            .filter(|_| !text.trim().is_empty());
        let workloads: Self = entries
            .map(|entry| entry.parse().map_err(right))
            .collect::<Result<_, _>>()?;
        let mut names: Vec<_> = workloads.iter().map(|workload| &workload.name).collect();
        names.sort_unstable();
        if names.len() > WORKLOADS_MAX || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(right(format!("at most {WORKLOADS_MAX}, each name once")));
        }
        Ok(workloads)
    }

    fn print(&self, _: Unit) -> String {
        let workloads: Vec<_> = self.iter().map(Workload::to_string).collect();
        workloads.join(",")
    }
}
