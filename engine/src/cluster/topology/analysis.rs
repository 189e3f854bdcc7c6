//! What rules would do now, and why: for people.

use overlane_overlays::epoch::OverlayKind;
use serde::Serialize;

use super::forecast::Forecast;
use super::judge::Blocked;
use super::measurements::Measurements;
use super::rules::{Verdict, by_name};

/// What rules would do now, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Analysis {
    /// What they go by.
    pub measurements: Measurements,
    /// The overlay in force.
    #[serde(serialize_with = "by_name")]
    pub overlay: OverlayKind,
    /// The workload that was chosen.
    pub workload: Option<String>,
    /// What each rule says, in the order in which they count: the first that holds is followed. Those of the forecast come last, and are
    /// there if they say something of the cluster ahead that they do not say of it now; their names begin with `forecast_`.
    pub rules: Vec<Verdict>,
    /// Looks in a row for which a rule has to hold.
    pub looks_needed: u32,
    /// Where size and load lead to; none if `topology_forecast_looks` is 0.
    pub forecast: Option<Forecast>,
    /// What stands in the way of all of them; nothing if this list is empty.
    pub blocked: Vec<Blocked>,
}
