//! What a cluster does: join, crash, loss, slowness, partition, restart, leave.

use std::time::Duration;

use bytes::Bytes;

use super::world::World;
use crate::event::{Command, Event};
use crate::membership::{Config, Status, Version};

const SECOND: Duration = Duration::from_secs(1);

fn settled(count: u32, seed: u64) -> World {
    let mut world = World::ring(count, seed);
    world.run_until(60 * SECOND, World::agrees);
    world.run(10 * SECOND);
    world.events.clear();
    world.sent.clear();
    world
}

#[test]
fn nodes_that_start_together_soon_know_each_other() {
    let mut world = World::ring(40, 1);
    world.run_until(10 * SECOND, World::agrees);
    let entry = world.nodes[&7].table().get(&31).expect("known");
    assert_eq!(entry.details.name, "node-31");
}

#[test]
fn a_newcomer_learns_a_large_cluster_by_anti_entropy_alone() {
    let mut world = settled(300, 2);
    world.crash(5);
    world.boot(5, 2);
    world.loss = 0.0;
    world.run_until(20 * SECOND, World::agrees);
}

#[test]
fn a_crash_is_told_to_everybody_once() {
    let mut world = settled(40, 3);
    world.crash(9);
    world.run_until(30 * SECOND, |world| {
        world.events_about(&Event::MemberDown(9)).len() == 39
    });
    world.run(60 * SECOND);
    assert_eq!(world.events_about(&Event::MemberDown(9)).len(), 39);
    assert!(world.agrees());
}

#[test]
fn a_crash_of_a_process_is_found_sooner_than_one_of_a_machine() {
    let mut world = settled(40, 4);
    world.crash_noticed(9);
    let noticed = world.run_until(30 * SECOND, |world| {
        !world.events_about(&Event::MemberSuspect(9)).is_empty()
    });
    assert!(noticed < 3 * SECOND, "suspect only after {noticed:?}");
}

#[test]
fn a_member_that_nobody_neighbors_is_found_dead_too() {
    let mut world = settled(20, 5);
    // Everybody loses its lanes to 9 and forgets to look: only the ring watches it now.
    world.crash(9);
    for node in [7, 8, 10, 11] {
        let gone = Event::NeighborDown(9);
        world
            .nodes
            .get_mut(&node)
            .expect("runs")
            .detector
            .neighbor_down(9);
        assert!(!world.events.iter().any(|(_, _, event)| *event == gone));
    }
    world.run_until(90 * SECOND, World::agrees);
}

#[test]
fn lost_messages_accuse_members_but_bury_nobody() {
    let mut world = settled(50, 6);
    world.loss = 0.05;
    world.run(300 * SECOND);
    let downs = world
        .events
        .iter()
        .filter(|(_, _, event)| matches!(event, Event::MemberDown(_)));
    assert_eq!(downs.count(), 0);
    world.loss = 0.0;
    world.run_until(20 * SECOND, World::agrees);
}

#[test]
fn a_slow_node_does_not_accuse_the_others() {
    let mut world = settled(40, 7);
    world.slow.insert(13, 3 * SECOND);
    world.run(300 * SECOND);
    let accusations = world.nodes[&13].counters().accusations;
    assert!(accusations <= 3, "{accusations} accusations");
    assert!(world.nodes[&13].patience() > 1);
    for other in (0..40).filter(|other| *other != 13) {
        assert_eq!(world.events_about(&Event::MemberDown(other)), [0_u32; 0]);
    }
    world.slow.clear();
    world.run_until(60 * SECOND, World::agrees);
}

#[test]
fn a_false_suspicion_is_refuted_by_a_higher_version() {
    let mut world = settled(20, 8);
    let (version, status) = world.belief(3, 4).expect("known");
    assert_eq!(status, Status::Alive);
    world.receive(4, 3, crate::membership::Message::Accused(version));
    world.run_until(5 * SECOND, |world| {
        world.belief(15, 4) == Some((version.next().expect("next"), Status::Alive))
    });
    assert!(world.agrees());
}

#[test]
fn two_halves_agree_again_after_a_partition_though_both_buried_the_other() {
    let mut world = settled(60, 9);
    for node in 30..60 {
        world.groups.insert(node, 1);
    }
    world.run(60 * SECOND);
    assert_eq!(world.nodes[&3].table().live(), 30, "the other half is down");
    assert_eq!(
        world.nodes[&33].table().live(),
        30,
        "the other half is down"
    );
    world.groups.clear();
    let took = world.run_until(60 * SECOND, World::agrees);
    println!("agreed after {took:?}");
    assert!(took <= 10 * SECOND, "10 periods are 10 s, took {took:?}");
    // Nobody buried members of its own half on the word of the other.
    for (_, node, event) in &world.events {
        if let Event::MemberDown(about) = event {
            assert_ne!(*node < 30, *about < 30, "{node} buried {about}");
        }
    }
}

#[test]
fn who_is_cut_off_alone_buries_the_others_in_the_end() {
    let mut world = settled(6, 10);
    world.groups.insert(2, 1);
    world.run_until(600 * SECOND, |world| world.nodes[&2].table().live() == 1);
}

