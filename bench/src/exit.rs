//! The exit codes of this program, and who has to act on each.
//!
//! Every error says which one it ends with (error.rs); `main` turns it into the code. They are a promise
//! to scripts, written down in docs/benchmarks.md.

use serde::{Deserialize, Serialize};

/// Why a run ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exit {
    /// A check did not hold, or the run broke off: what was measured is not right.
    Failed,
    /// Flags, configuration or an input file cannot work: the caller has to change them.
    Usage,
    /// The machine, or the way to another one, lacks what the run needs.
    Machine,
    /// A result or a file of the run could not be written.
    Output,
}

impl Exit {
    /// The code that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Machine => 3,
            Self::Output => 4,
        }
    }
}
