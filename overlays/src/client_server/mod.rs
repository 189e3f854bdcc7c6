//! Client-server: servers connected to each other, clients connected to a few servers each.
//!
//! Right where most nodes may not be dialed, or come and go: a client costs the cluster one lane per
//! server it uses. A client that loses a server takes another one at once. Nodes that have no lane to
//! each other talk through the servers (`relay`), which tell each other who their clients are
//! (`directory`). Broadcasts are the business of a layer above, as on every overlay.
//!
//! Where nodes are in zones, clients use servers of their own as far as there are any (`nearer`), and so do payloads on their
//! way. Servers are meshed over all zones, so zones do not part as long as a server lives.
//!
//! The neighbors of a server are the other servers and its clients; those of a client, its servers.

mod directory;
mod message;
mod nearer;
mod relay;
mod servers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};
use serde::Serialize;

use crate::event::{
    Command, Event, Input, InputOf, Output, OutputOf, Overlay, Peer, Protocol, WhyDown,
};
use crate::time::Time;
use directory::Directory;
use servers::{Link, Servers};

pub use message::{CLIENTS_PER_MESSAGE_MAX, Message, RELAY_HOPS_MAX, Relayed, Role, SERVERS_MAX};

/// Settings of a [`ClientServer`].
#[derive(Clone, Debug)]
pub struct Config<P> {
    /// What this node is.
    pub role: Role,
    /// Servers to begin with, never forgotten. More are learned from them.
    pub servers: Vec<P>,
    /// Servers that a client is connected to at a time. 2: one may fail without a gap.
    pub servers_per_client: usize,
    /// Most clients of one server; others are sent on. 1,024: a guess, 16 MiB of lane buffers.
    pub clients_max: usize,
    /// How often missing lanes are dialed again. 1 s: a guess; a client without any server is
    /// silent for so long at most once a server is back.
    pub period: Duration,
}

impl<P> Config<P> {
    /// The defaults of a server.
    #[must_use]
    pub const fn server(servers: Vec<P>) -> Self {
        Self {
            role: Role::Server,
            servers,
            servers_per_client: 2,
            clients_max: 1_024,
            period: Duration::from_secs(1),
        }
    }

    /// The defaults of a client.
    #[must_use]
    pub const fn client(servers: Vec<P>) -> Self {
        let mut config = Self::server(servers);
        config.role = Role::Client;
        config
    }
}

/// How often a node greets its servers again, in periods; a client each period while it is short of
/// them. They answer with the servers that they know by now. 10: a guess.
const HELLO_PERIODS: u32 = 10;
/// Periods without a hello after which a server takes a client for gone though the lane is there. 50:
/// five hellos in a row are hardly lost.
const SILENT_PERIODS_MAX: u32 = 5 * HELLO_PERIODS;

/// The only timer: one period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PeriodOver;

/// What a node has dropped or refused since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients sent on because this server was full.
    pub refused: u64,
    /// Payloads to be relayed for which there was no way on.
    pub unroutable: u64,
}

type Out<P> = Vec<Output<P, Message<P>, PeriodOver>>;

/// The overlay state of one node.
#[derive(Debug)]
pub struct ClientServer<P> {
    me: P,
    config: Config<P>,
    servers: Servers<P>,
    /// Of a server, with the periods since each said hello.
    clients: BTreeMap<P, u32>,
    directory: Directory<P>,
    /// Nodes in the zone of this one.
    near: BTreeSet<P>,
    periods: u32,
    counters: Counters,
    has_left: bool,
}

impl<P: Peer> ClientServer<P> {
    /// A node that is connected to nobody yet.
    #[must_use]
    pub fn new(me: P, config: Config<P>) -> Self {
        let mut servers = Servers::new();
        for server in config.servers.iter().filter(|server| **server != me) {
            servers.learn(*server, true);
        }
        Self {
            me,
            directory: Directory::new(config.clients_max),
            config,
            servers,
            clients: BTreeMap::new(),
            near: BTreeSet::new(),
            periods: 0,
            counters: Counters::default(),
            has_left: false,
        }
    }

