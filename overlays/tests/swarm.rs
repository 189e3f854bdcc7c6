//! Whole overlays and trees in the simulator, with the thresholds that they must keep.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use overlane_overlays::hyparview::{self, HyParView, XbotConfig};
use overlane_overlays::sim::carrier::Carrier;
use overlane_overlays::sim::{
    Graph, Inspect, Latency, Make, Moments, NetworkConfig, Outcome, Plan, Round, Run, Senders,
    Spreading, World,
};
use overlane_overlays::{Command, Overlay, plumtree};

const PERIOD: Duration = Duration::from_secs(10);

fn plan(nodes: u32) -> Plan {
    Plan {
        overlay: Carrier::HyParView,
        hyparview: hyparview::Config::default(),
        spreading: Spreading::Plumtree,
        plumtree: plumtree::Config::default(),
        nodes,
        seed: 7,
        network: NetworkConfig::default(),
        join_spacing: Duration::from_millis(10),
        cycles: 10,
        fail: 0.0,
        broadcasts: 30,
        senders: Senders::One,
        at_once: 1,
        payload_bytes: 64,
        interval: Duration::from_secs(1),
        cycles_to_heal_max: 20,
    }
}

fn run(plan: &Plan) -> Outcome {
    println!("seed {}", plan.seed);
    plan.run(&mut |_, _, _| {})
}

fn hyparview_world(seed: u64, config: hyparview::Config) -> World<HyParView<u32>, ()> {
    let make: Make<HyParView<u32>> = Box::new(move |node, _| HyParView::new(node, config.clone()));
    World::new(seed, NetworkConfig::default(), make, ())
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    let plan = Plan {
        fail: 0.3,
        broadcasts: 10,
        ..plan(100)
    };
    let first = run(&plan).report;
    assert_eq!(run(&plan).report, first);
    assert_ne!(
        run(&Plan { seed: 8, ..plan }).report.trace_hash,
        first.trace_hash
    );
}

#[test]
fn hyparview_is_one_symmetric_random_graph() {
    for seed in 1..=3 {
        let report = run(&Plan {
            seed,
            broadcasts: 0,
            ..plan(1_000)
        })
        .report;
        assert_eq!(
            (report.connected, report.one_way),
            (Some(true), Some(0)),
            "{report:?}"
        );
        assert!(
            report.degree_mean > Some(4.9) && report.degree_max <= Some(5),
            "{report:?}"
        );
        assert!(report.mean_shortest_path < Some(5.0), "{report:?}");
        assert!(report.clustering < Some(0.02), "{report:?}");
    }
}

#[test]
fn plumtree_reaches_all_without_redundancy_over_few_hops() {
    let one = run(&plan(1_000)).report;
    assert_eq!(one.missed, Some(0));
    assert!(
        one.rmr < Some(0.01) && one.rmr_stable <= Some(0.001),
        "{one:?}"
    );
    assert!(one.last_hop_max <= Some(12), "{one:?}");
    let many = run(&Plan {
        senders: Senders::Many,
        broadcasts: 100,
        ..plan(1_000)
    })
    .report;
    assert_eq!(many.missed, Some(0));
    assert!(
        many.rmr < Some(0.05) && many.last_hop_mean < Some(21.0),
        "{many:?}"
    );
}

/// Many messages of many senders are under way at once, from the first one on: were each allowed to
/// prune, circles would be opened in two places for ever.
#[test]
fn a_tree_comes_to_rest_under_many_senders_at_a_high_rate() {
    for milliseconds in [10, 50] {
        let report = run(&Plan {
            senders: Senders::Many,
            interval: Duration::from_millis(milliseconds),
            broadcasts: 1_500,
            ..plan(300)
        })
        .report;
        assert_eq!(report.missed, Some(0), "{report:?}");
        assert!(report.rmr_stable < Some(0.05), "{report:?}");
        // Nobody waits for a message until it asks for it, which takes a second.
        assert!(report.last_delivery_ms_stable < Some(1_000.0), "{report:?}");
    }
}

