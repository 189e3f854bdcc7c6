//! Topology: which overlay fits the cluster, by what is measured, by rules and by workloads; and what became of switches.
//!
//! A state machine without I/O, owned by the driver, which hands in the time and what happens, and orders the switch that comes
//! out. `measuring` gathers, `rules` compare, `forecast` looks ahead, `judge` decides, `history` remembers; `orders` is what applications want
//! of it, `gathering` what reads the shards' counts. It never decides who is a member, and switches nothing itself.

mod analysis;
mod error;
mod forecast;
mod gathering;
mod history;
mod judge;
mod measurements;
mod measuring;
mod orders;
mod rules;
#[cfg(test)]
mod tests;
mod trial;
mod workloads;

use std::collections::BTreeSet;
use std::time::Duration;

use overlane_overlays::Time;
use overlane_overlays::epoch::{Epoch, OverlayKind, Step};
use overlane_overlays::switching::{TrialReport, TrialTerms};
use rand::Rng;

use super::identity::NodeId;
use crate::config::{ConfigError, TopologyConfig, Workload};
use forecast::Trends;
use history::History;
use judge::{Case, Choice, Judge};
use measuring::Measuring;

pub use analysis::Analysis;
pub use error::TopologyError;
pub use forecast::{Forecast, Trend};
pub(super) use gathering::Gathering;
pub use history::{OrderedBy, SwitchEnd, SwitchRecord};
pub use judge::Blocked;
pub(super) use judge::Standing;
pub(super) use measurements::Report;
pub use measurements::{Measurements, PeerRtt};
pub(super) use measuring::{Facts, GAUGES_MAX, Readings};
pub(super) use orders::{SwitchBegun, TopologyOrder};
pub use rules::{Condition, MustBe, Verdict};
pub use trial::OverlayTrial;
pub(super) use trial::TrialPlan;

/// How long pings of a look have to be answered before it is judged; less where looks are frequent. 1 s: a guess, far
/// above a round trip.
const ANSWERS_MAX: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ping, and have counts read.
    Measure,
    /// Decide.
    Judge,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Topology {
    me: NodeId,
    /// As they were set, and with what the workload says in place of it.
    rules: TopologyConfig,
    effective: TopologyConfig,
    workload: Option<Workload>,
    measuring: Measuring,
    trends: Trends,
    judge: Judge,
    history: History,
    /// Who ordered the switch that this node proposes next.
    ordered: Option<OrderedBy>,
    due: (Time, Due),
}

impl Topology {
    pub(super) fn new(me: NodeId, rules: TopologyConfig, first: OverlayKind) -> Self {
        let look = Duration::from_secs(rules.look_s);
        Self {
            me,
            effective: rules.clone(),
            rules,
            workload: None,
            measuring: Measuring::default(),
            trends: Trends::default(),
            judge: Judge::default(),
            history: History::new(first),
            ordered: None,
            due: (Time::ZERO + look, Due::Measure),
        }
    }

    pub(super) const fn next(&self) -> Time {
        self.due.0
    }

    /// What is due, if anything is. The next one follows from it.
    pub(super) fn take_due(&mut self, now: Time) -> Option<Due> {
        let (at, due) = self.due;
        if at > now {
            return None;
        }
        let look = Duration::from_secs(self.effective.look_s);
        let answers = ANSWERS_MAX.min(look / 2);
        self.due = match due {
            Due::Measure => (now + answers, Due::Judge),
            Due::Judge => (now + (look - answers), Due::Measure),
        };
        Some(due)
    }

    /// Whom to ping in this look, and the number of each ping.
    pub(super) fn begin_look<R: Rng>(
        &mut self,
        now: Time,
        lanes: &BTreeSet<NodeId>,
        random: &mut R,
    ) -> Vec<(NodeId, u64)> {
        let most = self.effective.sample_max;
        self.measuring.begin(now, lanes, most, random)
    }

    /// What this node answers a ping with.
    pub(super) fn report(&self, now: Time, facts: &Facts) -> Report {
        self.measuring.report(now, facts)
    }

