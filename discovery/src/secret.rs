//! The secret that the nodes of a cluster share, as discovery uses it: to sign what it sends to a whole network.
//!
//! Read from a file or an environment variable, never from a flag; never shown; wiped when it is dropped. The one place in
//! this crate that reads a secret.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// Shortest secret, in bytes: what a guess of 128 bits is.
pub const SECRET_BYTES_MIN: usize = 16;

/// Longest file or variable.
const BYTES_MAX: u64 = 4_096;

/// Secrets that are valid at a time: the new one and the old one while it is rotated.
const SECRETS_MAX: usize = 2;

/// A shared secret, and the one before it while it is rotated.
#[derive(Clone)]
pub struct Secret {
    keys: Vec<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// What is wrong with a secret. Never says any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret's file {path} cannot be read: {why}")]
    File {
        /// The file.
        path: String,
        /// What the kernel said.
        why: String,
    },
    /// There is no such variable.
    #[error("the environment variable {variable} with the secret is not set, or is not text")]
    Variable {
        /// The variable.
        variable: String,
    },
    /// Too short, or nothing.
    #[error(
        "a secret has at least {SECRET_BYTES_MIN} bytes; make one with: head -c 32 /dev/urandom | base64"
    )]
    Short,
    /// Too many lines, or too long.
    #[error(
        "a secret is one line of at most {BYTES_MAX} bytes, or two while it is rotated: the new one, then the old one"
    )]
    Long,
}

impl Secret {
    /// The secret of a file: the first line signs, and what the second one signed is believed too.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn of_file(path: &Path) -> Result<Self, SecretError> {
        let mut text = Zeroizing::new(String::new());
        let read =
            File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
        read.map_err(|error| SecretError::File {
            path: path.display().to_string(),
            why: error.to_string(),
        })?;
        Self::of_text(&text)
    }

    /// The secret of an environment variable, in the same form.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn of_variable(variable: &str) -> Result<Self, SecretError> {
        let value = std::env::var(variable).map_err(|_| SecretError::Variable {
            variable: variable.to_owned(),
        })?;
        Self::of_text(&Zeroizing::new(value))
    }

    /// A secret of one line, or of two while it is rotated.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn of_text(text: &str) -> Result<Self, SecretError> {
        if text.len() as u64 > BYTES_MAX {
            return Err(SecretError::Long);
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<_> = lines
            .map(|line| Zeroizing::new(line.as_bytes().to_vec()))
            .collect();
        if keys.is_empty() || keys.iter().any(|key| key.len() < SECRET_BYTES_MIN) {
            return Err(SecretError::Short);
        }
        if keys.len() > SECRETS_MAX {
            return Err(SecretError::Long);
        }
        Ok(Self { keys })
    }

    /// The keys, the one that signs first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| key.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIXTEEN: &str = "0123456789abcdef";

    #[test]
    fn a_secret_has_a_least_length_and_one_or_two_lines() {
        for (text, keys) in [
            (SIXTEEN.to_owned(), 1),
            (format!("{SIXTEEN}\n\n {SIXTEEN}x \n"), 2),
        ] {
            assert_eq!(Secret::of_text(&text).unwrap().keys().count(), keys);
        }
        for text in ["", "\n", "short", &format!("{SIXTEEN}\nshort")] {
            assert_eq!(Secret::of_text(text).unwrap_err(), SecretError::Short);
        }
        let three = [SIXTEEN; 3].join("\n");
        assert_eq!(Secret::of_text(&three).unwrap_err(), SecretError::Long);
        assert_eq!(
            Secret::of_text(&"x".repeat(5_000)).unwrap_err(),
            SecretError::Long
        );
    }

    #[test]
    fn it_is_not_shown() {
        let shown = format!("{:?}", Secret::of_text(SIXTEEN).unwrap());
        assert!(!shown.contains(SIXTEEN), "{shown}");
        let error = Secret::of_file(Path::new("/nonexistent/secret")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/secret"));
        let error = Secret::of_variable("OVERLANE_TEST_NO_SUCH_SECRET").unwrap_err();
        assert!(error.to_string().contains("OVERLANE_TEST_NO_SUCH_SECRET"));
    }
}
