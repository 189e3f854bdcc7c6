//! Rules, workloads, analysis and history, on real nodes.

use std::time::Duration;

use overlane::config::{OverlayChoice, TopologyConfig, TopologyMode};
use overlane::{
    Event, OrderedBy, OverlayKind, OverlayTrial, OverlayView, SwitchEnd, SwitchError,
    TopologyError, WhyBack,
};

use crate::nodes::{Member, agree, broadcasts_reach_all, cluster, name};
use crate::support::accounting::check_accounting;
use crate::support::{wait_for_event, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);

/// Looks each second; full mesh below 4 members, HyParView above 6.
fn quick() -> TopologyConfig {
    TopologyConfig {
        mode: TopologyMode::Auto,
        look_s: 1,
        hold_looks: 2,
        cooldown_s: 2,
        mesh_below: 4,
        hyparview_above: 6,
        size_only_mesh_below: 4,
        size_only_hyparview_above: 6,
        ..TopologyConfig::default()
    }
}

fn follow_rules(members: &[Member]) {
    for member in members {
        let set = member.cluster().set_topology_rules(quick());
        set.expect("the rules are right");
    }
}

fn wait_for_overlay(members: &[Member], epoch: u64, kind: OverlayKind) {
    wait_until(
        "all have that overlay",
        || {
            let overlays = members.iter().map(|member| member.cluster().overlay());
            overlays
                .map(|view| (view.epoch, view.kind, view.next))
                .collect::<Vec<_>>()
        },
        |seen| seen.iter().all(|seen| *seen == (epoch, kind, None)),
    );
}

#[test]
fn a_cluster_that_grows_and_shrinks_switches_by_itself_once_each_way() {
    let mut members = cluster(3, OverlayChoice::FullMesh);
    follow_rules(&members);
    let seed = members[0].node.local_addr();
    for number in 3..8 {
        members.push(Member::start(
            &name(number),
            OverlayChoice::FullMesh,
            &[seed],
        ));
    }
    agree(&members);
    follow_rules(&members);
    wait_for_overlay(&members, 1, OverlayKind::HyParView);
    broadcasts_reach_all(&mut members, 0);
    for gone in members.drain(3..) {
        assert!(gone.node.stop(PATIENCE).drained);
    }
    agree(&members);
    wait_for_overlay(&members, 2, OverlayKind::FullMesh);
    broadcasts_reach_all(&mut members, 1);
    let analysis = members[0].cluster().analyze().expect("it answers");
    assert_eq!(analysis.overlay, OverlayKind::FullMesh);
    assert_eq!(analysis.measurements.members, 3);
    assert!(analysis.rules.iter().all(|verdict| !verdict.holds));
    for member in &members {
        let history = member.cluster().topology_history().expect("it answers");
        let kinds: Vec<_> = history
            .iter()
            .map(|record| (record.from, record.to))
            .collect();
        let there = (OverlayKind::FullMesh, OverlayKind::HyParView);
        assert_eq!(kinds, [there, (there.1, there.0)]);
        assert!(
            history
                .iter()
                .all(|record| record.end == SwitchEnd::Committed)
        );
    }
    let nodes: Vec<_> = members.iter().map(|member| &member.node).collect();
    check_accounting(&nodes);
}

/// Orders a trial, with broadcasts from all to all until it has ended.
fn tried(
    members: &mut [Member],
    kind: OverlayKind,
    trial: OverlayTrial,
) -> Result<OverlayView, SwitchError> {
    let by = members[1].cluster().clone();
    let order = std::thread::spawn(move || by.try_overlay(kind, &[], &trial, PATIENCE));
    let mut round = 0;
    while !order.is_finished() {
        broadcasts_reach_all(members, round);
        round += 1;
    }
    order.join().expect("it does not panic")
}

