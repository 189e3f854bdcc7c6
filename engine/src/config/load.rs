//! Loads a configuration: defaults, those of the program, profile, file, its part for the profile, environment, flags.
//!
//! Later wins. This is the one place where the process's own environment is looked at.

use std::fmt;
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

/// All that a configuration is put together from. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Parameters of the node whose default is another one in this program, and that default: all that is given counts
    /// more, a profile too.
    pub defaults: Vec<(&'static str, String)>,
    /// Environment variables; those without the prefix `OVERLANE_` are skipped.
    pub environment: Vec<(String, String)>,
    /// Command-line flags.
    pub flags: Flags,
    /// File to read when neither flags nor environment name one.
    pub file_default: Option<PathBuf>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.environment.iter().map(|(name, value)| {
            let is_secret = name == environment::SECRET;
            (name, if is_secret { "(not shown)" } else { value })
        });
        formatter
            .debug_struct("Sources")
            .field("defaults", &self.defaults)
            .field("environment", &shown.collect::<Vec<_>>())
            .field("flags", &self.flags)
            .field("file_default", &self.file_default)
            .finish()
    }
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
        // A link that leads nowhere is there too: reading it says so.
        let is_there = file.symlink_metadata().is_ok();
        Self {
            defaults: Vec::new(),
            environment,
            flags,
            file_default: is_there.then_some(file),
        }
    }

    /// Puts the configuration together.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        let profile = self.profile()?;
        let mut layers = Layers::of_profile(&self.defaults, profile)?;
        if let Some((path, named_by)) = self.named_file()? {
            file::apply(&mut layers, &path, &named_by, profile)?;
        }
        environment::apply(&mut layers, &self.environment)?;
        self.flags.apply(&mut layers)?;
        let config = layers.finish()?;
        for hint in self.hints() {
            tracing::warn!("environment: {hint}");
        }
        Ok(config)
    }

    /// What should be known about the environment, a sentence each: variables with the engine's
    /// prefix that are empty, or that Kubernetes set. [`load`](Self::load) logs them as warnings.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        environment::hints(&self.environment)
    }

    /// The configuration file that is read, if any.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.named_file().ok().flatten().map(|(path, _)| path)
    }

    /// The configuration file, and who named it.
    fn named_file(&self) -> Result<Option<(PathBuf, Place)>, ConfigError> {
        let flag = Place::Flag {
            flag: "--config".to_string(),
        };
        Ok(
            match (&self.flags.config, self.variable(environment::FILE)) {
                (Some(path), _) if path.is_empty() => {
                    return Err(ConfigError::Refused {
                        place: flag,
                        key: "config".to_string(),
                        value: path.clone(),
                        right: "the path of a file in TOML".to_string(),
                    });
                }
                (Some(path), _) => Some((path.into(), flag)),
                (None, Some(path)) => Some((path.into(), of_variable(environment::FILE))),
                (None, None) => self.file_default.clone().map(|path| (path, Place::Default)),
            },
        )
    }

    fn profile(&self) -> Result<Profile, ConfigError> {
        let (name, place) = match (&self.flags.profile, self.variable(environment::PROFILE)) {
            (Some(name), _) => (
                name.as_str(),
                Place::Flag {
                    flag: "--profile".to_string(),
                },
            ),
            (None, Some(name)) => (name, of_variable(environment::PROFILE)),
            (None, None) => return Ok(Profile::default()),
        };
        Profile::named(name).map_err(|right| ConfigError::Refused {
            place,
            key: "profile".to_string(),
            value: name.to_string(),
            right,
        })
    }

    /// The value of a variable that is not empty.
    fn variable(&self, name: &str) -> Option<&str> {
        let mut ours = self.environment.iter().filter(|(known, _)| known == name);
        ours.next()
            .map(|(_, value)| value.as_str())
            .filter(|value| !environment::is_empty(value))
    }
}

fn of_variable(name: &str) -> Place {
    Place::Environment {
        variable: name.to_string(),
    }
}
