//! Messages of the client-server overlay, and their bounds.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{PAYLOAD_BYTES_MAX, Peer};
use crate::message::{self, DecodeError, at_most};

/// Most servers in a cluster, and so in a message: each has a lane to each other.
pub const SERVERS_MAX: usize = 64;
/// Most clients in one message; more go in several.
pub const CLIENTS_PER_MESSAGE_MAX: usize = 256;
/// Most hops of a relayed payload: to a server, to the receiver's server, to the receiver, and one
/// more for a receiver that has just changed its server.
pub const RELAY_HOPS_MAX: u8 = 4;

/// What a node is in this overlay. It does not change while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Connected to every other server, and to its clients.
    Server,
    /// Connected to a few servers.
    Client,
}

/// A payload on its way through the servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed<P> {
    /// Who sent it. A server vouches for what its own clients send.
    pub from: P,
    /// Who is to get it.
    pub to: P,
    /// Lanes that it may still take.
    pub hops_left: u8,
    /// What was sent. Not encoded: the tail of the message.
    #[serde(skip)]
    pub payload: Bytes,
}

/// Messages of the client-server overlay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message<P> {
    /// First word of the node that dialed; repeated until answered.
    Hello(Role),
    /// A server's answer: you are my neighbor, and these are the servers.
    Welcome(Vec<P>),
    /// Not here: no server, or a server without room. These are servers.
    Refused(Vec<P>),
    /// I leave for good.
    Goodbye,
    /// You are no neighbor of mine, whatever I said before.
    Apart,
    /// Between servers: these are clients of mine. `first` begins the list anew.
    Clients {
        /// Forget what was said before.
        first: bool,
        /// Some of the clients.
        clients: Vec<P>,
    },
    /// Between servers: this is no client of mine any more.
    ClientGone(P),
    /// Between servers: how many clients I have, and the sum of their hashes.
    ClientsSummary {
        /// How many.
        count: u32,
        /// Order does not matter.
        sum: u64,
    },
    /// Between servers: what I know does not sum up to that; tell me all.
    WantClients,
    /// A payload for somebody who may not be a neighbor.
    Relayed(Relayed<P>),
}

impl<P: Peer> message::Message for Message<P> {
    /// A relayed payload, or a full list of clients, whichever is longer.
    const BYTES_MAX: usize = {
        let relayed = 1 + 2 * P::BYTES_MAX + 1 + PAYLOAD_BYTES_MAX;
        let clients = 1 + 1 + 2 + CLIENTS_PER_MESSAGE_MAX * P::BYTES_MAX;
        if relayed > clients { relayed } else { clients }
    };

    fn tail(&self) -> Bytes {
        match self {
            Self::Relayed(relayed) => relayed.payload.clone(),
            _ => Bytes::new(),
        }
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        match self {
            Self::Relayed(relayed) => relayed.payload = tail,
            _ if tail.is_empty() => {}
            _ => return Err(DecodeError::Malformed),
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Welcome(servers) | Self::Refused(servers) => {
                at_most(servers, SERVERS_MAX, "servers")
            }
            Self::Clients { clients, .. } => at_most(clients, CLIENTS_PER_MESSAGE_MAX, "clients"),
            Self::Relayed(relayed) => {
                at_most(&relayed.payload, PAYLOAD_BYTES_MAX, "payload")?;
                if relayed.hops_left <= RELAY_HOPS_MAX {
                    Ok(())
                } else {
                    Err(DecodeError::Invalid { field: "hops_left" })
                }
            }
            Self::Hello(_)
            | Self::Goodbye
            | Self::Apart
            | Self::ClientGone(_)
            | Self::ClientsSummary { .. }
            | Self::WantClients => Ok(()),
        }
    }
}
