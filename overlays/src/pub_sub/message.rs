//! Messages of publish-subscribe, and their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{PAYLOAD_BYTES_MAX, Peer, TopicId};
use crate::message::{self, DecodeError, at_most};
use crate::stack::Half;
use crate::{hyparview, plumtree};

/// Most contacts that a node remembers, and tells, of one topic. 8: HyParView needs one that lives.
pub(super) const CONTACTS_MAX: usize = 8;

/// What the overlay of a topic, or that of all nodes, says together with its broadcast.
pub type SwarmMessage<P> = Half<hyparview::Message<P>, plumtree::Message<P>>;

/// Messages of publish-subscribe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Of the overlay of all nodes, and its broadcast.
    Base(SwarmMessage<P>),
    /// Of the overlay of one topic, and its broadcast.
    Topic {
        /// Which topic.
        topic: TopicId,
        /// What its overlay or broadcast says.
        message: SwarmMessage<P>,
    },
    /// The sender does not take part in this topic.
    NotHere(TopicId),
    /// Who takes part in this topic?
    WhoIs(TopicId),
    /// These do, as far as the sender knows.
    Contacts {
        /// Which topic.
        topic: TopicId,
        /// At most eight.
        peers: Vec<P>,
    },
    /// Publish this for the sender, who does not take part.
    PublishFor {
        /// Which topic.
        topic: TopicId,
        /// Drawn by the sender: the same in each attempt, so that it is delivered once.
        number: u64,
        /// What to publish. Not encoded: the tail of the message.
        #[serde(skip)]
        payload: Bytes,
    },
    /// What the receiver sent to be published under this number is.
    Published {
        /// Copied from the order.
        number: u64,
    },
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = {
        let swarm = 1 + 10 + <SwarmMessage<P> as message::Message>::BYTES_MAX;
        let publish = 1 + 10 + 10 + PAYLOAD_BYTES_MAX;
        let contacts = 1 + 10 + 1 + CONTACTS_MAX * P::BYTES_MAX;
        let longest = if swarm > publish { swarm } else { publish };
        if longest > contacts {
            longest
        } else {
            contacts
        }
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::Base(message) | Self::Topic { message, .. } => message.tail(),
            Self::PublishFor { payload, .. } => payload.clone(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Base(message) | Self::Topic { message, .. } => return message.attach(tail),
            Self::PublishFor { payload, .. } => *payload = tail,
            _ if tail.is_empty() => {}
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Base(message) | Self::Topic { message, .. } => message.validate(),
            Self::NotHere(_) | Self::WhoIs(_) | Self::Published { .. } => Ok(()),
            Self::Contacts { peers, .. } => at_most(peers, CONTACTS_MAX, "peers"),
            Self::PublishFor { payload, .. } => at_most(payload, PAYLOAD_BYTES_MAX, "payload"),
        }
    }
}

/// What is broadcast to all nodes about subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News<P> {
    /// This node takes part in a topic.
    Here {
        /// Which topic.
        topic: TopicId,
        /// Who.
        peer: P,
        /// The number of the beacon that it sends within the topic at the same time.
        beacon: u64,
    },
    /// This node takes part no longer.
    Gone {
        /// Which topic.
        topic: TopicId,
        /// Who.
        peer: P,
    },
}

impl<P: Peer> message::Message for News<P> {
    const BYTES_MAX: usize = 1 + 10 + P::BYTES_MAX + 10;

    fn validate(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}