/// Ten and a hundred senders that know nothing of each other at the same moment, and a network in which a
/// round trip takes longer than any fixed timer would allow.
#[test]
fn a_tree_comes_to_rest_whoever_sends_at_once_and_however_slow_the_network_is() {
    let many = Plan {
        senders: Senders::Many,
        interval: Duration::from_secs(10),
        ..plan(150)
    };
    let slow = Latency::PerLink {
        min: Duration::from_millis(20),
        max: Duration::from_millis(300),
    };
    let cases = [
        Plan {
            at_once: 10,
            broadcasts: 200,
            ..many.clone()
        },
        Plan {
            at_once: 100,
            broadcasts: 2_000,
            ..many.clone()
        },
        Plan {
            network: NetworkConfig {
                latency: slow,
                ..NetworkConfig::default()
            },
            interval: Duration::from_millis(50),
            broadcasts: 1_500,
            ..many
        },
    ];
    for case in cases {
        let report = run(&case).report;
        assert_eq!(report.missed, Some(0), "{report:?}");
        assert!(report.rmr_stable < Some(0.1), "{report:?}");
    }
}

/// Large payloads come faster than a store of a few megabytes could hold them until they are asked for.
#[test]
fn large_payloads_that_are_lost_on_their_way_reach_everybody() {
    for senders in [Senders::One, Senders::Many] {
        let report = run(&Plan {
            senders,
            network: NetworkConfig {
                loss: 0.005,
                ..NetworkConfig::default()
            },
            payload_bytes: 64 * 1024,
            interval: Duration::from_millis(2),
            broadcasts: 1_500,
            ..plan(60)
        })
        .report;
        assert_eq!(report.missed, Some(0), "{report:?}");
    }
}

#[test]
fn half_the_nodes_can_fail_at_once_and_every_broadcast_reaches_the_rest() {
    for spreading in [Spreading::Plumtree, Spreading::Flood] {
        let plan = Plan {
            spreading,
            fail: 0.5,
            senders: Senders::Many,
            interval: Duration::from_millis(100),
            ..plan(500)
        };
        let report = run(&plan).report;
        assert_eq!(
            (report.connected, report.isolated),
            (Some(true), Some(0)),
            "{report:?}"
        );
        assert_eq!(report.reach_percent_healed, Some(100.0), "{report:?}");
        assert!(report.cycles_to_heal <= Some(3), "{report:?}");
    }
}

#[test]
fn broadcasts_survive_messages_that_overtake_each_other() {
    let latency = Latency::PerMessage {
        min: Duration::from_millis(10),
        max: Duration::from_millis(50),
    };
    let network = NetworkConfig {
        latency,
        ..NetworkConfig::default()
    };
    let report = run(&Plan {
        network,
        ..plan(300)
    })
    .report;
    assert_eq!(report.missed, Some(0), "{report:?}");
}

#[test]
fn a_newcomer_does_not_disturb_the_tree() {
    let make: Make<_> = Box::new(|node, _| {
        overlane_overlays::Stack::new(
            HyParView::new(node, hyparview::Config::default()),
            plumtree::Plumtree::new(node, plumtree::Config::default()),
        )
    });
    let mut run = Run::new(7, NetworkConfig::default(), PERIOD, make);
    run.join(200, Duration::from_millis(10), &mut |_, _, _| {});
    run.settle(10, &mut |_, _, _| {});
    let second = Duration::from_secs(1);
    let every_second = Moments::every(second);
    run.broadcast(20, Senders::One, every_second, &mut |_, _, _| {});
    let newcomer = run.world.add_node();
    run.world.command(newcomer, Command::Join(0));
    run.world.run_for(2 * second);
    let after = run.broadcast(10, Senders::One, every_second, &mut |_, _, _| {});
    run.world.run_for(5 * second);
    let rounds = run.rounds(&after);
    assert!(rounds.iter().all(|round| round.missed() == 0), "{rounds:?}");
    // Its join moves six links at most, each redundant until a marked message prunes it.
    let redundant = |round: &Round| round.payloads - round.delivered;
    assert!(
        rounds.iter().map(redundant).sum::<u32>() <= 18,
        "{rounds:?}"
    );
    assert!(
        // Four spreads until the next mark, two and a half until it prunes: less than seven seconds.
        rounds[7..].iter().all(|round| redundant(round) == 0),
        "{rounds:?}"
    );
}

