//! A message on its way to another channel than the one that its sender named: by its hints, or by a rule that overrides it.
//!
//! Called by everything that sends on a channel, before the first step. It chooses a channel; what becomes of the message there
//! is that channel's matter. First the hints, by the channel named; then the rules, by what came of that.

use std::sync::Arc;

use crate::attributes::{Attributes, Hints};
use crate::channel::Channel;
use crate::channel_plan::ChannelPlan;
use crate::envelope::Envelope;
use crate::error::{SendError, Unsent};
use crate::message::Destination;
use crate::payload::{IntoPayload, Payload};
use crate::rules::Said;

/// A message, and the channel that it goes on.
pub(crate) type Steered<'a> = (Channel, Envelope<'a, Payload<'a>>);

impl Channel {
    /// Whether a message may have to go on another channel: one look, where there are neither rules nor hints.
    #[inline]
    pub(crate) fn may_steer<'a>(&self, payload: &impl IntoPayload<'a>) -> bool {
        payload.has_hints() || self.fabric.rules.may_override(&self.entry)
    }

    /// The message, and the channel that it goes on.
    pub(crate) fn steer<'a, P: IntoPayload<'a>>(
        &self,
        to: &Destination,
        payload: P,
    ) -> Result<Steered<'a>, P::Error> {
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        match self.chosen(to, &attributes, payload.len()) {
            Ok(channel) => Ok((channel, Envelope::with(payload, attributes.without_hints()))),
            Err(error) => Err(P::unsent(Unsent { error, payload })),
        }
    }

    fn chosen(
        &self,
        to: &Destination,
        attributes: &Attributes<'_>,
        payload_bytes: usize,
    ) -> Result<Self, SendError> {
        if self.entry.is_removed() {
            // A rule does not bring it back.
            return Err(SendError::ChannelRemoved);
        }
        let channel = self.clone().hinted(attributes.hints())?;
        let rules = &self.fabric.rules;
        if !rules.may_override(&channel.entry) {
            return Ok(channel);
        }
        let said = Said {
            attributes,
            payload_bytes,
            peer: to.peer.name(),
        };
        Ok(match rules.find(Some(&channel.entry), &said) {
            Some(entry) => Self { entry, ..channel },
            None => channel,
        })
    }

    /// The channel that has what is hinted, and the rest as this one. A message with hints looks at the channel table: what
    /// its channel and the siblings of that are now.
    pub(crate) fn hinted(self, hints: Hints) -> Result<Self, SendError> {
        if hints == Hints::default() {
            return Ok(self);
        }
        let reliability = hints.reliability.unwrap_or(self.entry.reliability);
        let current = self.fabric.channels.plan_of(&self.entry);
        let current = current.ok_or(SendError::ChannelRemoved)?;
        let priority = hints.priority.unwrap_or(current.config.priority);
        let fits = |plan: &ChannelPlan| {
            plan.config.priority == priority && plan.reliability == reliability
        };
        if fits(&current) {
            return Ok(self);
        }
        let sibling = self.fabric.channels.first_open(&current.config.hints, fits);
        match sibling {
            Some(plan) => Ok(Self {
                entry: Arc::clone(&plan.entry),
                ..self
            }),
            None => Err(SendError::NoSuchHint {
                channel: self.entry.name.to_string(),
                priority: priority.0,
                reliability: reliability.word(),
            }),
        }
    }
}
