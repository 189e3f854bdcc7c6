//! What became of switches of the overlay: a bounded list, newest last.

use std::collections::VecDeque;
use std::time::Duration;

use overlane_overlays::Time;
use overlane_overlays::epoch::{Epoch, OverlayKind, WhyBack};
use overlane_overlays::switching::TrialReport;
use serde::Serialize;

use super::rules::by_name;
use crate::cluster::error::why_back;
use crate::cluster::identity::NodeId;

/// Switches that are remembered: a guess, some hours of the shortest cooldown that makes sense.
const SWITCHES_MAX: usize = 64;

/// A switch of the overlay, as this node saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchRecord {
    /// Number of the overlay that was changed to.
    pub epoch: u64,
    /// How long ago it was announced.
    pub ago: Duration,
    /// The overlay before.
    #[serde(serialize_with = "by_name")]
    pub from: OverlayKind,
    /// The overlay that it led to, or was to.
    #[serde(serialize_with = "by_name")]
    pub to: OverlayKind,
    /// Who ordered it.
    pub by: OrderedBy,
    /// What became of it.
    pub end: SwitchEnd,
    /// How long it took from the announcement; none while it goes on.
    pub took: Option<Duration>,
    /// What came of its trial on a part of the cluster; known at the node that ordered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialReport>,
}

/// Who ordered a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderedBy {
    /// An application on this node.
    Hand,
    /// A rule that this node follows.
    Rule {
        /// Its name.
        rule: String,
        /// The conditions that held.
        reasons: Vec<String>,
    },
    /// An application on this node, for a workload.
    Workload {
        /// Its name.
        workload: String,
    },
    /// This node, as servers of a client-server overlay are gone.
    Replacement {
        /// Their names.
        gone: Vec<String>,
    },
    /// Another node, which knows why.
    Node {
        /// Its name.
        node: String,
    },
    /// It is not known.
    Unknown,
}

/// What became of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchEnd {
    /// It goes on.
    UnderWay,
    /// The new overlay is in force.
    Committed,
    /// The old overlay went on.
    RolledBack {
        /// Why.
        why: &'static str,
    },
}

#[derive(Debug)]
struct Noted {
    epoch: Epoch<NodeId>,
    announced: Time,
    from: OverlayKind,
    to: OverlayKind,
    by: OrderedBy,
    end: SwitchEnd,
    took: Option<Duration>,
    trial: Option<TrialReport>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct History {
    current: OverlayKind,
    noted: VecDeque<Noted>,
}

impl History {
    pub(super) const fn new(first: OverlayKind) -> Self {
        Self {
            current: first,
            noted: VecDeque::new(),
        }
    }

    /// A switch was announced.
    pub(super) fn announced(
        &mut self,
        now: Time,
        epoch: Epoch<NodeId>,
        to: OverlayKind,
        by: OrderedBy,
    ) {
        if self.noted.len() >= SWITCHES_MAX {
            self.noted.pop_front();
        }
        self.noted.push_back(Noted {
            epoch,
            announced: now,
            from: self.current,
            to,
            by,
            end: SwitchEnd::UnderWay,
            took: None,
            trial: None,
        });
    }

    /// A switch is in force, announced here or not.
    pub(super) fn committed(
        &mut self,
        now: Time,
        epoch: Epoch<NodeId>,
        to: OverlayKind,
        by: OrderedBy,
    ) {
        if !self.noted.iter().any(|noted| noted.epoch == epoch) {
            self.announced(now, epoch, to, by);
        }
        self.end(now, epoch, SwitchEnd::Committed);
        self.current = to;
    }

    pub(super) fn rolled_back(&mut self, now: Time, epoch: Epoch<NodeId>, why: WhyBack) {
        let why = why_back(why);
        self.end(now, epoch, SwitchEnd::RolledBack { why });
    }

    pub(super) fn tried(&mut self, epoch: Epoch<NodeId>, report: &TrialReport) {
        if let Some(noted) = self.noted.iter_mut().find(|noted| noted.epoch == epoch) {
            noted.trial = Some(report.clone());
        }
    }

    fn end(&mut self, now: Time, epoch: Epoch<NodeId>, end: SwitchEnd) {
        if let Some(noted) = self.noted.iter_mut().find(|noted| noted.epoch == epoch) {
            noted.end = end;
            noted.took = Some(now.since(noted.announced));
        }
    }

    /// All that are remembered, as of now.
    pub(super) fn records(&self, now: Time) -> Vec<SwitchRecord> {
        let records = self.noted.iter().map(|noted| SwitchRecord {
            epoch: noted.epoch.number,
            ago: now.since(noted.announced),
            from: noted.from,
            to: noted.to,
            by: noted.by.clone(),
            end: noted.end.clone(),
            took: noted.took,
            trial: noted.trial.clone(),
        });
        records.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn epoch(number: u64) -> Epoch<NodeId> {
        Epoch {
            number,
            proposer: Some(NodeId::of("a")),
            nonce: 0,
        }
    }

    #[test]
    fn it_is_bounded_and_says_what_became_of_each() {
        let mut history = History::new(OverlayKind::FullMesh);
        for number in 1..=200 {
            let to = OverlayKind::HyParView;
            history.announced(at(number), epoch(number), to, OrderedBy::Hand);
            history.rolled_back(at(number + 1), epoch(number), WhyBack::Deadline);
        }
        let unknown = OrderedBy::Unknown;
        history.committed(at(300), epoch(300), OverlayKind::PubSub, unknown);
        let records = history.records(at(310));
        assert_eq!(records.len(), SWITCHES_MAX);
        let [.., before, last] = &records[..] else {
            panic!("two at least");
        };
        assert!(matches!(before.end, SwitchEnd::RolledBack { .. }));
        assert_eq!(before.took, Some(Duration::from_secs(1)));
        assert_eq!(
            (last.from, last.to),
            (OverlayKind::FullMesh, OverlayKind::PubSub)
        );
        assert_eq!(last.ago, Duration::from_secs(10));
        assert_eq!(last.end, SwitchEnd::Committed);
    }
}
