//! Messages of the broadcasts of a node: of whichever of them it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::Peer;
use crate::message::{self, DecodeError};
use crate::{direct, epidemic, plumtree};

/// A message of one of the broadcasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Of Plumtree.
    Tree(plumtree::Message<P>),
    /// Of the direct broadcast.
    Direct(direct::Message<P>),
    /// Of the epidemic broadcast.
    Epidemic(epidemic::Message<P>),
}

const fn greater(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

impl<P: Peer> message::Message for Message<P> {
    const BYTES_MAX: usize = 1 + greater(
        <plumtree::Message<P> as message::Message>::BYTES_MAX,
        greater(
            <direct::Message<P> as message::Message>::BYTES_MAX,
            <epidemic::Message<P> as message::Message>::BYTES_MAX,
        ),
    );

    fn tail(&self) -> Bytes {
        match self {
            Self::Tree(message) => message.tail(),
            Self::Direct(message) => message.tail(),
            Self::Epidemic(message) => message.tail(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Tree(message) => message.attach(tail),
            Self::Direct(message) => message.attach(tail),
            Self::Epidemic(message) => message.attach(tail),
        }
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Tree(message) => message.validate(),
            Self::Direct(message) => message.validate(),
            Self::Epidemic(message) => message.validate(),
        }
    }
}
