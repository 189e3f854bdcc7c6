//! Whether this machine can run a node: what every start checks, and `overlane doctor` alone.
//!
//! `readings.rs` asks the kernel, `judgement.rs` decides, so that each failure can be tested
//! without a machine that has it. A failure is one sentence: what is wrong and how to fix it.

mod judgement;
mod readings;

use std::fmt;

use super::backend::Backend;
use crate::config::{Config, IoChoice};
pub use judgement::{fallback, judge, uring_failure};
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
    /// How to remedy it.
    pub remedy: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.what, self.remedy)
    }
}

/// Checks this machine against the configuration. Changes nothing, and leaves nothing open.
#[must_use]
pub fn checks(config: &Config) -> Vec<Check> {
    judge(config, &Readings::take(config))
}

/// A machine on which a node can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What came of each check.
    pub checks: Vec<Check>,
    /// How the shards do their I/O on it.
    pub backend: Backend,
    /// Why that is not io_uring, if it was to be where it can.
    pub no_uring: Option<Failure>,
}

/// What a start does first: raises the soft limits of open files and locked memory to the hard
/// ones, where that is allowed, then checks. The port is free again when this returns.
///
/// # Errors
/// The first check that fails.
pub fn start(config: &Config) -> Result<Machine, Failure> {
    raise_limits();
    let readings = Readings::take(config);
    let checks = judge(config, &readings);
    let failure = checks.iter().find_map(|check| match &check.outcome {
        Outcome::Fail(failure) => Some(failure.clone()),
        Outcome::Ok(_) | Outcome::Warn(_) => None,
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let no_uring = uring_failure(config, &readings).filter(|_| config.io == IoChoice::Auto);
    let backend = match config.io {
        IoChoice::Poll => Backend::Poll,
        _ if no_uring.is_some() => Backend::Poll,
        IoChoice::Auto | IoChoice::Uring => Backend::Uring,
    };
    Ok(Machine {
        checks,
        backend,
        no_uring,
    })
}
