//! How the simulator looks into each protocol of this crate.

use bytes::Bytes;

use super::NodeId;
use super::subject::Inspect;
use crate::broadcasts::{self, Broadcasts};
use crate::client_server::ClientServer;
use crate::direct::{self, Direct};
use crate::epidemic::{self, Epidemic};
use crate::full_mesh::FullMesh;
use crate::hyparview::HyParView;
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
    fn payload(message: &plumtree::Message<NodeId>) -> Option<Bytes> {
        match message {
            plumtree::Message::Gossip(gossip) => Some(gossip.payload.body.clone()),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for Direct<NodeId> {
    fn payload(message: &direct::Message<NodeId>) -> Option<Bytes> {
        match message {
            direct::Message::Gossip(gossip) => Some(gossip.payload.body.clone()),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for Epidemic<NodeId> {
    fn payload(message: &epidemic::Message<NodeId>) -> Option<Bytes> {
        Some(message.payload.body.clone())
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}

impl Inspect for Broadcasts<NodeId> {
    fn payload(message: &broadcasts::Message<NodeId>) -> Option<Bytes> {
        match message {
            broadcasts::Message::Tree(message) => Plumtree::payload(message),
            broadcasts::Message::Direct(message) => Direct::payload(message),
            broadcasts::Message::Epidemic(message) => Epidemic::payload(message),
        }
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
        let Half::Upper(plumtree::Message::Gossip(gossip)) = message else {
            return None;
        };
        let payload = gossip.payload.clone();
        pub_sub::is_of_application(&payload).then_some(payload.body)
    }

    fn has_topics() -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        self.check()
    }
}
