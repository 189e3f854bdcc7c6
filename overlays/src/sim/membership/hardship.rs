//! Clusters with membership in hard times: what the news of trouble may cost, and whom it may bury.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::event::{Event, Overlay, PAYLOAD_BYTES_MAX};
use crate::full_mesh::{self, FullMesh};
use crate::plumtree::{self, Plumtree};
use crate::sim::carrier::{Carrier, Task};
use crate::sim::subject::Observer;
use crate::time::Time;

const SECOND: Duration = Duration::from_secs(1);

fn settled<C: Subject + 'static>(
    seed: u64,
    count: NodeId,
    config: Config,
    make: MakeCarrier<C>,
) -> Cluster<C> {
    println!("seed {seed}");
    let network = NetworkConfig::default();
    let mut cluster = Cluster::complete(seed, count, network, config, make);
    cluster.join(Duration::from_millis(5), &mut |_, _, _| {});
    cluster.world.run_for(60 * SECOND);
    cluster
}

/// One node reaches only one other, for two minutes. Messages per node and second before, in the first
/// minute and in the second.
struct NearlyAlone(u64);

impl Task for NearlyAlone {
    type Output = [f64; 3];

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> [f64; 3] {
        let mut cluster = settled(self.0, 60, Config::default(), make);
        let before = cluster.measure(60 * SECOND).messages_per_node_s;
        let alone: Vec<bool> = (0..60).map(|node| node == 7).collect();
        let unreachable: Vec<bool> = (0..60).map(|node| node != 7 && node != 8).collect();
        cluster.world.cut(alone.clone(), unreachable.clone());
        cluster.world.cut(unreachable, alone);
        let minute = |cluster: &mut Cluster<C>| cluster.measure(60 * SECOND).messages_per_node_s;
        [before, minute(&mut cluster), minute(&mut cluster)]
    }
}

#[test]
fn one_node_that_reaches_only_one_other_does_not_keep_all_busy() {
    for carrier in [Carrier::FullMesh, Carrier::HyParView] {
        for seed in 1..=2 {
            let [before, first, second] = carrier.run(60, NearlyAlone(seed));
            println!("{carrier}: {before:.1}, then {first:.1}, then {second:.1}");
            assert!(first < before * 2.0, "{carrier}: {first} after {before}");
            assert!(second < before * 1.4, "{carrier}: {second} after {before}");
        }
    }
}

/// A fifth of all messages is lost for two minutes while one node does everything two seconds late.
/// Messages per node and second, and deaths told of the living.
struct Lossy(u64);

impl Task for Lossy {
    type Output = (f64, u64);

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> (f64, u64) {
        let mut cluster = settled(self.0, 500, Config::default(), make);
        cluster.world.set_network(NetworkConfig {
            loss: 0.2,
            ..NetworkConfig::default()
        });
        cluster.world.slow_down(3, 2 * SECOND);
        let cost = cluster.measure(120 * SECOND);
        let (_, downs) = cluster.world.observer.errors(None);
        (cost.messages_per_node_s, downs)
    }
}

#[test]
fn a_fifth_of_all_messages_lost_and_a_slow_node_bury_nobody() {
    for seed in 7..=8 {
        let (messages, downs) = Carrier::HyParView.run(500, Lossy(seed));
        println!("{messages:.1} messages, {downs} downs");
        assert_eq!(downs, 0);
        assert!(messages < 30.0, "{messages} messages per node and second");
    }
}

/// Four of five nodes crash silently. Periods until the rest agree, at most 60.
struct MassCrash(u64);

impl Task for MassCrash {
    type Output = Option<usize>;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> Option<usize> {
        let mut cluster = settled(self.0, 300, Config::default(), make);
        let running: Vec<NodeId> = cluster.world.running().collect();
        for node in running.into_iter().sample(&mut cluster.random, 240) {
            cluster.world.observer.gone.insert(node);
            cluster.world.crash(node, Death::Silent);
        }
        let periods = cluster.periods_to_agree(60);
        assert_eq!(cluster.world.observer.errors(None).1, 0);
        periods
    }
}

#[test]
fn when_most_crash_at_once_the_rest_soon_agree() {
    for seed in 7..=8 {
        let periods = Carrier::HyParView.run(300, MassCrash(seed));
        println!("{periods:?} periods");
        assert!(periods.is_some_and(|periods| periods <= 50), "{periods:?}");
    }
}

