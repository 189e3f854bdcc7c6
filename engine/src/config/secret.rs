//! The secrets of `security = "psk"`: text to bytes, and nothing that shows them.
//!
//! Read by `load` (environment) and by `session` (file). A secret is in no flag, no `Debug`, no message of an
//! error, and is wiped when it is let go.

use std::fmt;

use zeroize::Zeroizing;

/// The shortest secret, in bytes: 128 bits, if each is random.
pub const SECRET_BYTES_MIN: usize = 16;

/// The longest secret, in bytes: a guess, more than any key has.
pub const SECRET_BYTES_MAX: usize = 1024;

/// How many secrets are valid at a time: the one that is used, and one that is on its way in or out.
pub const SECRETS_MAX: usize = 2;

/// The secrets that a node takes: it dials with the first, and accepts each of them.
///
/// ```
/// use overlane::config::Secrets;
///
/// let secrets = Secrets::read("0f3c9a17d2b84e65\n").expect("16 bytes");
/// assert_eq!(format!("{secrets:?}"), "Secrets(1)");
/// assert!(Secrets::read("too short").is_err());
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Zeroizing<Vec<u8>>>);

/// What is wrong with a text of secrets; it shows none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error(
        "there is no secret: give one of at least 16 bytes, such as `openssl rand -hex 32` makes"
    )]
    None,
    /// There are too many.
    #[error(
        "there are {count} lines with a secret: give one, or for the time of a rotation two, the one to dial with first"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One is too short to be a secret, or too long.
    #[error(
        "secret {place} has {bytes} bytes: give one of 16 to 1024, such as `openssl rand -hex 32` makes"
    )]
    Length {
        /// Which, from 1.
        place: usize,
        /// Its length.
        bytes: usize,
    },
    /// It is there twice.
    #[error(
        "both secrets are the same: give the one that is to come or to go in the second line, or none"
    )]
    Same,
}

impl Secrets {
    /// One secret on each line; spaces around it and empty lines do not count.
    ///
    /// # Errors
    /// [`SecretError`]: no secret, too many, or one of the wrong length.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut secrets = Vec::new();
        for (index, line) in lines.clone().enumerate() {
            if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&line.len()) {
                let (place, bytes) = (index + 1, line.len());
                return Err(SecretError::Length { place, bytes });
            }
            secrets.push(Zeroizing::new(line.as_bytes().to_vec()));
        }
        match &secrets[..] {
            [] => Err(SecretError::None),
            [first, second] if first == second => Err(SecretError::Same),
            more if more.len() > SECRETS_MAX => Err(SecretError::TooMany { count: more.len() }),
            _ => Ok(Self(secrets)),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secrets, the one to dial with first.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|secret| secret.as_slice())
    }
}

/// How many there are, and nothing else.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "the first secret of all";
    const OTHER: &str = "another one, as long";

    #[test]
    fn one_or_two_lines_are_secrets() {
        for (text, count) in [
            (ONE.to_owned(), 1),
            (format!("  {ONE}\r\n\n"), 1),
            (format!("{ONE}\n{OTHER}\n"), 2),
        ] {
            let secrets = Secrets::read(&text).expect("secrets");
            assert_eq!(secrets.each().count(), count);
            assert_eq!(secrets.each().next(), Some(ONE.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        let wrong = [
            (String::new(), SecretError::None),
            (" \n".to_owned(), SecretError::None),
            (
                "a".repeat(15),
                SecretError::Length {
                    place: 1,
                    bytes: 15,
                },
            ),
            (
                format!("{ONE}\nshort"),
                SecretError::Length { place: 2, bytes: 5 },
            ),
            (
                "a".repeat(1025),
                SecretError::Length {
                    place: 1,
                    bytes: 1025,
                },
            ),
            (format!("{ONE}\n{ONE}"), SecretError::Same),
            (
                format!("{ONE}\n{OTHER}\n{ONE}2"),
                SecretError::TooMany { count: 3 },
            ),
        ];
        for (text, error) in wrong {
            assert_eq!(Secrets::read(&text), Err(error));
            assert!(!error.to_string().contains("aaaa") && !error.to_string().contains(ONE));
        }
    }

    #[test]
    fn no_text_form_shows_a_secret() {
        let secrets = Secrets::read(ONE).expect("a secret");
        assert_eq!(format!("{secrets:?} {secrets:#?}"), "Secrets(1) Secrets(1)");
    }
}
