//! The judge against traces: what is measured at each look, and the switches that come of it.

use std::time::Duration;

use overlane_overlays::Time;
use overlane_overlays::epoch::OverlayKind;
use proptest::prelude::*;

use super::forecast::{Forecast, Trends};
use super::judge::{Blocked, Case, Choice, Judge, Standing};
use super::measurements::Measurements;
use crate::config::{RuleSet, TopologyConfig, TopologyMode};

use OverlayKind::{ClientServer, FullMesh, HyParView, PubSub};

/// A coordinator whose switches take no time.
struct Trace {
    judge: Judge,
    trends: Trends,
    ahead: Option<Forecast>,
    rules: TopologyConfig,
    standing: Standing,
    found: Measurements,
    workload: Option<(&'static str, OverlayKind)>,
    now: Time,
    switches: Vec<(u64, OverlayKind)>,
    /// Switches do not come about.
    fails: bool,
}

impl Trace {
    fn new(rules: TopologyConfig, current: OverlayKind) -> Self {
        Self {
            judge: Judge::default(),
            trends: Trends::default(),
            ahead: None,
            rules: TopologyConfig {
                mode: TopologyMode::Auto,
                ..rules
            },
            standing: Standing {
                current,
                next: None,
                is_first: false,
                is_joined: true,
                is_coordinator: true,
                coordinator: None,
            },
            found: Measurements::default(),
            workload: None,
            now: Time::ZERO,
            switches: Vec::new(),
            fails: false,
        }
    }

    fn case(&self) -> Case<'_> {
        Case {
            now: self.now,
            found: &self.found,
            ahead: self.ahead.as_ref(),
            standing: &self.standing,
            rules: &self.rules,
            workload: self.workload,
        }
    }

    /// One look, with so many members.
    fn look(&mut self, members: u64) -> Option<Choice> {
        self.now = self.now + Duration::from_secs(self.rules.look_s);
        self.found.members = members;
        self.trends.look(&self.found, &self.rules);
        self.ahead = self.trends.forecast(&self.rules);
        let mut judge = std::mem::take(&mut self.judge);
        let choice = judge.look(&self.case());
        self.judge = judge;
        if let Some(choice) = &choice {
            self.judge.switch_ended(self.now);
            self.trends.forget();
            if !self.fails {
                self.standing.current = choice.to;
                self.standing.is_first = false;
            }
            let second = self.now.as_micros() / 1_000_000;
            self.switches.push((second, choice.to));
        }
        choice
    }

    /// The overlays that so many looks lead to.
    fn looks(&mut self, looks: u32, members: impl Fn(u32) -> u64) -> Vec<OverlayKind> {
        let before = self.switches.len();
        for look in 0..looks {
            self.look(members(look));
        }
        let new = self.switches[before..].iter();
        new.map(|(_, to)| *to).collect()
    }
}

fn sizes() -> TopologyConfig {
    TopologyConfig {
        size_only_mesh_below: 10,
        size_only_hyparview_above: 20,
        ..TopologyConfig::default()
    }
}

#[test]
fn a_cluster_that_grows_and_shrinks_switches_once_each_way() {
    let mut trace = Trace::new(sizes(), FullMesh);
    assert_eq!(trace.looks(10, |_| 5), []);
    assert_eq!(trace.looks(20, |look| 5 + u64::from(look)), [HyParView]);
    assert_eq!(trace.looks(20, |look| 24 - u64::from(look)), [FullMesh]);
    assert_eq!(trace.looks(50, |_| 5), []);
}

#[test]
fn a_size_or_a_measurement_that_flaps_makes_nothing_oscillate() {
    let mut trace = Trace::new(sizes(), FullMesh);
    assert_eq!(trace.looks(100, |look| 5 + 20 * u64::from(look % 2)), []);
    assert_eq!(trace.looks(100, |look| 19 + u64::from(look % 4)), []);
    let mut trace = Trace::new(TopologyConfig::default(), FullMesh);
    for look in 0..100 {
        trace.found.cpu_percent = Some(if look % 3 == 2 { 10 } else { 300 });
        assert_eq!(trace.look(50), None);
    }
    // It stays: the rule holds for three looks.
    trace.found.cpu_percent = Some(300);
    assert_eq!(trace.looks(3, |_| 50), [HyParView]);
}

