//! What can end a run of the harness, and with which exit code.
//!
//! Every subcommand returns `Outcome<T>`. The text of each error is one sentence that names what is
//! wrong and what to do about it, because `main` prints it as it is and nothing else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use overlane::StartError;

use crate::exit::Exit;

/// Result of everything in this crate that can fail.
pub(crate) type Outcome<T> = Result<T, BenchError>;

/// Why a run ended without its figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A flag or a combination of flags that cannot work.
    #[error("{0}")]
    BadInput(String),
    /// A file of the run that could not be made, read or written.
    #[error("cannot {action} {}: {source}; {}", path.display(), remedy(action, source.kind()))]
    File {
        /// What was tried: "create", "read", "write", "remove".
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}; send it to where there is room")]
    StandardOutput(std::io::Error),
    /// A child process could not be started, or its pipe broke.
    #[error("the process {name} ended: {detail}; its own message is above")]
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
        /// What it would have ended with.
        exit: Exit,
        /// Its own sentence.
        detail: String,
    },
    /// A plain socket, a thread or a clock failed.
    #[error("{action} failed: {source}; {}", lacking(source))]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server of a run on two hosts is gone.
    #[error("the server at {address} is lost: {detail}; see whether it still runs, and run again")]
    Lost {
        /// Where it was.
        address: String,
        /// What was seen.
        detail: String,
    },
    /// The machine lacks what a node needs.
    #[error("{0}")]
    Machine(String),
    /// A raw connection carried something else than our frames.
    #[error(transparent)]
    ForeignFrame(#[from] crate::raw::frame::ForeignFrame),
    /// The engine refused something.
    #[error("{0}")]
    Engine(String),
    /// A check of the run did not hold.
    #[error("{0}")]
    CheckFailed(String),
}

/// The end of a command that went through: its checks failed if there are faults.
pub(crate) fn unless_faulty(faults: &[String]) -> Outcome<()> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(BenchError::CheckFailed(faults.join("; ")))
}

impl BenchError {
    /// What the program ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::BadInput(_) => Exit::Usage,
            Self::File { action: "read", .. } => Exit::Usage,
            Self::File { .. } | Self::StandardOutput(_) => Exit::Output,
            Self::System { .. } | Self::Lost { .. } | Self::Machine(_) => Exit::Machine,
            Self::ChildFailed { exit, .. } => *exit,
            Self::ChildGone { .. }
            | Self::ChildSilent { .. }
            | Self::ForeignFrame(_)
            | Self::Engine(_)
            | Self::CheckFailed(_) => Exit::Failed,
        }
    }

    /// Wraps a system error with what was being done.
    pub(crate) fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { action, source }
    }

    /// Wraps what happened to a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnMut(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path: path.clone(),
            source,
        }
    }
}

/// A node that did not start: the caller's configuration, or the machine.
impl From<StartError> for BenchError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(_) | StartError::Name(_) => Self::BadInput(error.to_string()),
            _ => Self::Machine(error.to_string()),
        }
    }
}

/// What the machine must give for a call that failed.
///
/// How many descriptors a process starts with is its parent's doing, so the limit of open files is
/// met wherever the first descriptor too many happens to be asked for: here, or in the engine.
fn lacking(source: &std::io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "raise the limit of open files (`ulimit -n`)",
        Some(Errno::ENFILE) => "the whole system has no file left; raise fs.file-max",
        Some(Errno::EAGAIN) => {
            "raise the limit of processes and threads (`ulimit -u`, TasksMax= of the service)"
        }
        Some(Errno::ENOMEM) => "free memory, or raise the limit of memory (`ulimit -v`)",
        _ => "sockets, threads and processes must work for this harness",
    }
}

/// What to do about a file that could not be made, read or written.
fn remedy(action: &str, kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free space there, or name another place with --folder"
        }
        ErrorKind::PermissionDenied => {
            "this user may not; change its permissions, or name another place with --folder"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only; name another place with --folder"
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "something that is not a folder has a name on this path; move it away, or name another \
             place with --folder"
        }
        ErrorKind::IsADirectory => "a folder has that name; move it away",
        ErrorKind::NotFound if action == "create" => {
            "nothing can be made there; name another place with --folder"
        }
        ErrorKind::NotFound => "it was removed during the run; start again and leave it there",
        ErrorKind::UnexpectedEof => {
            "it became shorter during the run; give a file that nobody writes to"
        }
        _ => "start again where the system can do that",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let code = |error: BenchError| error.exit().code();
        assert_eq!(code(BenchError::CheckFailed("hash differs".into())), 1);
        assert_eq!(code(BenchError::BadInput("no such core".into())), 2);
        let machine = StartError::Machine {
            what: "no io_uring".into(),
            remedy: "allow it".into(),
        };
        assert_eq!(code(machine.into()), 3);
        let full = BenchError::file("write", Path::new("/x"))(ErrorKind::StorageFull.into());
        assert_eq!(code(full), 4);
        let read = BenchError::file("read", Path::new("/x"))(ErrorKind::PermissionDenied.into());
        assert_eq!(code(read), 2);
    }

    #[test]
    fn a_limit_of_the_machine_is_named_with_the_command_that_raises_it() {
        for (number, said) in [
            (Errno::EMFILE, "ulimit -n"),
            (Errno::ENFILE, "fs.file-max"),
            (Errno::EAGAIN, "ulimit -u"),
            (Errno::ENOMEM, "ulimit -v"),
            (Errno::EPERM, "must work for this harness"),
        ] {
            let source = std::io::Error::from_raw_os_error(number as i32);
            let error = BenchError::system("starting a child process")(source);
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(error.exit(), Exit::Machine);
        }
    }

    #[test]
    fn a_file_error_says_its_true_cause_and_what_to_do() {
        for (kind, said) in [
            (ErrorKind::StorageFull, "free space"),
            (ErrorKind::PermissionDenied, "permissions"),
            (ErrorKind::ReadOnlyFilesystem, "read-only"),
            (ErrorKind::AlreadyExists, "not a folder"),
            (ErrorKind::NotADirectory, "not a folder"),
            (ErrorKind::UnexpectedEof, "shorter"),
        ] {
            let error = BenchError::file("create", Path::new("/x"))(kind.into()).to_string();
            assert!(error.contains("/x") && error.contains(said), "{error}");
            let space = matches!(kind, ErrorKind::StorageFull);
            assert_eq!(error.contains("free space"), space, "{error}");
        }
    }
}
