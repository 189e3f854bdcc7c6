//! Changes of the overlay, with everything that can come in between.

use super::super::network::Death;
use super::*;
use crate::event::Overlay;

pub(super) const INTERVAL: Duration = Duration::from_millis(50);

fn cluster(seed: u64, count: NodeId, kind: OverlayKind, network: NetworkConfig) -> Cluster {
    println!("seed {seed}, {count} nodes of {kind}");
    let spacing = Duration::from_millis(20);
    Cluster::new(seed, count, kind, network, spacing, &mut |_, _, _| {})
}

/// Broadcasts until all have this overlay alone, at most for so many seconds; then some more, and none of
/// all since `since` may be lost or come twice.
pub(super) fn ends_well(cluster: &mut Cluster, kind: OverlayKind, seconds: u32, since: Time) {
    for _ in 0..seconds {
        if cluster.is_all(kind) {
            break;
        }
        cluster.traffic(SECOND, INTERVAL);
    }
    cluster.traffic(5 * SECOND, INTERVAL);
    cluster.world.run_for(20 * SECOND);
    assert_eq!(cluster.world.observer.violation, None);
    let states = cluster.world.running().map(|node| {
        let state = cluster.world.state(node).expect("runs");
        let switch = &state.lower.lower.lower;
        let neighbors = switch.neighbors().len();
        (
            node,
            state.upper.current().epoch,
            switch.overlays(),
            neighbors,
        )
    });
    let states: Vec<_> = states.collect();
    assert!(cluster.is_all(kind), "{states:?}");
    assert_eq!(cluster.lost_and_repeated(since), (0, 0), "lost, repeated");
}

#[test]
fn every_overlay_takes_the_place_of_every_other() {
    for (seed, from) in (1..).zip(OverlayKind::ALL) {
        for to in OverlayKind::ALL {
            if from == to {
                continue;
            }
            let mut cluster = cluster(seed, 30, from, NetworkConfig::default());
            let since = cluster.world.now();
            cluster.traffic(2 * SECOND, INTERVAL);
            cluster.switch(7, to);
            ends_well(&mut cluster, to, 60, since);
            assert_eq!(cluster.world.observer.rolled_back, []);
        }
    }
}

#[test]
fn loss_repetition_and_reordering_lose_no_broadcast() {
    let network = NetworkConfig {
        loss: 0.05,
        duplication: 0.05,
        reorder: 0.05,
        ..NetworkConfig::default()
    };
    for (seed, from, to) in [
        (21, OverlayKind::HyParView, OverlayKind::FullMesh),
        (22, OverlayKind::FullMesh, OverlayKind::HyParView),
        (23, OverlayKind::HyParView, OverlayKind::ClientServer),
    ] {
        let mut cluster = cluster(seed, 40, from, network);
        let since = cluster.world.now();
        cluster.traffic(2 * SECOND, INTERVAL);
        cluster.switch(3, to);
        ends_well(&mut cluster, to, 90, since);
    }
}

#[test]
fn a_proposer_that_dies_leaves_the_old_overlay_whole_and_the_next_change_free() {
    for (seed, death) in [(31, Death::Refuses), (32, Death::Silent)] {
        let mut cluster = cluster(seed, 30, OverlayKind::HyParView, NetworkConfig::default());
        let since = cluster.world.now();
        cluster.switch(9, OverlayKind::FullMesh);
        cluster.traffic(Duration::from_millis(600), INTERVAL);
        cluster.world.crash(9, death);
        ends_well(&mut cluster, OverlayKind::HyParView, 60, since);
        let gone = |(_, _, why): &(NodeId, Epoch<NodeId>, WhyBack)| *why == WhyBack::ProposerGone;
        let back = &cluster.world.observer.rolled_back;
        assert_eq!(back.len(), 29, "{back:?}");
        assert!(back.iter().all(gone), "{back:?}");
        cluster.switch(4, OverlayKind::FullMesh);
        ends_well(&mut cluster, OverlayKind::FullMesh, 60, since);
    }
}

