//! Whole clusters with membership, small enough for every run of the tests.

use std::time::Duration;

use super::*;
use crate::sim::carrier::{Carrier, Task};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a cluster of nodes that do not know each other and lets it settle.
fn settled<C: Subject + 'static>(seed: u64, count: NodeId, make: MakeCarrier<C>) -> Cluster<C> {
    println!("seed {seed}");
    let network = NetworkConfig::default();
    let mut cluster = Cluster::strangers(seed, count, network, Config::default(), make);
    cluster.join(Duration::from_millis(20), &mut |_, _, _| {});
    assert!(cluster.periods_to_agree(60).is_some(), "seed {seed}");
    cluster.world.run_for(20 * SECOND);
    cluster
}

/// Two crashes, a noticed one and a silent one.
struct Crashes(u64);

impl Task for Crashes {
    type Output = ();

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) {
        let mut cluster = settled(self.0, 80, make);
        for death in [Death::Refuses, Death::Silent] {
            let crash = cluster.crash(death, None, 60).expect("told to everybody");
            assert!(crash.detect < 20 * SECOND, "{crash:?}");
        }
        assert!(cluster.agrees());
        assert_eq!(cluster.world.observer.errors(None), (0, 0));
    }
}

#[test]
fn a_crash_is_told_everywhere_over_every_overlay() {
    for carrier in Carrier::ALL {
        println!("{carrier}");
        carrier.run(80, Crashes(1));
    }
}

/// A partition of 60 s. Periods until all agree again.
struct Partition(u64);

impl Task for Partition {
    type Output = usize;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> usize {
        let mut cluster = settled(self.0, 80, make);
        cluster.world.partition(60 * SECOND);
        for node in cluster.world.running() {
            let live = cluster.live_at(node);
            assert!(live <= 42, "{node} still counts {live}");
        }
        let periods = cluster.periods_to_agree(30);
        assert!(cluster.is_connected());
        periods.expect("all agree again")
    }
}

#[test]
fn all_agree_within_ten_periods_of_a_partition_over_every_overlay() {
    for carrier in Carrier::ALL {
        let periods = carrier.run(80, Partition(2));
        println!("{carrier}: {periods} periods");
        assert!(periods <= 10, "{carrier}: {periods} periods");
    }
}

/// A short life with a crash: its trace hash.
struct Trace(u64);

impl Task for Trace {
    type Output = u64;

    fn run<C: Subject + 'static>(self, make: MakeCarrier<C>) -> u64 {
        let mut cluster = settled(self.0, 30, make);
        cluster.crash(Death::Silent, None, 60);
        cluster.world.trace_hash()
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for carrier in Carrier::ALL {
        let [one, again, other] = [7, 7, 8].map(|seed| carrier.run(30, Trace(seed)));
        assert_eq!(one, again, "{carrier}");
        assert_ne!(one, other, "{carrier}");
    }
}

/// Figures of a small cluster of which nodes are replaced, after what must hold of any was checked.
fn turnover(overlay: Carrier, replacements: usize, renamed: f64) -> Replaced {
    let experiment = Experiment {
        overlay,
        nodes: 12,
        seed: 5,
        network: NetworkConfig::default(),
        join_spacing: Duration::from_millis(20),
    };
    let turnover = Turnover {
        experiment,
        replacements,
        renamed,
    };
    let replaced = turnover.run(&mut |_, _, _| {});
    println!("{replaced:?}");
    assert_eq!(replaced.replacements, replacements);
    assert!(replaced.cycles_to_heal <= Some(30) && replaced.cycles_to_heal.is_some());
    assert!(replaced.connected);
    assert_eq!((replaced.one_way, replaced.dead_neighbors), (0, 0));
    assert_eq!(replaced.false_downs, 0);
    let (before, after) = (
        replaced.messages_per_node_s,
        replaced.messages_per_node_s_after,
    );
    assert!(after < 1.5 * before, "{after} messages after {before}");
    replaced
}

#[test]
fn every_overlay_stands_when_none_of_its_first_nodes_is_left() {
    for overlay in Carrier::ALL {
        for renamed in [0.0, 1.0] {
            let replaced = turnover(overlay, 100, renamed);
            assert!(replaced.degree_min > 0);
        }
    }
}