#[test]
fn the_cooldown_holds_rules_back_and_says_for_how_long() {
    let rules = TopologyConfig {
        hold_looks: 1,
        cooldown_s: 600,
        ..sizes()
    };
    let mut trace = Trace::new(rules, FullMesh);
    assert_eq!(trace.looks(1, |_| 30), [HyParView]);
    assert_eq!(trace.looks(9, |_| 5), []);
    let left = Duration::from_secs(60);
    let blocked = trace.judge.blocked(&trace.case());
    assert_eq!(blocked, [Blocked::CooldownActive { left }]);
    assert_eq!(trace.judge.choose(&trace.case()), Err(left));
    assert_eq!(trace.looks(1, |_| 5), [FullMesh]);
    assert_eq!(trace.switches, [(60, HyParView), (660, FullMesh)]);
}

#[test]
fn a_switch_that_was_given_up_is_not_tried_again_before_the_cooldown() {
    let mut trace = Trace::new(sizes(), FullMesh);
    trace.fails = true;
    assert_eq!(trace.looks(20, |_| 30).len(), 4);
    let seconds: Vec<_> = trace.switches.iter().map(|(second, _)| *second).collect();
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] >= 300));
}

#[test]
fn only_a_coordinator_among_others_that_is_told_to_follows_rules() {
    let mut trace = Trace::new(sizes(), FullMesh);
    trace.standing.is_coordinator = false;
    assert_eq!(trace.looks(9, |_| 30), []);
    trace.standing.is_coordinator = true;
    trace.standing.next = Some(PubSub);
    assert_eq!(trace.looks(9, |_| 30), []);
    trace.standing.next = None;
    trace.found.is_partitioned = true;
    assert_eq!(trace.looks(9, |_| 30), []);
    trace.found.is_partitioned = false;
    trace.rules.mode = TopologyMode::Manual;
    assert_eq!(trace.looks(9, |_| 30), []);
    assert_eq!(trace.judge.blocked(&trace.case()), [Blocked::Manual]);
    trace.rules.mode = TopologyMode::Auto;
    // It held all the time.
    assert_eq!(trace.looks(1, |_| 30), [HyParView]);
}

#[test]
fn rules_of_measurements_want_a_reason_besides_size_and_say_what_is_missing() {
    let mut trace = Trace::new(TopologyConfig::default(), HyParView);
    trace.found.rtt_p99_us = Some(500);
    trace.found.connectivity_percent = Some(100);
    assert_eq!(trace.looks(9, |_| 8), []);
    let verdicts = trace.judge.verdicts(&trace.case());
    let slow = verdicts
        .iter()
        .find(|verdict| verdict.rule == "slow_hyparview");
    let slow = slow.expect("the rule is there");
    assert!(!slow.holds && slow.why_not.contains("rtt_p99_us is 500, not above 20000"));
    trace.found.rtt_p99_us = Some(50_000);
    assert_eq!(trace.looks(3, |_| 8), [FullMesh]);

    for (set, members) in [
        (|found: &mut Measurements| found.partitions = 3, 21),
        (|found: &mut Measurements| found.lane_losses = Some(7), 21),
    ] as [(fn(&mut Measurements), u64); 2]
    {
        let mut trace = Trace::new(TopologyConfig::default(), FullMesh);
        set(&mut trace.found);
        assert_eq!(trace.looks(9, |_| members - 1), []);
        assert_eq!(trace.looks(3, |_| members), [HyParView]);
    }
    let mut trace = Trace::new(TopologyConfig::default(), HyParView);
    trace.found.hops_p99 = Some(9);
    assert_eq!(trace.looks(9, |_| 1_000), []);
    trace.found.suspects = 999;
    assert_eq!(trace.looks(9, |_| 1_001), [], "nobody can be a server");
    trace.found.suspects = 0;
    assert_eq!(trace.looks(3, |_| 1_001), [ClientServer]);
}

#[test]
fn the_first_overlay_of_a_new_cluster_goes_by_its_size() {
    for (members, first, to) in [
        (5, HyParView, Some(FullMesh)),
        (50, FullMesh, Some(HyParView)),
        (50, HyParView, None),
    ] {
        let mut trace = Trace::new(TopologyConfig::default(), first);
        trace.standing.is_first = true;
        assert_eq!(trace.looks(9, |_| members), Vec::from_iter(to));
    }
    // Later the size alone is no reason.
    let mut trace = Trace::new(TopologyConfig::default(), FullMesh);
    trace.standing.is_first = true;
    assert_eq!(trace.looks(9, |_| 5), []);
    assert_eq!(trace.looks(9, |_| 50), []);
}

