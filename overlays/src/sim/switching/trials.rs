//! Trials of an overlay on a part of the nodes, with everything that can come in between. Broadcasts flow all the time,
//! and none of them may be lost or come twice.

use super::super::network::Death;
use super::tests::{INTERVAL, ends_well};
use super::*;
use crate::switching::TrialRules;

/// Tried on a fifth of the nodes for six seconds.
fn terms() -> TrialTerms<NodeId> {
    TrialTerms {
        nodes: Vec::new(),
        percent: 20,
        span: Duration::from_secs(6),
        rules: TrialRules {
            reach_percent: 95,
            latency_percent: 500,
            latency_free: Duration::from_millis(10),
            load_percent: 800,
        },
    }
}

struct Tested {
    cluster: Cluster,
    since: Time,
}

impl Tested {
    fn of(seed: u64, from: OverlayKind, nodes: NodeId, protocols: Protocols) -> Self {
        println!("seed {seed}, {nodes} nodes of {from}");
        let experiment = Experiment {
            nodes,
            seed,
            network: NetworkConfig::default(),
            join_spacing: Duration::from_millis(20),
            from,
            to: from,
            interval: INTERVAL,
            before_s: 0,
            protocols,
            servers: None,
        };
        let cluster = Cluster::of(&experiment, &mut |_, _, _| {});
        let since = cluster.world.now();
        Self { cluster, since }
    }

    fn new(seed: u64, from: OverlayKind) -> Self {
        Self::of(seed, from, 25, simulated())
    }

    fn pass(&mut self, span: Duration) {
        self.cluster.traffic(span, INTERVAL);
    }

    /// Nodes that have two overlays.
    fn builders(&self) -> usize {
        let running = self.cluster.world.running();
        let states = running.filter_map(|node| self.cluster.world.state(node));
        let two = states.filter(|state| state.lower.lower.lower.overlays() == 2);
        two.count()
    }

