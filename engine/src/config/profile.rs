//! The three profiles, and the defaults in which they differ.
//!
//! Applied by `layers.rs` before the file, so that a file can say otherwise.

use super::nearest::did_you_mean;

/// What a node is started for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// On a developer's machine, beside other work.
    Dev,
    /// In automatic tests: several nodes on one machine.
    Test,
    /// On servers; the defaults of the parameters are its.
    #[default]
    Prod,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Test, Self::Prod];

    /// The name in `--profile`, `OVERLANE_PROFILE` and `[profile.NAME]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Prod => "prod",
        }
    }

    /// The parameters whose default differs, with their value.
    #[must_use]
    pub const fn differences(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Dev => &[("shards", "1")],
            Self::Test => &[
                ("listen", "127.0.0.1:0"),
                ("reconnect_max_ms", "250"),
                ("shards", "1"),
            ],
            Self::Prod => &[],
        }
    }

    /// The profile of that name, or what would have been right.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == name);
        found.ok_or_else(|| did_you_mean(name, Self::ALL.map(Self::name), "one of dev, test, prod"))
    }
}
