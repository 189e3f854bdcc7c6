//! What can be wrong with a configuration; each error names the place, the value and what is right.

use std::fmt;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a program, through fields or the builder.
    Code,
    /// Nowhere: it is the default.
    Default,
    /// In a profile that the engine brings along.
    BuiltInProfile {
        /// Name of the profile.
        profile: &'static str,
    },
    /// In a configuration file.
    File {
        /// Path as it was given.
        path: String,
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
            Self::Default => formatter.write_str("default"),
            Self::BuiltInProfile { profile } => write!(formatter, "built-in profile {profile}"),
            Self::File { path, key } if key.is_empty() => write!(formatter, "file {path}"),
            Self::File { path, key } => write!(formatter, "file {path}, key {key}"),
            Self::Environment { variable } => write!(formatter, "environment variable {variable}"),
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
        write!(formatter, "{} = {}", self.key, self.value)?;
        match &self.place {
            Some(place) => write!(formatter, " ({place})"),
            None => Ok(()),
        }
    }
}

/// A configuration that the engine does not start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that its parameter does not accept.
    #[error("{place}: `{value}` is not a value of {key}: expected {right}")]
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
    #[error("{place}: there is no parameter `{key}`; {right}")]
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
    #[error("file {path}: {reason}")]
    File {
        /// Path as it was given.
        path: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

fn listed(given: &[Given]) -> String {
    given
        .iter()
        .map(Given::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}
