//! Whether this machine can run a node: what every start checks, and `overlane doctor` alone.
//!
//! `readings.rs` asks the kernel, `judgement.rs` decides, so that each failure can be tested
//! without a machine that has it. A failure is one sentence: what is wrong and how to mend it.

mod judgement;
mod readings;

use std::fmt;

use crate::config::Config;
pub use judgement::judge;
pub use readings::{Limit, Readings, RingFailure, raise_limits};

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Short name, the same in every run.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well; the text says what was found.
    Ok(String),
    /// The node starts, but something will be less than configured.
    Warn(String),
    /// The node cannot start.
    Fail(Failure),
}

/// Why a node cannot start here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.what, self.mend)
    }
}

/// Checks this machine against the configuration. Changes nothing, and leaves nothing open.
#[must_use]
pub fn checks(config: &Config) -> Vec<Check> {
    judge(config, &Readings::take(config))
}

/// What a start does first: raises the soft limits of open files and locked memory to the hard
/// ones, where that is allowed, then checks. The port is free again when this returns.
///
/// # Errors
/// The first check that fails.
pub fn start(config: &Config) -> Result<Vec<Check>, Failure> {
    raise_limits();
    let checks = checks(config);
    let failure = checks.iter().find_map(|check| match &check.outcome {
        Outcome::Fail(failure) => Some(failure.clone()),
        Outcome::Ok(_) | Outcome::Warn(_) => None,
    });
    failure.map_or(Ok(checks), Err)
}
