//! JSON as commands print it: an object a line, in which nothing commands a terminal.
//!
//! Names and values can come from other nodes, and JSON itself allows most control characters within its texts.

use overlane::config::Printable;
use serde::Serialize;

/// A value as one line, its end included.
pub(crate) fn line<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if is_shown(character) {
            line.push(character);
        } else {
            // Within a text, as everything is that is no plain ASCII; all of them have four digits.
            line += &format!("\\u{:04x}", u32::from(character));
        }
    }
    line.push('\n');
    line
}

/// Whether a terminal shows it and does nothing else.
fn is_shown(character: char) -> bool {
    let mut buffer = [0; 4];
    let alone: &str = character.encode_utf8(&mut buffer);
    character.is_ascii_graphic() || character == ' ' || Printable(alone).to_string() == alone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped_and_reads_back_as_it_was() {
        let value = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\n\"é\" 日本 \u{1f980}";
        let line = line(&value);
        assert_eq!(
            line,
            "\"a\\u001b[2J\\u009b31m\\u007f\\u202e\\n\\\"é\\\" 日本 \u{1f980}\"\n"
        );
        let back: String = serde_json::from_str(&line).expect("JSON");
        assert_eq!(back, value);
    }
}