#[test]
fn a_proposer_that_dies_while_it_commits_leaves_one_overlay_everywhere() {
    for seed in 41..47 {
        let mut cluster = cluster(seed, 20, OverlayKind::FullMesh, NetworkConfig::default());
        let since = cluster.world.now();
        cluster.switch(9, OverlayKind::HyParView);
        let is_committed = |cluster: &Cluster| {
            let mut states = cluster
                .world
                .running()
                .filter_map(|node| cluster.world.state(node));
            states.any(|state| state.upper.current().epoch.number > 0)
        };
        while !is_committed(&cluster) {
            cluster.traffic(Duration::from_millis(1), Duration::from_millis(1));
            assert!(cluster.world.now().since(since) < 60 * SECOND);
        }
        let after = cluster.random.random_range(0..40);
        cluster.world.run_for(Duration::from_millis(after));
        cluster.world.crash(9, Death::Refuses);
        // What it had sent a moment ago and nobody got is gone with it; nothing else.
        let since = cluster.world.now();
        ends_well(&mut cluster, OverlayKind::HyParView, 60, since);
    }
}

#[test]
fn of_two_changes_at_once_the_greater_wins_everywhere() {
    for seed in 51..55 {
        let mut cluster = cluster(seed, 30, OverlayKind::HyParView, NetworkConfig::default());
        let since = cluster.world.now();
        cluster.switch(5, OverlayKind::FullMesh);
        cluster
            .world
            .run_for(Duration::from_millis(10 * (seed - 51)));
        cluster.switch(20, OverlayKind::PubSub);
        ends_well(&mut cluster, OverlayKind::PubSub, 60, since);
        let back = &cluster.world.observer.rolled_back;
        assert!(back.iter().any(|(node, epoch, why)| {
            *node == 5 && epoch.proposer == Some(5) && *why == WhyBack::Overtaken
        }));
        let node = cluster.world.state(3).expect("runs");
        assert_eq!(node.upper.current().epoch.proposer, Some(20));
    }
}

#[test]
fn nodes_that_join_or_restart_during_a_change_follow_it() {
    for (seed, from, to) in [
        (61, OverlayKind::HyParView, OverlayKind::FullMesh),
        (62, OverlayKind::FullMesh, OverlayKind::HyParView),
        (63, OverlayKind::HyParView, OverlayKind::ClientServer),
    ] {
        let mut cluster = cluster(seed, 25, from, NetworkConfig::default());
        let since = cluster.world.now();
        cluster.switch(3, to);
        for node in [11, 12] {
            cluster.traffic(Duration::from_millis(300), INTERVAL);
            cluster.add();
            cluster.world.crash(node, Death::Refuses);
            cluster.traffic(Duration::from_millis(300), INTERVAL);
            cluster.restart(node);
        }
        ends_well(&mut cluster, to, 90, since);
        // Long after: it starts with what everybody had at first.
        let late = cluster.add();
        cluster.traffic(10 * SECOND, INTERVAL);
        assert!(cluster.is_all(to));
        let state = cluster.world.state(late).expect("runs");
        assert_eq!(state.upper.current().kind, to);
    }
}

#[test]
fn halves_that_part_during_a_change_end_in_one_overlay() {
    for (seed, cut_after) in [(71, 100), (72, 900), (73, 2_000)] {
        let mut cluster = cluster(seed, 30, OverlayKind::HyParView, NetworkConfig::default());
        cluster.switch(8, OverlayKind::FullMesh);
        cluster.world.run_for(Duration::from_millis(cut_after));
        cluster.world.partition(90 * SECOND);
        cluster.world.run_for(60 * SECOND);
        let kind = cluster.world.state(0).expect("runs").upper.current().kind;
        let since = cluster.world.now();
        ends_well(&mut cluster, kind, 60, since);
    }
}

