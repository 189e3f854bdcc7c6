//! Reads `OVERLANE_*` variables into layers. The variables are handed in, never read here.
//!
//! An empty variable counts as unset: scripts and service files often cannot leave one out.

use super::error::{ConfigError, Place};
use super::layers::{Kind, Layers};
use super::nearest::nearest;
use super::node::NODE_PARAMETERS;
use super::printable::Printable;
use super::service_links::is_service_link;

/// What the names of the variables begin with.
pub const PREFIX: &str = "OVERLANE_";

/// The variable that names the configuration file.
pub(super) const FILE: &str = "OVERLANE_CONFIG";

/// The variable that names the profile.
pub(super) const PROFILE: &str = "OVERLANE_PROFILE";

/// The variable with channel definitions, semicolons between.
const CHANNEL: &str = "OVERLANE_CHANNEL";

/// The variable with discoveries, semicolons between.
const DISCOVERY: &str = "OVERLANE_DISCOVERY";

/// The variable with routing rules, semicolons between.
const RULE: &str = "OVERLANE_RULE";

/// The variable with the secrets of `security = "psk"`: no parameter, so that no text form shows it.
pub(super) const SECRET: &str = "OVERLANE_PSK_SECRET";

/// Belongs to the project's tests: lets them rewrite generated documents.
const BLESS: &str = "OVERLANE_BLESS";

/// The variable of a node's parameter.
#[must_use]
pub fn variable(parameter: &str) -> String {
    format!("{PREFIX}{}", parameter.to_ascii_uppercase())
}

/// What becomes of a variable with the prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Read elsewhere: it names the file or the profile, or belongs to tests.
    Elsewhere,
    /// Definitions of channels or discoveries.
    Named(Kind),
    /// Routing rules.
    Rules,
    /// Secrets.
    Secret,
    /// The parameter of a node.
    Parameter(&'static str),
    /// One of the engine's, and empty.
    Empty,
    /// Set by Kubernetes, for a Service that happens to have the prefix as its name.
    ServiceLink,
    /// A mistake.
    Unknown,
}

fn use_of(name: &str, value: &str) -> Use {
    let stem = name.strip_prefix(PREFIX).unwrap_or_default();
    let parameter = NODE_PARAMETERS.iter().map(|known| known.name);
    let used = match name {
        BLESS => return Use::Elsewhere,
        FILE | PROFILE => Use::Elsewhere,
        SECRET => Use::Secret,
        CHANNEL => Use::Named(Kind::Channel),
        DISCOVERY => Use::Named(Kind::Discovery),
        RULE => Use::Rules,
        _ => match { parameter }.find(|known| variable(known) == name) {
            Some(parameter) => Use::Parameter(parameter),
            None if is_service_link(stem, value) => return Use::ServiceLink,
            None => return Use::Unknown,
        },
    };
    if is_empty(value) { Use::Empty } else { used }
}

/// Whether a variable of that value counts as unset.
pub(super) fn is_empty(value: &str) -> bool {
    value.trim().is_empty()
}

/// Lays the variables over what is there; those without the prefix are not ours.
pub(super) fn apply(
    layers: &mut Layers,
    variables: &[(String, String)],
) -> Result<(), ConfigError> {
    for (name, value) in ours(variables) {
        let place = Place::Environment {
            variable: name.clone(),
        };
        match use_of(name, value) {
            Use::Elsewhere | Use::Empty | Use::ServiceLink => {}
            Use::Named(kind) => {
                for text in entries(value) {
                    layers.define(kind, text, &place)?;
                }
            }
            Use::Rules => layers.rules(entries(value), &place)?,
            Use::Secret => layers.secrets(value, place)?,
            Use::Parameter(parameter) => layers.node(parameter, value, place)?,
            Use::Unknown => return Err(unknown(place, name)),
        }
    }
    Ok(())
}

/// What should be known about variables that were left alone: a sentence for each kind.
pub(super) fn hints(variables: &[(String, String)]) -> Vec<String> {
    let named = |wanted: Use| {
        let names = ours(variables).filter(|(name, value)| use_of(name, value) == wanted);
        let names: Vec<_> = names.map(|(name, _)| Printable(name).to_string()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let empty = named(Use::Empty)
        .map(|names| format!("{names}: empty, so taken for unset; give a value, or unset it"));
    let links = named(Use::ServiceLink).map(|names| {
        format!(
            "{names}: taken for what Kubernetes sets for a Service of that name, and left alone; \
             `enableServiceLinks: false` in the pod's spec keeps them away"
        )
    });
    empty.into_iter().chain(links).collect()
}

fn ours(variables: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    variables
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// The parts that semicolons separate.
fn entries(value: &str) -> impl Iterator<Item = &str> {
    value.split(';').filter(|text| !text.trim().is_empty())
}

fn unknown(place: Place, name: &str) -> ConfigError {
    let known = NODE_PARAMETERS.iter().map(|parameter| parameter.name);
    let stem = name[PREFIX.len()..].to_ascii_lowercase();
    let near = nearest(
        &stem,
        known.chain(["config", "profile", "channel", "discovery", "rule"]),
    );
    let right = match (stem.as_str(), near) {
        ("port" | "host" | "address", _) => {
            format!("give address and port together, as {PREFIX}LISTEN=127.0.0.1:7400")
        }
        (_, Some(near)) => format!("did you mean `{}`?", variable(near)),
        (_, None) => {
            format!("unset it, or take one of docs/tuning.md: {PREFIX} is for those alone")
        }
    };
    ConfigError::Unknown {
        place,
        key: name.to_string(),
        right,
    }
}
