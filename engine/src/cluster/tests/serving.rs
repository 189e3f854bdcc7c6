//! Servers of a client-server overlay that are chosen, and replaced when they go.

use std::collections::BTreeSet;
use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::membership::{Fitness, RoleWish};

use super::World;
use crate::cluster::driver::Happening;
use crate::cluster::identity::NodeId;
use crate::cluster::topology::OrderedBy;

fn fit(role: RoleWish, capacity: u16) -> Fitness {
    Fitness { role, capacity }
}

/// So many nodes in a full mesh; each is fit as that says.
fn mesh(seed: u64, fitness: &[Fitness]) -> World {
    let mut world = World::new(seed);
    for (number, fitness) in (0..).zip(fitness) {
        world.fitness = *fitness;
        let seed = (number > 0).then_some(0);
        world.start(number, OverlayKind::FullMesh, seed);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(20));
    world.assert_agreed();
    world
}

impl World {
    fn order_servers(&mut self, by: &str) {
        let switch = Happening::Switch {
            kind: OverlayKind::ClientServer,
            servers: Vec::new(),
            trial: None,
            by: OrderedBy::Hand,
        };
        self.happen(by, switch);
        self.run_for(Duration::from_secs(20));
    }

    /// The servers, the same on all nodes that run.
    fn servers_now(&self) -> BTreeSet<String> {
        let all: BTreeSet<_> = self
            .nodes
            .values()
            .map(|node| {
                let view = node.driver.view();
                assert_eq!(view.overlay.kind, OverlayKind::ClientServer);
                let servers = view.overlay.servers.iter();
                let known = |id: &NodeId| node.driver.name_of(*id);
                servers.map(known).collect::<BTreeSet<_>>()
            })
            .collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().expect("one")
    }

    fn assert_reaches_all(&mut self, by: &str) {
        let before = |node: &super::Node| node.delivered.len();
        let counts: Vec<_> = self.nodes.values().map(before).collect();
        self.broadcast(by, b"to all");
        self.run_for(Duration::from_secs(10));
        for ((name, node), count) in self.nodes.iter().zip(counts) {
            let expected = count + usize::from(&**name != by);
            assert_eq!(node.delivered.len(), expected, "{name}");
        }
    }
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn the_stable_and_strong_are_chosen_and_never_a_client() {
    let auto = |capacity| fit(RoleWish::Auto, capacity);
    let mut world = mesh(
        400,
        &[
            auto(2),
            fit(RoleWish::Client, 64),
            auto(8),
            auto(4),
            fit(RoleWish::Server, 1),
            auto(8),
            auto(2),
            auto(16),
        ],
    );
    // It is strong, and was away twice.
    for _ in 0..2 {
        world.kill("n7");
        world.run_for(Duration::from_secs(30));
        world.fitness = auto(16);
        world.start(7, OverlayKind::FullMesh, Some(0));
        world.run_for(Duration::from_secs(20));
    }
    world.assert_agreed();
    world.order_servers("n6");
    assert_eq!(world.servers_now(), named(&["n2", "n4", "n5"]));
    world.assert_reaches_all("n1");
}

#[test]
fn all_that_are_to_be_servers_are_and_without_one_that_can_it_is_refused() {
    let mut all = vec![fit(RoleWish::Server, 1); 5];
    all.extend([fit(RoleWish::Client, 1); 3]);
    let mut world = mesh(401, &all);
    world.order_servers("n7");
    let servers = world.servers_now();
    assert_eq!(servers, named(&["n0", "n1", "n2", "n3", "n4"]));
    let mut world = mesh(402, &[fit(RoleWish::Client, 9); 4]);
    world.order_servers("n2");
    for node in world.nodes.values() {
        assert_eq!(node.driver.view().overlay.kind, OverlayKind::FullMesh);
    }
}

#[test]
fn servers_that_are_gone_for_long_are_replaced_and_broadcasts_reach_all() {
    for seed in 403..409 {
        let mut world = mesh(seed, &[fit(RoleWish::Auto, 1); 12]);
        world.order_servers("n3");
        let before = world.servers_now();
        assert_eq!(before.len(), 3);
        let gone: Vec<_> = before.iter().take(2).cloned().collect();
        for server in &gone {
            world.kill(server);
        }
        world.run_for(Duration::from_secs(120));
        let after = world.servers_now();
        assert_eq!(after.len(), 3, "{after:?}");
        assert!(gone.iter().all(|server| !after.contains(server)));
        let by = world.nodes.keys().next().expect("some").to_string();
        world.assert_reaches_all(&by);
        // One that is back is a client of the new ones.
        let number = gone[0][1..].parse().expect("its number");
        world.start(number, OverlayKind::FullMesh, Some(other(&world)));
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.servers_now(), after);
        world.assert_reaches_all(&gone[0]);
    }
}

fn other(world: &World) -> u16 {
    let name = world.nodes.keys().next().expect("some");
    name[1..].parse().expect("its number")
}

#[test]
fn a_server_that_is_back_in_time_stays_one() {
    let mut world = mesh(410, &[fit(RoleWish::Auto, 1); 8]);
    world.order_servers("n3");
    let before = world.servers_now();
    let server = before.first().expect("three").clone();
    let epoch = world.nodes["n7"].driver.view().overlay.epoch;
    world.kill(&server);
    world.run_for(Duration::from_secs(15));
    let number = server[1..].parse().expect("its number");
    world.start(number, OverlayKind::FullMesh, Some(other(&world)));
    world.run_for(Duration::from_secs(90));
    assert_eq!(world.servers_now(), before);
    assert_eq!(world.nodes["n7"].driver.view().overlay.epoch, epoch);
}

#[test]
fn each_absence_of_a_server_is_counted_from_its_own_begin() {
    let mut world = mesh(411, &[fit(RoleWish::Auto, 1); 8]);
    world.order_servers("n3");
    let before = world.servers_now();
    let server = before.first().expect("three").clone();
    let number = server[1..].parse().expect("its number");
    let epoch = world.nodes["n7"].driver.view().overlay.epoch;
    // Away three times, for less than a server has each time.
    for _ in 0..3 {
        world.kill(&server);
        world.run_for(Duration::from_secs(20));
        world.start(number, OverlayKind::FullMesh, Some(other(&world)));
        world.run_for(Duration::from_secs(8));
    }
    assert_eq!(world.servers_now(), before);
    assert_eq!(world.nodes["n7"].driver.view().overlay.epoch, epoch);
}

#[test]
fn each_zone_gets_servers_for_its_members_and_a_server_is_replaced_within_its_zone() {
    let mut world = World::new(412);
    world.config.serving.members_per_server = 3;
    // Six in the west, three in the east, and one in no zone.
    let zones = ["w", "w", "w", "w", "w", "w", "e", "e", "e", ""];
    for (number, zone) in (0..).zip(zones) {
        zone.clone_into(&mut world.zone);
        // The weakest are in the east.
        world.fitness = fit(RoleWish::Auto, 16 - number);
        let seed = (number > 0).then_some(0);
        world.start(number, OverlayKind::FullMesh, seed);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(20));
    world.order_servers("n9");
    assert_eq!(world.servers_now(), named(&["n0", "n1", "n6"]));
    world.kill("n6");
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.servers_now(), named(&["n0", "n1", "n7"]));
    world.assert_reaches_all("n2");
}
