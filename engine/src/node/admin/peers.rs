//! Requests about peers.

use std::time::Duration;

use super::name_refused;
use crate::admin::{Answer, PeerStatus, Refusal, Request};
use crate::error::WaitError;
use crate::node::{Node, PeerInfo};

pub(super) fn answer(node: &Node, request: Request) -> Result<Answer, Refusal> {
    match request {
        Request::Connect {
            peer,
            address,
            wait_ms,
        } => {
            node.connect(&peer, address).map_err(name_refused)?;
            if wait_ms > 0 {
                let connected = node.wait_connected(&peer, Duration::from_millis(wait_ms));
                connected.map_err(|error| match error {
                    WaitError::Name(error) => name_refused(error),
                    WaitError::NotConnected(error) => Refusal::failed(error),
                })?;
            }
            Ok(Answer::Done)
        }
        Request::Disconnect { peer } => {
            node.disconnect(&peer).map_err(name_refused)?;
            Ok(Answer::Done)
        }
        Request::Forget { peer } => {
            node.forget(&peer).map_err(name_refused)?;
            Ok(Answer::Done)
        }
        _ => Ok(Answer::Peers(node.peers().iter().map(status).collect())),
    }
}

fn status(known: &PeerInfo) -> PeerStatus {
    PeerStatus {
        peer: known.peer.name().to_owned(),
        connected: known.peer.is_connected(),
        address: known.address,
        incarnation: known.peer.incarnation(),
        lanes_up: known.lanes_up,
        lanes: known.lanes,
    }
}