#[test]
fn nodes_that_joined_side_by_side_are_no_island() {
    for seed in 0..20 {
        let mut world = hyparview_world(seed, hyparview::Config::default());
        for node in 0..60 {
            world.add_node();
            if node > 0 {
                world.command(node, Command::Join(node / 2));
            }
        }
        world.run_for(6 * PERIOD);
        assert!(Graph::of(&world).is_connected(), "seed {seed}");
    }
}

#[test]
fn halves_of_a_split_overlay_find_each_other() {
    for seed in 0..5 {
        let mut world = hyparview_world(seed, hyparview::Config::default());
        for node in 0..100 {
            world.add_node();
            if node > 0 {
                world.command(node, Command::Join(node / 2));
            }
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(3 * PERIOD);
        let half: Vec<bool> = (0..100).map(|node| node % 2 == 0).collect();
        let other: Vec<bool> = half.iter().map(|inside| !inside).collect();
        world.cut(half.clone(), other.clone());
        world.cut(other, half);
        world.run_for(6 * PERIOD);
        assert!(!Graph::of(&world).is_connected());
        world.heal();
        world.run_for(10 * PERIOD);
        let graph = Graph::of(&world);
        assert!(
            graph.is_connected() && graph.one_way_edges().is_empty(),
            "seed {seed}"
        );
    }
}

#[test]
fn x_bot_makes_neighbors_nearer_and_keeps_the_overlay_whole() {
    let run = |xbot: Option<XbotConfig>| {
        let config = hyparview::Config {
            xbot,
            ..hyparview::Config::default()
        };
        let mut world = hyparview_world(3, config);
        for node in 0..200 {
            world.add_node();
            if node > 0 {
                world.command(node, Command::Join(node / 2));
            }
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(60 * PERIOD);
        let graph = Graph::of(&world);
        assert!(graph.is_connected());
        for node in world.running() {
            assert_eq!(world.state(node).map(Inspect::check), Some(Ok(())));
        }
        world.mean_link_latency()
    };
    let (random, near) = (run(None), run(Some(XbotConfig::default())));
    assert!(
        near < random * 3 / 4,
        "{near:?} is not much nearer than {random:?}"
    );
}

#[test]
fn a_goodbye_is_heard_at_once() {
    let mut world = hyparview_world(5, hyparview::Config::default());
    for node in 0..50 {
        world.add_node();
        if node > 0 {
            world.command(node, Command::Join(0));
        }
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(3 * PERIOD);
    world.command(7, Command::Leave);
    world.run_for(Duration::from_millis(200));
    let still = world.running().filter(|node| {
        world
            .state(*node)
            .is_some_and(|state| state.neighbors().contains(&7))
    });
    assert_eq!(still.count(), 0);
}

/// New neighbors per node while nothing happens for ten minutes, after ten to settle.
fn moves_at_rest(nodes: u32, seed: u64) -> u64 {
    let mut run = joined(nodes, seed, NetworkConfig::default());
    run.settle(60, &mut |_, _, _| {});
    let before = run.world.observer.neighbor_ups();
    run.settle(60, &mut |_, _, _| {});
    assert!(Graph::of(&run.world).is_connected(), "seed {seed}");
    run.world.observer.neighbor_ups() - before
}

/// Nodes that joined one each 10 ms, each through a random earlier one.
fn joined(nodes: u32, seed: u64, network: NetworkConfig) -> Run<HyParView<u32>> {
    let make: Make<HyParView<u32>> =
        Box::new(|node, _| HyParView::new(node, hyparview::Config::default()));
    let mut run = Run::new(seed, network, PERIOD, make);
    run.join(nodes, Duration::from_millis(10), &mut |_, _, _| {});
    run
}

#[test]
fn a_settled_overlay_is_at_rest_however_small() {
    for nodes in [3, 6, 8, 9, 12, 20, 33, 100] {
        for seed in 0..3 {
            let moves = moves_at_rest(nodes, seed);
            assert_eq!(moves, 0, "{nodes} nodes, seed {seed}");
        }
    }
}

#[test]
fn islands_that_loss_made_find_each_other_while_it_lasts() {
    for (percent, seed) in [(10, 1), (10, 2), (10, 3), (20, 1), (20, 4), (20, 6)] {
        let network = NetworkConfig {
            loss: f64::from(percent) / 100.0,
            ..NetworkConfig::default()
        };
        let mut run = joined(500, seed, network);
        run.settle(30, &mut |_, _, _| {});
        let shape = Graph::of(&run.world).shape(1, seed);
        assert!(shape.connected, "{percent} %, seed {seed}: {shape:?}");
    }
}

#[test]
fn thousands_that_join_at_once_are_connected_after_two_cycles() {
    // Without hails, islands are left after this one.
    let seed = 6;
    let make: Make<HyParView<u32>> =
        Box::new(|node, _| HyParView::new(node, hyparview::Config::default()));
    let mut run = Run::new(seed, NetworkConfig::default(), PERIOD, make);
    run.join(5_000, Duration::ZERO, &mut |_, _, _| {});
    run.settle(2, &mut |_, _, _| {});
    let shape = Graph::of(&run.world).shape(1, seed);
    assert!(
        shape.connected && shape.isolated == 0,
        "seed {seed}: {shape:?}"
    );
}

#[test]
fn halves_find_each_other_after_a_partition_of_two_hours() {
    for seed in 0..3 {
        let mut run = joined(60, seed, NetworkConfig::default());
        run.settle(6, &mut |_, _, _| {});
        run.world.partition(PERIOD * 720);
        assert!(!Graph::of(&run.world).is_connected(), "seed {seed}");
        run.settle(12, &mut |_, _, _| {});
        let graph = Graph::of(&run.world);
        assert!(
            graph.is_connected() && graph.one_way_edges().is_empty(),
            "seed {seed}"
        );
    }
}

/// Shares of payloads that get from a random node to another one within `ttl` hops, in percent.
fn walked(nodes: u32, ttl: u32) -> u32 {
    let mut run = joined(nodes, 3, NetworkConfig::default());
    run.settle(6, &mut |_, _, _| {});
    let mut random = Xoshiro256PlusPlus::seed_from_u64(17);
    let mut arrived = 0;
    for _ in 0..1_000 {
        let from = random.random_range(0..nodes);
        let to = (from + random.random_range(1..nodes)) % nodes;
        let (mut at, mut came_from) = (from, None);
        for _ in 0..ttl {
            let state = run.world.state(at).expect("runs");
            let next = state.next_hop(to, came_from, &mut random);
            let Some(next) = next else { break };
            assert!(state.neighbors().contains(&next) && Some(next) != came_from);
            (at, came_from) = (next, Some(at));
            if at == to {
                break;
            }
        }
        arrived += u32::from(at == to);
    }
    arrived / 10
}

#[test]
fn a_bounded_walk_finds_most_nodes_of_a_small_cluster() {
    assert!(walked(6, 1) == 100, "all are neighbors");
    let reached = walked(30, 32);
    assert!(reached >= 85, "{reached} %");
}