#[test]
fn halves_that_each_changed_alone_end_in_the_greater_of_the_two() {
    let mut cluster = cluster(81, 30, OverlayKind::HyParView, NetworkConfig::default());
    cluster.world.cut_in_halves();
    cluster.world.run_for(60 * SECOND);
    cluster.switch(8, OverlayKind::FullMesh);
    cluster.switch(11, OverlayKind::PubSub);
    cluster.world.run_for(60 * SECOND);
    let kind_of = |cluster: &Cluster, node| {
        let state = cluster.world.state(node).expect("runs");
        state.upper.current().kind
    };
    assert_eq!(kind_of(&cluster, 0), OverlayKind::FullMesh);
    assert_eq!(kind_of(&cluster, 1), OverlayKind::PubSub);
    cluster.world.heal();
    cluster.world.run_for(60 * SECOND);
    let since = cluster.world.now();
    ends_well(&mut cluster, OverlayKind::PubSub, 60, since);
}

#[test]
fn a_node_that_heard_nothing_of_a_change_asks_and_follows() {
    let mut cluster = cluster(91, 20, OverlayKind::FullMesh, NetworkConfig::default());
    cluster.world.suspend(13);
    cluster.world.run_for(SECOND);
    cluster.switch(2, OverlayKind::HyParView);
    cluster.world.run_for(60 * SECOND);
    cluster.world.resume(13);
    cluster.world.run_for(60 * SECOND);
    let since = cluster.world.now();
    ends_well(&mut cluster, OverlayKind::HyParView, 60, since);
}

#[test]
fn subscriptions_outlive_an_overlay_without_topics() {
    let mut cluster = cluster(95, 20, OverlayKind::PubSub, NetworkConfig::default());
    for node in [2, 5, 9, 14] {
        cluster.world.command(node, Command::Subscribe(7));
    }
    cluster.world.run_for(20 * SECOND);
    let mut publish = |payload: &'static [u8]| {
        let order = Command::Publish(7, Bytes::from_static(payload));
        cluster.world.observer.published.clear();
        cluster.world.command(2, order);
        cluster.world.run_for(5 * SECOND);
        let came = cluster.world.observer.published.iter();
        let nodes: BTreeSet<NodeId> = came.map(|(node, ..)| *node).collect();
        let came = cluster.world.observer.published.len();
        (came, nodes)
    };
    let all = (3, BTreeSet::from([5, 9, 14]));
    assert_eq!(publish(b"one"), all);
    for kind in [OverlayKind::FullMesh, OverlayKind::PubSub] {
        cluster.switch(0, kind);
        cluster.world.run_for(60 * SECOND);
        assert!(cluster.is_all(kind));
    }
    let order = Command::Publish(7, Bytes::from_static(b"two"));
    cluster.world.observer.published.clear();
    cluster.world.command(9, order);
    cluster.world.run_for(5 * SECOND);
    let came = cluster.world.observer.published.iter();
    let nodes: Vec<NodeId> = came.map(|(node, ..)| *node).collect();
    assert_eq!(BTreeSet::from_iter(nodes), BTreeSet::from([2, 5, 14]));
    assert_eq!(cluster.world.observer.violation, None);
}

/// Follows `next_hop` from node to node with a ttl, as who relays does. Hops that it took.
fn walk(cluster: &mut Cluster, from: NodeId, to: NodeId, ttl: u32) -> Option<u32> {
    let (mut at, mut came_from) = (from, None);
    for hops in 0..ttl {
        if at == to {
            return Some(hops);
        }
        let state = cluster.world.state(at)?;
        let next = state.next_hop(to, came_from, &mut cluster.random)?;
        assert!(state.neighbors().contains(&next) && Some(next) != came_from);
        (at, came_from) = (next, Some(at));
    }
    (at == to).then_some(ttl)
}

