//! Zones in whole clusters: few links between them, never none, and one overlay when a zone is lost.
//!
//! The whole stack of a node runs, so who is near is what members say of themselves, as membership spreads it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::membership::details;
use super::network::Death;
use super::switching::Switchable;
use super::{Graph, Make, NetworkConfig, NodeId, World};
use crate::broadcasts::Broadcasts;
use crate::epoch::OverlayKind;
use crate::event::{Command, Overlay};
use crate::membership::{Details, Membership};
use crate::protocols::Protocols;
use crate::stack::Stack;
use crate::switching::{Conductor, Switch};

const SECOND: Duration = Duration::from_secs(1);
const ZONES: NodeId = 3;

const fn zone_of(node: NodeId) -> NodeId {
    node % ZONES
}

/// So many nodes, in zones by turns, or in none, that began with that overlay a while ago.
fn cluster(seed: u64, count: NodeId, kind: OverlayKind, has_zones: bool) -> World<Switchable, ()> {
    println!("seed {seed}, {count} nodes of {kind}");
    let servers: Vec<NodeId> = (0..6).collect();
    let make: Make<Switchable> = Box::new(move |node, starts| {
        let Protocols {
            switch,
            broadcasts,
            membership,
            conductor,
        } = Protocols::default();
        let zone = format!("zone-{}", zone_of(node));
        let details = Details {
            zone: if has_zones { zone } else { String::new() },
            ..details(node, starts)
        };
        let switch = Switch::new(node, kind, servers.clone(), switch);
        let carrier = Stack::new(switch, Broadcasts::new(node, kind, broadcasts));
        let members = Membership::new(node, u64::from(starts) + 1, details, membership);
        let members = Stack::new(carrier, members.expect("small details"));
        let conductor = Conductor::new(node, kind, servers.clone(), conductor);
        Stack::new(members, conductor)
    });
    let mut world = World::new(seed, NetworkConfig::default(), make, ());
    for node in 0..count {
        world.add_node();
        if node > 0 {
            world.command(node, Command::Join(0));
        }
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(200 * SECOND);
    world
}

/// The links between zones, as pairs of zones, and how many there are of all.
fn between(world: &World<Switchable, ()>) -> (Vec<(NodeId, NodeId)>, usize) {
    let mut all = 0;
    let mut between = Vec::new();
    for node in world.running() {
        let neighbors = world.state(node).expect("it runs").neighbors();
        all += neighbors.len();
        let zones = neighbors.iter().map(|peer| (zone_of(node), zone_of(*peer)));
        between.extend(zones.filter(|(here, there)| here != there));
    }
    (between, all)
}

fn percent_between(world: &World<Switchable, ()>) -> usize {
    let (between, all) = between(world);
    between.len() * 100 / all
}

fn lose_a_zone(world: &mut World<Switchable, ()>) {
    let lost: Vec<_> = world.running().filter(|node| zone_of(*node) == 2).collect();
    for node in lost {
        world.crash(node, Death::Silent);
    }
}

#[test]
fn a_fifth_of_the_links_is_between_zones_and_a_zone_can_be_lost() {
    let mut world = cluster(1, 90, OverlayKind::HyParView, true);
    let graph = Graph::of(&world);
    assert!(graph.is_connected());
    let (between, all) = between(&world);
    let share = between.len() * 100 / all;
    assert!((15..=27).contains(&share), "{share} % of {all}");
    let pairs: BTreeSet<_> = between.into_iter().collect();
    assert_eq!(pairs.len(), 6, "each zone with each other one: {pairs:?}");

    lose_a_zone(&mut world);
    assert!(Graph::of(&world).is_connected(), "at once");
    world.run_for(200 * SECOND);
    assert!(Graph::of(&world).is_connected(), "and later");
    let share = percent_between(&world);
    assert!((12..=27).contains(&share), "{share} % after the loss");
    let degrees = Graph::of(&world).shape(0, 1);
    assert!(degrees.degree_mean > 4.5, "{degrees:?}");
}

#[test]
fn without_zones_nobody_is_preferred() {
    let world = cluster(4, 90, OverlayKind::HyParView, false);
    let share = percent_between(&world);
    assert!((55..=80).contains(&share), "{share} %");
}

#[test]
fn zones_of_different_sizes_stay_one_overlay() {
    // Of 60 nodes 57 are in one zone: the rest of them leaves.
    let mut world = cluster(5, 90, OverlayKind::HyParView, true);
    let small: Vec<_> = world.running().filter(|node| zone_of(*node) == 1).collect();
    for node in &small[3..] {
        world.crash(*node, Death::Silent);
    }
    world.run_for(300 * SECOND);
    let graph = Graph::of(&world);
    assert!(graph.is_connected());
    assert_eq!(graph.isolated(), 0);
}

#[test]
fn a_switch_takes_zones_along() {
    for (seed, from) in [(6, OverlayKind::FullMesh), (7, OverlayKind::ClientServer)] {
        let mut world = cluster(seed, 60, from, true);
        for kind in [OverlayKind::HyParView, OverlayKind::PubSub] {
            let servers = Vec::new();
            let order = Command::SwitchOverlay {
                kind,
                servers,
                trial: None,
            };
            world.command(3, order);
            world.run_for(300 * SECOND);
            let now = world.state(5).expect("it runs").upper.current().kind;
            assert_eq!(now, kind);
            let share = percent_between(&world);
            assert!((12..=30).contains(&share), "{share} % in {kind}");
            assert!(Graph::of(&world).is_connected());
        }
    }
}

#[test]
fn clients_end_up_with_servers_of_their_zone_and_take_others_when_those_are_gone() {
    let mut world = cluster(8, 60, OverlayKind::ClientServer, true);
    let zones_used = |world: &World<Switchable, ()>, node| {
        let servers = world.state(node).expect("it runs").neighbors();
        assert_eq!(servers.len(), 2, "servers of {node}");
        let zones = servers.iter().map(|server| zone_of(*server));
        zones.collect::<BTreeSet<_>>()
    };
    // Servers are 0 to 5, two in each zone.
    for client in 6..60 {
        let expected = BTreeSet::from([zone_of(client)]);
        assert_eq!(zones_used(&world, client), expected, "client {client}");
    }
    for server in [2, 5] {
        world.crash(server, Death::Silent);
    }
    world.run_for(120 * SECOND);
    for client in (6..60).filter(|client| zone_of(*client) == 2) {
        let used = zones_used(&world, client);
        assert!(!used.contains(&2), "client {client}: {used:?}");
    }
}