#[test]
fn a_restart_is_a_new_incarnation_that_everybody_hears_of() {
    let mut world = settled(20, 11);
    world.crash(4);
    world.boot(4, 2);
    world.run_until(20 * SECOND, |world| {
        world.belief(14, 4) == Some((Version::first(2), Status::Alive))
    });
    world.run(SECOND);
    assert!(world.events_about(&Event::MemberUp(4)).len() >= 19);
}

#[test]
fn a_restart_with_a_clock_that_went_back_still_comes_back() {
    let mut world = World::ring(20, 12);
    world.run_until(60 * SECOND, World::agrees);
    world.crash(4);
    world.run_until(60 * SECOND, World::agrees);
    world.boot(4, 0);
    world.run_until(30 * SECOND, World::agrees);
}

#[test]
fn who_leaves_is_left_and_not_down() {
    let mut world = settled(20, 13);
    world.command(4, Command::Leave);
    world.run(SECOND);
    world.crash_noticed(4);
    world.run(60 * SECOND);
    assert_eq!(world.events_about(&Event::MemberLeft(4)).len(), 19);
    assert_eq!(world.events_about(&Event::MemberDown(4)), [0_u32; 0]);
    assert_eq!(world.events_about(&Event::MemberSuspect(4)), [0_u32; 0]);
}

#[test]
fn the_dead_are_forgotten_and_do_not_come_back() {
    let config = Config {
        forget_after: 60 * SECOND,
        ..Config::default()
    };
    let mut world = World::ring_with(30, 14, config);
    world.run_until(60 * SECOND, World::agrees);
    world.loss = 0.05;
    world.crash(4);
    world.run_until(30 * SECOND, World::agrees);
    world.events.clear();
    world.run(180 * SECOND);
    assert_eq!(world.events_about(&Event::MemberUp(4)), [0_u32; 0]);
    for node in world.nodes.values() {
        assert_eq!(node.table().known(), 29, "tombstones are gone");
    }
}

#[test]
fn a_node_that_slept_for_long_does_not_bring_the_dead_back() {
    let config = Config {
        forget_after: 60 * SECOND,
        ..Config::default()
    };
    let mut world = World::ring_with(20, 15, config);
    world.run_until(60 * SECOND, World::agrees);
    let asleep = 200 * SECOND;
    world.slow.insert(7, asleep);
    world.run(5 * SECOND);
    world.crash(15);
    world.slow.clear();
    world.run(120 * SECOND);
    assert_eq!(world.belief(0, 15), None, "forgotten by those awake");
    world.events.clear();
    world.run(120 * SECOND);
    assert_eq!(world.events_about(&Event::MemberUp(15)), [0_u32; 0]);
    world.run_until(60 * SECOND, World::agrees);
}

#[test]
fn metadata_reaches_everybody_and_too_much_of_it_nobody() {
    let mut world = settled(20, 16);
    world.command(4, Command::SetMetadata(Bytes::from_static(b"zone=a")));
    world.run(SECOND);
    assert_eq!(world.events_about(&Event::MemberChanged(4)).len(), 19);
    let entry = world.nodes[&11].table().get(&4).expect("known").clone();
    assert_eq!(entry.details.metadata, b"zone=a");
    assert_eq!(entry.details.name, "node-4");
    world.command(4, Command::SetMetadata(Bytes::from(vec![0; 513])));
    world.run(SECOND);
    assert_eq!(world.nodes[&11].table().get(&4), Some(&entry));
}

#[test]
fn the_cost_of_a_quiet_cluster_does_not_grow_with_it() {
    let rates: Vec<u64> = [20_u32, 200]
        .map(|count| {
            let mut world = settled(count, 17);
            world.run(50 * SECOND);
            assert_eq!(world.sent.remove("broadcast"), Some(10), "beacons");
            let sent: u64 = world.sent.values().sum();
            sent / u64::from(count)
        })
        .to_vec();
    // Per node in 50 periods: a ping, an answer and a summary each.
    assert!(
        rates.iter().all(|rate| (140..=160).contains(rate)),
        "{rates:?}"
    );
}

#[test]
fn who_misses_the_beacon_joins_the_overlay_again() {
    let mut world = settled(20, 19);
    world.deaf.insert(7);
    world.run(60 * SECOND);
    let joins = |world: &World, node| world.nodes[&node].counters().rejoins;
    assert!((1..=3).contains(&joins(&world, 7)), "once per 20 periods");
    for other in (0..20).filter(|other| *other != 7) {
        assert_eq!(joins(&world, other), 0);
    }
    assert!(world.agrees(), "anti-entropy alone keeps it up to date");
}

#[test]
fn the_application_gets_its_own_broadcasts_unchanged() {
    let mut world = settled(10, 18);
    let payload = Bytes::from_static(b"hello");
    world.command(4, Command::Broadcast(payload.clone().into()));
    world.run(SECOND);
    let got = world.events.iter().filter(
        |(_, _, event)| matches!(event, Event::Delivered(delivery) if delivery.payload.body == payload),
    );
    assert_eq!(got.count(), 9);
}
