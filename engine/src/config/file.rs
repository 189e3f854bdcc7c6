//! Reads a TOML file, base and profile, into layers. Says at which line and key each mistake is.
//!
//! Called by `load.rs`. What the keys mean is in `layers.rs`; what a value may be, in the tables.

mod libcluster;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::layers::{Kind, Layers, PEERS};
use super::node::{NODE_GROUPS, NODE_PARAMETERS};
use super::printable::Printable;
use super::profile::Profile;
use super::rule::Rule;
use libcluster::LIBCLUSTER;

/// Largest configuration file; one of a thousand channels would be under 100 KiB.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

type Key<'t> = Spanned<DeString<'t>>;
type Value<'t> = Spanned<DeValue<'t>>;

/// Lays the file over what is there, then its part for the profile. `named_by` is who named it.
///
/// The parts for the other profiles are checked too: a mistake in them should not wait until then.
pub(super) fn apply(
    layers: &mut Layers,
    path: &Path,
    named_by: &Place,
    profile: Profile,
) -> Result<(), ConfigError> {
    let shown: Arc<str> = path.display().to_string().into();
    let failed = |line, reason| ConfigError::File {
        path: Arc::clone(&shown),
        line,
        reason,
    };
    let bytes = read(path).map_err(|error| failed(None, unread(&error, named_by)))?;
    let text = as_text(&bytes).map_err(|(line, reason)| failed(line, reason))?;
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| lines.line(span.start));
        failed(line, not_toml(text, line, &error))
    })?;
    let reader = Reader { path: shown, lines };
    reader.file(layers, table.get_ref(), profile)
}

/// The bytes of the file, one more than allowed if it is larger.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Why the file could not be read, and what to do about it.
fn unread(error: &io::Error, named_by: &Place) -> String {
    let right = match (error.kind(), named_by) {
        (io::ErrorKind::IsADirectory, _) => "expected a file in TOML".to_string(),
        (io::ErrorKind::PermissionDenied, _) => "allow this user to read it".to_string(),
        (_, Place::Flag { flag }) => format!("give {flag} a file in TOML, or leave it out"),
        (_, Place::Environment { variable }) => {
            format!("set {variable} to the path of a file in TOML, or unset it")
        }
        _ => "make it a file in TOML, or remove it".to_string(),
    };
    format!("{error}; {right}")
}

/// The text of the file, or the line at which it is none and why.
fn as_text(bytes: &[u8]) -> Result<&str, (Option<usize>, String)> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err((None, format!("expected at most {FILE_BYTES_MAX} bytes")));
    }
    str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let reason = format!(
            "byte {} is not UTF-8; expected a text file in TOML, saved as UTF-8",
            error.valid_up_to()
        );
        (Some(line), reason)
    })
}

/// What of the text is not TOML, with the line that it is about.
fn not_toml(text: &str, line: Option<usize>, error: &toml::de::Error) -> String {
    let said = error.message().replace('\n', ", ");
    let about = line.and_then(|line| text.lines().nth(line - 1));
    let about = about.map(|line| format!(" in `{}`", Printable(line.trim())));
    format!("expected TOML: {said}{}", about.unwrap_or_default())
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(breaks.map(|(at, _)| at + 1).collect())
    }

    /// The line that the byte is on, counted from 1.
    fn line(&self, byte: usize) -> usize {
        1 + self.0.partition_point(|start| *start <= byte)
    }
}

/// A key with the tables that it is in, and where it stands.
struct At {
    path: String,
    line: usize,
}

struct Reader {
    path: Arc<str>,
    lines: Lines,
}

impl Reader {
    /// The base of the file, then its profiles.
    fn file(
        &self,
        layers: &mut Layers,
        table: &DeTable<'_>,
        profile: Profile,
    ) -> Result<(), ConfigError> {
        self.node(layers, "", table)?;
        let Some((key, profiles)) = table.get_key_value("profile") else {
            return Ok(());
        };
        let at = self.at("", key);
        let profiles = self.table(profiles, &at, "tables such as [profile.dev]")?;
        for (name, part) in in_order(profiles) {
            let at = self.at("profile.", name);
            let named = Profile::named(name.get_ref()).map_err(|right| ConfigError::Unknown {
                place: self.place(&at),
                key: at.path.clone(),
                right,
            })?;
            let part = self.table(part, &at, &format!("a table, [{}]", at.path))?;
            let prefix = format!("{}.", at.path);
            if named == profile {
                self.node(layers, &prefix, part)?;
            } else {
                self.node(&mut layers.clone(), &prefix, part)?;
            }
        }
        Ok(())
    }

    /// The tables of one part: node parameters and their groups, peers, channels, discoveries and rules. `prefix` names the
    /// part.
    fn node(
        &self,
        layers: &mut Layers,
        prefix: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        for (key, value) in in_order(table) {
            let at = self.at(prefix, key);
            let name: &str = key.get_ref();
            if let Some(kind) = Kind::of_table(name) {
                let right = format!(
                    "a table for each {name}, such as [{}.data] in single brackets",
                    at.path
                );
                self.named(layers, kind, &at, self.table(value, &at, &right)?)?;
                continue;
            }
            match (name, value.get_ref()) {
                (LIBCLUSTER, _) => self.libcluster(layers, &at, value)?,
                ("profile", _) if prefix.is_empty() => {}
                ("rule", _) => {
                    let rules = self.rules(value, &at)?;
                    layers.replace_rules(rules);
                }
                (PEERS, DeValue::Table(peers)) => {
                    for (peer, address) in in_order(peers) {
                        let at = self.at(&format!("{}.", at.path), peer);
                        layers.peer(peer.get_ref(), &self.text(address, &at)?, self.place(&at))?;
                    }
                }
                (_, DeValue::Table(group)) if is_group(name) => {
                    for (key, value) in in_order(group) {
                        let at = self.at(&format!("{}.", at.path), key);
                        let text = self.text(value, &at)?;
                        layers.node(
                            &format!("{name}_{}", key.get_ref()),
                            &text,
                            self.place(&at),
                        )?;
                    }
                }
                (_, DeValue::Table(_)) if !is_node_parameter(name) => {
                    return Err(super::layers::unknown_node_key(self.place(&at), name));
                }
                _ => layers.node(name, &self.text(value, &at)?, self.place(&at))?,
            }
        }
        Ok(())
    }

