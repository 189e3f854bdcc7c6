//! Broadcasts of every kind, publications, and what they cost, between drivers of a simulated network.

use std::collections::BTreeSet;
use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;
use overlane_overlays::{AtomicOutcome, Command};

use super::{KINDS, World, world};
use crate::cluster::driver::Happening;
use crate::cluster::kind::BroadcastKind;
use crate::cluster::payload::{Addressed, Sort};
use crate::events::Event;

const SECOND: Duration = Duration::from_secs(1);

/// Words that all nodes have sent.
fn words(world: &World) -> u64 {
    world.nodes.values().map(|node| node.sent).sum()
}

/// Whether each node but the sender got exactly these, from it.
fn assert_all_got(world: &World, by: &str, payloads: &BTreeSet<Vec<u8>>) {
    for (name, node) in &world.nodes {
        let got = node.delivered.iter().filter(|(from, _)| **from == *by);
        let got: Vec<_> = got.map(|(_, payload)| payload.to_vec()).collect();
        let expected = if **name == *by { 0 } else { payloads.len() };
        assert_eq!(got.len(), expected, "{name}");
        assert!(got.iter().all(|payload| payloads.contains(payload)));
    }
}

#[test]
fn in_a_full_mesh_a_broadcast_costs_each_node_a_few_words_however_many_there_are() {
    const NODES: u16 = 120;
    const BROADCASTS: u64 = 10;
    let mut world = world(70, NODES, OverlayKind::FullMesh);
    let nodes = u64::from(NODES);
    let joining = words(&world) / nodes;
    println!("to join: {joining} words for each node");
    assert!(joining < 12 * nodes, "a few for each of the others");

    let before = words(&world);
    world.run_for(10 * SECOND);
    let idle = words(&world) - before;
    let before = words(&world);
    let mut payloads = BTreeSet::new();
    for number in 0..BROADCASTS {
        let payload = format!("number {number}").into_bytes();
        world.broadcast("n7", &payload);
        payloads.insert(payload);
        world.run_for(SECOND);
    }
    let more = (words(&world) - before).saturating_sub(idle) / nodes / BROADCASTS;
    println!("idle: {idle} words of all in 10 s; for a broadcast {more} for each node");
    assert_all_got(&world, "n7", &payloads);
    assert!(more < 10, "not one for each of the others");
}

#[test]
fn every_kind_reaches_all_once_over_every_overlay() {
    for (seed, overlay) in (80..).zip(KINDS) {
        let mut world = world(seed, 20, overlay);
        for kind in BroadcastKind::ALL {
            for number in 0..20 {
                let payload = format!("{kind} of n{number}");
                world.broadcast_as(kind, &format!("n{number}"), payload.as_bytes());
            }
            world.run_for(10 * SECOND);
        }
        for (name, node) in &world.nodes {
            let count = |kind: BroadcastKind| {
                let prefix = format!("{kind} of ");
                let got = node.delivered.iter();
                let got = got
                    .filter(|(from, payload)| **payload == *format!("{prefix}{from}").as_bytes());
                let senders: BTreeSet<_> = got.clone().map(|(from, _)| from).collect();
                assert_eq!(senders.len(), got.count(), "{overlay} {name}: {kind} twice");
                senders.len()
            };
            for kind in [
                BroadcastKind::Plain,
                BroadcastKind::Causal,
                BroadcastKind::Atomic,
            ] {
                assert_eq!(count(kind), 19, "{overlay} {name}: {kind}");
            }
            let reached = count(BroadcastKind::Epidemic);
            assert!(reached >= 15, "{overlay} {name}: {reached} of 19");
            let committed = node.told.iter().filter(|event| {
                let outcome = AtomicOutcome::Committed;
                matches!(event, Event::AtomicEnded { outcome: told, .. } if *told == outcome)
            });
            assert_eq!(committed.count(), 1, "{overlay} {name}: its own");
            assert_eq!(node.accused, 0);
        }
    }
}

