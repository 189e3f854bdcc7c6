//! How a command ends: its exit code, and output that could not be written.
//!
//! `docs/exit-codes.md` is the table for users. Every subcommand ends through this file.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use overlane::StartError;
use overlane::config::Printable;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It did what it was asked for, and what it checked is well.
    Done,
    /// A check failed.
    CheckFailed,
    /// The command line or the configuration is wrong.
    BadInput,
    /// The machine lacks something.
    MachineLacks,
    /// Output could not be written.
    NotWritten,
    /// The node that was to be asked is not there, or does not answer.
    NoNode,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::CheckFailed => 1,
            Ending::BadInput => 2,
            Ending::MachineLacks => 3,
            Ending::NotWritten => 4,
            Ending::NoNode => 5,
        })
    }
}

/// Why a command did not do what it was asked for, and how it ends.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) ending: Ending,
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn new(ending: Ending, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        Self { ending, what }
    }
}

impl From<NotWritten> for Failure {
    fn from(error: NotWritten) -> Self {
        Self::new(Ending::NotWritten, error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let ending = match &error {
            StartError::Config(_) => Ending::BadInput,
            _ => Ending::MachineLacks,
        };
        Self::new(ending, error)
    }
}

/// How a command ends, after its failure was told on standard error if it has one.
pub(crate) fn told(command: &str, done: Result<Ending, Failure>) -> Ending {
    done.unwrap_or_else(|failure| {
        complain(format_args!("overlane {command}: {}", failure.what));
        failure.ending
    })
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "standard output could not be written ({0}): free space there, or send it to another place"
)]
pub(crate) struct NotWritten(#[from] io::Error);

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), NotWritten> {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes());
    unless_unread(written.and_then(|()| output.flush()))
}

/// A reader that went away, as `head` does, has seen what it wanted: that is no failure.
pub(crate) fn unless_unread(written: io::Result<()>) -> Result<(), NotWritten> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Ends a command whose last act was to print: says on standard error if that failed.
pub(crate) fn ended(printed: Result<(), NotWritten>, otherwise: Ending) -> Ending {
    match printed {
        Ok(()) => otherwise,
        Err(error) => {
            complain(format_args!("overlane: {error}"));
            Ending::NotWritten
        }
    }
}

/// A line on standard error, which may be unwritable too: then the exit code alone tells.
pub(crate) fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", shown(&line.to_string()));
}

/// The whole line, however long its advice is: what others gave is cut where it is quoted, and here word by word.
fn shown(line: &str) -> String {
    let words = line.split_inclusive(' ');
    words.map(|word| Printable(word).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_line_is_shown_to_its_end_and_commands_no_terminal() {
        let advice = "set security or listen on loopback ".repeat(20);
        assert_eq!(shown(&advice), advice);
        assert_eq!(shown("a \u{1b}[2J b"), "a \\u{1b}[2J b");
        assert!(shown(&"x".repeat(1_000_000)).len() < 1_000);
    }
}
