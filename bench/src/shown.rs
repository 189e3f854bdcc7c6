//! Standard output and standard error in place of `println!` and `eprintln!`, which panic when the
//! reader has gone.
//!
//! What could not be shown is kept: `main` asks for it at the end and turns it into the exit code.

use std::fmt;
use std::io::{self, Write};
use std::sync::Mutex;

/// Shows a line on standard output.
macro_rules! show {
    ($($text:tt)*) => {
        $crate::shown::line(format_args!($($text)*))
    };
}
pub(crate) use show;

/// Why the first line was lost, if one was.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// A reader that has gone, as `head` does, has seen what it wanted: the measurement goes on, and its
/// exit code still tells whether all was well. Any other error, such as a full disk, is kept.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    let written = writeln!(output, "{}", tame(&text.to_string())).and_then(|()| output.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let mut lost = LOST.lock().expect("no holder of the error panics");
        lost.get_or_insert(error);
    }
}

/// Why standard output lost something, if it did.
pub(crate) fn lost() -> Option<io::Error> {
    LOST.lock().expect("no holder of the error panics").take()
}

/// Says what is wrong on standard error; where that is closed too, nobody wants to know.
pub(crate) fn complain(text: fmt::Arguments<'_>) {
    let text = tame(&text.to_string());
    drop(writeln!(io::stderr().lock(), "overlane-bench: {text}"));
}

/// The text with control characters spelt out: names and arguments may not steer a terminal.
pub(crate) fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            tamed.extend(character.escape_default());
        } else {
            tamed.push(character);
        }
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn control_characters_are_spelt_out() {
        assert_eq!(tame("a\tb\nc"), "a\tb\nc");
        assert_eq!(tame("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
    }
}
