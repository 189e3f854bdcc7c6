//! Bytes to protocol messages and back. Every driver decodes through [`decode`], so a message that
//! reaches a protocol is within the bounds that its type states.
//!
//! A message is a small header and, if it carries an application's payload, a *tail*: the rest of its
//! bytes. The header is encoded with postcard, once for all receivers; the tail is never encoded or
//! copied, so a driver sends it from where it lies ([`encode_shared`]), and what it received becomes the
//! tail of the decoded message ([`decode_shared`]).
//!
//! A length is checked before anything is allocated for it: the whole message against
//! [`Message::BYTES_MAX`] first, then every list against its own bound in [`Message::validate`].

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message of a protocol.
pub trait Message: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {
    /// The most bytes that a valid message can have when encoded, tail included.
    const BYTES_MAX: usize;

    /// The application's payload that the message carries; empty if it carries none. Not part of what
    /// serde encodes.
    fn tail(&self) -> Bytes {
        Bytes::new()
    }

    /// Gives a message that was decoded the bytes behind its header.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] if a message of this kind has no tail.
    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        if tail.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed)
        }
    }

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

/// A message as it goes on the wire: header, then tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The encoded header.
    pub header: Bytes,
    /// The tail; shares memory with the message.
    pub tail: Bytes,
}

/// Decodes one message and checks every bound of its type. Copies the tail: for bytes that nobody can
/// share.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the bytes; nothing was changed.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let (message, tail) = header::<M>(bytes)?;
    complete(message, Bytes::copy_from_slice(tail))
}

/// The same, with the tail as a part of `bytes`.
///
/// # Errors
/// As [`decode`].
pub fn decode_shared<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let (message, tail) = header::<M>(bytes)?;
    complete(message, bytes.slice_ref(tail))
}

fn header<M: Message>(bytes: &[u8]) -> Result<(M, &[u8]), DecodeError> {
    if bytes.len() > M::BYTES_MAX {
        return Err(DecodeError::TooLong {
            bytes: bytes.len(),
            bytes_max: M::BYTES_MAX,
        });
    }
    postcard::take_from_bytes::<M>(bytes).map_err(|_| DecodeError::Malformed)
}

fn complete<M: Message>(mut message: M, tail: Bytes) -> Result<M, DecodeError> {
    message.attach(tail)?;
    message.validate().map(|()| message)
}

/// Encodes one message into one piece, which copies its tail. A message that a protocol put out always
/// encodes.
///
/// # Panics
/// If `message` does not serialize, which a derived `Serialize` without maps or strings of unknown
/// length never does.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = encode_header(message);
    bytes.extend_from_slice(&message.tail());
    bytes
}

/// Encodes the header of one message, once for all its receivers, and shares its tail.
///
/// # Panics
/// As [`encode`].
#[must_use]
pub fn encode_shared<M: Message>(message: &M) -> Encoded {
    Encoded {
        header: encode_header(message).into(),
        tail: message.tail(),
    }
}

fn encode_header<M: Message>(message: &M) -> Vec<u8> {
    encode_part(message)
}

/// Encodes what is written into a message, or into the head of a payload.
///
/// # Panics
/// As [`encode`].
pub(crate) fn encode_part<T: Serialize>(part: &T) -> Vec<u8> {
    postcard::to_stdvec(part).expect("derived Serialize of a protocol message cannot fail")
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
