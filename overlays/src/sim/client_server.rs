//! The client-server overlay in the simulator: are payloads relayed between any two nodes, and do
//! clients find another server?

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::NodeId;
use super::deliveries::{number_of, numbered};
use super::network::NetworkConfig;
use super::subject::{Observer, Subject};
use super::world::World;
use crate::client_server::{ClientServer, Config, Role};
use crate::event::{Command, Event, Overlay};
use crate::time::Time;

/// Payloads that arrived, by number.
#[derive(Debug, Default)]
pub struct Relays {
    arrived: BTreeSet<(NodeId, u64)>,
}

impl<X: Subject> Observer<X> for Relays {
    fn event(&mut self, _at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        if let Event::Relayed { payload, .. } = event
            && let Some(number) = number_of(payload)
        {
            self.arrived.insert((node, number));
        }
    }
}

/// A cluster of servers, which come first, and clients.
#[derive(Debug)]
pub struct Star {
    /// The nodes.
    pub world: World<ClientServer<NodeId>, Relays>,
    random: Xoshiro256PlusPlus,
    sent: u64,
}

impl Star {
    /// `servers` servers and `clients` clients, one each `spacing`. Each knows the first three servers.
    #[must_use]
    pub fn new(
        seed: u64,
        servers: NodeId,
        clients: NodeId,
        network: NetworkConfig,
        spacing: Duration,
    ) -> Self {
        let make = move |node: NodeId, _| {
            let contacts = (0..servers.min(3)).collect();
            let config = if node < servers {
                Config::server(contacts)
            } else {
                Config::client(contacts)
            };
            ClientServer::new(node, config)
        };
        let mut world = World::new(seed, network, Box::new(make), Relays::default());
        for _ in 0..servers + clients {
            world.add_node();
            world.run_for(spacing);
        }
        Self {
            world,
            random: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x7374_6172_0000_0000),
            sent: 0,
        }
    }

    /// Sends `count` payloads between random pairs of running nodes, one each `interval`, and says how
    /// many arrived within `drain` after the last.
    pub fn relay(&mut self, count: usize, interval: Duration, drain: Duration) -> usize {
        let mut expected = Vec::new();
        for _ in 0..count {
            let pair: Vec<NodeId> = self.world.running().sample(&mut self.random, 2);
            let [one, other] = pair[..] else { break };
            let (from, to) = if self.random.random_bool(0.5) {
                (one, other)
            } else {
                (other, one)
            };
            let payload = numbered(self.sent);
            expected.push((to, self.sent));
            self.sent += 1;
            self.world.command(from, Command::Relay { to, payload });
            self.world.run_for(interval);
        }
        self.world.run_for(drain);
        let arrived = &self.world.observer.arrived;
        expected
            .iter()
            .filter(|sent| arrived.contains(sent))
            .count()
    }

    /// Clients without as many servers as they should have.
    #[must_use]
    pub fn clients_short_of_servers(&self, wanted: usize) -> usize {
        let states = self
            .world
            .running()
            .filter_map(|node| self.world.state(node));
        let clients = states.filter(|state| state.role() == Role::Client);
        clients
            .filter(|client| client.neighbors().len() < wanted)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Graph;
    use super::super::network::Death;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settled(seed: u64) -> Star {
        println!("seed {seed}");
        let mut star = Star::new(seed, 6, 200, NetworkConfig::default(), Duration::ZERO);
        star.world.run_for(10 * SECOND);
        star
    }

    #[test]
    fn every_client_has_two_servers_and_every_server_all_others() {
        let star = settled(1);
        assert_eq!(star.clients_short_of_servers(2), 0);
        for server in 0..6 {
            let state = star.world.state(server).expect("runs");
            let servers = state.neighbors().into_iter().filter(|peer| *peer < 6);
            assert_eq!(servers.count(), 5);
        }
        assert!(Graph::of(&star.world).one_way_edges().is_empty());
    }

    #[test]
    fn payloads_reach_any_node_from_any_other() {
        let mut star = settled(2);
        let arrived = star.relay(500, Duration::from_millis(10), SECOND);
        assert_eq!(arrived, 500);
    }

    #[test]
    fn clients_of_a_crashed_server_take_another_one() {
        let mut star = settled(3);
        star.world.crash(0, Death::Refuses);
        star.world.crash(4, Death::Silent);
        star.world.run_for(10 * SECOND);
        assert_eq!(star.clients_short_of_servers(2), 0);
        assert_eq!(star.relay(500, Duration::from_millis(10), SECOND), 500);
    }

    #[test]
    fn a_cluster_whose_servers_all_crashed_comes_back_with_them() {
        let mut star = settled(4);
        for server in 0..6 {
            star.world.crash(server, Death::Refuses);
        }
        star.world.run_for(30 * SECOND);
        assert_eq!(star.clients_short_of_servers(1), 200);
        for server in 0..6 {
            star.world.restart(server);
        }
        star.world.run_for(10 * SECOND);
        assert_eq!(star.clients_short_of_servers(2), 0);
        assert_eq!(star.relay(200, Duration::from_millis(10), SECOND), 200);
    }

    #[test]
    fn lost_and_repeated_messages_do_not_keep_clients_out() {
        let network = NetworkConfig {
            loss: 0.2,
            duplication: 0.1,
            reorder: 0.1,
            ..NetworkConfig::default()
        };
        let mut star = Star::new(5, 6, 200, network, Duration::ZERO);
        star.world.run_for(60 * SECOND);
        star.world.set_network(NetworkConfig::default());
        star.world.run_for(30 * SECOND);
        assert_eq!(star.clients_short_of_servers(2), 0);
        assert!(Graph::of(&star.world).one_way_edges().is_empty());
        assert_eq!(star.relay(500, Duration::from_millis(10), SECOND), 500);
    }

    #[test]
    fn two_halves_grow_together_after_a_partition() {
        let mut star = settled(6);
        star.world.cut_in_halves();
        star.world.run_for(60 * SECOND);
        assert_eq!(
            star.clients_short_of_servers(2),
            0,
            "three servers in each half"
        );
        star.world.heal();
        star.world.run_for(10 * SECOND);
        assert!(Graph::of(&star.world).is_connected());
        assert_eq!(star.relay(500, Duration::from_millis(10), SECOND), 500);
    }
}