#[test]
fn the_next_hop_leads_to_any_node_at_every_moment_of_a_change() {
    for (seed, from, to) in [
        (101, OverlayKind::ClientServer, OverlayKind::FullMesh),
        (102, OverlayKind::FullMesh, OverlayKind::ClientServer),
        (103, OverlayKind::HyParView, OverlayKind::ClientServer),
    ] {
        // Of a random graph of 40, a walk of 400 hops visits all; the others know the way.
        let ttl_of = |kind| {
            if kind == OverlayKind::HyParView {
                400
            } else {
                4
            }
        };
        let ttl = ttl_of(from);
        let mut cluster = cluster(seed, 40, from, NetworkConfig::default());
        cluster.switch(6, to);
        for moment in 0..100 {
            cluster.world.run_for(Duration::from_millis(200));
            let pair = (0..40).sample(&mut cluster.random, 2);
            let hops = walk(&mut cluster, pair[0], pair[1], ttl);
            assert!(hops.is_some(), "moment {moment}: no way for {pair:?}");
        }
        assert!(cluster.is_all(to));
        for one in 0..39 {
            let hops = walk(&mut cluster, one, one + 1, ttl_of(to));
            assert!(hops.is_some(), "no way from {one}");
        }
    }
}

/// As many nodes as the clusters have that others join one after the other.
const FOUNDERS: NodeId = 12;

/// Nodes that join after the overlay has been changed, and the time between them.
const LATECOMERS: usize = 8;
const LATE_SPACING: Duration = Duration::from_millis(300);
/// Broadcasts of a node that has only just joined, and the time between them.
const FIRST_WORDS: usize = 20;
const FIRST_INTERVAL: Duration = Duration::from_millis(5);

/// Another node joins and broadcasts as soon as it is a member; for that long others do, too.
fn join_and_pass(cluster: &mut Cluster, span: Duration) {
    let newcomer = cluster.add();
    let end = cluster.world.now() + span;
    let mut said = 0;
    while cluster.world.now() < end {
        if said < FIRST_WORDS && has_joined(cluster, newcomer) {
            cluster.send(newcomer);
            said += 1;
            cluster.world.run_for(FIRST_INTERVAL);
        } else {
            let sender = cluster.random.random_range(0..FOUNDERS);
            cluster.send(sender);
            let pause = if said == 0 { FIRST_INTERVAL } else { INTERVAL };
            cluster.world.run_for(pause);
        }
    }
}

/// Whether a node is a member among others: when an order to join has been followed.
fn has_joined(cluster: &Cluster, node: NodeId) -> bool {
    let state = cluster.world.state(node).expect("runs");
    state.lower.upper.table().live() > 1
}

/// One node joins after the other, the next one `spacing` later: before, while and after the overlay is changed.
fn switched_while_nodes_join(seed: u64, from: OverlayKind, to: OverlayKind, spacing: Duration) {
    let mut cluster = cluster(seed, FOUNDERS, from, NetworkConfig::default());
    let since = cluster.world.now();
    join_and_pass(&mut cluster, spacing);
    cluster.switch(3, to);
    let proposer = |cluster: &Cluster| {
        let state = cluster.world.state(3).expect("runs");
        (state.upper.current().kind, state.upper.unreached())
    };
    while proposer(&cluster).0 != to {
        join_and_pass(&mut cluster, spacing);
        let (_, unreached) = proposer(&cluster);
        assert!(
            cluster.world.now().since(since) < 40 * SECOND,
            "{from} to {to}, a node every {spacing:?}: not reached are {unreached:?}"
        );
        assert_eq!(cluster.world.observer.rolled_back, []);
    }
    // Those that come now begin with an overlay that others have closed, or are about to.
    for _ in 0..LATECOMERS {
        join_and_pass(&mut cluster, LATE_SPACING);
    }
    ends_well(&mut cluster, to, 60, since);
    assert_eq!(cluster.world.observer.rolled_back, []);
}

#[test]
fn nodes_that_join_one_after_the_other_hold_no_change_up() {
    let spacings = [4_000, 1_000, 300].map(Duration::from_millis);
    let mut seed = 110;
    for from in OverlayKind::ALL {
        for to in OverlayKind::ALL.into_iter().filter(|to| *to != from) {
            for spacing in spacings {
                seed += 1;
                switched_while_nodes_join(seed, from, to, spacing);
            }
        }
    }
}