    /// Looks at the rules. The switch that one of them asks for, if it is to be followed now.
    pub(super) fn judge(
        &mut self,
        now: Time,
        facts: &Facts,
        standing: &Standing,
    ) -> Option<(OverlayKind, OrderedBy)> {
        let found = self.measured(now, facts, |_| String::new());
        self.trends.look(&found, &self.effective);
        let ahead = self.trends.forecast(&self.effective);
        let case = Case {
            now,
            found: &found,
            ahead: ahead.as_ref(),
            standing,
            rules: &self.effective,
            workload: pinned(self.workload.as_ref()),
        };
        let choice = self.judge.look(&case)?;
        tracing::info!(rule = %choice.rule, to = %choice.to, reasons = ?choice.reasons, "a rule switches the overlay");
        Some(ordered(choice))
    }

    /// The switch of the first rule that holds, whatever the mode and however long it held.
    ///
    /// # Errors
    /// [`TopologyError`] says why there is none.
    pub(super) fn choose(
        &self,
        now: Time,
        facts: &Facts,
        standing: &Standing,
    ) -> Result<(OverlayKind, OrderedBy), TopologyError> {
        let found = self.measured(now, facts, |_| String::new());
        let ahead = self.trends.forecast(&self.effective);
        let case = Case {
            now,
            found: &found,
            ahead: ahead.as_ref(),
            standing,
            rules: &self.effective,
            workload: pinned(self.workload.as_ref()),
        };
        match self.judge.choose(&case) {
            Ok(Some(choice)) => Ok(ordered(choice)),
            Ok(None) => Err(TopologyError::AlreadyCurrent(standing.current)),
            Err(left) => Err(TopologyError::CooldownActive { left }),
        }
    }

    /// What rules would do now, and why.
    pub(super) fn analyze(
        &self,
        now: Time,
        facts: &Facts,
        standing: &Standing,
        name: impl Fn(NodeId) -> String,
    ) -> Analysis {
        let found = self.measured(now, facts, name);
        let ahead = self.trends.forecast(&self.effective);
        let case = Case {
            now,
            found: &found,
            ahead: ahead.as_ref(),
            standing,
            rules: &self.effective,
            workload: pinned(self.workload.as_ref()),
        };
        Analysis {
            overlay: standing.current,
            workload: self.workload.as_ref().map(|workload| workload.name.clone()),
            rules: self.judge.verdicts(&case),
            looks_needed: self.effective.hold_looks,
            blocked: self.judge.blocked(&case),
            forecast: ahead,
            measurements: found,
        }
    }

    fn measured(&self, now: Time, facts: &Facts, name: impl Fn(NodeId) -> String) -> Measurements {
        self.measuring
            .measurements(now, facts, &self.effective, name)
    }

    pub(super) fn records(&self, now: Time) -> Vec<SwitchRecord> {
        self.history.records(now)
    }

    pub(super) const fn rules(&self) -> &TopologyConfig {
        &self.rules
    }

    /// Takes other rules, from the next look on.
    ///
    /// # Errors
    /// What is wrong with them, also under the workload that was chosen; then nothing has changed.
    pub(super) fn set_rules(
        &mut self,
        now: Time,
        rules: TopologyConfig,
    ) -> Result<(), ConfigError> {
        rules.validate()?;
        let workload = self.workload.take();
        // A workload may be another one in the new rules, or none any more.
        let again = workload
            .as_ref()
            .and_then(|workload| workloads::find(&workload.name, &rules).ok());
        let effective = match &again {
            Some(workload) => rules.under(workload),
            None => Ok(rules.clone()),
        };
        match effective {
            Ok(effective) => {
                self.workload = again;
                self.rules = rules;
                self.take_effect(now, effective);
                Ok(())
            }
            Err(error) => {
                self.workload = workload;
                Err(error)
            }
        }
    }

    fn take_effect(&mut self, now: Time, effective: TopologyConfig) {
        let look = Duration::from_secs(effective.look_s);
        self.effective = effective;
        self.judge.forget();
        self.trends.forget();
        self.due.0 = self.due.0.min(now + look);
    }