    /// What this node is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.config.role
    }

    /// What this node has dropped or refused.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Says which bound is broken, if any is.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let clients = self.clients.len();
        if clients > self.config.clients_max || (!self.is_server() && clients > 0) {
            return Err(format!("{:?} has {clients} clients", self.config.role));
        }
        let used = self.server_neighbors().count();
        if !self.is_server() && used > self.config.servers_per_client {
            return Err(format!("client uses {used} servers"));
        }
        Ok(())
    }

    fn is_server(&self) -> bool {
        self.config.role == Role::Server
    }

    fn server_neighbors(&self) -> impl Iterator<Item = P> {
        self.servers.with(|link| link == Link::Neighbor)
    }

    fn server_list(&self) -> Vec<P> {
        let mut list: Vec<P> = self.server_neighbors().take(SERVERS_MAX - 1).collect();
        if self.is_server() {
            list.push(self.me);
        }
        list
    }

    /// Dials what is missing: all servers for a server, a few for a client.
    fn dial_missing<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        let most = if self.is_server() {
            SERVERS_MAX
        } else {
            self.servers_missing()
        };
        // Who has no server at all has nothing to lose by trying.
        let urgent = self.server_neighbors().next().is_none();
        let is_near = |peer| self.near.contains(&peer);
        let chosen = (self.servers).choose_apart(most, urgent, is_near, random);
        for peer in chosen {
            self.servers.set_link(&peer, Link::Dialing);
            out.push(Output::Connect(peer));
        }
    }

    fn lane_up(&mut self, peer: P, out: &mut Out<P>) {
        match self.servers.link(&peer) {
            Some(Link::Dialing) => {}
            // Given up meanwhile, or dialed by the other end: greeted if there is use for it.
            Some(Link::Apart) if self.is_server() || self.servers_missing() > 0 => {}
            Some(Link::Apart) => {
                out.push(Output::Disconnect(peer));
                return;
            }
            // A lane that a stranger dialed stays a stranger's until it says hello.
            None | Some(Link::Greeted { .. } | Link::Neighbor) => return,
        }
        self.servers.set_link(&peer, Link::Greeted { periods: 0 });
        out.push(Output::Send {
            to: peer,
            message: Message::Hello(self.config.role),
        });
    }

    /// Servers that a client should be dialing but is not.
    fn servers_missing(&self) -> usize {
        let under_way = self.servers.with(|link| link != Link::Apart).count();
        self.config.servers_per_client.saturating_sub(under_way)
    }

    fn lane_down<R: Rng>(&mut self, peer: P, why: WhyDown, random: &mut R, out: &mut Out<P>) {
        self.client_gone(peer, out);
        let was_neighbor = self.server_gone(peer, out);
        self.servers.failed(&peer, why);
        if was_neighbor && !self.is_server() {
            self.dial_missing(random, out);
        }
    }

    /// A server that was a neighbor is none any more. Whether it was.
    fn server_gone(&mut self, peer: P, out: &mut Out<P>) -> bool {
        let was_neighbor = self.servers.link(&peer) == Some(Link::Neighbor);
        if was_neighbor {
            self.directory.remove_server(&peer);
            out.push(Output::Event(Event::NeighborDown(peer)));
        }
        was_neighbor
    }

    fn client_gone(&mut self, peer: P, out: &mut Out<P>) {
        if self.clients.remove(&peer).is_some() {
            out.push(Output::Event(Event::NeighborDown(peer)));
            for to in self.server_neighbors() {
                let message = Message::ClientGone(peer);
                out.push(Output::Send { to, message });
            }
        }
    }

    fn on_hello(&mut self, from: P, role: Role, out: &mut Out<P>) {
        let has_room = self.clients.len() < self.config.clients_max;
        let known_client = self.clients.contains_key(&from);
        match role {
            Role::Server if self.is_server() => {
                self.servers.learn(from, false);
                if self.servers.link(&from).is_none() {
                    self.refuse(from, out);
                    return;
                }
                self.become_neighbor(from, out);
            }
            Role::Client if self.is_server() && (known_client || has_room) => {
                self.server_gone(from, out);
                self.servers.forget(&from);
                if self.clients.insert(from, 0).is_none() {
                    out.push(Output::Event(Event::NeighborUp(from)));
                    for to in self.server_neighbors() {
                        let message = Message::Clients {
                            first: false,
                            clients: vec![from],
                        };
                        out.push(Output::Send { to, message });
                    }
                }
            }
            Role::Server | Role::Client => {
                self.refuse(from, out);
                return;
            }
        }
        out.push(Output::Send {
            to: from,
            message: Message::Welcome(self.server_list()),
        });
    }

    fn refuse(&mut self, from: P, out: &mut Out<P>) {
        self.counters.refused += 1;
        out.push(Output::Send {
            to: from,
            message: Message::Refused(self.server_list()),
        });
        out.push(Output::Disconnect(from));
    }

    fn become_neighbor(&mut self, server: P, out: &mut Out<P>) {
        if self.servers.link(&server) == Some(Link::Neighbor) {
            return;
        }
        // Restarted in another role, perhaps.
        self.client_gone(server, out);
        self.servers.set_link(&server, Link::Neighbor);
        out.push(Output::Event(Event::NeighborUp(server)));
        if self.is_server() {
            self.tell_clients(server, out);
        } else {
            self.drop_far_servers(out);
        }
    }

    fn tell_clients(&self, to: P, out: &mut Out<P>) {
        let clients: Vec<P> = self.clients.keys().copied().collect();
        for (index, chunk) in clients.chunks(CLIENTS_PER_MESSAGE_MAX).enumerate() {
            let message = Message::Clients {
                first: index == 0,
                clients: chunk.to_vec(),
            };
            out.push(Output::Send { to, message });
        }
    }

    fn on_welcome<R: Rng>(&mut self, from: P, servers: Vec<P>, random: &mut R, out: &mut Out<P>) {
        // Only a server that was greeted may welcome: a stranger cannot make itself a neighbor.
        if !matches!(
            self.servers.link(&from),
            Some(Link::Greeted { .. } | Link::Neighbor)
        ) {
            // A late answer to a hello that was given up, unless it is a stranger's: undo the hello.
            let message = Message::Apart;
            out.push(Output::Send { to: from, message });
            return;
        }
        self.become_neighbor(from, out);
        self.learn_servers(servers);
        self.dial_missing(random, out);
    }

    fn on_refused<R: Rng>(&mut self, from: P, servers: Vec<P>, random: &mut R, out: &mut Out<P>) {
        if !matches!(self.servers.link(&from), Some(Link::Greeted { .. })) {
            return;
        }
        self.servers.failed(&from, WhyDown::Refused);
        out.push(Output::Disconnect(from));
        self.learn_servers(servers);
        self.dial_missing(random, out);
    }

    fn learn_servers(&mut self, servers: Vec<P>) {
        for server in servers {
            if server != self.me {
                self.servers.learn(server, false);
            }
        }
    }

    fn period_over<R: Rng>(&mut self, random: &mut R, out: &mut Out<P>) {
        out.push(Output::SetTimer {
            id: PeriodOver,
            after: self.config.period,
        });
        let (again, silent) = self.servers.period_over();
        for to in again {
            let message = Message::Hello(self.config.role);
            out.push(Output::Send { to, message });
        }
        for peer in silent {
            self.servers.failed(&peer, WhyDown::TimedOut);
            out.push(Output::Disconnect(peer));
        }
        self.dial_missing(random, out);
        self.periods = self.periods.wrapping_add(1);
        if self.is_server() {
            self.drop_silent_clients(out);
            if let Some(to) = self.server_neighbors().choose(random) {
                let (count, sum) = directory::summary(self.clients.keys());
                let message = Message::ClientsSummary { count, sum };
                out.push(Output::Send { to, message });
            }
        }
        let short = !self.is_server() && self.is_short_of_servers();
        if short || self.periods.is_multiple_of(HELLO_PERIODS) {
            self.greet_servers(out);
        }
        if !self.is_server() && self.periods.is_multiple_of(HELLO_PERIODS) {
            self.dial_nearer(random, out);
        }
    }

    fn greet_servers(&self, out: &mut Out<P>) {
        for to in self.server_neighbors() {
            let message = Message::Hello(self.config.role);
            out.push(Output::Send { to, message });
        }
    }

    /// A client's last words may have overtaken each other: what it does not repeat is not so.
    fn drop_silent_clients(&mut self, out: &mut Out<P>) {
        for periods in self.clients.values_mut() {
            *periods += 1;
        }
        let silent = self
            .clients
            .iter()
            .filter(|(_, periods)| **periods > SILENT_PERIODS_MAX);
        let silent: Vec<P> = silent.map(|(peer, _)| *peer).collect();
        for peer in silent {
            self.client_gone(peer, out);
            out.push(Output::Disconnect(peer));
        }
    }

    fn is_short_of_servers(&self) -> bool {
        self.server_neighbors().count() < self.config.servers_per_client
    }

    fn received<R: Rng>(&mut self, from: P, message: Message<P>, random: &mut R, out: &mut Out<P>) {
        if from == self.me {
            return;
        }
        let from_server = self.servers.link(&from) == Some(Link::Neighbor);
        match message {
            Message::Hello(role) => self.on_hello(from, role, out),
            Message::Welcome(servers) => self.on_welcome(from, servers, random, out),
            Message::Refused(servers) => self.on_refused(from, servers, random, out),
            Message::Apart => self.lane_down(from, WhyDown::Refused, random, out),
            Message::Goodbye => {
                self.lane_down(from, WhyDown::AskedFor, random, out);
                // One that the operator named may come back under its name.
                if !self.config.servers.contains(&from) {
                    self.servers.forget(&from);
                }
            }
            Message::Relayed(relayed) => self.on_relayed(from, relayed, out),
            // The rest is between servers that are neighbors.
            _ if !(from_server && self.is_server()) => {}
            Message::Clients { first, clients } => self.directory.add(from, first, clients),
            Message::ClientGone(client) => self.directory.remove(&from, &client),
            Message::ClientsSummary { count, sum } => {
                if !self.directory.agrees(&from, count, sum) {
                    self.directory.remove_server(&from);
                    let message = Message::WantClients;
                    out.push(Output::Send { to: from, message });
                }
            }
            Message::WantClients => self.tell_clients(from, out),
        }
    }

    fn command<R: Rng>(&mut self, command: Command<P>, random: &mut R, out: &mut Out<P>) {
        match command {
            Command::Join(contact) if contact != self.me => {
                self.servers.learn(contact, false);
                self.dial_missing(random, out);
            }
            Command::Relay { to, ref payload } => {
                let sent = command
                    .check_size()
                    .and_then(|()| self.relay(to, payload.clone(), out));
                if let Err(why) = sent {
                    self.counters.unroutable += 1;
                    out.push(Output::Event(Event::Refused { command, why }));
                }
            }
            Command::Woken => self.greet_servers(out),
            Command::Leave => {
                for to in self.neighbors() {
                    let message = Message::Goodbye;
                    out.push(Output::Send { to, message });
                    out.push(Output::Disconnect(to));
                    out.push(Output::Event(Event::NeighborDown(to)));
                }
                self.servers = Servers::new();
                self.clients.clear();
                self.has_left = true;
                out.push(Output::Event(Event::Left));
            }
            Command::Near { peer, is_near } => {
                if is_near {
                    self.near.insert(peer);
                } else {
                    self.near.remove(&peer);
                }
            }
            // Orders for layers that this stack does not have.
            _ => {}
        }
    }
}

