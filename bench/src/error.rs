//! What can end a run of the harness, and with which exit code.
//!
//! Every subcommand returns `Outcome<T>`. The text of each error is one sentence that names what is
//! wrong and the mend, because `main` prints it as it is and nothing else.

use std::path::PathBuf;
use std::time::Duration;

/// Result of everything in this crate that can fail.
pub(crate) type Outcome<T> = Result<T, BenchError>;

/// Why a run ended without its figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A flag or a combination of flags that cannot work; exit code 2.
    #[error("{0}")]
    BadInput(String),
    /// A file that could not be made, read or written.
    #[error("cannot {action} {}: {source}; free the space or name another place", path.display())]
    File {
        /// What was tried: "create", "read", "write".
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A child process could not be started, or its pipe broke.
    #[error(
        "the process {name} is gone: {detail}; its own message is above, run again with it mended"
    )]
    ChildGone {
        /// The role and name of the child.
        name: String,
        /// What was seen.
        detail: String,
    },
    /// A child process answered too late.
    #[error("the process {name} did not answer within {:.0} s; is the machine overloaded?", within.as_secs_f64())]
    ChildSilent {
        /// The role and name of the child.
        name: String,
        /// How long was waited.
        within: Duration,
    },
    /// A child process reported a failure of its own.
    #[error("{name}: {detail}")]
    ChildFailed {
        /// The role and name of the child.
        name: String,
        /// Its own sentence.
        detail: String,
    },
    /// A child reported that what it was given cannot work; exit code 2.
    #[error("{name}: {detail}")]
    ChildRefused {
        /// The role and name of the child.
        name: String,
        /// Its own sentence.
        detail: String,
    },
    /// A plain socket or a clock failed.
    #[error("{action} failed: {source}; loopback networking must work for this harness")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A raw connection carried something else than our frames.
    #[error(transparent)]
    ForeignFrame(#[from] crate::raw::frame::ForeignFrame),
    /// The engine refused something.
    #[error("{0}")]
    Engine(String),
    /// A check of the run did not hold; exit code 1.
    #[error("{0}")]
    CheckFailed(String),
}

impl BenchError {
    /// 2 for what the caller of the program can mend in its arguments or machine, 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) | Self::ChildRefused { .. } => 2,
            _ => 1,
        }
    }

    /// Wraps a system error with what was being done.
    pub(crate) fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_ends_with_exit_code_two_and_failed_checks_with_one() {
        assert_eq!(BenchError::BadInput("no such core".into()).exit_code(), 2);
        assert_eq!(
            BenchError::CheckFailed("hash differs".into()).exit_code(),
            1
        );
    }
}
