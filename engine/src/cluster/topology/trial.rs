//! Trials of an overlay on a part of the cluster, as orders and rules ask for them: where, for how long, what has to hold.
//!
//! How one is held is `overlane_overlays::switching`'s matter; the thresholds are the rules of the topology.

use std::time::Duration;

use overlane_overlays::switching::{TrialRules, TrialTerms};

use crate::cluster::identity::NodeId;
use crate::config::TopologyConfig;

/// Share of the members where an order says none, in percent: a fifth.
const PERCENT: u8 = 20;

/// A trial as an application orders it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayTrial {
    /// Members to try it on, the node that orders it and servers besides; none: a share of all, chosen evenly, the
    /// same for the same members.
    pub nodes: Vec<String>,
    /// That share, in percent, from 1 to 100: at least three members, at most 64. None: 20.
    pub percent: Option<u8>,
    /// How long it is measured, from one second to ten minutes, or the nearest of the two. None: `topology_trial_s`.
    pub span: Option<Duration>,
}

/// The same, with the identities of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct TrialPlan {
    nodes: Vec<NodeId>,
    percent: u8,
    span: Option<Duration>,
}

impl TrialPlan {
    pub(in crate::cluster) fn of(trial: &OverlayTrial) -> Self {
        Self {
            nodes: trial.nodes.iter().map(|name| NodeId::of(name)).collect(),
            percent: trial.percent.unwrap_or(PERCENT).clamp(1, 100),
            span: trial.span,
        }
    }

    /// The trial of a switch that rules ask for, if they are to be tried.
    pub(super) fn of_rules(rules: &TopologyConfig) -> Option<Self> {
        (rules.trial_percent > 0).then_some(Self {
            nodes: Vec::new(),
            percent: rules.trial_percent,
            span: None,
        })
    }

    /// With what the rules say of it.
    pub(super) fn terms(self, rules: &TopologyConfig) -> TrialTerms<NodeId> {
        TrialTerms {
            nodes: self.nodes,
            percent: self.percent,
            span: self
                .span
                .unwrap_or_else(|| Duration::from_secs(rules.trial_s)),
            rules: TrialRules {
                reach_percent: rules.trial_reach_percent,
                latency_percent: rules.trial_latency_percent,
                latency_free: Duration::from_micros(rules.rtt_p99_us_max),
                load_percent: rules.trial_load_percent,
            },
        }
    }
}
