//! Standard output: what a measurement shows, line by line, in place of `println!`, which panics when
//! the reader has gone.

use std::fmt;
use std::io::{self, Write};

/// Shows a line on standard output.
macro_rules! show {
    ($($text:tt)*) => {
        $crate::shown::line(format_args!($($text)*))
    };
}
pub(crate) use show;

/// A reader that has gone, as `head` does, has seen what it wanted: the measurement goes on, and its
/// exit code still tells whether all was well. Any other error, such as a full disk, is told.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout().lock(), "{text}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!(
            "overlane-bench: cannot write to standard output: {error}; what was lost: {text}"
        );
    }
}
