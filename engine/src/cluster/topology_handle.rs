//! What an application can order and ask of the topology of its cluster.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::error::SwitchError;
use super::handle::{Cluster, OverlayView, Unanswered, from_unanswered};
use super::orders::Order;
use super::outcome::SwitchOutcome;
use super::topology::{
    Analysis, GAUGES_MAX, SwitchBegun, SwitchRecord, TopologyError, TopologyOrder,
};
use crate::config::{TopologyConfig, is_name};
use crate::deadline::deadline_in;

/// How long a question to the control shard may take. 10 s: it answers between two steps of its work.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cluster {
    /// What is measured, what each rule says of it and why, and what stands in the way of following one. Looking changes
    /// nothing.
    ///
    /// # Errors
    /// [`TopologyError`] if the control shard does not answer.
    pub fn analyze(&self) -> Result<Analysis, TopologyError> {
        self.ask_topology(TopologyOrder::Analyze, PATIENCE)
    }

    /// The last 64 switches of the overlay that this node saw, the newest last.
    ///
    /// # Errors
    /// As [`analyze`](Self::analyze).
    pub fn topology_history(&self) -> Result<Vec<SwitchRecord>, TopologyError> {
        self.ask_topology(TopologyOrder::History, PATIENCE)
    }

    /// The rules that this node goes by, without what a workload says in place of them.
    ///
    /// # Errors
    /// As [`analyze`](Self::analyze).
    pub fn topology_rules(&self) -> Result<TopologyConfig, TopologyError> {
        self.ask_topology(TopologyOrder::Rules, PATIENCE)
    }

    /// Takes other rules from the next look on. They are this node's: whichever member follows rules goes by its own, so
    /// give all members the same.
    ///
    /// # Errors
    /// [`TopologyError::Rules`] says what is wrong with them; then they are as before.
    pub fn set_topology_rules(&self, rules: TopologyConfig) -> Result<(), TopologyError> {
        let rules = Box::new(rules);
        self.ask_topology(|answer| TopologyOrder::SetRules(rules, answer), PATIENCE)?
    }

    /// Sets a gauge of the application, for rules (`topology_gauges`) and [`analyze`](Self::analyze).
    ///
    /// # Errors
    /// [`TopologyError::GaugeName`], [`TopologyError::TooManyGauges`].
    pub fn set_gauge(&self, name: &str, value: u64) -> Result<(), TopologyError> {
        if !is_name(name) {
            return Err(TopologyError::GaugeName(name.to_owned()));
        }
        let order = |answer| TopologyOrder::SetGauge(name.to_owned(), value, answer);
        if self.ask_topology(order, PATIENCE)? {
            Ok(())
        } else {
            let most = GAUGES_MAX;
            Err(TopologyError::TooManyGauges { most })
        }
    }

    /// Gives all nodes the overlay for a workload: `low_latency`, `high_throughput`, `event_driven`, `batch`, `realtime`, or
    /// one of `topology_workloads`. On this node rules keep to it from now on, but for limits of size alone;
    /// [`clear_workload`](Self::clear_workload) ends that. Waits as [`switch_overlay`](Self::switch_overlay) does; the
    /// overlay may be the right one already.
    ///
    /// # Errors
    /// [`TopologyError::UnknownWorkload`] names those that there are; [`TopologyError::Switch`] if the workload was chosen
    /// and the overlay not switched.
    pub fn optimize_for_workload(
        &self,
        workload: &str,
        timeout: Duration,
    ) -> Result<OverlayView, TopologyError> {
        let workload = Some(workload.to_owned());
        self.switch_by(|answer| TopologyOrder::Workload(workload, answer), timeout)
    }

    /// No workload is chosen any more: rules go by what is measured. The overlay stays as it is.
    ///
    /// # Errors
    /// As [`analyze`](Self::analyze).
    pub fn clear_workload(&self) -> Result<(), TopologyError> {
        let order = |answer| TopologyOrder::Workload(None, answer);
        self.switch_by(order, PATIENCE).map(drop)
    }

    /// Does at once what the first rule that holds says, with `topology_mode = manual` too, however short a time it has
    /// held.
    ///
    /// # Errors
    /// [`TopologyError::AlreadyCurrent`] if no rule asks for anything, [`TopologyError::CooldownActive`] after another
    /// switch, [`TopologyError::Switch`] if it did not come about.
    pub fn follow_rules(&self, timeout: Duration) -> Result<OverlayView, TopologyError> {
        self.switch_by(TopologyOrder::FollowRules, timeout)
    }

    fn switch_by(
        &self,
        order: impl FnOnce(Sender<SwitchBegun>) -> TopologyOrder,
        timeout: Duration,
    ) -> Result<OverlayView, TopologyError> {
        let deadline = deadline_in(timeout);
        let Some(outcome) = self.ask_topology(order, timeout)?? else {
            return Ok(self.overlay());
        };
        match outcome.recv_deadline(deadline) {
            Ok(SwitchOutcome::Committed) => Ok(self.overlay()),
            Ok(other) => Err(other.error(self.overlay().kind).into()),
            Err(RecvTimeoutError::Timeout) => Err(SwitchError::TimedOut { waited: timeout }.into()),
            Err(RecvTimeoutError::Disconnected) => Err(TopologyError::Closed),
        }
    }

    fn ask_topology<T>(
        &self,
        order: impl FnOnce(Sender<T>) -> TopologyOrder,
        patience: Duration,
    ) -> Result<T, TopologyError> {
        let question = |answer| Order::Topology(order(answer));
        Ok(self.ask(question, patience)?)
    }
}

from_unanswered!(TopologyError);
