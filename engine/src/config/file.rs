//! Reads a TOML file, base and profile, into layers. Says which file and key each mistake is at.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::config::{FileFormat, Map, Source, Value, ValueKind};

use super::error::{ConfigError, Place};
use super::layers::{Layers, PEERS};
use super::profile::Profile;

/// Largest configuration file; one of a thousand channels would be under 100 KiB.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

type Table = Map<String, Value>;

/// Lays the file over what is there, then its part for the profile.
///
/// The parts for the other profiles are checked too: a mistake in them should not wait until then.
pub(super) fn apply(layers: &mut Layers, path: &Path, profile: Profile) -> Result<(), ConfigError> {
    let mut table = parse(path)?;
    let reader = Reader {
        path: path.display().to_string(),
    };
    let profiles = table.remove("profile");
    reader.node(layers, "", &table)?;
    let Some(profiles) = profiles else {
        return Ok(());
    };
    let profiles = reader.table(&profiles, "profile")?;
    for (name, part) in sorted(profiles) {
        let key = format!("profile.{name}");
        let named = Profile::named(name).map_err(|right| ConfigError::Unknown {
            place: reader.place(&key),
            key: key.clone(),
            right,
        })?;
        let part = reader.table(part, &key)?;
        if named == profile {
            reader.node(layers, &format!("{key}."), part)?;
        } else {
            reader.node(&mut layers.clone(), &format!("{key}."), part)?;
        }
    }
    Ok(())
}

/// The file as a table.
fn parse(path: &Path) -> Result<Table, ConfigError> {
    let failed = |reason: String| ConfigError::File {
        path: path.display().to_string(),
        reason,
    };
    let file = File::open(path).map_err(|error| {
        failed(format!(
            "{error}; expected a configuration file in TOML, or no --config"
        ))
    })?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(format!("{error}; expected a text file in TOML")))?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
        return Err(failed(format!("expected at most {FILE_BYTES_MAX} bytes")));
    }
    ::config::File::from_str(&text, FileFormat::Toml)
        .collect()
        .map_err(|error| failed(format!("expected TOML: {}", ends(&error.to_string()))))
}

/// First and last line of a message: between them is the text that it is about, as long as it is.
fn ends(message: &str) -> String {
    let mut lines = message.trim().lines();
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first}: {last}"),
        (first, _) => first.unwrap_or_default().to_string(),
    }
}

struct Reader {
    path: String,
}

impl Reader {
    /// The tables of one part: node parameters, peers and channels. `prefix` names the part.
    fn node(&self, layers: &mut Layers, prefix: &str, table: &Table) -> Result<(), ConfigError> {
        for (key, value) in sorted(table) {
            let path = format!("{prefix}{key}");
            match (key.as_str(), &value.kind) {
                ("channel", _) => self.channels(layers, &path, self.table(value, &path)?)?,
                (PEERS, ValueKind::Table(peers)) => {
                    for (name, address) in sorted(peers) {
                        let path = format!("{path}.{name}");
                        layers.peer(name, &self.text(address, &path)?, self.place(&path))?;
                    }
                }
                (_, ValueKind::Table(_)) if !is_parameter(key) => {
                    return Err(super::layers::unknown_node_key(self.place(&path), key));
                }
                _ => layers.node(key, &self.text(value, &path)?, self.place(&path))?,
            }
        }
        Ok(())
    }

    fn channels(
        &self,
        layers: &mut Layers,
        prefix: &str,
        channels: &Table,
    ) -> Result<(), ConfigError> {
        for (name, settings) in sorted(channels) {
            let path = format!("{prefix}.{name}");
            layers.channel(name, &self.place(&path))?;
            for (key, value) in sorted(self.table(settings, &path)?) {
                let path = format!("{path}.{key}");
                layers.channel_key(name, key, &self.text(value, &path)?, self.place(&path))?;
            }
        }
        Ok(())
    }

    /// The text form of a value that is not a table; a list becomes its entries with commas.
    fn text(&self, value: &Value, path: &str) -> Result<String, ConfigError> {
        match &value.kind {
            ValueKind::Array(entries) => {
                let entries = entries.iter().map(|entry| match entry.kind {
                    ValueKind::Array(_) => Err(self.refused(path, "a list in a list", "one list")),
                    _ => self.text(entry, path),
                });
                Ok(entries.collect::<Result<Vec<_>, _>>()?.join(","))
            }
            ValueKind::Table(_) => Err(self.refused(path, "a table", "a single value")),
            scalar => Ok(scalar.to_string()),
        }
    }

    fn table<'v>(&self, value: &'v Value, path: &str) -> Result<&'v Table, ConfigError> {
        match &value.kind {
            ValueKind::Table(table) => Ok(table),
            other => {
                let right = format!("a table, such as [{path}.NAME] or [{path}]");
                Err(self.refused(path, &other.to_string(), &right))
            }
        }
    }

    fn refused(&self, path: &str, value: &str, right: &str) -> ConfigError {
        ConfigError::Refused {
            place: self.place(path),
            key: path.to_string(),
            value: value.to_string(),
            right: right.to_string(),
        }
    }

    fn place(&self, key: &str) -> Place {
        Place::File {
            path: self.path.clone(),
            key: key.to_string(),
        }
    }
}

fn is_parameter(key: &str) -> bool {
    super::node::NODE_PARAMETERS
        .iter()
        .any(|parameter| parameter.name == key)
}

/// In order of the keys, so that of several mistakes always the same is reported.
fn sorted(table: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries.into_iter()
}
