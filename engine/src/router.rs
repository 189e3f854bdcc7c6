//! Sending without naming a channel: the rules of the node choose it.
//!
//! Made by [`Node::router`](crate::Node::router), used by applications like a channel. It finds the rule; all else is the
//! channel's that the rule names.

use std::borrow::Cow;
use std::sync::Arc;

use crate::channel::{Channel, Waiting, given_back};
use crate::envelope::Envelope;
use crate::error::{SendError, Unsent};
use crate::fabric::Fabric;
use crate::message::Destination;
use crate::payload::{IntoPayload, Payload};
use crate::receipt::Receipt;
use crate::rules::Said;

/// Sends messages on the channels that the node's [rules](crate::config::Rule) choose. Cheap to clone, usable from any
/// thread, in handlers and tasks too.
///
/// Messages of one key that different rules send on different channels keep no order with one another; on each channel they
/// keep the order that it promises.
#[doc = include_str!("../doc/router.md")]
#[derive(Clone, Debug)]
pub struct Router {
    fabric: Arc<Fabric>,
    /// Those of the node, by their numbers: made once, and not for each message.
    channels: Arc<[Channel]>,
}

/// A message, and the channel that it goes on.
type Routed<'r, 'a> = (Cow<'r, Channel>, Envelope<'a, Payload<'a>>);

impl Router {
    pub(crate) fn new(fabric: &Arc<Fabric>) -> Self {
        let indexes = 0..fabric.channels.len();
        let channels = indexes.map(|index| Channel::new(Arc::clone(fabric), index));
        Self {
            channels: channels.collect(),
            fabric: Arc::clone(fabric),
        }
    }

    /// [`Channel::try_send`] on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Channel::try_send`]; [`SendError::NoRule`] if no rule matches.
    pub fn try_send<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let (channel, message) = self.route(to, payload)?;
        channel.try_send_as_named(to, message).map_err(P::unsent)
    }

    /// [`Channel::send`] on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Channel::send`]; [`SendError::NoRule`] if no rule matches.
    pub async fn send<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let (channel, message) = self.route(to, payload)?;
        let prepared = channel.prepare_as_named(to, message).map_err(P::unsent)?;
        let sent = channel.send_waiting(to, prepared.waiting).await;
        sent.map_err(|unsent| P::unsent(given_back(prepared.original, unsent)))
    }

    /// [`Channel::send_blocking`] on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Channel::send_blocking`]; [`SendError::NoRule`] if no rule matches.
    pub fn send_blocking<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<(), P::Error> {
        let (channel, message) = self.route(to, payload)?;
        let prepared = channel.prepare_as_named(to, message).map_err(P::unsent)?;
        let sent = channel.send_blocking_on(to, prepared.waiting);
        sent.map_err(|unsent| P::unsent(given_back(prepared.original, unsent)))
    }

    /// [`Channel::try_send_with_receipt`] on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Channel::try_send_with_receipt`]; [`SendError::NoRule`] if no rule matches.
    pub fn try_send_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Receipt, P::Error> {
        let (channel, message) = self.route(to, payload)?;
        let prepared = channel.prepare_with_receipt_as_named(to, message);
        let (receipt, prepared) = prepared.map_err(P::unsent)?;
        let Waiting { way, payload, .. } = prepared.waiting;
        match channel.try_send_on(to, way, payload) {
            Ok(()) => Ok(receipt),
            Err(unsent) => Err(P::unsent(given_back(prepared.original, unsent))),
        }
    }

    /// [`Channel::send_with_receipt`] on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Channel::send_with_receipt`]; [`SendError::NoRule`] if no rule matches.
    pub async fn send_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Receipt, P::Error> {
        let (channel, message) = self.route(to, payload)?;
        let prepared = channel.prepare_with_receipt_as_named(to, message);
        let (receipt, prepared) = prepared.map_err(P::unsent)?;
        match channel.send_waiting(to, prepared.waiting).await {
            Ok(()) => Ok(receipt),
            Err(unsent) => Err(P::unsent(given_back(prepared.original, unsent))),
        }
    }

    /// [`Channel::send_blocking_with_receipt`] on the channel that the rules choose.
    ///
    /// # Errors
    /// As [`Channel::send_blocking_with_receipt`]; [`SendError::NoRule`] if no rule matches.
    pub fn send_blocking_with_receipt<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Receipt, P::Error> {
        let (channel, message) = self.route(to, payload)?;
        let prepared = channel.prepare_with_receipt_as_named(to, message);
        let (receipt, prepared) = prepared.map_err(P::unsent)?;
        match channel.send_blocking_on(to, prepared.waiting) {
            Ok(()) => Ok(receipt),
            Err(unsent) => Err(P::unsent(given_back(prepared.original, unsent))),
        }
    }

    /// The message, and the channel that the first matching rule names, or, by the message's hints, a sibling of that.
    fn route<'r, 'a, P: IntoPayload<'a>>(
        &'r self,
        to: &Destination,
        payload: P,
    ) -> Result<Routed<'r, 'a>, P::Error> {
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        let said = Said {
            attributes: &attributes,
            payload_bytes: payload.len(),
            peer: to.peer.name(),
        };
        let chosen = self.fabric.rules.find(None, &said);
        let chosen = chosen.ok_or(SendError::NoRule);
        let hinted = chosen.and_then(|index| self.channel(index).hinted(attributes.hints()));
        match hinted {
            Ok(index) => Ok((
                self.channel(index),
                Envelope::with(payload, attributes.without_hints()),
            )),
            Err(error) => Err(P::unsent(Unsent { error, payload })),
        }
    }

    fn channel(&self, index: usize) -> Cow<'_, Channel> {
        match self.channels.get(index) {
            Some(channel) => Cow::Borrowed(channel),
            None => Cow::Owned(Channel::new(Arc::clone(&self.fabric), index)),
        }
    }
}
