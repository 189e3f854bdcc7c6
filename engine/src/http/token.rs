//! The token that lets its bearer see a node: read from a file once, compared without telling how far it was right.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::config::Printable;

/// The fewest bytes of a token. 16: what nobody finds by trying.
const BYTES_MIN: usize = 16;

/// The most bytes of a token, its end of line left out.
const BYTES_MAX: usize = 1024;

/// A token. It is not shown.
#[derive(Clone)]
pub(crate) struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

impl Token {
    /// Reads it from a file, without the white space around it.
    ///
    /// # Errors
    /// What is wrong with the file, as a sentence.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.to_string_lossy();
        let named = |what: String| format!("http_token_file {}: {what}", Printable(&shown));
        let text = contents(path).map_err(|error| named(format!("it cannot be read ({error})")))?;
        let token = text.trim_ascii();
        if !(BYTES_MIN..=BYTES_MAX).contains(&token.len())
            || !token.iter().all(u8::is_ascii_graphic)
        {
            let what = format!(
                "a token has {BYTES_MIN} to {BYTES_MAX} printable characters without spaces, on one line"
            );
            return Err(named(what));
        }
        Ok(Self(token.to_vec()))
    }

    /// Whether that is it. Takes as long whatever is right of it.
    pub(super) fn is(&self, given: &str) -> bool {
        let given = given.as_bytes();
        let pairs = self.0.iter().zip(given);
        let differing = pairs.fold(0, |differing, (one, other)| differing | (one ^ other));
        given.len() == self.0.len() && std::hint::black_box(differing) == 0
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = BYTES_MAX as u64 + 16;
    File::open(path)?.take(most).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone() {
        let token = Token::of("0123456789abcdef");
        for (given, is_it) in [
            ("0123456789abcdef", true),
            ("0123456789abcdeF", false),
            ("0123456789abcde", false),
            ("0123456789abcdeff", false),
            ("", false),
        ] {
            assert_eq!(token.is(given), is_it, "{given}");
        }
    }

    #[test]
    fn a_file_that_has_none_is_refused_with_what_would_be_right() {
        let path = std::env::temp_dir().join(format!("overlane-token-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).expect("it can be written");
            Token::read(&path)
        };
        assert!(read(" 0123456789abcdef\n").is_ok_and(|token| token.is("0123456789abcdef")));
        let long = "x".repeat(BYTES_MAX + 1);
        for text in [
            "",
            "short\n",
            "0123456789 abcdef",
            "0123456789abcdef\nmore",
            long.as_str(),
        ] {
            let error = read(text).expect_err("it has none");
            assert!(error.contains("16 to 1024 printable"), "{error}");
        }
        drop(std::fs::remove_file(&path));
        assert!(
            Token::read(&path)
                .expect_err("it is gone")
                .contains("cannot be read")
        );
    }
}