#[test]
fn the_set_of_sizes_has_a_margin_on_both_sides_of_each_limit() {
    let rules = TopologyConfig {
        rules: RuleSet::Scale,
        ..TopologyConfig::default()
    };
    let mut trace = Trace::new(rules, FullMesh);
    assert_eq!(trace.looks(9, |_| 10), []);
    assert_eq!(trace.looks(9, |_| 11), [ClientServer]);
    assert_eq!(trace.looks(9, |_| 9), []);
    assert_eq!(trace.looks(9, |_| 109), []);
    assert_eq!(trace.looks(9, |_| 110), [HyParView]);
    assert_eq!(trace.looks(9, |_| 90), []);
    assert_eq!(trace.looks(9, |_| 89), [ClientServer]);
    assert_eq!(trace.looks(9, |_| 8), [FullMesh]);
    assert_eq!(trace.looks(9, |_| 200), [HyParView]);
}

#[test]
fn a_workload_keeps_its_overlay_but_for_limits_of_size_alone() {
    let mut trace = Trace::new(sizes(), HyParView);
    trace.workload = Some(("realtime", FullMesh));
    trace.found.cpu_percent = Some(900);
    assert_eq!(trace.looks(9, |_| 15), [FullMesh]);
    assert_eq!(trace.looks(9, |_| 50), [HyParView]);
    // A limit of size alone rules it out: it is not switched to and fro.
    assert_eq!(trace.looks(50, |_| 50), []);
    trace.workload = Some(("event_driven", PubSub));
    assert_eq!(trace.looks(9, |_| 50), [PubSub]);
}

#[test]
fn gauges_of_the_application_are_rules_too() {
    let rules = TopologyConfig {
        gauges: vec!["session_ms>500=full_mesh".parse().expect("a rule")],
        ..TopologyConfig::default()
    };
    let mut trace = Trace::new(rules, HyParView);
    assert_eq!(trace.looks(9, |_| 50), []);
    trace.found.gauges.insert("session_ms".to_owned(), 501);
    let choice = (0..3).find_map(|_| trace.look(50)).expect("it holds");
    assert_eq!(
        (choice.to, choice.rule.as_str()),
        (FullMesh, "gauge_session_ms")
    );
    assert_eq!(choice.reasons, ["session_ms is 501, above 500"]);
}

fn forecast() -> TopologyConfig {
    TopologyConfig {
        forecast_looks: 8,
        ..sizes()
    }
}

#[test]
fn steady_growth_switches_ahead_of_the_bound_and_once() {
    let growth = |look: u32| 5 + u64::from(look) / 2;
    let mut late = Trace::new(sizes(), FullMesh);
    assert_eq!(late.looks(80, growth), [HyParView]);
    let mut early = Trace::new(forecast(), FullMesh);
    let choice = (0..80).find_map(|look| early.look(growth(look)));
    let choice = choice.expect("it is foreseen");
    assert_eq!(choice.to, HyParView);
    assert_eq!(choice.rule, "forecast_size_only_hyparview_above");
    let reason = &choice.reasons[0];
    assert!(reason.starts_with("members in 8 looks is 2"), "{reason}");
    assert!(early.found.members <= 18, "{}", early.found.members);
    assert!(early.switches[0].0 + 4 * early.rules.look_s <= late.switches[0].0);
    let from = early.switches[0].0 / early.rules.look_s;
    let from = u32::try_from(from).expect("a few looks");
    assert_eq!(early.looks(60, |look| growth(from + look).min(30)), []);
    // And back, ahead of the other bound.
    let shrinking = |look: u32| 30_u64.saturating_sub(u64::from(look) / 2).max(3);
    assert_eq!(early.looks(80, shrinking), [FullMesh]);
}

/// How many members there are at each look.
type Members = Box<dyn Fn(u32) -> u64>;

