//! Rules that switch the overlay of a cluster that grows and shrinks, over the whole of its protocols.

use std::collections::BTreeSet;
use std::time::Duration;

use overlane_overlays::epoch::{OverlayKind, Step, WhyBack};

use super::World;
use crate::cluster::driver::Happening;
use crate::cluster::machine::MachineConfig;
use crate::cluster::topology::{OrderedBy, OverlayTrial, SwitchEnd, SwitchRecord, TrialPlan};
use crate::config::{Config, TopologyConfig, TopologyMode};
use crate::events::Event;

fn auto() -> MachineConfig {
    let topology = TopologyConfig {
        mode: TopologyMode::Auto,
        look_s: 5,
        cooldown_s: 30,
        size_only_mesh_below: 10,
        size_only_hyparview_above: 20,
        ..TopologyConfig::default()
    };
    MachineConfig::of(&Config {
        topology,
        ..Config::default()
    })
}

/// The overlays and their epochs, as nodes see them.
fn overlays(world: &World) -> BTreeSet<(u64, OverlayKind)> {
    let views = world.nodes.values().map(|node| node.driver.view().overlay);
    views
        .map(|overlay| (overlay.epoch.number, overlay.kind))
        .collect()
}

#[test]
fn five_nodes_that_become_25_and_five_again_switch_once_each_way() {
    let mut world = World::new(21);
    world.config = auto();
    world.start(0, OverlayKind::FullMesh, None);
    for number in 1..5 {
        world.start(number, OverlayKind::FullMesh, Some(0));
    }
    world.run_for(Duration::from_secs(60));
    assert_eq!(overlays(&world), [(0, OverlayKind::FullMesh)].into());
    for number in 5..25 {
        world.start(number, OverlayKind::FullMesh, Some(0));
    }
    world.run_for(Duration::from_secs(200));
    assert_eq!(overlays(&world), [(1, OverlayKind::HyParView)].into());
    for number in 5..25 {
        world.kill(&format!("n{number}"));
        world.run_for(Duration::from_secs(20));
    }
    world.run_for(Duration::from_secs(300));
    assert_eq!(overlays(&world), [(2, OverlayKind::FullMesh)].into());
    world.assert_agreed();
    let now = world.now;
    for node in world.nodes.values() {
        let switches = node.driver.switches(now);
        assert_eq!(switches.len(), 2);
        assert!(
            switches
                .iter()
                .all(|switch| switch.end == SwitchEnd::Committed)
        );
        assert!(switches.iter().all(|switch| switch.took.is_some()));
        let found = node.driver.analyze(now).measurements;
        assert!(
            found
                .rtt_p99_us
                .is_some_and(|rtt| (4_000..20_000).contains(&rtt))
        );
        assert_eq!((found.members, found.reporters), (5, 5));
    }
    let records = world
        .nodes
        .values()
        .flat_map(|node| node.driver.switches(now));
    let mut rules: Vec<_> = records
        .filter_map(|record| match record.by {
            OrderedBy::Rule { rule, .. } => Some(rule),
            _ => None,
        })
        .collect();
    rules.sort_unstable();
    // Nodes that are gone know of the first, if one of them ordered it.
    rules.retain(|rule| rule != "size_only_hyparview_above");
    assert_eq!(rules, ["size_only_mesh_below"]);
}

#[test]
fn with_rules_that_are_only_looked_at_nothing_is_switched() {
    let mut world = World::new(22);
    world.config = auto();
    world.config.topology.mode = TopologyMode::Manual;
    world.start(0, OverlayKind::FullMesh, None);
    for number in 1..25 {
        world.start(number, OverlayKind::FullMesh, Some(0));
    }
    world.run_for(Duration::from_secs(200));
    assert_eq!(overlays(&world), [(0, OverlayKind::FullMesh)].into());
    let analysis = world.nodes["n0"].driver.analyze(world.now);
    let large = |verdict: &&crate::cluster::Verdict| verdict.rule == "size_only_hyparview_above";
    let verdict = analysis.rules.iter().find(large).expect("the rule");
    assert!(verdict.holds && verdict.looks > 10);
    assert!(analysis.blocked.contains(&crate::cluster::Blocked::Manual));
}

/// Rules that try HyParView on a fifth of 25 nodes first, and what became of it where it was ordered.
fn tried_by_rules(seed: u64, trial_load_percent: u32) -> (World, Vec<SwitchRecord>) {
    let mut world = World::new(seed);
    world.config = auto();
    let rules = &mut world.config.topology;
    rules.trial_percent = 20;
    rules.trial_s = 5;
    rules.trial_load_percent = trial_load_percent;
    world.start(0, OverlayKind::FullMesh, None);
    for number in 1..25 {
        world.start(number, OverlayKind::FullMesh, Some(0));
    }
    world.run_for(Duration::from_secs(100));
    world.assert_agreed();
    let now = world.now;
    let records = world
        .nodes
        .values()
        .flat_map(|node| node.driver.switches(now));
    let by_rule = records.filter(|record| matches!(record.by, OrderedBy::Rule { .. }));
    let by_rule = by_rule.collect();
    (world, by_rule)
}

#[test]
fn rules_try_an_overlay_on_a_part_first_and_wait_after_a_trial_that_failed() {
    let (world, records) = tried_by_rules(23, 1_000);
    assert_eq!(overlays(&world), [(1, OverlayKind::HyParView)].into());
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    let trial = record.trial.as_ref().expect("it was tried");
    assert!(trial.adopted, "{trial:?}");
    assert_eq!((trial.nodes, trial.candidate.answered), (5, 120));

    let (world, records) = tried_by_rules(24, 1);
    assert_eq!(overlays(&world), [(0, OverlayKind::FullMesh)].into());
    // In 100 s, with a cooldown of 30 s.
    assert!((1..=3).contains(&records.len()), "{records:?}");
    for record in records {
        assert!(matches!(record.end, SwitchEnd::RolledBack { .. }) || record.took.is_none());
        assert!(record.trial.is_none_or(|trial| !trial.adopted));
    }
}

#[test]
fn a_partition_ends_a_trial_on_every_node() {
    let mut world = super::world(25, 10, OverlayKind::FullMesh);
    let trial = OverlayTrial {
        nodes: vec!["n1".to_owned(), "n2".to_owned()],
        span: Some(Duration::from_secs(300)),
        ..OverlayTrial::default()
    };
    let order = Happening::Switch {
        kind: OverlayKind::HyParView,
        servers: Vec::new(),
        trial: Some(TrialPlan::of(&trial)),
        by: OrderedBy::Hand,
    };
    world.happen("n0", order);
    world.run_for(Duration::from_secs(10));
    let told = |world: &World, name: &str, wanted: Step| {
        let told = world.nodes[name].told.iter();
        let steps =
            told.filter(|event| matches!(event, Event::Overlay { step, .. } if *step == wanted));
        steps.count()
    };
    assert_eq!(told(&world, "n0", Step::Trying), 1);
    // None of the part is on the other side.
    for number in 6..10 {
        world.parts.insert(format!("n{number}").into(), 1);
    }
    world.run_for(Duration::from_secs(60));
    for number in 0..10 {
        let why = if number < 6 {
            WhyBack::Parted
        } else {
            WhyBack::ProposerGone
        };
        let name = format!("n{number}");
        assert_eq!(told(&world, &name, Step::RolledBack(why)), 1, "{name}");
    }
    assert_eq!(overlays(&world), [(0, OverlayKind::FullMesh)].into());
}
