//! Text from outside, as messages show it: nothing in it commands a terminal or fills a log.
//!
//! Used wherever a message repeats what somebody gave: values, keys, paths, names of variables.

use std::fmt::{self, Write};

/// Characters after which a text is cut; longer than any name, and than most paths.
const CHARACTERS_MAX: usize = 300;

/// Displays the text with its control characters escaped, and cut if it is long.
///
/// ```
/// use overlane::config::Printable;
///
/// assert_eq!(Printable("a\u{1b}[2Jb\n").to_string(), "a\\u{1b}[2Jb\\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, character) in self.0.chars().enumerate() {
            if count == CHARACTERS_MAX {
                return write!(formatter, "... ({} bytes)", self.0.len());
            }
            if commands(character) {
                write!(formatter, "{}", character.escape_default())?;
            } else {
                formatter.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal may do something else with it than show it: control characters, and those
/// that break lines, reverse the order of text or are not seen.
fn commands(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::{CHARACTERS_MAX, Printable};

    #[test]
    fn what_commands_a_terminal_is_escaped_and_the_rest_is_not() {
        for (text, shown) in [
            ("data \"é\" \\ 日本", "data \"é\" \\ 日本"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("a\tb\r\n", "a\\tb\\r\\n"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_how_long_it_is() {
        let fits = "é".repeat(CHARACTERS_MAX);
        assert_eq!(Printable(&fits).to_string(), fits);
        let shown = Printable(&"é".repeat(1_000_000)).to_string();
        assert_eq!(shown, format!("{fits}... (2000000 bytes)"));
    }
}
