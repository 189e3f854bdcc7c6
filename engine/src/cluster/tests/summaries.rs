//! What members count, as each node of a cluster adds it up: while nodes join, crash and are cut off.

use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use super::{KINDS, Name, World, world};
use crate::cluster::driver::Happening;
use crate::cluster::identity::NodeId;
use crate::cluster::summaries::{ClusterMetrics, Counted, Head, Heads, Summary, Version};
use crate::cluster::words::Word;
use crate::metrics::{ChannelMetrics, Metrics};

/// What a node says that has accepted so many messages.
pub(super) fn said_by(accepted: Option<&u64>) -> Summary {
    let accepted = accepted.copied().unwrap_or(0);
    let metrics = Metrics {
        lanes: vec![ChannelMetrics {
            peer: "p".to_owned(),
            channel: "data".into(),
            accepted,
            ..ChannelMetrics::default()
        }],
        ..Metrics::default()
    };
    Summary::of(&Counted {
        metrics,
        processor_s: 0,
        uptime_s: 1,
    })
}

/// Node `n7` has accepted 8 messages, and so on.
fn counting(world: &mut World) {
    for number in 0..64 {
        let name: Name = format!("n{number}").into();
        world.accepted.insert(name, number + 1);
    }
}

fn seen_by(world: &World, name: &str) -> ClusterMetrics {
    let node = &world.nodes[name];
    ClusterMetrics::of(node.driver.summaries(world.now))
}

/// Every node sees what those on its side have accepted, nothing else, and nothing that is old. Some may be refused: what was asked
/// for comes twice where its member was not live for a moment.
fn assert_seen(world: &World, what: &str) {
    for name in world.nodes.keys() {
        let side = { world.nodes.keys() }.filter(|other| world.part(other) == world.part(name));
        let side: Vec<_> = side.collect();
        let expected: u64 = side.iter().map(|other| world.accepted[*other]).sum();
        let seen = seen_by(world, name);
        assert_eq!(seen.missing, Vec::<String>::new(), "{what}: {name}");
        assert_eq!(seen.covered(), side.len(), "{what}: {name}");
        let accepted = &seen.channels["data"].figures["accepted"];
        assert_eq!(accepted.sum, expected, "{what}: as {name} sees it");
        let oldest = seen.oldest().expect("itself").age_ms;
        assert!(oldest <= 90_000, "{what}: {oldest} ms old at {name}");
    }
}

fn restart(world: &mut World, number: u16, kind: OverlayKind) {
    world.accepted.insert(format!("n{number}").into(), 1_000);
    world.start(number, kind, Some(0));
}

#[test]
fn each_node_sees_what_all_count_through_joins_crashes_and_partitions() {
    let span = Duration::from_secs(100);
    for (seed, kind) in (150..).zip(KINDS) {
        let mut world = world(seed, 16, kind);
        counting(&mut world);
        world.run_for(span);
        assert_seen(&world, "all there");
        for number in 16..20 {
            world.start(number, kind, Some(0));
        }
        world.run_for(span);
        assert_seen(&world, "four more");
        for number in 4..8 {
            world.kill(&format!("n{number}"));
        }
        world.run_for(2 * span);
        assert_seen(&world, "four killed");
        for number in 4..8 {
            restart(&mut world, number, kind);
        }
        world.run_for(span);
        assert_seen(&world, "they are back");
        for number in 0..20 {
            let part = u16::from(number < 6);
            world.parts.insert(format!("n{number}").into(), part);
        }
        world.run_for(2 * span);
        assert_seen(&world, "in two parts");
        world.parts.clear();
        world.run_for(2 * span);
        assert_seen(&world, "healed");
    }
}

#[test]
fn clients_of_servers_see_all_too() {
    let mut world = World::new(160);
    world.servers = vec!["n0".to_owned(), "n1".to_owned()];
    counting(&mut world);
    for number in 0..40 {
        world.start(number, OverlayKind::ClientServer, (number > 0).then_some(0));
    }
    world.run_for(Duration::from_secs(120));
    world.assert_agreed();
    assert_seen(&world, "forty, of which two are servers");
}

#[test]
fn who_hears_of_strangers_and_of_other_lives_asks_nobody_for_them() {
    let mut world = world(161, 4, OverlayKind::FullMesh);
    counting(&mut world);
    world.run_for(Duration::from_secs(60));
    let sent = world.nodes["n0"].sent;
    let head = |member: &str, life| Head {
        member: NodeId::of(member),
        version: Version { life, number: 9 },
    };
    let heads = Heads {
        is_answer: true,
        heads: vec![head("stranger", 1), head("n2", u64::MAX)],
    };
    let bytes = Word::of_summary_heads(&heads);
    let from = "n1".into();
    world.happen("n0", Happening::Received { from, bytes });
    world.run_for(Duration::from_millis(20));
    assert_eq!(world.nodes["n0"].sent, sent, "nothing is asked for");
    world.run_for(Duration::from_secs(60));
    assert_seen(&world, "as before");
}

#[test]
fn words_about_summaries_that_break_the_rules_end_the_lanes_of_who_says_them() {
    let mut world = world(162, 3, OverlayKind::FullMesh);
    let member = NodeId::of("n2");
    let mut endless = Heads {
        is_answer: false,
        heads: vec![Head {
            member,
            version: Version {
                life: 1,
                number: u64::MAX,
            },
        }],
    };
    let words = [Word::of_summary_heads(&endless), {
        endless.heads = vec![endless.heads[0]; 129];
        Word::of_summary_heads(&endless)
    }];
    let wants = Word::of_summary_wants(&[member; 129]);
    for bytes in words.into_iter().chain([wants, vec![26, 1, 2, 3].into()]) {
        assert!(Word::read(&bytes).is_err());
        let from = "n1".into();
        world.happen("n0", Happening::Received { from, bytes });
    }
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.nodes["n0"].accused, 4);
}