impl<P: Peer> Protocol<P> for ClientServer<P> {
    type Message = Message<P>;
    type Timer = PeriodOver;

    fn handle<R: Rng>(
        &mut self,
        _now: Time,
        input: InputOf<Self, P>,
        random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        if self.has_left {
            return;
        }
        match input {
            Input::Start => {
                self.dial_missing(random, out);
                // Nodes started together must not all dial again at the same moment.
                let after = self.config.period.mul_f64(random.random_range(0.0..=1.0));
                let id = PeriodOver;
                out.push(Output::SetTimer { id, after });
            }
            Input::Received { from, message } => self.received(from, message, random, out),
            Input::PeerUp(peer) => self.lane_up(peer, out),
            Input::PeerDown { peer, why } => self.lane_down(peer, why, random, out),
            Input::Timer(PeriodOver) => self.period_over(random, out),
            Input::Command(command) => self.command(command, random, out),
            Input::Congested(_) | Input::Drained(_) | Input::Below(_) => {}
        }
    }
}

impl<P: Peer> Overlay<P> for ClientServer<P> {
    fn neighbors(&self) -> Vec<P> {
        let mut neighbors: Vec<P> = self.server_neighbors().collect();
        neighbors.extend(self.clients.keys());
        neighbors.sort_unstable();
        neighbors
    }

    fn next_hop<R: Rng>(&self, to: P, came_from: Option<P>, _random: &mut R) -> Option<P> {
        self.way_to(to, came_from)
    }
}
