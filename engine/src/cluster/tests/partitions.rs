//! Which side of a partition has the quorum, and what was decided on each.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::{KINDS, World, world};
use crate::cluster::driver::Happening;
use crate::events::Event;
use crate::restraint::Side;

/// Splits the world by the number of each node.
fn split(world: &mut World, nodes: u16, part: impl Fn(u16) -> u16) {
    for number in 0..nodes {
        world
            .parts
            .insert(format!("n{number}").into(), part(number));
    }
}

fn decide(world: &mut World, by: u16, what: &str) {
    let payload = Bytes::copy_from_slice(what.as_bytes());
    world.happen(&format!("n{by}"), Happening::Decide(payload));
}

#[test]
fn the_larger_side_has_the_quorum_and_the_other_has_not_until_it_heals() {
    for (seed, kind) in (70..).zip(KINDS) {
        let mut world = world(seed, 12, kind);
        split(&mut world, 12, |number| u16::from(number < 4));
        world.run_for(Duration::from_secs(60));
        for (name, node) in &world.nodes {
            let expected = match world.part(name) {
                0 => Side::Quorum,
                _ => Side::NoQuorum,
            };
            assert_eq!(node.side, Some(expected), "{kind} {name}");
            let parted = node.driver.view().parted.expect("it is told");
            assert_eq!(parted.here.len() + parted.there.len(), 12);
            assert_eq!(parted.has_quorum, expected == Side::Quorum);
        }
        world.parts.clear();
        world.run_for(Duration::from_secs(60));
        for (name, node) in &world.nodes {
            assert_eq!(node.side, None, "{kind} {name}");
            assert!(node.driver.view().parted.is_none());
        }
    }
}

/// Each side has a coordinator of its own, and of two halves one has the quorum.
#[test]
fn halves_have_a_coordinator_each_and_one_quorum() {
    for (seed, kind) in (80..).zip(KINDS) {
        let mut world = world(seed, 10, kind);
        split(&mut world, 10, |number| number % 2);
        world.run_for(Duration::from_secs(60));
        let mut sides = BTreeSet::new();
        for (name, node) in &world.nodes {
            let coordinator = node.driver.view().coordinator.expect("one each");
            let quorum = node.side.expect("it is parted") == Side::Quorum;
            sides.insert((world.part(name), coordinator, quorum));
        }
        let quorums = sides.iter().filter(|(_, _, quorum)| *quorum);
        assert_eq!((sides.len(), quorums.count()), (2, 1), "{kind} {sides:?}");
    }
}

/// Decisions of both sides reach everybody, once, in the order of each that decided.
#[test]
fn what_was_decided_on_each_side_is_known_everywhere_after_it_heals() {
    for (seed, kind) in (90..).zip(KINDS) {
        let mut world = world(seed, 12, kind);
        decide(&mut world, 3, "before");
        world.run_for(Duration::from_secs(2));
        split(&mut world, 12, |number| u16::from(number < 4));
        world.run_for(Duration::from_secs(60));
        for round in 0..3 {
            decide(&mut world, 1, &format!("small {round}"));
            decide(&mut world, 9, &format!("large {round}"));
            world.run_for(Duration::from_secs(1));
        }
        let told = |world: &World, name: &str| -> Vec<(String, u64, Option<bool>)> {
            let merged = world.nodes[name].merged.iter();
            let told = merged.map(|one| (one.by.clone(), one.number, one.with_quorum));
            told.collect()
        };
        let there = ("n3".to_owned(), 1, None);
        let small = (1..=3).map(|number| ("n1".to_owned(), number, Some(false)));
        let large = (1..=3).map(|number| ("n9".to_owned(), number, Some(true)));
        let own_side: Vec<_> = [there.clone()].into_iter().chain(large.clone()).collect();
        assert_eq!(told(&world, "n5"), own_side, "{kind}");
        world.parts.clear();
        world.run_for(Duration::from_secs(60));
        for name in world.nodes.keys() {
            let of = |by: &str| -> Vec<_> {
                let told = told(&world, name).into_iter();
                told.filter(|(from, ..)| from == by).collect()
            };
            let unless_own = |by: &str, all: Vec<_>| if **name == *by { Vec::new() } else { all };
            assert_eq!(of("n3"), unless_own("n3", vec![there.clone()]), "{name}");
            assert_eq!(
                of("n1"),
                unless_own("n1", small.clone().collect()),
                "{name}"
            );
            assert_eq!(
                of("n9"),
                unless_own("n9", large.clone().collect()),
                "{name}"
            );
            let healed = |event: &Event| matches!(event, Event::Healed { .. });
            assert!(world.nodes[name].told.iter().any(healed), "{kind} {name}");
        }
    }
}

/// Who is cut off has nobody to confirm what it sees, and trusts itself less with each probe that fails.
#[test]
fn a_node_that_is_cut_off_alone_counts_all_others_out() {
    for (seed, kind) in (90..).zip(KINDS) {
        for nodes in [2, 3, 4, 8] {
            let mut world = world(seed, nodes, kind);
            split(&mut world, nodes, |number| u16::from(number == 1));
            let mut seconds = 0;
            while world.views()["n1"].len() > 1 && seconds < 100 {
                world.run_for(Duration::from_secs(1));
                seconds += 1;
            }
            println!("{kind}, {nodes} nodes: {seconds} s");
            assert!(seconds <= 45, "{kind}, {nodes} nodes: {seconds} s");
        }
    }
}
