//! Sending without naming a channel: the rules of the node choose it.
//!
//! Made by [`Node::router`](crate::Node::router), used by applications like a channel. It finds the rule; all else is the
//! channel's that the rule names.

use std::sync::Arc;

use crate::channel::Channel;
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
}

/// A message, and the channel that it goes on.
type Routed<'a> = (Channel, Envelope<'a, Payload<'a>>);

impl Router {
    pub(crate) fn new(fabric: &Arc<Fabric>) -> Self {
        Self {
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
        channel.send_prepared(to, prepared).await.map_err(P::unsent)
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
        channel
            .send_blocking_prepared(to, prepared)
            .map_err(P::unsent)
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
        let sent = channel.try_send_prepared(to, prepared);
        sent.map(|()| receipt).map_err(P::unsent)
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
        let sent = channel.send_prepared(to, prepared).await;
        sent.map(|()| receipt).map_err(P::unsent)
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
        let sent = channel.send_blocking_prepared(to, prepared);
        sent.map(|()| receipt).map_err(P::unsent)
    }

    /// The message, and the channel that the first matching rule names, or, by the message's hints, a sibling of that.
    fn route<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Routed<'a>, P::Error> {
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        let said = Said {
            attributes: &attributes,
            payload_bytes: payload.len(),
            peer: to.peer.name(),
        };
        let chosen = self.fabric.rules.find(None, &said);
        let chosen = chosen.ok_or(SendError::NoRule);
        let hinted = chosen.and_then(|entry| {
            Channel::new(Arc::clone(&self.fabric), entry).hinted(attributes.hints())
        });
        match hinted {
            Ok(channel) => Ok((channel, Envelope::with(payload, attributes.without_hints()))),
            Err(error) => Err(P::unsent(Unsent { error, payload })),
        }
    }
}
