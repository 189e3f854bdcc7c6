//! A message on its way to another channel than the one that its sender named: by its hints, or by a rule that overrides it.
//!
//! Called by everything that sends on a channel, before the first step. It chooses a channel; what becomes of the message there
//! is that channel's matter. First the hints, by the channel named; then the rules, by what came of that.

use crate::attributes::{Attributes, Hints};
use crate::channel::Channel;
use crate::channel_plan::channel_number;
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
        payload.has_hints() || self.fabric.rules.may_override(self.index)
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
            Ok(index) => Ok((
                self.sibling(index),
                Envelope::with(payload, attributes.without_hints()),
            )),
            Err(error) => Err(P::unsent(Unsent { error, payload })),
        }
    }

    fn chosen(
        &self,
        to: &Destination,
        attributes: &Attributes<'_>,
        payload_bytes: usize,
    ) -> Result<usize, SendError> {
        let index = self.hinted(attributes.hints())?;
        let rules = &self.fabric.rules;
        if !rules.may_override(index) {
            return Ok(index);
        }
        let said = Said {
            attributes,
            payload_bytes,
            peer: to.peer.name(),
        };
        Ok(rules.find(Some(index), &said).unwrap_or(index))
    }

    /// The channel that has what is hinted, and the rest as this one.
    pub(crate) fn hinted(&self, hints: Hints) -> Result<usize, SendError> {
        let plan = self.plan();
        let priority = hints.priority.unwrap_or(plan.config.priority);
        let reliability = hints.reliability.unwrap_or(plan.reliability);
        if plan.config.priority == priority && plan.reliability == reliability {
            return Ok(self.index);
        }
        let siblings = plan.config.hints.iter().filter_map(|name| {
            let channels = &self.fabric.channels;
            channel_number(channels, name).map(|index| &channels[index])
        });
        let mut fitting = siblings.filter(|sibling| {
            sibling.config.priority == priority && sibling.reliability == reliability
        });
        let sibling = fitting.next().ok_or_else(|| SendError::NoSuchHint {
            channel: plan.name.to_string(),
            priority: priority.0,
            reliability: reliability.word(),
        })?;
        Ok(sibling.index)
    }

    fn sibling(&self, index: usize) -> Self {
        Self {
            index,
            ..self.clone()
        }
    }
}
