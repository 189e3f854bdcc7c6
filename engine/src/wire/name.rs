//! Names of clusters, nodes, channels and mailboxes, and the one rule that they all obey.
//!
//! A name is 1 to 255 bytes of UTF-8 without control characters: short enough for one length
//! byte, and safe to print, since names from peers end up in logs. Checked when configuration is
//! read and again when a peer sends one; after that the type says that it was.
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// A checked name. Cloning it copies a pointer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("a name is empty: give it 1 to 255 bytes")]
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    #[error("a name has {bytes} bytes: shorten it to at most 255")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has a line break or another control character.
    #[error("a name has a control character at byte {at}: remove it")]
    ControlCharacter {
        /// Where, counted from 0.
        at: usize,
    },
    /// It is not UTF-8.
    #[error("a name is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Where, counted from 0.
        at: usize,
    },
}

/// Says whether `text` can be a name.
///
/// # Errors
/// [`NameError`] with what is wrong with it.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    match text
        .char_indices()
        .find(|(_, character)| character.is_control())
    {
        Some((at, _)) => Err(NameError::ControlCharacter { at }),
        None => Ok(()),
    }
}

/// Reads a name from bytes that a peer sent, without copying it.
///
/// # Errors
/// [`NameError`] with what is wrong with it.
pub fn read_name(bytes: &[u8]) -> Result<&str, NameError> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: bytes.len() });
    }
    let text = str::from_utf8(bytes).map_err(|error| NameError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    check_name(text)?;
    Ok(text)
}

impl Name {
    /// Makes a name of `text`.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, over 255 bytes, or has a control character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Name> for Arc<str> {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_1_to_255_bytes_without_control_characters() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert!(Name::new(&"n".repeat(255)).is_ok());
        assert_eq!(
            Name::new(&"n".repeat(256)),
            Err(NameError::TooLong { bytes: 256 })
        );
        assert_eq!(
            Name::new("a\nb"),
            Err(NameError::ControlCharacter { at: 1 })
        );
        assert_eq!(
            Name::new("a\u{85}"),
            Err(NameError::ControlCharacter { at: 1 })
        );
        assert!(Name::new("Knoten-größe 7").is_ok());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_no_name() {
        assert_eq!(read_name(b"ab\xff"), Err(NameError::NotUtf8 { at: 2 }));
        assert_eq!(read_name(b"ab"), Ok("ab"));
    }

    #[test]
    fn bytes_are_a_name_up_to_the_same_length() {
        assert!(read_name(&[b'n'; 255]).is_ok());
        assert_eq!(
            read_name(&[b'n'; 256]),
            Err(NameError::TooLong { bytes: 256 })
        );
    }
}