    /// Chooses a workload: rules keep to its overlay from now on. None: they go by what is measured again.
    ///
    /// # Errors
    /// [`TopologyError::UnknownWorkload`].
    pub(super) fn choose_workload(
        &mut self,
        now: Time,
        name: Option<&str>,
    ) -> Result<Option<OverlayKind>, TopologyError> {
        let Some(name) = name else {
            self.workload = None;
            self.take_effect(now, self.rules.clone());
            return Ok(None);
        };
        let workload = workloads::find(name, &self.rules).map_err(|known| {
            let name = name.to_owned();
            TopologyError::UnknownWorkload { name, known }
        })?;
        let effective = self.rules.under(&workload);
        let effective = effective.map_err(|error| TopologyError::Rules(Box::new(error)))?;
        let overlay = workload.overlay;
        self.workload = Some(workload);
        self.take_effect(now, effective);
        Ok(Some(overlay))
    }
}

/// The switch that a rule asks for.
fn ordered(choice: Choice) -> (OverlayKind, OrderedBy) {
    let Choice { to, rule, reasons } = choice;
    (to, OrderedBy::Rule { rule, reasons })
}

fn pinned(workload: Option<&Workload>) -> Option<(&str, OverlayKind)> {
    workload.map(|workload| (workload.name.as_str(), workload.overlay))
}

/// What happens.
impl Topology {
    pub(super) fn answered(&mut self, now: Time, from: NodeId, number: u64, report: Report) {
        self.measuring.answered(now, from, number, report);
    }

    pub(super) fn lane_lost(&mut self, now: Time) {
        self.measuring.lane_lost(now);
    }

    pub(super) fn partitioned(&mut self, now: Time) {
        self.measuring.partitioned(now);
    }

    pub(super) const fn healed(&mut self) {
        self.measuring.healed();
    }

    pub(super) fn broadcast(&mut self, hops: u64) {
        self.measuring.broadcast(hops);
    }

    pub(super) fn read(&mut self, now: Time, readings: Readings) {
        self.measuring.read(now, readings);
    }

    /// Sets a gauge. False if there are as many as may be.
    pub(super) fn set_gauge(&mut self, name: String, value: u64) -> bool {
        self.measuring.set_gauge(name, value)
    }

    /// How a switch that rules ask for now is tried first; none: it is not.
    pub(super) fn trial_of_rules(&self) -> Option<TrialPlan> {
        TrialPlan::of_rules(&self.effective)
    }

    /// A trial by the thresholds of now.
    pub(super) fn trial_terms(&self, plan: TrialPlan) -> TrialTerms<NodeId> {
        plan.terms(&self.effective)
    }

    /// This came of a trial that this node ordered.
    pub(super) fn tried(&mut self, epoch: Epoch<NodeId>, report: &TrialReport) {
        tracing::info!(epoch = epoch.number, adopted = report.adopted, reasons = ?report.reasons, "an overlay was tried on a part of the cluster");
        self.history.tried(epoch, report);
    }

    /// A switch is ordered of this node's protocols.
    pub(super) fn ordered(&mut self, by: OrderedBy) {
        self.ordered = Some(by);
    }

    /// They refused it.
    pub(super) fn refused(&mut self) {
        self.ordered = None;
    }

    /// A switch has come a step further.
    pub(super) fn switching(
        &mut self,
        now: Time,
        epoch: Epoch<NodeId>,
        kind: OverlayKind,
        step: Step,
        name: impl Fn(NodeId) -> String,
    ) {
        let ended = matches!(step, Step::Committed | Step::RolledBack(_));
        match step {
            Step::Announced => {
                let by = self.by(&epoch, name);
                self.history.announced(now, epoch, kind, by);
            }
            Step::Committed => {
                let by = self.by(&epoch, name);
                self.history.committed(now, epoch, kind, by);
            }
            Step::RolledBack(why) => self.history.rolled_back(now, epoch, why),
            Step::Prepared | Step::Trying | Step::Adopted | Step::Verified | Step::Retired => {}
        }
        if ended {
            self.judge.switch_ended(now);
            self.trends.forget();
        }
    }

    fn by(&mut self, epoch: &Epoch<NodeId>, name: impl Fn(NodeId) -> String) -> OrderedBy {
        match epoch.proposer {
            Some(proposer) if proposer == self.me => {
                self.ordered.take().unwrap_or(OrderedBy::Unknown)
            }
            Some(proposer) => OrderedBy::Node {
                node: name(proposer),
            },
            None => OrderedBy::Unknown,
        }
    }
}
