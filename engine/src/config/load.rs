//! Loads a configuration: defaults, profile, file, its part for the profile, environment, flags.
//!
//! Later wins. This is the one place where the process's own environment is looked at.

use std::path::PathBuf;

use clap::ArgMatches;

use super::environment;
use super::error::{ConfigError, Place};
use super::file;
use super::flags::Flags;
use super::layers::Layers;
use super::node::Config;
use super::profile::Profile;

/// The file that is read when none is named and it is there.
pub const FILE_DEFAULT: &str = "overlane.toml";

/// All that a configuration is put together from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Environment variables; those without the prefix `OVERLANE_` are skipped.
    pub environment: Vec<(String, String)>,
    /// Command-line flags.
    pub flags: Flags,
    /// File to read when neither flags nor environment name one.
    pub file_default: Option<PathBuf>,
}

impl Config {
    /// Loads the configuration of a program whose command went through
    /// [`augment`](super::augment).
    ///
    /// # Errors
    /// The first mistake, with file and key, variable or flag, its value and what would be right.
    pub fn load(matches: &ArgMatches) -> Result<Self, ConfigError> {
        Sources::of_process(Flags::of(matches)).load()
    }
}

impl Sources {
    /// The flags, the environment of this process, and `overlane.toml` if it is there.
    #[must_use]
    pub fn of_process(flags: Flags) -> Self {
        // What is not UTF-8 is no value of any parameter: read lossily, it is refused by name.
        let environment = std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .filter(|(name, _)| name.starts_with(environment::PREFIX))
            .collect();
        let file = PathBuf::from(FILE_DEFAULT);
        Self {
            environment,
            flags,
            file_default: file.exists().then_some(file),
        }
    }

    /// Puts the configuration together.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        let profile = self.profile()?;
        let mut layers = Layers::of_profile(profile)?;
        if let Some(path) = self.file() {
            file::apply(&mut layers, &path, profile)?;
        }
        environment::apply(&mut layers, &self.environment)?;
        self.flags.apply(&mut layers)?;
        layers.finish()
    }

    /// The configuration file that is read, if any.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let named = self.flags.config.as_deref();
        let named = named.or_else(|| self.variable(environment::FILE));
        named
            .map(PathBuf::from)
            .or_else(|| self.file_default.clone())
    }

    fn profile(&self) -> Result<Profile, ConfigError> {
        let (name, place) = match (&self.flags.profile, self.variable(environment::PROFILE)) {
            (Some(name), _) => (
                name.as_str(),
                Place::Flag {
                    flag: "--profile".to_string(),
                },
            ),
            (None, Some(name)) => (
                name,
                Place::Environment {
                    variable: environment::PROFILE.to_string(),
                },
            ),
            (None, None) => return Ok(Profile::default()),
        };
        Profile::named(name).map_err(|right| ConfigError::Refused {
            place,
            key: "profile".to_string(),
            value: name.to_string(),
            right,
        })
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}
