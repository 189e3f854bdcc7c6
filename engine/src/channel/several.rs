//! One message to several destinations: what is the same for all of them is made once.
//!
//! Called by applications, and by the cluster for what it passes on. Each destination has its own answer; none waits for
//! another, and none is waited for.

use std::sync::Arc;

use super::Channel;
use crate::admission::{Way, check_size_within};
use crate::envelope::Envelope;
use crate::error::{SendError, Unsent};
use crate::extended::extended;
use crate::mailboxes::Mailbox;
use crate::message::Destination;
use crate::payload::{IntoPayload, Payload};
use crate::peer::Peer;
use crate::ring::gate::GateState;

/// What a message to several destinations came to: a broadcast, or one to a list.
#[derive(Clone, Debug, Default)]
pub struct Broadcast {
    /// Peers whose lane accepted the message.
    pub accepted: usize,
    /// Peers that did not get it, and why.
    pub refused: Vec<(Arc<Peer>, SendError)>,
}

impl Broadcast {
    fn note(&mut self, peer: &Arc<Peer>, sent: Result<(), Unsent<Payload<'_>>>) {
        match sent {
            Ok(()) => self.accepted += 1,
            Err(unsent) => self.refused.push((Arc::clone(peer), unsent.error)),
        }
    }
}

impl Channel {
    /// Sends to a mailbox of every peer that is connected now, by its lane on this channel, which this
    /// makes if it is not there; of parallel lanes, the first is taken. This node itself is left out.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for the payload, [`SendError::OtherNode`] for a mailbox of another node;
    /// what single peers refused is in the result.
    pub fn broadcast<'a>(
        &self,
        mailbox: &Mailbox,
        payload: impl IntoPayload<'a>,
    ) -> Result<Broadcast, SendError> {
        if mailbox.home() != self.home {
            return Err(SendError::OtherNode);
        }
        if self.may_steer(&payload) || self.may_be_recorded(payload.attributes().as_ref()) {
            let routes = self.fabric.routes.all().into_iter();
            let peers = routes.map(|route| route.peer);
            let connected = peers.filter(|peer| !peer.is_self() && self.is_open(peer));
            let destinations: Vec<_> = connected
                .map(|peer| Destination::new(peer, mailbox.clone()))
                .collect();
            return self.send_to_each(&destinations, payload);
        }
        let (payload, head) = self.encode_once(payload)?;
        let way = Way::extended(self.entry.first_lane, head);
        let mut outcome = Broadcast::default();
        for route in self.fabric.routes.all() {
            if route.peer.is_self() || !self.is_open(&route.peer) {
                continue;
            }
            let to = Destination::new(route.peer, mailbox.clone());
            outcome.note(to.peer(), self.try_send_once(&to, way, payload.clone()));
        }
        Ok(outcome)
    }

    /// Sends what is put together already, unless it is plain and this node begins a trace with it.
    #[inline]
    fn try_send_once<'p>(
        &self,
        to: &Destination,
        way: Way,
        payload: Payload<'p>,
    ) -> Result<(), Unsent<Payload<'p>>> {
        if way.head == 0
            && let Some(attributes) = self.begin_trace(to, &payload)
        {
            return self.try_send_extended(to, attributes, payload);
        }
        self.try_send_on(to, way, payload)
    }

    /// Sends to each of the destinations, as [`try_send`](Self::try_send) does, what is put together once:
    /// a large payload is shared by all of them. Destinations of one node, and this node's own, are
    /// taken as they are given.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for the payload, [`SendError::Attributes`] for what goes with it; what
    /// single destinations refused is in the result.
    pub fn send_to_all<'a, 'd>(
        &self,
        destinations: impl IntoIterator<Item = &'d Destination>,
        payload: impl IntoPayload<'a>,
    ) -> Result<Broadcast, SendError> {
        // On a monotonic channel each goes with the key of its destination, and one that is recorded with a span of its own.
        let is_recorded = self.may_be_recorded(payload.attributes().as_ref());
        if self.entry.monotonic || self.may_steer(&payload) || is_recorded {
            return self.send_to_each(destinations, payload);
        }
        let mut outcome = Broadcast::default();
        let (payload, head) = self.encode_once(payload)?;
        for to in destinations {
            let way = Way::extended(self.lane_offset(to), head);
            outcome.note(to.peer(), self.try_send_once(to, way, payload.clone()));
        }
        Ok(outcome)
    }

    /// Sends to each of them as if it were the only one.
    fn send_to_each<'a, 'd>(
        &self,
        destinations: impl IntoIterator<Item = &'d Destination>,
        payload: impl IntoPayload<'a>,
    ) -> Result<Broadcast, SendError> {
        let mut outcome = Broadcast::default();
        let attributes = payload.attributes().unwrap_or_default();
        let payload = payload.into_payload();
        check_size_within(self.message_bytes_max(), payload.len())?;
        for to in destinations {
            let message = Envelope::with(payload.clone(), attributes);
            outcome.note(to.peer(), self.try_send(to, message));
        }
        Ok(outcome)
    }

    /// Whether the peer is connected, as far as its first lane of the channel tells.
    fn is_open(&self, peer: &Peer) -> bool {
        let gate = &peer.lane(self.entry.first_lane).gate;
        gate.state() != GateState::Down && !gate.is_only_hoped_for()
    }

    /// A message for several destinations, and how much of it is an extension: a large payload is made
    /// shared once, not once for each of them.
    fn encode_once<'a>(
        &self,
        payload: impl IntoPayload<'a>,
    ) -> Result<(Payload<'a>, usize), SendError> {
        let attributes = payload.attributes();
        let payload = payload.into_payload();
        check_size_within(self.message_bytes_max(), payload.len())?;
        let pool = &self.fabric.payloads;
        if let Some(attributes) = attributes {
            let (_, due) = self.due(&attributes)?;
            let message = extended(pool, None, &attributes, due, payload.as_slice())?;
            return Ok((message.payload, message.head));
        }
        let payload = if payload.len() > self.fabric.config.inline_bytes_max {
            Payload::Shared(payload.into_shared(pool))
        } else {
            payload
        };
        Ok((payload, 0))
    }
}
