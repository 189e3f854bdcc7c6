//! Ways to members without a lane, asked for along the overlay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use super::{Name, World, world};
use crate::cluster::driver::Happening;
use crate::cluster::identity::NodeId;

/// Asks for a way; the nodes on it, without the two, if there is one.
fn find(world: &mut World, from: &str, to: &str) -> Option<Vec<Name>> {
    let id = NodeId::of(to);
    world.happen(from, Happening::FindWay { to: id, ttl: 8 });
    world.run_for(Duration::from_secs(1));
    let now = world.now;
    let mut between = Vec::new();
    let mut at: Name = from.into();
    while *at != *to {
        at = world.node(&at).driver.way_to(to, now)?;
        between.push(Arc::clone(&at));
        assert!(between.len() <= 9, "a loop: {between:?}");
    }
    between.pop();
    Some(between)
}

#[test]
fn each_member_finds_a_way_to_each_over_hyparview() {
    let mut world = world(100, 30, OverlayKind::HyParView);
    let names: Vec<_> = world.nodes.keys().cloned().collect();
    let mut longest = 0;
    for (from, to) in names.iter().zip(names.iter().cycle().skip(7)) {
        let had_lane = world.nodes[from].lanes.contains(to);
        let between = find(&mut world, from, to).expect("a way");
        longest = longest.max(between.len());
        let is_told = world.nodes[from].ways.contains(&NodeId::of(to));
        assert!(is_told || had_lane || !between.is_empty());
    }
    println!("at most {longest} nodes in between");
    assert!(find(&mut world, "n0", "nobody").is_none());
}

#[test]
fn in_a_client_server_overlay_servers_alone_are_on_the_way() {
    let mut world = World::new(101);
    world.servers = vec!["n0".to_owned(), "n1".to_owned(), "n2".to_owned()];
    world.start(0, OverlayKind::ClientServer, None);
    for number in 1..12 {
        world.start(number, OverlayKind::ClientServer, Some(0));
    }
    world.run_for(Duration::from_secs(30));
    world.assert_agreed();
    let servers: BTreeSet<Name> = ["n0", "n1", "n2"].map(Arc::from).into();
    for number in 3..12 {
        let to = 3 + (number - 2) % 9;
        let between = find(&mut world, &format!("n{number}"), &format!("n{to}"));
        let between = between.expect("a way");
        let is_server = |name: &Name| servers.contains(name);
        assert!(between.iter().all(is_server), "{between:?}");
    }
}
