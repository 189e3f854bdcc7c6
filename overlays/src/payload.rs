//! What is broadcast: the application's bytes, and a small head in which layers leave their marks.
//!
//! Each layer puts a mark in front when a payload goes down and takes it off when one comes up, so that
//! it and those above it can share the broadcast below. The application's bytes are the tail of the
//! message that carries them ([`crate::Message::tail`]): shared, never copied. Made by applications and
//! layers, carried by [`crate::plumtree`] and [`crate::epidemic`].

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::{self, DecodeError};

/// The most bytes of a broadcast, published or relayed payload, under every layer. A default stream
/// chunk fits.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// The most bytes of all marks together. 1,024: a guess, room for the counts of some hundred senders.
pub const HEAD_BYTES_MAX: usize = 1_024;

/// A payload on its way through layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    head: Head,
    /// What the application sent, or a layer of its own. Not encoded: the tail of its message.
    #[serde(skip)]
    pub body: Bytes,
    /// How it is to go. Not encoded: says it on the node where it begins.
    #[serde(skip)]
    spread: Spread,
}

/// How a payload is to go, for layers that have the choice ([`crate::broadcasts`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spread {
    /// As fits the overlay in force.
    #[default]
    Fitting,
    /// Epidemically.
    Epidemic,
    /// Over every overlay that there is, so it may come twice: for words that do no harm then, and have to come while one
    /// overlay takes the place of another.
    EveryWay,
}

impl Payload {
    /// The most bytes of the head when encoded.
    pub(crate) const HEAD_ENCODED_MAX: usize = 2 + HEAD_BYTES_MAX;

    /// The same, to be sent epidemically, by layers that have the choice ([`crate::broadcasts`]).
    #[must_use]
    pub const fn epidemically(self) -> Self {
        self.spread_as(Spread::Epidemic)
    }

    /// The same, to be sent like this.
    #[must_use]
    pub(crate) const fn spread_as(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// How it is to go.
    pub(crate) const fn spread(&self) -> Spread {
        self.spread
    }

    /// Bytes of all of it.
    pub(crate) fn len(&self) -> usize {
        self.head.bytes().len() + self.body.len()
    }

    /// The same with one byte in front that says whose it is.
    #[must_use]
    pub(crate) fn marked(self, kind: u8) -> Self {
        self.marked_with(kind, &[])
    }

    /// The same with `kind` in front, and behind it what the layer of that kind has to say. It must know
    /// where that ends.
    #[must_use]
    pub(crate) fn marked_with(self, kind: u8, words: &[u8]) -> Self {
        let head = Head::new(&[&[kind], words, self.head.bytes()].concat());
        Self { head, ..self }
    }

    /// The kind in front, and the payload without it. None for one that nobody marked.
    pub(crate) fn unmark(self) -> Option<(u8, Self)> {
        let kind = *self.head.bytes().first()?;
        Some((kind, self.without_words(1)))
    }

    /// What a layer wrote behind its kind, as far as the head goes.
    pub(crate) fn words(&self) -> &[u8] {
        self.head.bytes()
    }

    /// The payload without the first `count` bytes of its head; of all of it if it has fewer.
    #[must_use]
    pub(crate) fn without_words(self, count: usize) -> Self {
        let head = Head::new(self.words().get(count..).unwrap_or_default());
        Self { head, ..self }
    }

    /// Checks the bounds of a payload that a peer sent.
    pub(crate) fn validate(&self) -> Result<(), DecodeError> {
        message::at_most(self.words(), HEAD_BYTES_MAX, "head")?;
        message::at_most(&self.body, PAYLOAD_BYTES_MAX, "payload")
    }
}

/// Marks, the last one first. Shared, as a broadcast layer keeps a payload and sends it to several; small
/// and not there at all where there are none, as a broadcast layer keeps many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Head(Option<Arc<[u8]>>);

impl Head {
    fn new(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| bytes.into()))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(|bytes| Self::new(&bytes))
    }
}

impl From<Bytes> for Payload {
    fn from(body: Bytes) -> Self {
        Self {
            body,
            ..Self::default()
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_off_in_turn_and_the_bytes_are_never_copied() {
        let body = Bytes::from(vec![7; 100]);
        let marked = Payload::from(body.clone()).marked(1).marked_with(2, b"abc");
        assert_eq!(marked.body.as_ptr(), body.as_ptr());
        let (kind, inner) = marked.unmark().unwrap();
        assert_eq!((kind, inner.words()), (2, &b"abc\x01"[..]));
        let (kind, inner) = inner.without_words(3).unmark().unwrap();
        assert_eq!((kind, inner.body.as_ptr()), (1, body.as_ptr()));
        assert_eq!(inner.unmark(), None);
    }
}