#[test]
fn causal_broadcasts_keep_the_order_of_question_and_answer() {
    for (seed, overlay) in (90..).zip(KINDS) {
        let mut world = world(seed, 16, overlay);
        for round in 0..10 {
            let asker = format!("n{}", round % 16);
            let question = format!("question {round}");
            world.broadcast_as(BroadcastKind::Causal, &asker, question.as_bytes());
            // Whoever hears it first answers at once, while others have not heard it.
            let has_heard = |world: &World| {
                let mut nodes = world.nodes.iter();
                let heard = nodes.find(|(_, node)| {
                    let mut delivered = node.delivered.iter();
                    delivered.any(|(_, payload)| **payload == *question.as_bytes())
                });
                heard.map(|(name, _)| name.to_string())
            };
            let mut answerer = None;
            for _ in 0..10_000 {
                world.run_for(Duration::from_millis(1));
                answerer = has_heard(&world);
                if answerer.is_some() {
                    break;
                }
            }
            let answerer = answerer.expect("somebody hears it");
            let answer = format!("answer {round}");
            world.broadcast_as(BroadcastKind::Causal, &answerer, answer.as_bytes());
            world.run_for(2 * SECOND);
            for (name, node) in &world.nodes {
                let place = |text: &str| {
                    let mut delivered = node.delivered.iter();
                    delivered.position(|(_, payload)| **payload == *text.as_bytes())
                };
                if **name != *answerer && **name != *asker {
                    let (asked, answered) = (place(&question), place(&answer));
                    assert!(asked.is_some() && answered.is_some(), "{overlay} {name}");
                    assert!(asked < answered, "{overlay} {name}");
                }
            }
        }
    }
}

#[test]
fn an_atomic_broadcast_that_a_member_misses_is_delivered_by_nobody() {
    let mut world = world(100, 8, OverlayKind::FullMesh);
    // Cut off, and not suspected yet.
    world.parts.insert("n5".into(), 1);
    world.broadcast_as(BroadcastKind::Atomic, "n2", b"all or none");
    world.run_for(8 * SECOND);
    let ended = world.nodes["n2"].told.iter().find_map(|event| match event {
        Event::AtomicEnded { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    let Some(AtomicOutcome::Aborted { missing }) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(missing, ["n5".into()]);
    for node in world.nodes.values() {
        assert!(node.delivered.is_empty());
    }
}

#[test]
fn broadcasts_go_on_while_a_full_mesh_becomes_a_tree_and_back() {
    let mut world = world(110, 40, OverlayKind::FullMesh);
    let mut payloads = BTreeSet::new();
    for kind in [OverlayKind::HyParView, OverlayKind::FullMesh] {
        // Of 40 nodes one may be in the new overlay too late, and then nothing has changed: it is ordered once more.
        let order = |world: &mut World| world.switch("n4", kind);
        order(&mut world);
        let mut orders = 1;
        let is_done = |world: &World| {
            let mut views = world.nodes.values().map(|node| node.driver.view());
            views.all(|view| view.overlay.kind == kind && view.next_overlay.is_none())
        };
        let is_rolled_back = |world: &World| {
            let mut views = world.nodes.values().map(|node| node.driver.view());
            views.all(|view| view.overlay.kind != kind && view.next_overlay.is_none())
        };
        // And on for a while: the overlay before is there until then.
        let mut left = 100;
        for _ in 0..1_000 {
            if orders < 3 && is_rolled_back(&world) {
                order(&mut world);
                orders += 1;
            }
            left -= u32::from(is_done(&world));
            if left == 0 {
                break;
            }
            let payload = format!("number {}", payloads.len()).into_bytes();
            world.broadcast("n9", &payload);
            payloads.insert(payload);
            world.run_for(Duration::from_millis(100));
        }
        let told = &world.nodes["n4"].told;
        assert!(is_done(&world), "{kind}: {told:?}");
    }
    world.run_for(20 * SECOND);
    assert_all_got(&world, "n9", &payloads);
}

/// Publishes by a node, on its own way for the overlay in force.
fn publish(world: &mut World, by: &str, topic: u64, payload: &[u8]) {
    let body = Addressed::write(Sort::Topic, "data", "news", payload);
    world.happen(by, Happening::Publish { topic, body });
}

#[test]
fn a_publication_is_carried_among_subscribers_alone_where_the_overlay_knows_them() {
    const TOPIC: u64 = 7;
    for (seed, overlay) in (120..).zip(KINDS) {
        let mut world = world(seed, 16, overlay);
        for number in [1, 5, 9] {
            world.order(&format!("n{number}"), Command::Subscribe(TOPIC));
        }
        world.run_for(30 * SECOND);
        publish(&mut world, "n2", TOPIC, b"from outside");
        publish(&mut world, "n5", TOPIC, b"from within");
        world.run_for(10 * SECOND);
        for (name, node) in &world.nodes {
            let got: Vec<_> = node.delivered.iter().map(|(_, payload)| payload).collect();
            let subscribes = ["n1", "n5", "n9"].contains(&&**name);
            let expected = match (overlay, subscribes) {
                // Elsewhere it ends where nobody subscribes, which is above the driver.
                (OverlayKind::PubSub, false) => 0,
                _ if ["n2", "n5"].contains(&&**name) => 1,
                _ => 2,
            };
            assert_eq!(got.len(), expected, "{overlay} {name}: {got:?}");
        }
    }
}
