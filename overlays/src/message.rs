//! Bytes to protocol messages and back. Every driver decodes through [`decode`], so a message that
//! reaches a protocol is within the bounds that its type states.
//!
//! The encoding is postcard. A length is checked before anything is allocated for it: the whole
//! message against [`Message::BYTES_MAX`] first, then every list against its own bound in
//! [`Message::validate`].

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message of a protocol.
pub trait Message: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {
    /// The most bytes that a valid message can have when encoded.
    const BYTES_MAX: usize;

    /// Checks the bounds that the type system does not: lengths of lists, ranges of counts.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] names the field that is out of bounds.
    fn validate(&self) -> Result<(), DecodeError>;
}

/// Why bytes are not a message. The peer that sent them is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any valid message of this type has.
    #[error("message has {bytes} bytes, at most {bytes_max} are allowed; close the lane")]
    TooLong {
        /// Bytes received.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The bytes do not follow the encoding, or bytes are left over after the message.
    #[error("message does not follow the encoding; close the lane: peer speaks another version")]
    Malformed,
    /// A field is out of its bounds.
    #[error("message has `{field}` out of bounds; close the lane")]
    Invalid {
        /// The field.
        field: &'static str,
    },
}

/// Decodes one message and checks every bound of its type.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the bytes; nothing was changed.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    if bytes.len() > M::BYTES_MAX {
        return Err(DecodeError::TooLong {
            bytes: bytes.len(),
            bytes_max: M::BYTES_MAX,
        });
    }
    match postcard::take_from_bytes::<M>(bytes) {
        Ok((message, [])) => message.validate().map(|()| message),
        _ => Err(DecodeError::Malformed),
    }
}

/// Encodes one message. A message that a protocol put out always encodes.
///
/// # Panics
/// If `message` does not serialize, which a derived `Serialize` without maps or strings of unknown
/// length never does.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    postcard::to_stdvec(message).expect("derived Serialize of a protocol message cannot fail")
}

/// Checks that a list has at most `most` items.
///
/// # Errors
/// [`DecodeError::Invalid`] with `field`.
pub fn at_most<T>(list: &[T], most: usize, field: &'static str) -> Result<(), DecodeError> {
    if list.len() <= most {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field })
    }
}