/// A machine is suspended, and wakes. Deaths that its node told of the others.
struct Suspended {
    seed: u64,
    span: Duration,
}

impl Task for Suspended {
    type Output = u64;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> u64 {
        let mut cluster = settled(self.seed, 60, Config::default(), make);
        cluster.world.pause(7);
        cluster.world.run_for(self.span);
        cluster.world.resume(7);
        let periods = cluster.periods_to_agree(60);
        assert!(periods.is_some(), "all agree again");
        cluster.world.run_for(120 * SECOND);
        assert!(cluster.agrees());
        cluster.world.observer.errors(Some(7)).1
    }
}

#[test]
fn a_suspended_machine_that_wakes_declares_nobody_down() {
    for carrier in Carrier::ALL {
        for seconds in [20, 120, 400, 900] {
            let span = Duration::from_secs(seconds);
            let downs = carrier.run(60, Suspended { seed: 5, span });
            assert_eq!(downs, 0, "{carrier}: after {seconds} s");
        }
    }
}

/// Every node of a full mesh is replaced three times, each time by one of another name, while both tables
/// have room for twice the nodes.
#[test]
fn replaced_nodes_make_room_for_those_that_replace_them() {
    const NODES: NodeId = 20;
    let room = 2 * NODES as usize;
    let make: MakeCarrier<Stack<FullMesh<NodeId>, Plumtree<NodeId>>> = Box::new(move |node| {
        let config = full_mesh::Config {
            peers_max: room,
            ..full_mesh::Config::default()
        };
        let broadcast = Plumtree::new(node, plumtree::Config::default());
        Stack::new(FullMesh::new(node, config), broadcast)
    });
    let config = Config {
        members_max: room,
        ..Config::default()
    };
    let mut cluster = Cluster::strangers(4, NODES, NetworkConfig::default(), config, make);
    cluster.join(Duration::from_millis(20), &mut |_, _, _| {});
    assert!(cluster.periods_to_agree(30).is_some(), "seed 4");
    for oldest in 0..3 * NODES {
        cluster.world.observer.gone.insert(oldest);
        let death = if oldest % 2 == 0 {
            Death::Silent
        } else {
            Death::Refuses
        };
        cluster.world.crash(oldest, death);
        let contact = cluster.world.running().choose(&mut cluster.random);
        let contact = contact.expect("nodes run");
        let newcomer = cluster.world.add_node();
        cluster.world.command(newcomer, Command::Join(contact));
        cluster.world.run_for(3 * SECOND);
    }
    assert!(cluster.periods_to_agree(60).is_some(), "seed 4");
    for node in cluster.world.running() {
        let degree = cluster
            .world
            .state(node)
            .map(|state| state.neighbors().len());
        assert_eq!(degree, Some(NODES as usize - 1), "node {node}");
    }
}

/// Counts what was delivered, by its length, and what was refused.
#[derive(Debug, Default)]
struct Lengths {
    delivered: Vec<usize>,
    refused: usize,
}

impl<X: Subject> Observer<X> for Lengths {
    fn event(&mut self, _at: Time, _node: NodeId, _state: &X, event: &Event<NodeId>) {
        match event {
            Event::Delivered(delivery) => self.delivered.push(delivery.payload.body.len()),
            Event::Refused { .. } => self.refused += 1,
            _ => {}
        }
    }
}

/// The largest payload, and one byte more. Deliveries by length, and refusals.
struct Largest;

impl Task for Largest {
    type Output = Lengths;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> Lengths {
        let config = Config::default();
        let table = complete_table(20, &config);
        let make = with_membership(config, Some(table), make);
        let mut world = World::new(6, NetworkConfig::default(), make, Lengths::default());
        for node in 0..20 {
            world.add_node();
            world.command(node, Command::Join(0));
        }
        world.run_for(30 * SECOND);
        for bytes in [PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1] {
            let payload = Bytes::from(vec![1; bytes]);
            world.command(3, Command::Broadcast(payload.into()));
            world.run_for(5 * SECOND);
        }
        std::mem::take(&mut world.observer)
    }
}

#[test]
fn the_largest_payload_reaches_everybody_and_one_byte_more_is_refused() {
    for carrier in Carrier::ALL {
        let lengths = carrier.run(20, Largest);
        assert_eq!(lengths.delivered, [PAYLOAD_BYTES_MAX; 19], "{carrier}");
        assert_eq!(lengths.refused, 1, "{carrier}");
    }
}