#[test]
fn noise_flapping_spikes_and_steps_are_not_foreseen() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u64> = (0..200).map(|_| random.u64(12..=19)).collect();
    let traces: [(&str, Members); 5] = [
        ("noise", Box::new(move |look| noise[look as usize])),
        ("flapping", Box::new(|look| 12 + 6 * u64::from(look % 2))),
        (
            "waves",
            Box::new(|look| 12 + u64::from((look % 12).abs_diff(6))),
        ),
        (
            "spikes",
            Box::new(|look| if look % 30 == 9 { 90 } else { 12 }),
        ),
        ("a step", Box::new(|look| if look < 50 { 11 } else { 18 })),
    ];
    for (name, members) in traces {
        let mut trace = Trace::new(forecast(), FullMesh);
        assert_eq!(trace.looks(200, members), [], "{name}");
    }
}

#[test]
fn load_is_foreseen_too_and_a_forecast_that_rules_would_take_back_is_not_followed() {
    let rules = TopologyConfig {
        forecast_looks: 8,
        ..TopologyConfig::default()
    };
    let mut trace = Trace::new(rules, FullMesh);
    let mut choice = None;
    for look in 0..40 {
        trace.found.cpu_percent = Some(20 + 2 * look);
        choice = choice.or_else(|| trace.look(50));
    }
    let choice = choice.expect("it is foreseen");
    assert_eq!(choice.rule, "forecast_costly_mesh");
    assert!(
        choice.reasons[1].starts_with("cpu_percent in 8 looks is "),
        "{:?}",
        choice.reasons
    );

    // It will be large, and is so small yet that a limit of size alone leads back.
    let rules = TopologyConfig {
        forecast_looks: 10,
        size_only_mesh_below: 20,
        size_only_hyparview_above: 24,
        ..TopologyConfig::default()
    };
    let mut trace = Trace::new(rules, FullMesh);
    assert_eq!(trace.looks(12, |look| 6 + u64::from(look)), []);
    let verdicts = trace.judge.verdicts(&trace.case());
    let foreseen = verdicts
        .iter()
        .find(|verdict| verdict.rule.starts_with("forecast_"));
    let foreseen = foreseen.expect("it is told");
    assert!(!foreseen.holds);
    assert!(
        foreseen
            .why_not
            .contains("size_only_mesh_below would lead away")
    );
}

#[test]
fn a_forecast_waits_for_its_window_and_says_so() {
    let mut trace = Trace::new(forecast(), FullMesh);
    trace.looks(6, |look| 5 + u64::from(look));
    let told = trace.ahead.as_ref().expect("it is on");
    let members = &told.trends[0];
    assert_eq!(
        (members.what.as_str(), members.now, members.ahead),
        ("members", 10, 18)
    );
    assert!(!members.is_steady && members.why_not == "6 of 10 looks are there");
    // Members that are cut off have not gone.
    trace.found.is_partitioned = true;
    trace.looks(1, |_| 3);
    assert!(
        trace
            .ahead
            .as_ref()
            .is_some_and(|told| told.trends.is_empty())
    );
    let mut off = Trace::new(sizes(), FullMesh);
    off.looks(20, |look| 5 + u64::from(look) / 2);
    assert_eq!(off.ahead, None);
}

proptest! {
    /// Whatever is measured: rules keep the cooldown, and with measurements that stay the overlay comes to rest.
    #[test]
    fn it_keeps_the_cooldown_and_comes_to_rest(
        sizes in prop::collection::vec(2_u64..2_000, 1..60),
        values in prop::collection::vec(0_u64..200, 6),
        is_scale in any::<bool>(),
        first in prop::sample::select(OverlayKind::ALL.to_vec()),
        servers_above in prop::sample::select(vec![0_u64, 500]),
    ) {
        let rules = TopologyConfig {
            rules: if is_scale { RuleSet::Scale } else { RuleSet::Default },
            hold_looks: 1,
            size_only_servers_above: servers_above,
            ..TopologyConfig::default()
        };
        let mut trace = Trace::new(rules, first);
        trace.found.rtt_p99_us = Some(values[0] * 1_000);
        trace.found.connectivity_percent = Some(values[1].min(100));
        trace.found.cpu_percent = Some(values[2]);
        trace.found.hops_p99 = Some(values[3] / 10);
        trace.found.partitions = values[4] / 50;
        trace.found.lane_losses = Some(values[5] / 10);
        for size in &sizes {
            trace.look(*size);
        }
        let last = sizes[sizes.len() - 1];
        // At most from one to the next and on to a third, then nothing more.
        trace.looks(20, |_| last);
        prop_assert_eq!(trace.looks(40, |_| last), []);
        for pair in trace.switches.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= 300);
        }
    }
}
