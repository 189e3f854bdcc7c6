//! The secrets that the nodes of a cluster share: text to bytes, and nothing that shows them.
//!
//! The one definition for all who use one: discovery signs with it what it sends to a whole network, and the engine protects
//! lanes with it (`security = "psk"`), often with that of the same file. A secret is in no flag, no `Debug`, no message of
//! an error, and is wiped when it is let go.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// The shortest secret, in bytes: 128 bits, if each is random.
pub const SECRET_BYTES_MIN: usize = 16;

/// The longest secret, in bytes: a guess, more than any key has.
pub const SECRET_BYTES_MAX: usize = 1024;

/// How many secrets are valid at a time: the one that is used, and one that is on its way in or out.
pub const SECRETS_MAX: usize = 2;

/// The longest file: two secrets, and room for empty lines.
const FILE_BYTES_MAX: usize = 4096;

/// The secrets that a node takes: it uses the first, and accepts each of them.
///
/// ```
/// use overlane_discovery::secret::Secrets;
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
        "there are {count} lines with a secret: give one, or for the time of a rotation two, the one to use first"
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

/// Why there are no secrets at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretSourceError {
    /// The file cannot be read.
    #[error("the file of the secret, {path}, cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the kernel said.
        why: String,
    },
    /// What is in the file is no secret.
    #[error("the secret in {path} cannot be used: {error}")]
    InFile {
        /// The file.
        path: String,
        /// What is wrong.
        error: SecretError,
    },
    /// There is no such variable.
    #[error("the environment variable {variable} with the secret is not set, or is not text")]
    Unset {
        /// The variable.
        variable: String,
    },
    /// What is in the variable is no secret.
    #[error("the secret in the environment variable {variable} cannot be used: {error}")]
    InVariable {
        /// The variable.
        variable: String,
        /// What is wrong.
        error: SecretError,
    },
}

impl Secrets {
    /// One secret on each line; spaces around it, empty lines and a byte order mark do not count.
    ///
    /// # Errors
    /// [`SecretError`]: no secret, too many, or one of the wrong length.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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

    /// Those of a file.
    ///
    /// # Errors
    /// [`SecretSourceError`].
    pub fn of_file(path: &Path) -> Result<Self, SecretSourceError> {
        let shown = || path.display().to_string();
        let text =
            read(path).map_err(|why| SecretSourceError::Unreadable { path: shown(), why })?;
        let in_file = |error| SecretSourceError::InFile {
            path: shown(),
            error,
        };
        Self::read(&text).map_err(in_file)
    }

    /// Those of an environment variable, in the same form.
    ///
    /// # Errors
    /// [`SecretSourceError`].
    pub fn of_variable(variable: &str) -> Result<Self, SecretSourceError> {
        let variable = variable.to_owned();
        let Ok(text) = std::env::var(&variable).map(Zeroizing::new) else {
            return Err(SecretSourceError::Unset { variable });
        };
        Self::read(&text).map_err(|error| SecretSourceError::InVariable { variable, error })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secrets, the one to use first.
    pub fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|secret| secret.as_slice())
    }
}

/// How many there are, and nothing else.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

/// Into memory that has room for all of it from the start: what is moved to more room is not wiped.
fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    Ok(Zeroizing::new(text.to_owned()))
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
            (format!("\u{feff}{ONE}\r\n"), 1),
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

    #[test]
    fn what_is_no_place_of_a_secret_is_named() {
        let error = Secrets::of_file(Path::new("/nonexistent/secret")).expect_err("no file");
        assert!(error.to_string().contains("/nonexistent/secret"), "{error}");
        let error = Secrets::of_variable("OVERLANE_TEST_NO_SUCH_SECRET").expect_err("not set");
        assert!(error.to_string().contains("OVERLANE_TEST_NO_SUCH_SECRET"));
        let name = format!("overlane-secret-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for (text, said) in [
            (ONE.to_owned(), None),
            ("short".to_owned(), Some("secret 1 has 5 bytes")),
            ("x\n".repeat(3000), Some("more than 4096 bytes")),
        ] {
            std::fs::write(&path, text).expect("the temporary folder can be written");
            let error = Secrets::of_file(&path).err().map(|error| error.to_string());
            let is_said = |said: &str| error.as_ref().is_some_and(|error| error.contains(said));
            let is_right = said.map_or_else(|| error.is_none(), is_said);
            assert!(is_right, "{error:?}");
        }
        std::fs::remove_file(&path).expect("it is there");
    }
}
