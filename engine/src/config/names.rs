//! Lists of patterns for names: of peers, mailboxes and certificates.
//!
//! A pattern is a name in which each `*` stands for any text. Read and printed here, asked by `session` and
//! by shards when a lane is made; never for a message.

use super::allowed::{Allowed, Unit};
use super::setting::Setting;
use crate::wire::NAME_BYTES_MAX;

/// The most patterns in a list: a guess. Each is tried when a lane is made.
pub const PATTERNS_MAX: usize = 64;

/// What is read, as the end of a sentence that starts with "expected".
pub(super) const PATTERNS: &str = "at most 64 names with + between, of A-Z a-z 0-9 _ . - @ : / and * for any text, such as web-*+db-1";

/// Names, in each of which `*` stands for any text. An empty list says nothing: what that means is for
/// whoever asks.
///
/// ```
/// use overlane::config::NamePatterns;
///
/// let patterns = NamePatterns::from(["web-*", "db-1"]);
/// assert!(patterns.has("web-17") && patterns.has("db-1"));
/// assert!(!patterns.has("db-11") && !patterns.has("a-web-1"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePatterns(Vec<String>);

impl NamePatterns {
    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the patterns fits `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, name))
    }

    /// The same, with `{node}` in a pattern standing for `node`.
    pub(crate) fn has_for_node(&self, name: &str, node: &str) -> bool {
        let patterns = self.0.iter().map(|pattern| pattern.replace("{node}", node));
        { patterns }.any(|pattern| fits(&pattern, name))
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        self.0.join("+")
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for NamePatterns {
    fn from(patterns: [T; N]) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }
}

/// Whether `name` is the pattern, with some text in place of each `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    // The earliest place of each part leaves the most for those behind it.
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Nothing that separates keys or entries in flags and variables is in it.
fn is_pattern(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@:/*{}".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

impl Setting for NamePatterns {
    fn read(text: &str, unit: Unit, allowed: &Allowed) -> Result<Self, String> {
        let text = text.trim();
        // A list in a file has commas between its entries.
        let entries = text.split(['+', ',']).map(str::trim);
        let patterns: Vec<_> = { entries }.filter(|_| !text.is_empty()).collect();
        if patterns.len() <= PATTERNS_MAX && patterns.iter().all(|pattern| is_pattern(pattern)) {
            Ok(Self(patterns.into_iter().map(str::to_owned).collect()))
        } else {
            Err(allowed.sentence(unit))
        }
    }

    fn print(&self, _: Unit) -> String {
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, is_so) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*b", "ab", true),
            ("*b", "abc", false),
            ("a*b", "ab", true),
            ("a*b", "a", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, name), is_so, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_can_name_the_node() {
        let patterns = NamePatterns::from(["{node}.cluster.example"]);
        assert!(patterns.has_for_node("a.cluster.example", "a"));
        assert!(!patterns.has_for_node("b.cluster.example", "a"));
    }

    #[test]
    fn what_is_read_prints_as_it_was() {
        const ALLOWED: Allowed = Allowed::Described("what is right");
        let read = |text: &str| NamePatterns::read(text, Unit::None, &ALLOWED);
        for text in ["", "*", "web-*+db-1"] {
            assert_eq!(read(text).expect("patterns").print(Unit::None), text);
        }
        assert_eq!(read("a, b"), Ok(NamePatterns::from(["a", "b"])));
        for text in ["a++b", "a;b", "\u{7}", "a b", "?"] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&["a"; PATTERNS_MAX + 1].join("+")).is_err());
    }
}