    /// Until somebody of the trial measures.
    fn until_measured(&mut self) {
        for _ in 0..300 {
            if self.cluster.world.observer.trying > 0 {
                return;
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("it is not measured");
    }

    /// All have that overlay alone in the end, and nothing was lost or came twice.
    fn ends_in(&mut self, kind: OverlayKind) {
        // Longer than a trial and the time after which those that hear of no end give it up.
        self.pass(10 * SECOND);
        let observer = &self.cluster.world.observer;
        println!("tried {:?}, given up {:?}", observer.tried, self.whys());
        ends_well(&mut self.cluster, kind, 80, self.since);
    }

    fn whys(&self) -> BTreeSet<&'static str> {
        let back = self.cluster.world.observer.rolled_back.iter();
        back.map(|(_, _, why)| match why {
            WhyBack::Deadline => "deadline",
            WhyBack::Overtaken => "overtaken",
            WhyBack::ProposerGone => "proposer gone",
            WhyBack::TrialFailed => "failed",
            WhyBack::TrialNodeGone => "node gone",
            WhyBack::Parted => "parted",
        })
        .collect()
    }

    fn given_up_for(&self, why: &str) {
        assert_eq!(self.whys(), BTreeSet::from([why]));
    }
}

#[test]
fn one_that_goes_well_is_adopted_by_all_for_every_pair_of_overlays() {
    let mut seed = 200;
    for from in OverlayKind::ALL {
        for to in OverlayKind::ALL.into_iter().filter(|to| *to != from) {
            seed += 1;
            let mut tested = Tested::new(seed, from);
            tested.cluster.try_on_part(7, to, terms());
            tested.until_measured();
            // Three servers are in it, and a client and more.
            assert_eq!(tested.builders(), 5, "{from} to {to}");
            assert!(!tested.cluster.is_all(from), "it is under way everywhere");
            tested.ends_in(to);
            let observer = &tested.cluster.world.observer;
            let [(7, report)] = &observer.tried[..] else {
                panic!("{:?}", observer.tried);
            };
            assert!(report.adopted, "{from} to {to}: {report:?}");
            assert_eq!((report.nodes, report.candidate.expected), (5, 120));
            assert_eq!(report.candidate.answered, 120, "{from} to {to}: {report:?}");
            assert!(report.present.answered > 110, "{from} to {to}: {report:?}");
            assert_eq!(observer.rolled_back, []);
        }
    }
}

#[test]
fn one_that_measures_worse_is_given_up_and_leaves_the_old_overlay_whole() {
    for (seed, from, to, rules) in [
        // More hops than a full mesh has.
        (221, OverlayKind::FullMesh, OverlayKind::HyParView, {
            let latency_percent = 101;
            TrialRules {
                latency_percent,
                ..terms().rules
            }
        }),
        // A lane to each node costs copies where a tree would not.
        (222, OverlayKind::FullMesh, OverlayKind::PubSub, {
            let load_percent = 110;
            TrialRules {
                load_percent,
                ..terms().rules
            }
        }),
    ] {
        let mut tested = Tested::new(seed, from);
        let named = TrialTerms {
            percent: 50,
            rules,
            ..terms()
        };
        tested.cluster.try_on_part(3, to, named);
        tested.ends_in(from);
        tested.given_up_for("failed");
        let report = &tested.cluster.world.observer.tried[0].1;
        assert!(!report.adopted, "{report:?}");
        // The next one is free.
        tested.cluster.switch(4, to);
        tested.pass(5 * SECOND);
        tested.cluster.world.observer.rolled_back.clear();
        tested.ends_in(to);
    }
}

#[test]
fn one_with_a_parameter_that_cannot_work_is_given_up_in_time() {
    let mut protocols = simulated();
    protocols.switch.overlays.clients_max = 0;
    protocols.conductor.prepare_max = 5 * SECOND;
    let mut tested = Tested::of(231, OverlayKind::HyParView, 25, protocols);
    tested
        .cluster
        .try_on_part(3, OverlayKind::ClientServer, terms());
    tested.ends_in(OverlayKind::HyParView);
    tested.given_up_for("deadline");
    assert_eq!(tested.cluster.world.observer.tried, []);
}

#[test]
fn a_node_of_the_part_that_dies_and_a_proposer_that_dies_end_it() {
    let part = vec![5, 9, 14];
    for (seed, dies, death, why) in [
        (241, 9, Death::Refuses, "node gone"),
        (242, 14, Death::Silent, "node gone"),
        (243, 3, Death::Refuses, "proposer gone"),
        (244, 3, Death::Silent, "proposer gone"),
    ] {
        let mut tested = Tested::new(seed, OverlayKind::FullMesh);
        let nodes = part.clone();
        // Longer than a death takes to be told.
        let span = 60 * SECOND;
        let terms = TrialTerms {
            nodes,
            span,
            ..terms()
        };
        tested.cluster.try_on_part(3, OverlayKind::HyParView, terms);
        tested.until_measured();
        assert_eq!(tested.builders(), 4);
        tested.cluster.world.crash(dies, death);
        tested.since = tested.cluster.world.now();
        tested.ends_in(OverlayKind::FullMesh);
        tested.given_up_for(why);
        let last = tested.cluster.world.now().since(tested.since);
        assert!(last < 80 * SECOND, "it waits for no deadline");
        tested.cluster.switch(4, OverlayKind::HyParView);
        tested.ends_in(OverlayKind::HyParView);
    }
}

#[test]
fn another_order_a_split_and_nodes_that_join_in_the_middle() {
    // Ordered by the same node, and by another one.
    for (seed, by) in [(251, 3), (252, 17)] {
        let mut tested = Tested::new(seed, OverlayKind::FullMesh);
        tested
            .cluster
            .try_on_part(3, OverlayKind::HyParView, terms());
        tested.until_measured();
        tested.cluster.switch(by, OverlayKind::PubSub);
        tested.ends_in(OverlayKind::PubSub);
        tested.given_up_for("overtaken");
    }
    let mut tested = Tested::new(253, OverlayKind::HyParView);
    tested
        .cluster
        .try_on_part(3, OverlayKind::FullMesh, terms());
    tested.until_measured();
    let parted = Command::GiveUpTrial(WhyBack::Parted);
    tested.cluster.world.command(3, parted.clone());
    // Nobody else ends it, and there is nothing to end any more.
    tested.cluster.world.command(4, parted);
    tested.ends_in(OverlayKind::HyParView);
    tested.given_up_for("parted");
    for (seed, from, to) in [
        (254, OverlayKind::FullMesh, OverlayKind::HyParView),
        (255, OverlayKind::HyParView, OverlayKind::FullMesh),
        (256, OverlayKind::ClientServer, OverlayKind::PubSub),
    ] {
        let mut tested = Tested::new(seed, from);
        tested.cluster.try_on_part(3, to, terms());
        for _ in 0..4 {
            tested.cluster.add();
            tested.pass(2 * SECOND);
        }
        tested.ends_in(to);
        assert_eq!(tested.cluster.world.observer.rolled_back, []);
    }
}
