//! The judge: whether a rule that holds is followed now.
//!
//! A state machine without I/O. A rule has to hold for some looks in a row, of what is measured or of what is foreseen; only the coordinator follows rules; after a switch,
//! whoever ordered it and however it ended, there is a pause. Analysing asks the same questions and changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use overlane_overlays::Time;
use overlane_overlays::epoch::OverlayKind;
use serde::Serialize;

use super::forecast::Forecast;
use super::measurements::Measurements;
use super::rules::{Given, Verdict, by_name, verdicts};
use crate::config::{TopologyConfig, TopologyMode};

/// What stands between rules and a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Blocked {
    /// `topology_mode` is manual.
    Manual,
    /// This node is no member among others.
    Alone,
    /// Another member follows the rules.
    NotCoordinator {
        /// Its name, if it is known.
        coordinator: Option<String>,
    },
    /// Another switch goes on.
    SwitchUnderWay {
        /// What to.
        #[serde(serialize_with = "by_name")]
        to: OverlayKind,
    },
    /// The last switch is too short a time ago.
    CooldownActive {
        /// How long it still lasts.
        left: Duration,
    },
    /// The network is split: first it has to heal.
    Partitioned,
}

/// Where the node stands, as the driver has it.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Standing {
    pub(in crate::cluster) current: OverlayKind,
    /// The overlay that is being changed to.
    pub(in crate::cluster) next: Option<OverlayKind>,
    /// No switch was ever committed.
    pub(in crate::cluster) is_first: bool,
    pub(in crate::cluster) is_joined: bool,
    pub(in crate::cluster) is_coordinator: bool,
    pub(in crate::cluster) coordinator: Option<String>,
}

/// A switch that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) to: OverlayKind,
    pub(super) rule: String,
    pub(super) reasons: Vec<String>,
}

/// What is asked in one look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'c> {
    pub(super) now: Time,
    pub(super) found: &'c Measurements,
    /// What is foreseen, if that is asked for.
    pub(super) ahead: Option<&'c Forecast>,
    pub(super) standing: &'c Standing,
    pub(super) rules: &'c TopologyConfig,
    pub(super) workload: Option<(&'c str, OverlayKind)>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Looks in a row in which rules held, by their names.
    held: BTreeMap<String, u32>,
    /// Looks since the node is a member among others.
    looks: u32,
    /// When the last switch ended, committed or given up.
    ended: Option<Time>,
}

impl Judge {
    /// A switch has ended.
    pub(super) fn switch_ended(&mut self, now: Time) {
        self.ended = Some(now);
        self.held.clear();
    }

    /// Other rules, or another workload: what held before says nothing.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    /// Looks, and says what is to be done.
    pub(super) fn look(&mut self, case: &Case<'_>) -> Option<Choice> {
        if !case.is_alone() {
            self.looks = self.looks.saturating_add(1);
        }
        let mut verdicts = self.verdicts_at(case, self.looks);
        let mut held = BTreeMap::new();
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.holds) {
            verdict.looks = self.held.get(&verdict.rule).map_or(1, |looks| looks + 1);
            held.insert(verdict.rule.clone(), verdict.looks);
        }
        self.held = held;
        if !self.blocked(case).is_empty() {
            return None;
        }
        let long_enough = |verdict: &Verdict| verdict.looks >= case.rules.hold_looks;
        let first = verdicts.into_iter().find(|verdict| verdict.holds)?;
        long_enough(&first).then(|| choice(&first))
    }

    /// The first rule that holds now, however long.
    ///
    /// # Errors
    /// How long the cooldown lasts.
    pub(super) fn choose(&self, case: &Case<'_>) -> Result<Option<Choice>, Duration> {
        if let Some(left) = self.cooldown_left(case) {
            return Err(left);
        }
        let verdicts = self.verdicts(case);
        let first = verdicts.iter().find(|verdict| verdict.holds);
        Ok(first.map(choice))
    }

    /// What every rule says, without looking.
    pub(super) fn verdicts(&self, case: &Case<'_>) -> Vec<Verdict> {
        let mut verdicts = self.verdicts_at(case, self.looks.saturating_add(1));
        for verdict in &mut verdicts {
            verdict.looks = self.held.get(&verdict.rule).copied().unwrap_or(0);
        }
        verdicts
    }

    fn verdicts_at(&self, case: &Case<'_>, looks: u32) -> Vec<Verdict> {
        let given = Given {
            rules: case.rules,
            current: case.standing.current,
            workload: case.workload,
            is_new: case.standing.is_first
                && self.ended.is_none()
                && looks <= case.rules.hold_looks,
        };
        let mut all = verdicts(case.found, &given);
        if let Some(ahead) = case.ahead {
            all.extend(ahead.verdicts(case.found, &given));
        }
        all
    }

    /// What stands in the way of every rule.
    pub(super) fn blocked(&self, case: &Case<'_>) -> Vec<Blocked> {
        let standing = case.standing;
        let mut blocked = Vec::new();
        if case.rules.mode == TopologyMode::Manual {
            blocked.push(Blocked::Manual);
        }
        if case.is_alone() {
            blocked.push(Blocked::Alone);
        }
        if !standing.is_coordinator {
            let coordinator = standing.coordinator.clone();
            blocked.push(Blocked::NotCoordinator { coordinator });
        }
        if let Some(to) = standing.next {
            blocked.push(Blocked::SwitchUnderWay { to });
        }
        if let Some(left) = self.cooldown_left(case) {
            blocked.push(Blocked::CooldownActive { left });
        }
        if case.found.is_partitioned {
            blocked.push(Blocked::Partitioned);
        }
        blocked
    }

    fn cooldown_left(&self, case: &Case<'_>) -> Option<Duration> {
        let since = case.now.since(self.ended?);
        let left = Duration::from_secs(case.rules.cooldown_s).saturating_sub(since);
        (!left.is_zero()).then_some(left)
    }
}

impl Case<'_> {
    fn is_alone(&self) -> bool {
        !self.standing.is_joined || self.found.members < 2
    }
}

fn choice(verdict: &Verdict) -> Choice {
    Choice {
        to: verdict.to,
        rule: verdict.rule.clone(),
        reasons: verdict.reasons(),
    }
}
