//! Which client is connected to which servers, as the other servers tell it.
//!
//! Kept by servers only, so that they can relay to each other's clients. Told by increments, checked
//! by sums, told anew where the sums differ. Owns the bound on what one server may claim.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Peer;
use crate::hash::hash_of;

/// The clients of the other servers.
#[derive(Debug)]
pub(super) struct Directory<P> {
    by_server: BTreeMap<P, BTreeSet<P>>,
    clients_per_server_max: usize,
}

impl<P: Peer> Directory<P> {
    pub(super) const fn new(clients_per_server_max: usize) -> Self {
        Self {
            by_server: BTreeMap::new(),
            clients_per_server_max,
        }
    }

    /// A server says that it has these clients, besides those it had if not `first`.
    pub(super) fn add(&mut self, server: P, first: bool, clients: Vec<P>) {
        let known = self.by_server.entry(server).or_default();
        if first {
            known.clear();
        }
        let room = self.clients_per_server_max.saturating_sub(known.len());
        known.extend(clients.into_iter().take(room));
    }

    /// A server has lost a client.
    pub(super) fn remove(&mut self, server: &P, client: &P) {
        if let Some(known) = self.by_server.get_mut(server) {
            known.remove(client);
        }
    }

    /// Nothing is known of this server's clients any more.
    pub(super) fn remove_server(&mut self, server: &P) {
        self.by_server.remove(server);
    }

    /// The servers that have this client.
    pub(super) fn servers_of(&self, client: P) -> impl Iterator<Item = P> {
        let holders = self.by_server.iter();
        holders
            .filter(move |(_, clients)| clients.contains(&client))
            .map(|(server, _)| *server)
    }

    /// Whether what is known of a server agrees with its summary.
    pub(super) fn agrees(&self, server: &P, count: u32, sum: u64) -> bool {
        match self.by_server.get(server) {
            Some(clients) => summary(clients.iter()) == (count, sum),
            None => count == 0,
        }
    }
}

/// How many clients there are, and the sum of their hashes.
pub(super) fn summary<'a, P: Peer>(clients: impl Iterator<Item = &'a P>) -> (u32, u64) {
    clients.fold((0, 0), |(count, sum), client| {
        (count + 1, sum.wrapping_add(hash_of(client)))
    })
}
