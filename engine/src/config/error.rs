//! What can be wrong with a configuration; each error names the place, the value and what is right.

use std::fmt;
use std::sync::Arc;

use super::printable::Printable;

/// An error that ends a program, out of `main` or by `unwrap`, is printed by its `Debug`: it reads
/// as its message.
macro_rules! debug_as_message {
    ($($error:ty),+) => {
        $(
            impl std::fmt::Debug for $error {
                fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    std::fmt::Display::fmt(self, formatter)
                }
            }
        )+
    };
}
pub(crate) use debug_as_message;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a program, through fields or the builder.
    Code,
    /// In a request over the admin socket.
    Request,
    /// In a change that another member of the cluster has ordered.
    Cluster,
    /// Nowhere: it is the default.
    Default,
    /// In a profile that the engine brings along.
    BuiltInProfile {
        /// Name of the profile.
        profile: &'static str,
    },
    /// In a preset that the engine brings along.
    Preset {
        /// Name of the preset.
        preset: &'static str,
    },
    /// In a configuration file.
    File {
        /// Path as it was given.
        path: Arc<str>,
        /// Line that the key is on, counted from 1.
        line: usize,
        /// Key with the tables that it is in, such as `profile.dev.spin_us`.
        key: String,
    },
    /// In an environment variable.
    Environment {
        /// Name of the variable.
        variable: String,
    },
    /// In a command-line flag.
    Flag {
        /// The flag with its dashes.
        flag: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code => formatter.write_str("configuration in code"),
            Self::Request => formatter.write_str("request"),
            Self::Cluster => formatter.write_str("a change for the whole cluster"),
            Self::Default => formatter.write_str("default"),
            Self::BuiltInProfile { profile } => write!(formatter, "built-in profile {profile}"),
            Self::Preset { preset } => write!(formatter, "preset {preset}"),
            Self::File { path, line, key } => write!(
                formatter,
                "file {}, line {line}, key {}",
                Printable(path),
                Printable(key)
            ),
            Self::Environment { variable } => {
                write!(formatter, "environment variable {}", Printable(variable))
            }
            Self::Flag { flag } => write!(formatter, "flag {flag}"),
        }
    }
}

/// A parameter's value and where it came from, in a [`ConfigError::Conflict`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The parameter, `channel.NAME.` before a channel's.
    pub key: String,
    /// Its value as text.
    pub value: String,
    /// Where it was given; nowhere if it follows from other values.
    pub place: Option<Place>,
}

impl fmt::Display for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = (Printable(&self.key), Printable(&self.value));
        write!(formatter, "{key} = {value}")?;
        match &self.place {
            Some(place) => write!(formatter, " ({place})"),
            None => Ok(()),
        }
    }
}

/// A configuration that the engine does not start with.
///
/// Both its texts, `Display` and `Debug`, are its message: one line, without control characters.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that its parameter does not accept.
    #[error(
        "{place}: `{}` is not a value of {}: expected {right}",
        Printable(value),
        Printable(key)
    )]
    Refused {
        /// Where the value was given.
        place: Place,
        /// The parameter.
        key: String,
        /// The value as it was given.
        value: String,
        /// What would be right.
        right: String,
    },
    /// A key that is no parameter.
    #[error("{place}: there is no parameter `{}`; {right}", Printable(key))]
    Unknown {
        /// Where the key was given.
        place: Place,
        /// The key as it was given.
        key: String,
        /// The nearest parameter, or where they are listed.
        right: String,
    },
    /// Values that are right by themselves but not together.
    #[error("{}: {right}", listed(given))]
    Conflict {
        /// The values.
        given: Vec<Given>,
        /// What would be right.
        right: String,
    },
    /// A configuration file that cannot be read, or is not TOML.
    #[error("file {}{}: {reason}", Printable(path), at_line(*line))]
    File {
        /// Path as it was given.
        path: Arc<str>,
        /// Line of the mistake, if it has one, counted from 1.
        line: Option<usize>,
        /// What is wrong and what would be right.
        reason: String,
    },
}

debug_as_message!(ConfigError);

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn listed(given: &[Given]) -> String {
    given
        .iter()
        .map(Given::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}