#[test]
fn a_trial_on_a_part_goes_both_ways_while_broadcasts_flow() {
    let mut members = cluster(6, OverlayChoice::FullMesh);
    let events = members[1].node.events();
    let report = || {
        wait_for_event(&events, "the trial is told", |event| match event {
            Event::OverlayTried { report, .. } => Some(report.clone()),
            _ => None,
        })
    };
    // A loaded machine loses samples, as the next one goes out early.
    let lax = TopologyConfig {
        trial_reach_percent: 1,
        trial_latency_percent: 100_000,
        ..TopologyConfig::default()
    };
    let set = |members: &[Member], rules| members[1].cluster().set_topology_rules(rules);
    set(&members, lax.clone()).expect("they are right");
    let span = Some(Duration::from_secs(1));
    let on_two = OverlayTrial {
        nodes: vec![name(3), name(4)],
        span,
        ..OverlayTrial::default()
    };
    let view = tried(&mut members, OverlayKind::HyParView, on_two).expect("it goes well");
    assert_eq!(view.kind, OverlayKind::HyParView);
    let good = report();
    assert!(good.adopted, "{good:?}");
    assert_eq!((good.nodes, good.candidate.expected), (3, 60));
    wait_for_overlay(&members, 1, OverlayKind::HyParView);
    broadcasts_reach_all(&mut members, 1_000);

    // Nothing comes half a time.
    let harsh = TopologyConfig {
        trial_load_percent: 1,
        ..lax
    };
    set(&members, harsh).expect("they are right");
    let on_half = OverlayTrial {
        percent: Some(50),
        span,
        ..OverlayTrial::default()
    };
    let failed = tried(&mut members, OverlayKind::FullMesh, on_half);
    assert_eq!(failed, Err(SwitchError::RolledBack(WhyBack::TrialFailed)));
    let bad = report();
    assert!(!bad.adopted, "{bad:?}");
    wait_for_overlay(&members, 1, OverlayKind::HyParView);
    let history = members[1].cluster().topology_history();
    let history = history.expect("it answers");
    let trials = history.iter().map(|switch| switch.trial.as_ref());
    assert_eq!(trials.collect::<Vec<_>>(), [Some(&*good), Some(&*bad)]);
    assert!(matches!(history[1].end, SwitchEnd::RolledBack { .. }));
    let stranger = OverlayTrial {
        nodes: vec!["nobody".to_owned()],
        ..OverlayTrial::default()
    };
    let refused = tried(&mut members, OverlayKind::FullMesh, stranger).expect_err("no member");
    assert!(refused.to_string().contains("live members"), "{refused}");
    let nodes: Vec<_> = members.iter().map(|member| &member.node).collect();
    check_accounting(&nodes);
}

#[test]
fn what_is_measured_is_shown_and_a_workload_has_its_overlay() {
    let members = cluster(4, OverlayChoice::FullMesh);
    let one = members[0].cluster();
    let looks = TopologyConfig {
        look_s: 1,
        ..TopologyConfig::default()
    };
    one.set_topology_rules(looks.clone())
        .expect("they are right");
    one.set_gauge("sessions", 7).expect("there is room");
    wait_until(
        "pings and counts have come",
        || one.analyze().expect("it answers").measurements,
        |found| found.rtt_p99_us.is_some() && found.cpu_percent.is_some() && found.peers.len() == 3,
    );
    let shown = serde_json::to_value(one.analyze().expect("it answers")).expect("it is plain");
    assert_eq!(shown["overlay"], "full_mesh");
    assert_eq!(shown["measurements"]["gauges"]["sessions"], 7);

    let unknown = one.optimize_for_workload("gaming", PATIENCE);
    let Err(TopologyError::UnknownWorkload { known, .. }) = unknown else {
        panic!("{unknown:?}");
    };
    assert!(known.contains(&"event_driven".to_owned()));
    let view = one.optimize_for_workload("event_driven", PATIENCE);
    assert_eq!(view.expect("all are there").kind, OverlayKind::PubSub);
    wait_for_overlay(&members, 1, OverlayKind::PubSub);
    let again = one.optimize_for_workload("event_driven", PATIENCE);
    assert_eq!(again.expect("it is the right one").epoch, 1);
    let history = one.topology_history().expect("it answers");
    let workload = "event_driven".to_owned();
    assert_eq!(history[0].by, OrderedBy::Workload { workload });
    let cooling = one.follow_rules(PATIENCE);
    assert!(
        matches!(cooling, Err(TopologyError::CooldownActive { .. })),
        "{cooling:?}"
    );
    one.clear_workload().expect("it answers");
    let wrong = TopologyConfig {
        size_only_mesh_below: 200,
        ..looks.clone()
    };
    let refused = one
        .set_topology_rules(wrong)
        .expect_err("limits that cross");
    assert!(refused.to_string().contains("leave a gap"), "{refused}");
    assert_eq!(one.topology_rules(), Ok(looks));
}
