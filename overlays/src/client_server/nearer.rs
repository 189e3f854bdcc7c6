//! Servers of the own zone before others: for clients, and for payloads on their way.
//!
//! Members are known, and so who is near, only once a client is connected to some server. So a client that has servers of
//! other zones dials one of its own now and then, and gives one of the others up once that has let it in: it is never
//! without. Servers that failed are not tried for this alone.

use rand::Rng;

use super::message::Message;
use super::servers::Link;
use super::{ClientServer, Out};
use crate::event::{Event, Output, Peer, WhyDown};

impl<P: Peer> ClientServer<P> {
    /// The first of these that is near, or the first of all.
    pub(super) fn nearest(&self, servers: impl Iterator<Item = P>) -> Option<P> {
        let mut servers = servers.peekable();
        let first = servers.peek().copied();
        servers.find(|peer| self.near.contains(peer)).or(first)
    }

    /// A server of another zone that this client is connected to.
    fn far_server(&self) -> Option<P> {
        self.server_neighbors()
            .find(|server| !self.near.contains(server))
    }

    /// Dials a server of the own zone besides those that this client has, if one of them is of another.
    pub(super) fn dial_nearer<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        if self.is_short_of_servers() || self.servers_missing() > 0 || self.far_server().is_none() {
            return;
        }
        let under_way = self.servers.with(|link| link != Link::Apart).count();
        if under_way > self.config.servers_per_client {
            return;
        }
        let is_near = |peer| self.near.contains(&peer);
        if let Some(peer) = self.servers.nearer(is_near, random) {
            self.servers.set_link(&peer, Link::Dialing);
            out.push(Output::Connect(peer));
        }
    }

    /// Gives up servers that this client has too many of, those of other zones first.
    pub(super) fn drop_far_servers(&mut self, out: &mut Out<P>) {
        while self.server_neighbors().count() > self.config.servers_per_client {
            let last = self.server_neighbors().last();
            let Some(peer) = self.far_server().or(last) else {
                return;
            };
            let message = Message::Apart;
            out.push(Output::Send { to: peer, message });
            out.push(Output::Disconnect(peer));
            self.servers.failed(&peer, WhyDown::Busy);
            out.push(Output::Event(Event::NeighborDown(peer)));
        }
    }
}
