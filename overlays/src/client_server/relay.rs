//! Payloads between nodes that have no lane to each other: client, server, server, client.
//!
//! A payload takes at most [`RELAY_HOPS_MAX`] lanes and is never kept: where there is no way on it is
//! dropped and counted. A server vouches for the sender's name of what its own clients send.

use bytes::Bytes;

use super::message::{Message, RELAY_HOPS_MAX, Relayed};
use super::servers::Link;
use super::{ClientServer, Out};
use crate::event::{Event, Output, Peer, Refusal};

impl<P: Peer> ClientServer<P> {
    /// The neighbor over which a node is reached: itself, a server that has it, or, for a client, one
    /// of its servers, one in this node's zone before others, and never the one that it came from. None if there is no way. The same one each
    /// time while nothing changes, so that payloads do not overtake each other.
    pub(super) fn way_to(&self, to: P, came_from: Option<P>) -> Option<P> {
        if self.clients.contains_key(&to) || self.servers.link(&to) == Some(Link::Neighbor) {
            return Some(to).filter(|to| Some(*to) != came_from);
        }
        let onward = |server: &P| {
            self.servers.link(server) == Some(Link::Neighbor) && Some(*server) != came_from
        };
        if self.is_server() {
            return self.nearest(self.directory.servers_of(to).filter(onward));
        }
        self.nearest(self.server_neighbors().filter(onward))
    }

    /// Sends a payload of this node's own.
    pub(super) fn relay(&mut self, to: P, payload: Bytes, out: &mut Out<P>) -> Result<(), Refusal> {
        if to == self.me || self.way_to(to, None).is_none() {
            return Err(Refusal::NoWay);
        }
        let relayed = Relayed {
            from: self.me,
            to,
            hops_left: RELAY_HOPS_MAX,
            payload,
        };
        self.pass_on(relayed, None, out);
        Ok(())
    }

    pub(super) fn on_relayed(&mut self, from: P, relayed: Relayed<P>, out: &mut Out<P>) {
        let from_server = self.servers.link(&from) == Some(Link::Neighbor);
        let from_client = self.clients.contains_key(&from) && relayed.from == from;
        if !from_server && !from_client {
            self.counters.unroutable += 1;
        } else if relayed.to == self.me {
            out.push(Output::Event(Event::Relayed {
                from: relayed.from,
                payload: relayed.payload,
            }));
        } else if self.is_server() {
            self.pass_on(relayed, Some(from), out);
        } else {
            self.counters.unroutable += 1;
        }
    }

    fn pass_on(&mut self, relayed: Relayed<P>, came_from: Option<P>, out: &mut Out<P>) {
        let next = self.way_to(relayed.to, came_from);
        match (next, relayed.hops_left.checked_sub(1)) {
            (Some(to), Some(hops_left)) => {
                let message = Message::Relayed(Relayed {
                    hops_left,
                    ..relayed
                });
                out.push(Output::Send { to, message });
            }
            _ => self.counters.unroutable += 1,
        }
    }
}
