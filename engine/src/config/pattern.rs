//! The conditions of routing rules that are texts: patterns, key=value pairs, and the channel that a sender named.
//!
//! Each prints as it is read, and holds nothing that separates keys or rules in flags and variables.

use super::allowed::{Allowed, Unit};
use super::setting::{Setting, is_name, is_node_name};
use crate::wire::extension::METADATA_PAIRS_MAX;
use crate::wire::name::check_name;

/// What stands for any rest of a text.
const ANY: &str = "*";

/// A text, or the beginning of one and a `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Everything, also where there is no text.
    #[must_use]
    pub fn any() -> Self {
        Self(ANY.to_string())
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it is no condition.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }

    /// Without its `*`, and whether it has one.
    pub(crate) fn parts(&self) -> (&str, bool) {
        match self.0.strip_suffix(ANY) {
            Some(beginning) => (beginning, true),
            None => (&self.0, false),
        }
    }

    /// Whether names of nodes can fit it.
    pub(super) fn is_of_names(&self) -> bool {
        let (text, is_beginning) = self.parts();
        is_node_name(text) || (is_beginning && text.is_empty())
    }
}

impl<T: Into<String>> From<T> for Pattern {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Setting for Pattern {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let pattern = Self(text.trim().to_string());
        let (beginning, is_beginning) = pattern.parts();
        let is_text = is_plain(beginning) || (is_beginning && beginning.is_empty());
        if is_text {
            Ok(pattern)
        } else {
            Err(allowed.sentence(unit))
        }
    }

    fn print(&self, _: Unit) -> String {
        self.0.clone()
    }
}

/// Key=value pairs, all of which a message has to carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(String, String)>);

impl Metadata {
    /// The pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Metadata {
    fn from(pairs: [(K, V); N]) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl Setting for Metadata {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.trim();
        // A list in a file has commas between its entries.
        let pairs = text.split(['&', ',']).filter(|_| !text.is_empty());
        let pairs: Option<Vec<_>> = pairs.map(pair).collect();
        match pairs {
            Some(pairs) if pairs.len() <= METADATA_PAIRS_MAX => Ok(Self(pairs)),
            _ => Err(allowed.sentence(unit)),
        }
    }

    fn print(&self, _: Unit) -> String {
        let pairs = self.pairs().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_right = is_plain(key) && (value.is_empty() || is_plain(value));
    is_right.then(|| (key.to_string(), value.to_string()))
}

/// Whether it is the text of a type, a key or a value, without what separates them elsewhere.
fn is_plain(text: &str) -> bool {
    check_name(text).is_ok() && !text.contains([',', ';', '&'])
}

/// The channel that a sender named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// None: the message was given to a [`Router`](crate::Router).
    #[default]
    Nothing,
    /// Any.
    Any,
    /// That one.
    Channel(String),
}

impl<T: Into<String>> From<T> for Named {
    fn from(name: T) -> Self {
        match name.into() {
            name if name == NOTHING => Self::Nothing,
            name if name == ANY => Self::Any,
            name => Self::Channel(name),
        }
    }
}

/// What stands for no channel.
const NOTHING: &str = "none";

impl Setting for Named {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        match Self::from(text.trim()) {
            Self::Channel(name) if !is_name(&name) => Err(allowed.sentence(unit)),
            named => Ok(named),
        }
    }

    fn print(&self, _: Unit) -> String {
        match self {
            Self::Nothing => NOTHING.to_string(),
            Self::Any => ANY.to_string(),
            Self::Channel(name) => name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed = Allowed::Described("what is right");

    fn read<S: Setting>(text: &str) -> Result<S, String> {
        S::read(text, Unit::None, &ALLOWED)
    }

    #[test]
    fn what_is_read_prints_as_it_was() {
        for text in ["*", "order.*", "order.created", "a b"] {
            let pattern: Pattern = read(text).expect("a pattern");
            assert_eq!(pattern.print(Unit::None), text);
        }
        for text in ["", "tenant=7", "tenant=7&empty=&other=a=b"] {
            let metadata: Metadata = read(text).expect("pairs");
            assert_eq!(metadata.print(Unit::None), text);
        }
        for text in ["none", "*", "data"] {
            let named: Named = read(text).expect("a name");
            assert_eq!(named.print(Unit::None), text);
        }
    }

    #[test]
    fn what_would_read_otherwise_is_refused() {
        for text in ["", "a,b", "a;b", "a\u{7}"] {
            assert!(read::<Pattern>(text).is_err(), "{text:?}");
        }
        for text in ["tenant", "=7", "a=1;b=2", "a=1&&b=2"] {
            assert!(read::<Metadata>(text).is_err(), "{text:?}");
        }
        let many = ["a=1"; METADATA_PAIRS_MAX + 1].join("&");
        assert!(read::<Metadata>(&many).is_err());
        for text in ["", "Data", "a b"] {
            assert!(read::<Named>(text).is_err(), "{text:?}");
        }
    }
}
