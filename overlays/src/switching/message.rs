//! What the switches of two nodes say to each other, and what the conductors broadcast.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::any::AnyMessage;
use super::part::PART_MAX;
use crate::client_server::SERVERS_MAX;
use crate::epoch::{Epoch, Proposal, Sampling, WhyBack};
use crate::event::Peer;
use crate::message::{self, DecodeError, at_most};

/// Most nodes in one message about who was reached; more go in several.
pub(super) const REACHED_MAX: usize = 256;

/// Messages between the switches of two nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// Of an overlay.
    Overlay {
        /// Which one.
        epoch: Epoch<P>,
        /// What it says.
        message: AnyMessage<P>,
    },
    /// What is in force at the sender, and what it is building. Answered with the same by who knows of
    /// something newer.
    State {
        /// In force.
        current: Proposal<P>,
        /// Being built.
        next: Option<Proposal<P>>,
    },
    /// The overlay of this epoch does without the lane between us; another one goes on using it.
    Apart(Epoch<P>),
    /// Pass this on to all neighbors in the overlay of this epoch, and answer for those it reaches.
    Probe {
        /// Of the overlay.
        epoch: Epoch<P>,
        /// Which probe: the greater, the later.
        round: u32,
    },
    /// Answer to a probe: these were reached, and lack nothing in the overlay of this epoch.
    Reached {
        /// Of the overlay.
        epoch: Epoch<P>,
        /// At most 256.
        peers: Vec<P>,
    },
    /// Pass this on in the overlay of this epoch, and answer it if the other one is tried here.
    Sample {
        /// Which sample, and over which overlay.
        sampling: Sampling<P>,
        /// Hops that it has gone, this one included.
        hops: u8,
    },
    /// Answer to a sample.
    Sampled {
        /// To which sample, over the overlay that carried it.
        sampling: Sampling<P>,
        /// Who answers.
        peer: P,
        /// Hops that the sample went.
        hops: u8,
        /// How often the sample before came to it.
        copies: u8,
    },
}

/// What conductors broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Words<P> {
    /// Build this overlay.
    Announce(Proposal<P>),
    /// This overlay is in force.
    Commit(Proposal<P>),
    /// Give up the overlay of this epoch, for that reason.
    Abort(Epoch<P>, WhyBack),
}

/// Most bytes of an encoded epoch.
const fn epoch_bytes_max<P: Peer>() -> usize {
    10 + 1 + P::BYTES_MAX + 3
}

/// Most bytes of an encoded proposal.
const fn proposal_bytes_max<P: Peer>() -> usize {
    let trial = 1 + 2 + PART_MAX * P::BYTES_MAX + 5;
    epoch_bytes_max::<P>() + 1 + 1 + SERVERS_MAX * P::BYTES_MAX + trial
}

fn validate_proposal<P>(proposal: &Proposal<P>) -> Result<(), DecodeError> {
    at_most(&proposal.servers, SERVERS_MAX, "servers")?;
    let trial = proposal.trial.as_ref();
    trial.map_or(Ok(()), |trial| {
        at_most(&trial.part, PART_MAX, "nodes of a trial")
    })
}

impl<P: Peer> message::Message for Message<P> {
    /// A message of an overlay, two proposals, a full list of nodes, or a sample, whichever is longest.
    const BYTES_MAX: usize = {
        let overlay = 1 + epoch_bytes_max::<P>() + AnyMessage::<P>::BYTES_MAX;
        let state = 1 + proposal_bytes_max::<P>() + 1 + proposal_bytes_max::<P>();
        let reached = 1 + epoch_bytes_max::<P>() + 2 + REACHED_MAX * P::BYTES_MAX;
        let sampled = 1 + 2 * epoch_bytes_max::<P>() + 5 + P::BYTES_MAX + 2;
        let longest = if overlay > state { overlay } else { state };
        let longest = if longest > reached { longest } else { reached };
        if longest > sampled { longest } else { sampled }
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::Overlay { message, .. } => message.tail(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Overlay { message, .. } => message.attach(tail),
            _ if tail.is_empty() => Ok(()),
            _ => Err(DecodeError::Malformed),
        }
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Overlay { message, .. } => message.validate(),
            Self::State { current, next } => {
                validate_proposal(current)?;
                next.as_ref().map_or(Ok(()), validate_proposal)
            }
            Self::Reached { peers, .. } => at_most(peers, REACHED_MAX, "peers"),
            Self::Apart(_) | Self::Probe { .. } | Self::Sample { .. } | Self::Sampled { .. } => {
                Ok(())
            }
        }
    }
}

impl<P: Peer> message::Message for Words<P> {
    const BYTES_MAX: usize = 1 + proposal_bytes_max::<P>();

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Announce(proposal) | Self::Commit(proposal) => validate_proposal(proposal),
            Self::Abort(..) => Ok(()),
        }
    }
}
