//! Whether this machine can run a node: what every start checks, and `overlane doctor` alone.
//!
//! `readings.rs` asks the kernel, `judgement.rs` decides, so that each failure can be tested
//! without a machine that has it. A failure is one sentence: what is wrong and how to fix it.

mod judgement;
mod limits;
mod memory;
mod readings;

use std::fmt;

use super::backend::Backend;
use crate::config::{Config, IoChoice};
pub use judgement::{fallback, judge, uring_failure};
pub(crate) use limits::Raised;
use limits::Resource;
pub use readings::{Limit, Readings, RingFailure};

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
#[derive(Debug)]
pub struct Machine {
    /// What came of each check.
    pub checks: Vec<Check>,
    /// How the shards do their I/O on it.
    pub backend: Backend,
    /// Why that is not io_uring, if it was to be where it can.
    pub no_uring: Option<Failure>,
    /// For each shard its core, or `None` if it is not to be pinned.
    pub(crate) placement: Vec<Option<usize>>,
    /// Locked memory that may be used until this is dropped, when all shards are set up.
    pub(crate) locked_memory: Option<Raised>,
    /// Files that may be open until this is dropped, when the node has stopped.
    pub(crate) open_files: Option<Raised>,
}

/// What a start does first: checks, and raises soft limits where that is needed and allowed. The
/// port is free again when this returns.
///
/// # Errors
/// The first check that fails.
pub fn start(config: &Config) -> Result<Machine, Failure> {
    let readings = Readings::take(config);
    let checks = judge(config, &readings);
    let failure = checks.iter().find_map(|check| match &check.outcome {
        Outcome::Fail(failure) => Some(failure.clone()),
        Outcome::Ok(_) | Outcome::Warn(_) => None,
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let backend = judgement::backend(config, &readings);
    let locked = judgement::locked_bytes_needed(config, &readings);
    let files = judgement::files_wanted(config, &readings);
    Ok(Machine {
        checks,
        backend,
        no_uring: uring_failure(config, &readings).filter(|_| config.io == IoChoice::Auto),
        placement: config.placement(&readings.cores_usable, readings.parallelism),
        locked_memory: (backend == Backend::Uring)
            .then(|| Raised::to(Resource::LockedMemory, locked))
            .flatten(),
        open_files: config
            .raise_open_files
            .then(|| Raised::to(Resource::OpenFiles, files))
            .flatten(),
    })
}
