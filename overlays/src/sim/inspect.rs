//! How the simulator looks into each protocol of this crate.

use bytes::Bytes;

use super::NodeId;
use super::subject::Inspect;
use crate::client_server::ClientServer;
use crate::epidemic::{self, Epidemic};
use crate::full_mesh::FullMesh;
use crate::hyparview::HyParView;
use crate::marked::unmark;
use crate::plumtree::{self, Plumtree};
use crate::pub_sub::{self, PubSub};
use crate::stack::Half;

impl Inspect for FullMesh<NodeId> {}

impl Inspect for ClientServer<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for HyParView<NodeId> {
    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for Plumtree<NodeId> {
    fn payload(message: &plumtree::Message) -> Option<Bytes> {
        match message {
            plumtree::Message::Gossip(gossip) => Some(gossip.payload.clone()),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for Epidemic<NodeId> {
    fn payload(message: &epidemic::Message) -> Option<Bytes> {
        Some(message.payload.clone())
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for PubSub<NodeId> {
    fn payload(message: &pub_sub::Message<NodeId>) -> Option<Bytes> {
        let (pub_sub::Message::Base(message) | pub_sub::Message::Topic { message, .. }) = message
        else {
            return None;
        };
        let Half::Upper(message) = message else {
            return None;
        };
        let (kind, payload) = unmark(&Plumtree::<NodeId>::payload(message)?)?;
        (kind == pub_sub::KIND_APPLICATION).then_some(payload)
    }

    fn has_topics() -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}
