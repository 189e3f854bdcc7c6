//! A payload with what the message says besides it, to be sent like any payload.
//!
//! Made by applications for one send. It only holds both together: `attributes` says what can be in it,
//! `extended` writes it.

use std::time::Duration;

use crate::attributes::Attributes;
use crate::config::{Priority, Reliability};
use crate::error::Unsent;
use crate::payload::{IntoPayload, Payload};
use crate::wire::TraceContext;

/// A payload with a type, metadata, a deadline and hints, taken by everything that sends: [`Channel`](crate::Channel),
/// [`ShardContext`](crate::ShardContext), [`ShardHandle`](crate::ShardHandle), requests and replies.
///
/// A message with more than a payload costs more than one without: it is put together in one piece, so a
/// payload above `inline_bytes_max` is copied, even if it was handed over. Peers of wire version 1 take
/// none, and sending to them is refused ([`SendError::OldPeer`](crate::SendError::OldPeer)).
#[doc = include_str!("../doc/envelope.md")]
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a, P> {
    payload: P,
    attributes: Attributes<'a>,
}

impl<'a, P: IntoPayload<'a>> Envelope<'a, P> {
    /// Around a payload, with nothing else yet.
    pub fn new(payload: P) -> Self {
        Self::with(payload, Attributes::new())
    }

    /// Around a payload, with what many messages say.
    pub const fn with(payload: P, attributes: Attributes<'a>) -> Self {
        Self {
            payload,
            attributes,
        }
    }

    /// What the payload is; see [`Attributes::message_type`].
    #[must_use]
    pub fn message_type(mut self, message_type: &'a str) -> Self {
        self.attributes = self.attributes.message_type(message_type);
        self
    }

    /// Adds a key and a value; see [`Attributes::metadata`].
    #[must_use]
    pub fn metadata(mut self, key: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.attributes = self.attributes.metadata(key, value);
        self
    }
}

impl<P> Envelope<'_, P> {
    /// How long the message is worth anything, from when it is sent; see [`Attributes::deadline`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.attributes = self.attributes.deadline(deadline);
        self
    }

    /// Where the message stands in a trace; see [`Attributes::trace`].
    #[must_use]
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.attributes = self.attributes.trace(trace);
        self
    }

    /// Hints that it is to go at that priority; see [`Attributes::priority`].
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Priority>) -> Self {
        self.attributes = self.attributes.priority(priority);
        self
    }

    /// Hints that it is to be delivered like that; see [`Attributes::priority`].
    #[must_use]
    pub fn reliability(mut self, reliability: Reliability) -> Self {
        self.attributes = self.attributes.reliability(reliability);
        self
    }
}

impl<'a, P: IntoPayload<'a>> IntoPayload<'a> for Envelope<'a, P> {
    type Error = P::Error;

    fn into_payload(self) -> Payload<'a> {
        self.payload.into_payload()
    }

    fn unsent(unsent: Unsent<Payload<'a>>) -> Self::Error {
        P::unsent(unsent)
    }

    fn attributes(&self) -> Option<Attributes<'a>> {
        let says_something = !self.attributes.is_empty() || self.has_hints();
        says_something.then_some(self.attributes)
    }

    #[inline]
    fn has_hints(&self) -> bool {
        !self.attributes.hints().is_empty()
    }
}
