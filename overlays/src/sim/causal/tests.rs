//! Whole clusters under loss, reordering, second copies, crashes and restarts.

use super::*;
use crate::sim::network::Latency;

const SECOND: Duration = Duration::from_secs(1);

/// Messages are lost, overtake each other, and come twice.
fn troubled(loss: f64) -> NetworkConfig {
    NetworkConfig {
        latency: Latency::PerMessage {
            min: Duration::from_millis(5),
            max: Duration::from_millis(150),
        },
        loss,
        duplication: 0.05,
        duplication_delay: 2 * SECOND,
        reorder: 0.1,
        reorder_delay: SECOND,
        ..NetworkConfig::default()
    }
}

/// Runs a plan, twice where told, and demands what must hold of every run.
fn run(plan: &Plan) -> Figures {
    let figures = Figures::of(plan);
    println!("{figures:?}");
    assert_eq!(figures.violation, None, "seed {}", plan.seed);
    assert_eq!(figures.waived, 0, "seed {}", plan.seed);
    assert_eq!(figures.held_at_end, 0, "seed {}", plan.seed);
    assert_eq!(figures.unheard, 0, "seed {}", plan.seed);
    figures
}

#[test]
fn a_quiet_cluster_delivers_all_in_causal_order_and_keeps_nothing_that_all_have() {
    for overlay in [Carrier::FullMesh, Carrier::HyParView, Carrier::PubSub] {
        let plan = Plan {
            overlay,
            ..Plan::new(Layer::Broadcast, 12, 1)
        };
        let figures = run(&plan);
        assert_eq!(figures.expected, 200 * 11);
        assert_eq!(figures.deliveries, figures.expected, "nobody is told twice");
        assert_eq!((figures.given_up, figures.kept_at_end), (0, 0));
        assert_eq!(Figures::of(&plan), figures, "the same again");
    }
}

#[test]
fn broadcasts_are_in_causal_order_whatever_the_network_does() {
    for seed in 0..12 {
        let overlays = [
            Carrier::FullMesh,
            Carrier::HyParView,
            Carrier::ClientServer,
            Carrier::Epidemic,
        ];
        let plan = Plan {
            overlay: overlays[usize::try_from(seed % 4).unwrap_or(0)],
            network: troubled(0.1),
            ..Plan::new(
                Layer::Broadcast,
                8 + 4 * NodeId::try_from(seed % 3).unwrap_or(0),
                seed,
            )
        };
        let figures = run(&plan);
        assert_eq!(figures.given_up, 0, "nobody died, so all can be had");
        assert!(figures.held_max > 0, "nothing ever came early");
        assert_eq!(figures.deliveries, figures.expected);
    }
}

#[test]
fn crashes_and_restarts_block_nobody_and_lose_nothing_without_a_word() {
    for seed in 100..112 {
        let overlays = [
            Carrier::FullMesh,
            Carrier::HyParView,
            Carrier::Epidemic,
            Carrier::PubSub,
        ];
        let plan = Plan {
            overlay: overlays[usize::try_from(seed % 3).unwrap_or(0)],
            network: troubled(0.05),
            fail: 0.4,
            messages: 400,
            drain: 90 * SECOND,
            ..Plan::new(Layer::Broadcast, 15, seed)
        };
        run(&plan);
    }
}

/// From 40 to 150 % of the nodes crash within four seconds, one by one, and every second starts again.
fn crashing(seed: u64) -> Plan {
    let nth = |count| usize::try_from(seed % count).unwrap_or(0);
    let overlays = [
        Carrier::HyParView,
        Carrier::FullMesh,
        Carrier::Epidemic,
        Carrier::PubSub,
    ];
    Plan {
        overlay: overlays[usize::try_from(seed / 60 % 4).unwrap_or(0)],
        network: troubled([0.02, 0.1, 0.2, 0.3][nth(4)]),
        messages: 800,
        at_once: 4,
        fail: [0.4, 0.8, 1.5][nth(3)],
        drain: 90 * SECOND,
        ..Plan::new(Layer::Broadcast, [4, 6, 10, 16, 24][nth(5)], seed)
    }
}

#[test]
fn what_a_lost_message_needed_is_not_delivered_after_what_followed_it() {
    // All of these broke the order before broadcasts had stamps.
    for seed in [2, 10, 11, 14, 22, 25, 37, 50, 74] {
        run(&crashing(seed));
    }
}

#[test]
fn nodes_that_were_cut_off_tell_what_they_had_for_themselves() {
    // In the last three a part of the cluster was cut off, and let go of what all of that part had.
    for seed in [7, 43, 59, 303, 1_119, 2_322] {
        run(&crashing(seed));
    }
}

#[test]
fn when_most_nodes_crash_the_order_holds_and_nothing_is_lost_without_a_word() {
    for seed in 500..520 {
        run(&crashing(seed));
    }
}

#[test]
fn messages_to_single_nodes_are_in_causal_order_whatever_the_network_does() {
    for seed in 200..212 {
        let plan = Plan {
            network: troubled(0.15),
            messages: 600,
            at_once: 4,
            ..Plan::new(Layer::Unicast, 6, seed)
        };
        let figures = run(&plan);
        assert_eq!(figures.given_up, 0, "nobody died, so all arrive");
        assert_eq!(figures.deliveries, figures.sent);
        assert_eq!(figures.kept_at_end, 0);
        assert!(figures.held_max > 0, "nothing ever came early");
    }
    let plan = Plan::new(Layer::Unicast, 6, 212);
    assert_eq!(Figures::of(&plan), Figures::of(&plan), "the same again");
}

#[test]
fn senders_and_receivers_that_crash_and_start_again_lose_nothing_without_a_word() {
    let sizes = [4, 6, 10, 16, 24];
    for (seed, nodes) in (300..400).zip(sizes.into_iter().cycle()) {
        let plan = Plan {
            network: troubled([0.02, 0.1, 0.2, 0.3][usize::try_from(seed % 4).unwrap_or(0)]),
            messages: 800,
            at_once: 4,
            fail: [0.4, 0.8, 1.5][usize::try_from(seed % 3).unwrap_or(0)],
            ..Plan::new(Layer::Unicast, nodes, seed)
        };
        let figures = run(&plan);
        assert_eq!(figures.kept_at_end, 0, "all is settled");
    }
}
