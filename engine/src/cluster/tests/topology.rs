//! Rules that switch the overlay of a cluster that grows and shrinks, over the whole of its protocols.

use std::collections::BTreeSet;
use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use super::World;
use crate::cluster::machine::MachineConfig;
use crate::cluster::topology::{OrderedBy, SwitchEnd};
use crate::config::{Config, TopologyConfig, TopologyMode};

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
