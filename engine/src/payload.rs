//! The payload of a message on its way in, and what can be sent as one.
//!
//! Handed by applications to everything that sends. Bytes only: where they go and what they cost is
//! decided elsewhere.

use std::sync::Arc;

use bytes::Bytes;

use crate::attributes::Attributes;
use crate::error::{SendError, Unsent};
use crate::ring::PayloadPool;

/// The bytes of a message on their way in: borrowed (copied into the ring when they are small), or
/// shared (handed over without a copy).
#[doc = include_str!("../doc/payload.md")]
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Copied when accepted. Above `inline_bytes_max` (default 1 KiB) that costs an allocation.
    Borrowed(&'a [u8]),
    /// Handed over: above `inline_bytes_max` it reaches the socket without a copy; up to it, copying
    /// is cheaper, and it is copied.
    Shared(Bytes),
}

impl Payload<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// To hand over: a copy only if the bytes were borrowed.
    pub(crate) fn into_shared(self, pool: &Arc<PayloadPool>) -> Bytes {
        match self {
            Self::Borrowed(bytes) => pool.copy(bytes),
            Self::Shared(bytes) => bytes,
        }
    }

    /// What was handed over, unchanged.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Shared(bytes) => bytes,
        }
    }

    /// Whether there is nothing in it. An empty message is a message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Payload<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text.as_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(Bytes::from(bytes))
    }
}

/// What can be sent: bytes of the caller's, or bytes that are handed over, which come back with the
/// error if the message is not accepted. An [`Envelope`](crate::Envelope) adds to either what else the
/// message says.
pub trait IntoPayload<'a>: Sized {
    /// [`SendError`] for borrowed bytes, [`Unsent`] with the bytes for those that were handed over.
    type Error: Into<SendError>;

    /// As a payload.
    fn into_payload(self) -> Payload<'a>;

    /// The error, with the payload that was not sent.
    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error;

    /// What the message says besides its payload; mostly nothing.
    #[inline]
    fn attributes(&self) -> Option<Attributes<'a>> {
        None
    }

    /// Whether among that are hints, by which it may go on another channel; mostly not.
    #[inline]
    fn has_hints(&self) -> bool {
        false
    }
}

impl<'a> IntoPayload<'a> for Payload<'a> {
    type Error = Unsent<Self>;

    fn into_payload(self) -> Payload<'a> {
        self
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        unsent
    }
}

impl<'a> IntoPayload<'a> for Bytes {
    type Error = Unsent<Self>;

    fn into_payload(self) -> Payload<'a> {
        self.into()
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        unsent.map(Payload::into_bytes)
    }
}

impl<'a> IntoPayload<'a> for Vec<u8> {
    type Error = Unsent<Self>;

    fn into_payload(self) -> Payload<'a> {
        self.into()
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        // Nobody else holds it, so this copies nothing.
        unsent.map(|payload| payload.into_bytes().into())
    }
}

/// Bytes that stay the caller's.
macro_rules! borrowed_payloads {
    ($(($($generics:tt)*) $bytes:ty),+ $(,)?) => {$(
        impl<'a, $($generics)*> IntoPayload<'a> for $bytes {
            type Error = SendError;

            fn into_payload(self) -> Payload<'a> {
                self.into()
            }

            fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
                unsent.error
            }
        }
    )+};
}

borrowed_payloads!(
    () &'a [u8],
    (const N: usize) &'a [u8; N],
    () &'a Vec<u8>,
    () &'a str,
);