    /// The tables of channels, or of discoveries.
    fn named(
        &self,
        layers: &mut Layers,
        kind: Kind,
        at: &At,
        tables: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        for (name, settings) in in_order(tables) {
            let of_one = self.at(&format!("{}.", at.path), name);
            let right = if kind.is_key(name.get_ref()) {
                let word = kind.table();
                format!(
                    "a table for each {word}: put {} under [{}.NAME]",
                    name.get_ref(),
                    at.path
                )
            } else {
                format!("a table, [{}]", of_one.path)
            };
            let settings = self.table(settings, &of_one, &right)?;
            layers.add(kind, name.get_ref(), &self.place(&of_one))?;
            for (key, value) in in_order(settings) {
                let at = self.at(&format!("{}.", of_one.path), key);
                let text = self.text(value, &at)?;
                layers.set(kind, name.get_ref(), key.get_ref(), &text, self.place(&at))?;
            }
        }
        Ok(())
    }

    /// The rules of one part, each with its place.
    fn rules(&self, value: &Value<'_>, at: &At) -> Result<Vec<(Rule, Place)>, ConfigError> {
        let right = format!("a table for each rule, [[{}]] in double brackets", at.path);
        let DeValue::Array(tables) = value.get_ref() else {
            return Err(self.refused(at, &written(value.get_ref()), &right));
        };
        let mut rules = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let of_rule = At {
                path: format!("{}.{}", at.path, index + 1),
                line: self.lines.line(table.span().start),
            };
            let table = self.table(table, &of_rule, &right)?;
            rules.push((self.rule(table, &of_rule)?, self.place(&of_rule)));
        }
        Ok(rules)
    }

    fn rule(&self, table: &DeTable<'_>, of_rule: &At) -> Result<Rule, ConfigError> {
        let mut rule = Rule::default();
        for (key, value) in in_order(table) {
            let at = self.at(&format!("{}.", of_rule.path), key);
            let text = self.text(value, &at)?;
            rule.set(key.get_ref(), &text, &of_rule.path, &self.place(&at))?;
        }
        if rule.channel.is_empty() {
            let right = "a channel: say which one with channel = \"NAME\"";
            return Err(self.refused(of_rule, "a rule without a channel", right));
        }
        Ok(rule)
    }

    /// The text form of a value that is not a table; a list becomes its entries with commas.
    fn text(&self, value: &Value<'_>, at: &At) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::Array(entries) => {
                let entries = entries.iter().map(|entry| match entry.get_ref() {
                    DeValue::Array(_) => Err(self.refused(at, "a list in a list", "one list")),
                    _ => self.text(entry, at),
                });
                Ok(entries.collect::<Result<Vec<_>, _>>()?.join(","))
            }
            DeValue::Table(_) => Err(self.refused(at, "a table", "a single value")),
            scalar => Ok(written(scalar)),
        }
    }

    fn table<'v, 't>(
        &self,
        value: &'v Value<'t>,
        at: &At,
        right: &str,
    ) -> Result<&'v DeTable<'t>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            DeValue::Array(_) => Err(self.refused(at, "a list", right)),
            scalar => Err(self.refused(at, &written(scalar), right)),
        }
    }

    fn refused(&self, at: &At, value: &str, right: &str) -> ConfigError {
        ConfigError::Refused {
            place: self.place(at),
            key: at.path.clone(),
            value: value.to_string(),
            right: right.to_string(),
        }
    }

    fn at(&self, prefix: &str, key: &Key<'_>) -> At {
        At {
            path: format!("{prefix}{}", key.get_ref()),
            line: self.lines.line(key.span().start),
        }
    }

    fn place(&self, at: &At) -> Place {
        Place::File {
            path: Arc::clone(&self.path),
            line: at.line,
            key: at.path.clone(),
        }
    }
}

/// A single value as it is written, so that a message can repeat it and no digit is lost.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => digits(number),
        DeValue::Float(number) => number.as_str().to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}

/// A whole number in decimal digits, of any size that can be converted.
fn digits(number: &DeInteger<'_>) -> String {
    match u128::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.to_string(),
    }
}

fn is_node_parameter(key: &str) -> bool {
    NODE_PARAMETERS
        .iter()
        .any(|parameter| parameter.name == key)
}

fn is_group(key: &str) -> bool {
    NODE_GROUPS.iter().any(|group| group.name == key)
}

/// In the order of the file, so that of several mistakes the first is reported.
fn in_order<'v, 't>(table: &'v DeTable<'t>) -> impl Iterator<Item = (&'v Key<'t>, &'v Value<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| key.span().start);
    entries.into_iter()
}
