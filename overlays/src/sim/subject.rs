//! What the simulator wants to see of a protocol besides its contract, and who watches.
//!
//! Implemented beside each protocol's own type for the simulator only; nothing here changes what a
//! protocol does.

use bytes::Bytes;

use super::NodeId;
use crate::event::{Event, Overlay, Protocol};
use crate::membership::Table;
use crate::stack::{Half, Stack};
use crate::time::Time;

/// A protocol that can be looked into.
pub trait Inspect: Protocol<NodeId> {
    /// The application payload that a message carries, if it carries one: what redundancy counts.
    fn payload(_message: &Self::Message) -> Option<Bytes> {
        None
    }

    /// Says which promise about its own state the protocol has broken.
    ///
    /// # Errors
    /// One sentence about what is wrong.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether it delivers publications to the subscribers of a topic.
    fn has_topics() -> bool {
        false
    }

    /// What this node knows of every member, itself included; none without membership.
    fn members(&self) -> Option<&Table<NodeId>> {
        None
    }
}

impl<L: Inspect, U: Inspect> Inspect for Stack<L, U> {
    fn payload(message: &Self::Message) -> Option<Bytes> {
        match message {
            Half::Lower(message) => L::payload(message),
            Half::Upper(message) => U::payload(message),
        }
    }

    fn check(&self) -> Result<(), String> {
        self.lower.check().and_then(|()| self.upper.check())
    }

    fn has_topics() -> bool {
        L::has_topics() || U::has_topics()
    }

    fn members(&self) -> Option<&Table<NodeId>> {
        self.upper.members().or_else(|| self.lower.members())
    }
}

/// What a world simulates: an overlay, with any layers on it.
pub trait Subject: Overlay<NodeId> + Inspect {}

impl<X: Overlay<NodeId> + Inspect> Subject for X {}

/// Watches a world, and may stop it.
pub trait Observer<X: Subject> {
    /// A node's protocol told this, and is in this state now that the whole input was dealt with.
    fn event(&mut self, _at: Time, _node: NodeId, _state: &X, _event: &Event<NodeId>) {}

    /// A message with a payload reached a live node.
    fn payload_received(&mut self, _at: Time, _node: NodeId, _payload: &Bytes) {}

    /// A node has taken one input; `state` is what came of it.
    fn stepped(&mut self, _at: Time, _node: NodeId, _state: &X) {}
}

/// Watches nothing.
impl<X: Subject> Observer<X> for () {}
